package wire

import (
	"slices"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// Batch gathers frames that leave in one go. Small pieces are copied into one buffer; large ones are left where they lie and are
// referred to, so that the operating system takes them from there (writev). A Batch is reused and then allocates nothing. It is not
// safe for concurrent use.
type Batch struct {
	// Limit is the largest frame that may be added, in bytes; 0 means DefaultMaxFrameBytes. It has to be within what the receiver accepts.
	Limit int
	// CopyBelow is the length of data, in bytes, from which on they are referred to instead of copied; 0 copies everything, which is
	// right where the bytes are copied anyway, as for TLS.
	CopyBelow int

	buffer []byte
	// cuts are the places in the buffer at which something that was not copied comes in.
	cuts    []cut
	outside int
	pieces  [][]byte
}

type cut struct {
	at   int
	data []byte
}

// maxKeptBuffer is the capacity up to which a Batch keeps its buffer for the next use, in bytes: what the largest request of the default configuration needs
// behind half a MiB of others, with what slices grow by.
const maxKeptBuffer = 3 << 20

// Add encodes one message. On ErrTooLarge the batch is as it was before.
func (b *Batch) Add(group raft.GroupID, m raft.Message) error {
	limit := b.Limit
	if limit == 0 {
		limit = DefaultMaxFrameBytes
	}
	buffer, err := appendHead(b.buffer, group, m, limit)
	if err != nil {
		return err
	}
	b.buffer = buffer
	switch m := m.(type) {
	case *raft.AppendRequest:
		size := 0
		for i := range m.Entries {
			if n := len(m.Entries[i].Data); b.copies(n) {
				size += n
			}
		}
		b.buffer = slices.Grow(b.buffer, size)
		for i := range m.Entries {
			b.addData(m.Entries[i].Data)
		}
	case *engine.ForwardRequest:
		b.addData(m.Data)
	case *engine.ForwardReply:
		b.addData(m.Data)
	case *engine.SnapshotChunk:
		b.addData(m.Data)
	}
	return nil
}

// AddPing appends a ping with that number, and AddPong the answer to it.
func (b *Batch) AddPing(number uint64) { b.buffer = appendBeat(b.buffer, KindPing, number) }

// AddPong appends the answer to the ping of that number.
func (b *Batch) AddPong(number uint64) { b.buffer = appendBeat(b.buffer, KindPong, number) }

// copies tells whether data of n bytes is copied.
func (b *Batch) copies(n int) bool { return b.CopyBelow == 0 || n < b.CopyBelow }

func (b *Batch) addData(data []byte) {
	if b.copies(len(data)) {
		b.buffer = append(b.buffer, data...)
		return
	}
	b.cuts = append(b.cuts, cut{at: len(b.buffer), data: data})
	b.outside += len(data)
}

// Len is the number of bytes gathered.
func (b *Batch) Len() int { return len(b.buffer) + b.outside }

// Pieces gives what was gathered, in order, and no piece is empty. The pieces are valid, and must not be written to, until the next
// call of a method of the Batch; the outer slice may be changed (as net.Buffers does).
func (b *Batch) Pieces() [][]byte {
	b.pieces = b.pieces[:0]
	from := 0
	for _, c := range b.cuts {
		if c.at > from {
			b.pieces = append(b.pieces, b.buffer[from:c.at])
		}
		b.pieces = append(b.pieces, c.data)
		from = c.at
	}
	if len(b.buffer) > from {
		b.pieces = append(b.pieces, b.buffer[from:])
	}
	return b.pieces
}

// Reset empties the batch and lets go of all data it referred to.
func (b *Batch) Reset() {
	b.buffer = b.buffer[:0]
	if cap(b.buffer) > maxKeptBuffer {
		b.buffer = nil
	}
	clear(b.cuts)
	b.cuts, b.outside = b.cuts[:0], 0
	clear(b.pieces[:cap(b.pieces)])
	b.pieces = b.pieces[:0]
}
