package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/transport/wire"
)

// maxStrangers bounds the connections that have not introduced themselves.
const maxStrangers = 64

// strangers are the connections that have not introduced themselves yet, oldest first. When there are too many the oldest one has
// to go: an honest peer needs milliseconds, so that it gets in even while others hold connections open to say nothing.
type strangers struct {
	mu    sync.Mutex
	conns []net.Conn
}

// add admits a stranger and returns the one that has to go for it, if any.
func (s *strangers) add(c net.Conn) (evicted net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxStrangers {
		evicted = s.conns[0]
		s.conns = slices.Delete(s.conns, 0, 1)
	}
	s.conns = append(s.conns, c)
	return evicted
}

func (s *strangers) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.conns, c); i >= 0 {
		s.conns = slices.Delete(s.conns, i, i+1)
	}
}

// accept takes connections until the transport closes.
func (t *Transport) accept() {
	pause := time.Millisecond
	for {
		conn, err := t.opt.Listener.Accept()
		if err == nil {
			pause = time.Millisecond
			if evicted := t.strangers.add(conn); evicted != nil {
				t.complain("strangers", "too many connections without an introduction, closing the oldest", "limit", maxStrangers,
					"remote", evicted.RemoteAddr())
				evicted.Close()
			}
			t.goroutines.Go(func() { t.serve(conn) })
			continue
		}
		if t.ctx.Err() != nil {
			return
		}
		// Running out of file descriptors passes; a listener that somebody else closed does not, but no peer is helped by giving up.
		t.complain("accept", "cannot accept connections of peers", "error", err)
		pause = min(2*pause, time.Second)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-t.ctx.Done():
		}
		timer.Stop()
	}
}

// serve is the goroutine of a connection that somebody dialled.
func (t *Transport) serve(raw net.Conn) {
	defer context.AfterFunc(t.ctx, func() { raw.Close() })()
	defer raw.Close()
	conn, hello, err := t.welcome(raw)
	t.strangers.remove(raw)
	if err != nil {
		t.turnedAway(raw.RemoteAddr(), hello, err)
		return
	}
	// The answer comes after the end of the peer's connection before this one, so that of two connections the later one stays.
	if p, current := t.adopt(raw, hello); p != nil {
		t.listen(p, conn, hello)
		current.end(p)
	}
}

// listen answers a peer's introduction, delivers what the peer says, and tells everybody when that is over.
func (t *Transport) listen(p *peer, conn net.Conn, hello *wire.Hello) {
	err := t.answer(conn, hello, nil)
	if err == nil {
		err = newIncoming(t, p, conn).run()
	}
	if t.ctx.Err() != nil {
		return
	}
	if err = t.explain(err); !ended(err) {
		p.setError(err)
		p.complain("incoming", "the connection of a peer failed", err, "remote", conn.RemoteAddr())
	}
	t.opt.Sink.Disconnected(p.address)
}

// adopt makes the connection that of its peer. The results are nil when the transport is closed.
func (t *Transport) adopt(conn net.Conn, hello *wire.Hello) (*peer, *adopted) {
	for {
		p := t.peer(hello.Address)
		if p == nil {
			return nil, nil
		}
		if current := p.adopt(conn, hello.Host); current != nil {
			return p, current
		}
	}
}

// welcome reads the introduction of whoever dialled, and judges it; a refusal is answered here. The hello is what the other side said, if it got that
// far. The connection keeps the deadline of the introduction, until it is used further.
func (t *Transport) welcome(conn net.Conn) (net.Conn, *wire.Hello, error) {
	conn.SetDeadline(time.Now().Add(t.opt.HelloTimeout))
	if t.opt.TLS != nil {
		secured := tls.Server(conn, t.opt.TLS)
		if err := secured.HandshakeContext(t.ctx); err != nil {
			var plain tls.RecordHeaderError
			if errors.As(err, &plain) && string(plain.RecordHeader[:]) == wire.Magic[:len(plain.RecordHeader)] {
				t.sayBad(conn, "this host speaks TLS and the peer does not; both sides need the same setting")
			}
			return conn, nil, fmt.Errorf("TLS: %w", err)
		}
		conn = secured
	}
	hello, err := readIntroduction(conn)
	if err != nil {
		if errors.Is(err, wire.ErrCorrupt) || errors.Is(err, wire.ErrTooLarge) {
			t.sayBad(conn, fmt.Sprintf("what came is no introduction: %v", err))
		}
		return conn, nil, err
	}
	if refusal := t.check(hello, hello.Dialled, t.opt.Advertise); refusal != nil {
		t.answer(conn, hello, refusal)
		return conn, hello, refusedByUs{refusal}
	}
	return conn, hello, nil
}

// answer sends our own introduction, or a refusal if that is not nil.
func (t *Transport) answer(conn net.Conn, hello *wire.Hello, refusal *wire.Refusal) error {
	var own *wire.Hello
	if refusal == nil {
		own = t.hello(hello.Address)
	}
	b, err := introduction(own, refusal)
	if err == nil {
		_, err = conn.Write(b)
	}
	if err != nil {
		return fmt.Errorf("answering the introduction: %w", err)
	}
	return nil
}

// sayBad refuses somebody whose introduction was not read to its end. Closing with bytes unread would make TCP throw away
// what was just written, so they are read first, within the bounds of an introduction.
func (t *Transport) sayBad(conn net.Conn, reason string) {
	if t.answer(conn, nil, refuse(wire.RefusedBad, "%s", reason)) == nil {
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		io.CopyN(io.Discard, conn, wire.MaxIntroductionBytes)
	}
}

// turnedAway logs a connection that came to nothing, once in a while for each place it may come from.
func (t *Transport) turnedAway(remote net.Addr, hello *wire.Hello, err error) {
	if t.ctx.Err() != nil {
		return
	}
	if errors.Is(err, errSilent) {
		t.opt.Logger.Debug("a connection to the peer port said nothing", "remote", remote, "error", err)
		return
	}
	attributes := []any{"remote", remote, "error", err}
	if hello != nil {
		attributes = append(attributes, "peer", hello.Address, "host", hello.Host)
		if known := t.known(hello.Address); known != nil {
			known.setError(err)
		}
	}
	t.complain("stranger "+hostOf(remote), "a connection to the peer port was turned away", attributes...)
}

// known gives the peer of that address if there is one already: what a stranger claims must not make one.
func (t *Transport) known(address string) *peer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.peers[address]
}

// maxPeers bounds how many peers strangers can make this host remember, by claiming as many addresses.
const maxPeers = 4096

// full tells whether there is no room for a peer of that address.
func (t *Transport) full(address string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.peers) >= maxPeers && t.peers[address] == nil
}

func hostOf(address net.Addr) string {
	if host, _, err := net.SplitHostPort(address.String()); err == nil {
		return host
	}
	return address.String()
}
