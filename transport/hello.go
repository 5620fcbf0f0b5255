package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/balsa-raft/balsa/transport/wire"
)

// errNotBalsa says that what came over a connection is another protocol; the text says which, as far as one can tell.
var errNotBalsa = errors.New("not the protocol of Balsa's peers")

// errSilent says that a connection ended before it said anything, as those of port scanners and health checks do.
var errSilent = errors.New("the connection ended without an introduction")

// hello is this host's introduction to the peer it knows by that address.
func (t *Transport) hello(dialled string) *wire.Hello {
	return &wire.Hello{
		MinVersion:    wire.MinVersion,
		MaxVersion:    wire.MaxVersion,
		Cluster:       t.opt.Cluster,
		Host:          t.opt.Host,
		MaxFrameBytes: uint32(t.opt.MaxFrameBytes),
		Address:       t.opt.Advertise,
		Dialled:       dialled,
	}
}

// check judges a peer's introduction; nil means that it is welcome. Whoever dialled meant to reach the address dialled, and did reach the
// address reached. Reasons are written for the one who reads the peer's log.
func (t *Transport) check(h *wire.Hello, dialled, reached string) *wire.Refusal {
	own := t.hello(h.Address)
	if _, ok := wire.CommonVersion(own, h); !ok {
		return refuse(wire.RefusedVersion, "this host speaks versions %d to %d of the peer protocol, the peer %d to %d: upgrade the older one first",
			own.MinVersion, own.MaxVersion, h.MinVersion, h.MaxVersion)
	}
	if h.Cluster != own.Cluster {
		return refuse(wire.RefusedCluster, "this host belongs to cluster %016x, the peer to %016x", own.Cluster, h.Cluster)
	}
	if h.Address == own.Address || (h.Host == own.Host && h.Host != 0) {
		return refuse(wire.RefusedAddress, "dialling %s reached the dialler itself, %s, or a copy of its data directory", dialled, own.Address)
	}
	if h.Address == "" {
		return refuse(wire.RefusedBad, "the peer does not say by which address it is dialled")
	}
	if dialled != reached {
		return refuse(wire.RefusedAddress, "the host that was dialled as %s calls itself %s: correct the one or the other", dialled, reached)
	}
	if t.full(h.Address) {
		return refuse(wire.RefusedHost, "this host talks to %d peers already", maxPeers)
	}
	if t.opt.OnPeer != nil {
		if err := t.opt.OnPeer(h.Address, h.Host); err != nil {
			return refuse(wire.RefusedHost, "%v", err)
		}
	}
	return nil
}

func refuse(code wire.RefusalCode, format string, arguments ...any) *wire.Refusal {
	return &wire.Refusal{Code: code, Reason: fmt.Sprintf(format, arguments...)}
}

// refusedByUs is the error of a connection that this host refused.
type refusedByUs struct{ *wire.Refusal }

func (r refusedByUs) Error() string { return "refused by this host: " + r.Reason }

// introduction gives the bytes that open a stream: the magic and a hello, or a refusal if that is not nil.
func introduction(h *wire.Hello, r *wire.Refusal) ([]byte, error) {
	b := []byte(wire.Magic)
	if r != nil {
		return wire.AppendRefusal(b, r), nil
	}
	return wire.AppendHello(b, h)
}

// readIntroduction reads what opens a stream. It reads no byte beyond, and a stranger makes it allocate little. The error is a
// *wire.Refusal when that is what came.
func readIntroduction(r io.Reader) (*wire.Hello, error) {
	var magic [len(wire.Magic)]byte
	n, err := io.ReadFull(r, magic[:])
	if n == 0 && err != nil {
		return nil, fmt.Errorf("%w (%w)", errSilent, err)
	}
	if got := magic[:n]; !bytes.HasPrefix([]byte(wire.Magic), got) {
		return nil, fmt.Errorf("%w: %s", errNotBalsa, describe(got))
	}
	if err != nil {
		return nil, fmt.Errorf("the introduction is incomplete: %w", err)
	}
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("the introduction is incomplete: %w", err)
	}
	header, err := wire.ParseHeader(head[:], wire.MaxIntroductionBytes)
	if err != nil {
		return nil, err
	}
	body := make([]byte, header.FrameSize()-wire.HeaderSize)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("the introduction is incomplete: %w", err)
	}
	hello, refusal, err := wire.DecodeIntroduction(header, body[:header.Meta])
	if refusal != nil {
		return nil, refusal
	}
	return hello, err
}

// describe guesses what protocol begins with those bytes.
func describe(start []byte) string {
	if len(start) >= 2 && start[1] == 3 && (start[0] == 0x15 || start[0] == 0x16) {
		return "the other side speaks TLS and this one does not; both sides need the same setting"
	}
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PATCH ", "PRI * HT", "HTTP/"} {
		if n := min(len(method), len(start)); n > 2 && string(start[:n]) == method[:n] {
			return "the other side speaks HTTP or gRPC; this port is for Balsa's peers, clients have another"
		}
	}
	return fmt.Sprintf("it begins with %q", start)
}

// now is what numbers pings, in nanoseconds; never 0.
func (t *Transport) now() uint64 { return uint64(time.Since(t.start)) + 1 }
