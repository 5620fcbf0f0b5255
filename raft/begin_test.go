package raft

import (
	"testing"
	"time"
)

// TestAMemberThatIsMadeLateKeepsItsPatience: whose clock has run for long when it starts neither campaigns at once, nor votes against a leader that it may
// have promised to stick to just before its crash (thesis §6.4.1).
func TestAMemberThatIsMadeLateKeepsItsPatience(t *testing.T) {
	conf := Configuration{Members: []Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	c, err := New(Config{ID: 1, Seed: 7}, Restored{HardState: HardState{Term: 3, Vote: 2}, Snapshot: SnapshotMeta{Configuration: conf}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	const late = time.Hour
	c.Begin(late)
	c.Tick(late)
	if c.Role() != Follower {
		t.Errorf("it is a %v at once", c.Role())
	}
	if d := c.Deadline() - late; d < 150*time.Millisecond || d > 300*time.Millisecond {
		t.Errorf("its election timeout is %v", d)
	}
	c.Receive(&VoteRequest{Header: Header{From: 3, To: 1, Term: 4}})
	if c.Term() != 3 {
		t.Error("it heeds a candidate within the minimum election timeout after its start")
	}
	c.Tick(late + 150*time.Millisecond)
	c.Receive(&VoteRequest{Header: Header{From: 3, To: 1, Term: 4}})
	if c.Term() != 4 {
		t.Error("it does not heed a candidate after that")
	}
}
