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

// String names an outcome.
func (o Outcome) String() string {
	switch o {
	case OutcomeDone:
		return "done"
	case OutcomeRefused:
		return "refused"
	}
	return "outcome unknown"
}

// Operation is something a client did, and what it learned.
type Operation struct {
	Action
	Group  raft.GroupID
	Client int
	// Host is where the client asked.
	Host raft.MemberID
	// ID is the number of a command, unique in the world; 0 for a query.
	ID uint64
	// Call and Return bound it in time; Return is 0 while it has not ended.
	Call, Return time.Duration
	Outcome      Outcome
	// Answer is what the machine said, only if Outcome is OutcomeDone.
	Answer []byte
	// Index is, of a command, where it is in the log, and of a query how far the machine was.
	Index raft.Index
	// after is the operation with the highest index that had ended when this one began.
	after ended
	// known is how many entries were known to be committed when it began, and applied how many the member that answered a query had applied then.
	known, applied raft.Index
}
