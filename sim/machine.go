package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// registers is how many registers a machine has. Few, so that clients meet.
const registers = 4

// state is what a machine replicates: some registers, and a chain of hashes over every command it ever applied, so that two machines
// which differed once differ for ever.
type state struct {
	value [registers]uint64
	chain uint64
	last  raft.Index // of the last command applied
}

// apply is the one place that says what a command does; the reference that histories are judged by uses it too.
func (s *state) apply(index raft.Index, c *command, sum uint32) answer {
	r := int(c.register) % registers
	a := answer{before: s.value[r], index: uint64(index)}
	a.done = c.kind == opWrite || s.value[r] == c.expect
	if a.done {
		s.value[r] = c.id
	}
	s.chain = chained(s.chain, index, sum)
	s.last = index
	return a
}

func chained(chain uint64, index raft.Index, sum uint32) uint64 {
	x := (chain ^ uint64(index)) * 0x9e3779b97f4a7c15
	x ^= x >> 32
	x = (x ^ uint64(sum)) * 0xbf58476d1ce4e5b9
	return x ^ x>>29
}

func (s *state) encode() []byte {
	var b []byte
	for _, v := range s.value {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, s.chain)
	return binary.LittleEndian.AppendUint64(b, uint64(s.last))
}

func (s *state) decode(b []byte) error {
	if len(b) != 8*(registers+2) {
		return fmt.Errorf("a snapshot of the registers has %d bytes, not %d", 8*(registers+2), len(b))
	}
	for i := range s.value {
		s.value[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	s.chain = binary.LittleEndian.Uint64(b[8*registers:])
	s.last = raft.Index(binary.LittleEndian.Uint64(b[8*registers+8:]))
	return nil
}

// machine is the state machine of one member. Its snapshots carry ballast, so that some take many chunks.
type machine struct {
	state
	member  *member
	ballast int
}

var _ engine.StateMachine = (*machine)(nil)

// Apply implements engine.StateMachine.
func (m *machine) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, len(entries))
	for i := range entries {
		e := &entries[i]
		c, err := decodeCommand(e.Data)
		if err != nil {
			m.member.world.fail("state machine", "n%d g%d: entry %d: %v", m.member.host.id, m.member.group.id, e.Index, err)
			return results
		}
		a := m.apply(e.Index, &c, raft.Sum(e.Data))
		results[i].Data = a.encode()
		m.member.applied(e, &c, m.chain)
	}
	return results
}

// Snapshot implements engine.StateMachine.
func (m *machine) Snapshot() (engine.SnapshotWriter, error) {
	return &capture{body: append(m.encode(), ballast(m.chain, m.ballast)...)}, nil
}

// Restore implements engine.StateMachine.
func (m *machine) Restore(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	const head = 8 * (registers + 2)
	if len(body) < head {
		return fmt.Errorf("a snapshot of %d bytes is too short", len(body))
	}
	var s state
	if err := s.decode(body[:head]); err != nil {
		return err
	}
	if !bytes.Equal(body[head:], ballast(s.chain, len(body)-head)) {
		return fmt.Errorf("the ballast of the snapshot at %d is damaged", s.last)
	}
	m.state = s
	m.member.restored(&s)
	return nil
}

// ballast is n bytes that follow from the chain.
func ballast(chain uint64, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		chain = chain*6364136223846793005 + 1442695040888963407
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], chain)
		copy(b[i:], word[:])
	}
	return b
}

// capture is a snapshot on its way to disk.
type capture struct{ body []byte }

// WriteTo implements io.WriterTo.
func (c *capture) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.body)
	return int64(n), err
}

// Close implements io.Closer.
func (c *capture) Close() error { return nil }

// durableMachine keeps its state itself, as a database does: image is what it has on stable storage, which survives a crash and lags behind by as
// much as it likes.
type durableMachine struct {
	machine
	image *state // the world's: it outlives the process
}

var _ engine.DurableStateMachine = (*durableMachine)(nil)

// DurableIndex implements engine.DurableStateMachine.
func (m *durableMachine) DurableIndex() raft.Index { return m.image.last }

// Flush implements engine.DurableStateMachine.
func (m *durableMachine) Flush() error {
	*m.image = m.state
	return nil
}

// Apply implements engine.DurableStateMachine. Now and then the database flushes by itself.
func (m *durableMachine) Apply(entries []engine.Entry) []engine.Result {
	results := m.machine.Apply(entries)
	if m.member.flushes.chance(1, 64) {
		*m.image = m.state
	}
	return results
}

// Restore implements engine.DurableStateMachine. The state may become durable with it, or later.
func (m *durableMachine) Restore(r io.Reader) error {
	if err := m.machine.Restore(r); err != nil {
		return err
	}
	if m.member.flushes.chance(1, 2) {
		*m.image = m.state
	}
	return nil
}
