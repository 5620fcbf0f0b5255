package sim

import (
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// Outcome is how an operation ended, as far as its client knows.
type Outcome uint8

// The outcomes. Unknown is what a client has to assume that gave up waiting, or whose host crashed: it may have happened, or may happen yet.
const (
	OutcomeUnknown Outcome = iota
	OutcomeDone
	OutcomeRefused // it did not happen, and never will
)

// Operation is something a client did, and what it learned.
type Operation struct {
	Group  raft.GroupID
	Client int
	// Host is where the client asked.
	Host raft.MemberID
	// ID is the value that is written, unique in the world; 0 for a read.
	ID       uint64
	Register int
	// Read, or Expect in a compare-and-set that only writes if the register has that value; otherwise a plain write.
	Read, Compare bool
	Expect        uint64
	// Call and Return bound it in time; Return is 0 while it has not ended.
	Call, Return time.Duration
	Outcome      Outcome
	// Value is what the register had: at the read, or before the write. Wrote says whether the write took place. Only if Outcome is OutcomeDone.
	Value uint64
	Wrote bool
	// Index is, of a write, where it is in the log, and of a read how far the machine was.
	Index raft.Index
}
