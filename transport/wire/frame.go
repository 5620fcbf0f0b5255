package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/balsa-raft/balsa/raft"
)

// HeaderSize is the length of every frame's header, in bytes.
const HeaderSize = 20

// DefaultMaxFrameBytes is the limit for one frame that hosts use unless told otherwise: room for the 1 MiB of entries that an AppendRequest
// holds by default (whose entries count raft.EntryOverhead each), for a single larger one, and for a snapshot's chunk.
const DefaultMaxFrameBytes = 4 << 20

// MinMaxFrameBytes is the smallest limit that makes sense: below it a heartbeat or an introduction might not fit.
const MinMaxFrameBytes = 16 << 10

// The errors of this package; those returned wrap one of them, and say what was wrong.
var (
	// ErrCorrupt says that bytes are not what a peer of this version can have sent. Nothing after them on the same stream can be trusted.
	ErrCorrupt = errors.New("corrupt frame")
	// ErrTooLarge says that a frame exceeds the limit. From the encoder it means that the message was not encoded at all.
	ErrTooLarge = errors.New("frame too large")
)

// Kind tells what a frame carries. Numbers are never reused for something else.
type Kind uint8

// The kinds of frames. Those below 16 are the connection's own; the others carry one message of a group each.
const (
	KindHello   Kind = 1
	KindRefusal Kind = 2
	KindPing    Kind = 3
	KindPong    Kind = 4

	KindPreVoteRequest   Kind = 16
	KindPreVoteReply     Kind = 17
	KindVoteRequest      Kind = 18
	KindVoteReply        Kind = 19
	KindAppendRequest    Kind = 20
	KindAppendReply      Kind = 21
	KindInstallSnapshot  Kind = 22
	KindTimeoutNow       Kind = 23
	KindReadIndexRequest Kind = 24
	KindReadIndexReply   Kind = 25
	KindWakeRequest      Kind = 26

	KindForwardRequest Kind = 32
	KindForwardReply   Kind = 33
	KindSnapshotChunk  Kind = 34
	KindSnapshotAck    Kind = 35
)

// Control tells whether frames of the kind belong to the connection rather than to a group.
func (k Kind) Control() bool { return k < KindPreVoteRequest }

// Header is a frame's header, decoded.
type Header struct {
	Kind Kind
	// Meta and Payload are the lengths of the two parts that follow, in bytes.
	Meta, Payload uint32
	// MetaSum is CRC-32C of the meta part. The payload's sums are in the meta part.
	MetaSum uint32
}

// FrameSize is the length of the whole frame, header included, in bytes.
func (h Header) FrameSize() int { return HeaderSize + int(h.Meta) + int(h.Payload) }

// ParseHeader decodes the header at the start of b, which has to hold at least HeaderSize bytes, and checks that the frame is at most limit bytes
// long. Only then may the caller make room for the rest.
func ParseHeader(b []byte, limit int) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes are too few for a header", ErrCorrupt, len(b))
	}
	if raft.Sum(b[:16]) != binary.LittleEndian.Uint32(b[16:]) {
		return Header{}, fmt.Errorf("%w: the header's checksum is wrong", ErrCorrupt)
	}
	h := Header{
		Kind:    Kind(b[0]),
		Meta:    binary.LittleEndian.Uint32(b[4:]),
		Payload: binary.LittleEndian.Uint32(b[8:]),
		MetaSum: binary.LittleEndian.Uint32(b[12:]),
	}
	if b[1]|b[2]|b[3] != 0 {
		return Header{}, fmt.Errorf("%w: reserved bytes of the header are in use", ErrCorrupt)
	}
	if size := HeaderSize + uint64(h.Meta) + uint64(h.Payload); size > uint64(limit) {
		return Header{}, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, size, limit)
	}
	return h, nil
}

// sealHeader fills in the header that was reserved at dst[start:], for a meta part that extends from there to the end of dst.
func sealHeader(dst []byte, start int, kind Kind, payload int) {
	head, meta := dst[start:start+HeaderSize], dst[start+HeaderSize:]
	head[0], head[1], head[2], head[3] = byte(kind), 0, 0, 0
	binary.LittleEndian.PutUint32(head[4:], uint32(len(meta)))
	binary.LittleEndian.PutUint32(head[8:], uint32(payload))
	binary.LittleEndian.PutUint32(head[12:], raft.Sum(meta))
	binary.LittleEndian.PutUint32(head[16:], raft.Sum(head[:16]))
}

// checkMeta tells whether the meta part is the one that the header was made for.
func (h Header) checkMeta(meta []byte) error {
	if len(meta) != int(h.Meta) {
		return fmt.Errorf("%w: a meta part of %d bytes where the header says %d", ErrCorrupt, len(meta), h.Meta)
	}
	if raft.Sum(meta) != h.MetaSum {
		return fmt.Errorf("%w: the meta part's checksum is wrong", ErrCorrupt)
	}
	return nil
}
