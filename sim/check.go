package sim

import (
	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// applied is a command that a machine has applied: the entry as it was in the log, what was in its envelope, what the machine answered, and the chain of
// hashes up to it.
type applied struct {
	entry   *engine.Entry
	id      uint64
	command []byte
	answer  []byte
	chain   uint64
}

// checker looks on as one group lives, and calls World.fail when it sees what may not be. It is told of changes only, when they
// happened: m.log is the member's log after the change, but for truncated, which comes before. A checker embeds nothing for what it has no interest in.
type checker interface {
	// elected: m became leader of the term, and its first entry in it has this index.
	elected(m *member, term raft.Term, first raft.Index)
	// appended: m's log has new entries from here to its end; truncated: it loses those from here on.
	appended(m *member, from raft.Index)
	truncated(m *member, from raft.Index)
	// compacted: m's core has given up the first entries of its log, and the disk has them still.
	compacted(m *member)
	// committed: m took the entries in this range for committed.
	committed(m *member, from, to raft.Index)
	// sent: a message of m leaves its host.
	sent(m *member, message raft.Message)
	// recovered: m was started again from its disk; was is its log before.
	recovered(m *member, was *shadow)
	// applied: m's machine has applied a command; restored: it took over a snapshot; hashed: its state after the command at an index has this hash.
	applied(m *member, a *applied)
	restored(m *member, h head)
	hashed(m *member, index raft.Index, hash uint64)
	// finished: the run is over, the group is live and quiet.
	finished()
}

// nothing is a checker without interests.
type nothing struct{}

func (nothing) elected(*member, raft.Term, raft.Index)    {}
func (nothing) appended(*member, raft.Index)              {}
func (nothing) truncated(*member, raft.Index)             {}
func (nothing) compacted(*member)                         {}
func (nothing) committed(*member, raft.Index, raft.Index) {}
func (nothing) sent(*member, raft.Message)                {}
func (nothing) recovered(*member, *shadow)                {}
func (nothing) applied(*member, *applied)                 {}
func (nothing) restored(*member, head)                    {}
func (nothing) hashed(*member, raft.Index, uint64)        {}
func (nothing) finished()                                 {}

func newCheckers(g *group) []checker {
	return []checker{
		&checkElection{group: g, leaders: map[raft.Term]*member{}},
		&checkLog{group: g, seen: map[place]entryFact{}},
		&checkCommit{group: g},
		&checkConfiguration{group: g},
		&checkMajority{group: g, votes: map[raft.Term][]vote{}, acks: map[speaker]raft.Index{}},
		&checkDurable{group: g},
		&checkMachine{group: g},
		&checkPromise{group: g, votes: map[ballot]raft.MemberID{}},
		&checkReturn{group: g, gone: map[*member]map[place]bool{}},
		&checkSnapshots{group: g, taken: map[*member]*snapshotsTaken{}},
	}
}
