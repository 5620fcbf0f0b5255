package sim

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// head is what the world keeps of every machine beside its state: how far it is, and a chain of hashes over every command it ever applied, so that
// two machines which differed once differ for ever.
type head struct {
	chain uint64
	last  raft.Index // of the last command applied
}

func chained(chain uint64, index raft.Index, sum uint32) uint64 {
	x := (chain ^ uint64(index)) * 0x9e3779b97f4a7c15
	x ^= x >> 32
	x = (x ^ uint64(sum)) * 0xbf58476d1ce4e5b9
	return x ^ x>>29
}

// machine is the state machine of one member as the engine sees it: that of the application, whose commands it takes out of their envelopes and whose
// snapshots it puts behind a head and some ballast, so that some take many chunks.
type machine struct {
	head
	inner  engine.StateMachine
	member *member
	// blind says that the machine came back at an index of which the world does not know the chain any more.
	blind bool
}

var _ engine.StateMachine = (*machine)(nil)

// newMachine makes a member's machine for a new process.
func newMachine(m *member) (*machine, engine.StateMachine, error) {
	w := m.world
	inner, err := w.application.Machine(Place{
		Group: m.group.id, Host: m.host.id, Durable: w.regime.Durable, Previous: m.previous, Rand: m.flushes.Rand,
	})
	if err != nil {
		return nil, nil, err
	}
	m.previous = inner
	mc := &machine{inner: inner, member: m}
	durable, ok := inner.(engine.DurableStateMachine)
	if !ok {
		return mc, mc, nil
	}
	mc.last = durable.DurableIndex()
	var known bool
	if mc.chain, known = m.group.ledger.chainAt(mc.last); !known {
		mc.blind = true
	}
	return mc, &durableMachine{machine: mc, durable: durable}, nil
}

// Apply implements engine.StateMachine. The batch goes to the application's machine as it came, but for a cut at each index at which states are
// compared.
func (m *machine) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, 0, len(entries))
	stride := m.member.group.stride()
	batch := make([]engine.Entry, 0, len(entries))
	ids := make([]uint64, 0, len(entries))
	from := 0
	for i := range entries {
		e := entries[i]
		id, command, err := openCommand(e.Data)
		if err != nil {
			m.member.world.fail("state machine", "%v: entry %d: %v", m.member, e.Index, err)
			return make([]engine.Result, len(entries))
		}
		e.Data = command
		batch, ids = append(batch, e), append(ids, id)
		if at := e.Index%stride == 0; at || i == len(entries)-1 {
			results = append(results, m.applyBatch(entries[from:i+1], batch, ids)...)
			batch, ids, from = batch[:0], ids[:0], i+1
			if at {
				m.compare()
			}
		}
	}
	return results
}

// applyBatch hands some commands to the application's machine.
func (m *machine) applyBatch(entries, batch []engine.Entry, ids []uint64) []engine.Result {
	results := m.inner.Apply(batch)
	if len(results) != len(batch) {
		m.member.world.fail("state machine", "the machine of %v gave %d results for %d entries", m.member, len(results), len(batch))
		return make([]engine.Result, len(batch))
	}
	sealed := make([]engine.Result, len(batch))
	for i := range entries {
		m.chain, m.last = chained(m.chain, entries[i].Index, raft.Sum(entries[i].Data)), entries[i].Index
		_, command, _ := openCommand(entries[i].Data) // The machine may have done anything with its batch.
		m.member.applied(&applied{entry: &entries[i], id: ids[i], command: command, answer: results[i].Data, chain: m.chain})
		sealed[i].Data = sealAnswer(uint64(entries[i].Index), results[i].Data)
	}
	return sealed
}

// compare has the state compared with that of other machines at the same index.
func (m *machine) compare() {
	hash, err := stateHash(m.inner)
	if err != nil {
		m.member.world.fail("state machine", "the machine of %v cannot capture its state at %d: %v", m.member, m.last, err)
		return
	}
	m.member.hashed(m.last, hash)
}

// Snapshot implements engine.StateMachine.
func (m *machine) Snapshot() (engine.SnapshotWriter, error) {
	m.compare() // Restore compares again: what was captured is what comes back.
	inner, err := m.inner.Snapshot()
	if err != nil {
		return nil, err
	}
	return &capture{head: m.head, ballast: m.member.world.regime.Ballast, inner: inner}, nil
}

const snapshotHead = 8 + 8 + 4

// Restore implements engine.StateMachine.
func (m *machine) Restore(r io.Reader) error {
	var fixed [snapshotHead]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return fmt.Errorf("read the head of a snapshot: %w", err)
	}
	h := head{chain: binary.LittleEndian.Uint64(fixed[:]), last: raft.Index(binary.LittleEndian.Uint64(fixed[8:]))}
	if err := skipBallast(r, h.chain, int(binary.LittleEndian.Uint32(fixed[16:]))); err != nil {
		return fmt.Errorf("the ballast of the snapshot at %d is damaged: %w", h.last, err)
	}
	if err := m.inner.Restore(r); err != nil {
		return err
	}
	m.head, m.blind = h, false
	m.member.restored(h)
	m.compare()
	return nil
}

// capture is a snapshot on its way to disk.
type capture struct {
	head
	ballast int
	inner   engine.SnapshotWriter
}

// WriteTo implements io.WriterTo.
func (c *capture) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, 0, snapshotHead)
	b = binary.LittleEndian.AppendUint64(b, c.chain)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.last))
	b = binary.LittleEndian.AppendUint32(b, uint32(c.ballast))
	n, err := w.Write(b)
	for load := (ballast{chain: c.chain, left: c.ballast}); err == nil && load.left > 0; {
		var more int
		more, err = w.Write(load.next())
		n += more
	}
	if err != nil {
		return int64(n), err
	}
	more, err := c.inner.WriteTo(w)
	return int64(n) + more, err
}

// Close implements io.Closer.
func (c *capture) Close() error { return c.inner.Close() }

// ballast is some bytes that follow from the chain, a piece at a time.
type ballast struct {
	chain uint64
	left  int
	piece [4 << 10]byte
}

// next returns the next piece, which is good until it is called again.
func (b *ballast) next() []byte {
	n := min(b.left, len(b.piece))
	for i := 0; i < n; i += 8 {
		b.chain = b.chain*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(b.piece[i:], b.chain)
	}
	b.left -= n
	return b.piece[:n]
}

// skipBallast reads ballast, and checks it.
func skipBallast(r io.Reader, chain uint64, n int) error {
	if n > 1<<30 {
		return fmt.Errorf("%d bytes", n)
	}
	want := ballast{chain: chain, left: n}
	var got [len(want.piece)]byte
	for want.left > 0 {
		piece := want.next()
		if _, err := io.ReadFull(r, got[:len(piece)]); err != nil {
			return err
		}
		if string(got[:len(piece)]) != string(piece) {
			return fmt.Errorf("%d bytes that are not what was written", n)
		}
	}
	return nil
}

// durableMachine is machine for an application's machine that keeps its state itself.
type durableMachine struct {
	*machine
	durable engine.DurableStateMachine
}

var _ engine.DurableStateMachine = (*durableMachine)(nil)

// DurableIndex implements engine.DurableStateMachine.
func (m *durableMachine) DurableIndex() raft.Index { return m.durable.DurableIndex() }

// Flush implements engine.DurableStateMachine.
func (m *durableMachine) Flush() error { return m.durable.Flush() }
