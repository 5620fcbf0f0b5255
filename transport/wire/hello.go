package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Magic opens a stream in both directions, before the first frame. Its first byte is no ASCII and no TLS record type, and the line end
// in it shows transports that translate line ends.
const Magic = "\x89Balsa\r\n"

// The versions of this protocol that the package speaks. Two hosts speak the highest that both do; a change of any encoding,
// a field added included, is a new version.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Limits of what an introduction and a refusal may hold, in bytes.
const (
	MaxAddressBytes = 1024
	maxReasonBytes  = 1024
	// MaxIntroductionBytes bounds a Hello's or a Refusal's whole frame. What opens a stream is read under this limit, since the other side is
	// still a stranger.
	MaxIntroductionBytes = 8 << 10
)

// Hello is how a host introduces itself: the dialler's comes first, the answer is the acceptor's own, or a Refusal. Its encoding is the same in all
// versions; later ones may add fields at the end, which earlier ones skip.
type Hello struct {
	// MinVersion and MaxVersion are the versions the host speaks.
	MinVersion, MaxVersion uint16
	// Cluster is the id of the cluster the host belongs to.
	Cluster uint64
	// Host is the incarnation of the host's data directory.
	Host uint64
	// MaxFrameBytes is the largest frame that the host accepts.
	MaxFrameBytes uint32
	// Address is what the host's peers dial: its name among hosts.
	Address string
	// Dialled is the address by which the sender knows the receiver.
	Dialled string
}

// RefusalCode says why a host wants no connection.
type RefusalCode uint8

// Why a connection is refused.
const (
	RefusedVersion RefusalCode = 1 // no common version
	RefusedCluster RefusalCode = 2 // another cluster
	RefusedAddress RefusalCode = 3 // the dialler meant somebody else, or itself
	RefusedHost    RefusalCode = 4 // the host does not want this peer; the reason says why
	RefusedBad     RefusalCode = 5 // what came is no introduction
)

// Refusal is a host's last word on a connection. As an error it tells what the peer said.
type Refusal struct {
	Code RefusalCode
	// Reason is for people.
	Reason string
}

// Error implements error.
func (r *Refusal) Error() string { return "refused by the peer: " + r.Reason }

// CommonVersion gives the version that two hosts speak with each other, and false when there is none.
func CommonVersion(a, b *Hello) (uint16, bool) {
	version := min(a.MaxVersion, b.MaxVersion)
	return version, version >= max(a.MinVersion, b.MinVersion)
}

// AppendHello appends the frame of an introduction. It fails when an address is longer than MaxAddressBytes.
func AppendHello(dst []byte, h *Hello) ([]byte, error) {
	if len(h.Address) > MaxAddressBytes || len(h.Dialled) > MaxAddressBytes {
		return dst, fmt.Errorf("%w: an address is longer than %d bytes", ErrTooLarge, MaxAddressBytes)
	}
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst = binary.LittleEndian.AppendUint16(dst, h.MinVersion)
	dst = binary.LittleEndian.AppendUint16(dst, h.MaxVersion)
	dst = binary.LittleEndian.AppendUint64(dst, h.Cluster)
	dst = binary.LittleEndian.AppendUint64(dst, h.Host)
	dst = binary.LittleEndian.AppendUint32(dst, h.MaxFrameBytes)
	dst = appendText(appendText(dst, h.Address), h.Dialled)
	sealHeader(dst, start, KindHello, 0)
	return dst, nil
}

// AppendRefusal appends the frame of a refusal. A reason that is too long is cut.
func AppendRefusal(dst []byte, r *Refusal) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst = append(dst, byte(r.Code))
	dst = appendText(dst, printable(r.Reason))
	sealHeader(dst, start, KindRefusal, 0)
	return dst
}

// DecodeIntroduction decodes the frame that opens a stream, after Magic: exactly one of the results is not nil.
func DecodeIntroduction(h Header, meta []byte) (*Hello, *Refusal, error) {
	if err := h.checkMeta(meta); err != nil {
		return nil, nil, err
	}
	switch h.Kind {
	case KindHello:
		hello, err := decodeHello(meta)
		return hello, nil, err
	case KindRefusal:
		refusal, err := decodeRefusal(meta)
		return nil, refusal, err
	}
	return nil, nil, fmt.Errorf("%w: a frame of kind %d where an introduction belongs", ErrCorrupt, h.Kind)
}

// decodeHello leaves alone what comes after the fields that it knows.
func decodeHello(meta []byte) (*Hello, error) {
	c := cursor{rest: meta}
	h := &Hello{
		MinVersion:    c.uint16(),
		MaxVersion:    c.uint16(),
		Cluster:       c.uint64(),
		Host:          c.uint64(),
		MaxFrameBytes: c.uint32(),
		Address:       c.text(MaxAddressBytes),
		Dialled:       c.text(MaxAddressBytes),
	}
	if c.err != nil {
		return nil, fmt.Errorf("introduction: %w", c.err)
	}
	if h.MaxFrameBytes < MinMaxFrameBytes {
		return nil, fmt.Errorf("introduction: %w: a frame limit of %d bytes is below %d", ErrCorrupt, h.MaxFrameBytes, MinMaxFrameBytes)
	}
	return h, nil
}

func decodeRefusal(meta []byte) (*Refusal, error) {
	c := cursor{rest: meta}
	r := &Refusal{Code: RefusalCode(c.uint8()), Reason: printable(c.text(maxReasonBytes))}
	if c.err != nil {
		return nil, fmt.Errorf("refusal: %w", c.err)
	}
	return r, nil
}

// printable makes a stranger's text fit for a log and a terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) <= maxReasonBytes {
		return s
	}
	cut := maxReasonBytes
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// DecodeRefusal decodes a refusal that comes later on a stream.
func DecodeRefusal(h Header, meta []byte) (*Refusal, error) {
	if err := h.checkMeta(meta); err != nil {
		return nil, err
	}
	return decodeRefusal(meta)
}

// appendBeat appends a ping or a pong.
func appendBeat(dst []byte, kind Kind, number uint64) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	sealHeader(dst, start, kind, 0)
	return dst
}

// DecodeBeat gives the number of a ping or a pong.
func DecodeBeat(h Header, meta []byte) (uint64, error) {
	if err := h.checkMeta(meta); err != nil {
		return 0, err
	}
	c := cursor{rest: meta}
	number := c.uint64()
	if err := c.end(); err != nil {
		return 0, fmt.Errorf("ping or pong: %w", err)
	}
	return number, nil
}
