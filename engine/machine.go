package engine

import (
	"io"

	"github.com/balsa-raft/balsa/raft"
)

// Entry is a committed command as a state machine sees it. Data is shared with the log: read it, keep it if you like, never write to it.
type Entry struct {
	Index raft.Index
	Term  raft.Term
	Data  []byte
	// Local says that somebody on this host waits for the Result. Without it the Result is thrown away, so a machine may save the
	// work of making it; it must not change anything else because of it.
	Local bool
}

// Result is what applying an entry answers to whoever proposed it. It travels to another host when the proposal was forwarded.
type Result struct {
	Data []byte
}

// StateMachine is what a group replicates. The engine calls its methods from one goroutine at a time, never concurrently, and
// always in log order; a slow machine delays its own group's answers, never a heartbeat.
type StateMachine interface {
	// Apply applies a batch in order and returns one Result per entry. It must be deterministic: the same entries on the same state
	// give the same state and results on every member; no clock, no randomness, no map order.
	Apply(entries []Entry) []Result
	// Snapshot captures the state as of the last Apply. It has to be cheap: writing happens later, beside further Applies.
	Snapshot() (SnapshotWriter, error)
	// Restore replaces the state by what a SnapshotWriter of this machine wrote. When it fails half-way it is called again. The reader gives the last piece only once
	// all was checked, so a machine that keeps its own state makes the new one durable after it has read to the end. Before that it may be shown bytes that rotted on the disk: it
	// returns an error for what it can't make sense of, and does not panic. Whether the file or the machine is to blame, the engine finds out.
	Restore(r io.Reader) error
}

// SnapshotWriter writes one captured state. WriteTo is called at most once, possibly in parallel with Apply; Close always, last.
type SnapshotWriter interface {
	io.WriterTo
	io.Closer
}

// DurableStateMachine is a machine that keeps its state on stable storage itself, such as a database. The engine then needs
// no snapshot to compact the log: it replays entries after DurableIndex at start, and never compacts beyond it.
type DurableStateMachine interface {
	StateMachine
	// DurableIndex is the index up to which every applied entry survives a crash. It may lag behind what was applied.
	// It is called from any goroutine.
	DurableIndex() raft.Index
	// Flush makes everything applied so far durable. It may take long and is called beside Apply.
	Flush() error
}
