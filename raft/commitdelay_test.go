package raft

import (
	"testing"
	"time"
)

// TestACommitIsToldWithWhatComesNext: with CommitDelay a follower hears of a commit with the next entry, or when the delay is over, and costs no message of its own
// before that; one at which somebody waits hears of it at once.
func TestACommitIsToldWithWhatComesNext(t *testing.T) {
	const delay = 2 * time.Millisecond
	c := newCluster(t, 3, func(cfg *Config) { cfg.CommitDelay, cfg.LeaseReads = delay, true })
	leader := c.elect(1)
	follower, other := c.member(2), c.member(3)
	c.advance(delay) // the no-op's commit is told
	knows := func(m *member, what string, want Index) {
		t.Helper()
		if m.core.commit != want {
			t.Errorf("%s: member %d knows that %d is committed, and should that %d is", what, m.id, m.core.commit, want)
		}
	}

	first := c.propose(leader, "first")
	c.deliverAll()
	knows(leader, "before the delay", first)
	knows(follower, "before the delay", first-1)
	if d := leader.core.Deadline() - c.now; d > delay {
		t.Errorf("the leader wants to be called in %v", d)
	}
	second := c.propose(leader, "second")
	c.deliverAll()
	knows(follower, "with the next entry", first)
	c.advance(delay)
	c.deliverAll()
	knows(follower, "after the delay", second)
	knows(other, "after the delay", second)

	third := c.propose(leader, "third")
	leader.core.Await(follower.id, third)
	c.deliverAll()
	knows(follower, "somebody waits there", third)
	knows(other, "nobody waits there", second)

	// A read that came from a follower waits there, too; by lease it is answered without a heartbeat.
	if err := other.core.ReadIndex(7); err != nil {
		t.Fatal(err)
	}
	c.settle(other)
	c.deliverAll()
	knows(other, "a read waits there", third)
	if n := len(other.reads); n != 1 || other.reads[0].Index != third || !other.reads[0].OK {
		t.Errorf("reads %+v", other.reads)
	}
	c.advance(delay)
	c.deliverAll()
	if d := leader.core.Deadline() - c.now; d <= delay {
		t.Errorf("everybody knows everything, and the leader wants to be called in %v", d)
	}
}
