package raft

import (
	"testing"
	"time"
)

// TestTuneDrawsTheTimerAnew within the new bounds, and refuses bounds that make no sense.
func TestTuneDrawsTheTimerAnew(t *testing.T) {
	conf := Configuration{Members: []Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	c, err := New(Config{ID: 1, Seed: 3}, Restored{Snapshot: SnapshotMeta{Configuration: conf}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := c.Tuning()
	bad := before
	bad.ElectionTimeoutMin = before.HeartbeatInterval
	if c.Tune(bad) == nil || c.Tuning() != before {
		t.Errorf("an election timeout of %v is taken: %+v", bad.ElectionTimeoutMin, c.Tuning())
	}
	c.Tick(time.Second / 10)
	next := before
	next.ElectionTimeoutMin, next.ElectionTimeoutMax, next.DisablePreVote = 2*time.Second, 3*time.Second, true
	if err := c.Tune(next); err != nil {
		t.Fatal(err)
	}
	if left := c.Timer() - time.Second/10; left < 2*time.Second || left > 3*time.Second {
		t.Errorf("the timer has %v left", left)
	}
	c.Tick(c.Timer())
	if c.Role() != Candidate {
		t.Errorf("without pre-vote it is a %v", c.Role())
	}
}

// TestTuneEndsTheLease: a lease that rests on the old bounds is none under the new ones. The round that follows begins another.
func TestTuneEndsTheLease(t *testing.T) {
	conf := Configuration{Members: []Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	c, err := New(Config{ID: 1, Seed: 3, LeaseReads: true, DisablePreVote: true}, Restored{Snapshot: SnapshotMeta{Configuration: conf}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Tick(c.Timer())
	c.Synced(c.Take().Seq)
	c.Receive(&VoteReply{Header: Header{From: 2, To: 1, Term: 1}, Granted: true})
	c.Synced(c.Take().Seq)
	c.Receive(&AppendReply{Header: Header{From: 2, To: 1, Term: 1}, Match: 1, Round: 1})
	if c.Commit() != 1 {
		t.Fatalf("the no-op is not committed: %+v", c.Status())
	}
	if !c.leaseHolds() {
		t.Fatal("there is no lease to end")
	}
	if err := c.Tune(c.Tuning()); err != nil {
		t.Fatal(err)
	}
	if c.leaseHolds() {
		t.Error("the lease outlives its bounds")
	}
	c.Tick(c.Timer())
	c.Take()
	c.Receive(&AppendReply{Header: Header{From: 2, To: 1, Term: 1}, Match: 1, Round: 2})
	if !c.leaseHolds() {
		t.Error("the next round gives no lease")
	}
}
