package raft

import (
	"testing"
	"time"
)

func TestThreeMembersElectReplicateAndCommit(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.until("a leader", func() bool { return c.leader() != nil })
	l := c.leader()
	for i := range 100 {
		c.propose(l, string(rune('a'+i%26)))
	}
	c.until("everybody applies", func() bool {
		for _, m := range c.members {
			if len(m.state) != 101 {
				return false
			}
		}
		return true
	})
	c.advance(time.Second)
	if c.leader() != l || l.core.Term() != 1 {
		t.Fatalf("the leader changed without a reason")
	}
}

func TestAMemberAloneCommitsOnlyWhatItsOwnDiskHas(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.manualSync = true
	m := c.member(1)
	m.core.Campaign()
	c.settle(m)
	if m.core.Role() != Candidate {
		t.Fatalf("%v before its vote is durable", m.core.Role())
	}
	c.sync(m, len(m.writes))
	c.settle(m)
	if m.core.Role() != Leader || m.core.Commit() != 0 {
		t.Fatalf("%v with commit %d, want a leader with nothing committed", m.core.Role(), m.core.Commit())
	}
	c.sync(m, len(m.writes))
	c.settle(m)
	if m.core.Commit() != 1 || len(m.state) != 1 {
		t.Fatalf("commit %d, applied %d after the sync", m.core.Commit(), len(m.state))
	}
}
