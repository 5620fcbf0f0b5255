package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// TestAMemberIsToldOfItsRemoval although the configuration that removes it names its address no more, and nothing else is under way between the two: it learns
// of the change that it asked for, and falls silent.
func TestAMemberIsToldOfItsRemoval(t *testing.T) {
	s := newStepper(t, 3, func(o *Options) { o.Raft.CommitDelay = 2 * time.Millisecond })
	leader := s.startAll()
	removed := s.hosts[2].Group(1)
	s.pass(time.Second)
	var told *answer
	removed.ChangeMembersAsync(raft.Change{Remove: []raft.MemberID{3}}, func(err error) { told = &answer{err} })
	s.until("the removed member hears of it", func() bool { return told != nil })
	if told.err != nil {
		t.Fatal(told.err)
	}
	s.pass(time.Second)
	if role := removed.core.Role(); role != raft.Follower || removed.core.Deadline() != raft.NoDeadline {
		t.Errorf("the removed member is %v, and wakes at %v", role, removed.core.Deadline())
	}
	if c := removed.core.CommittedConfiguration(); c.String() != "1 2" || !leader.isLeader() {
		t.Errorf("the removed member knows the members %v, and member 1 leads: %v", c, leader.isLeader())
	}
}

// TestARequestAtARemovedMemberIsRefused at once, whether it comes afterwards or waits already; and no more when the member is added again.
func TestARequestAtARemovedMemberIsRefused(t *testing.T) {
	s := newStepper(t, 3, nil)
	leader := s.startAll()
	removed := s.hosts[2].Group(1)
	refused := func(what string, a **answer, unknown bool) {
		t.Helper()
		s.until("an answer to what "+what, func() bool { return *a != nil })
		if err := (*a).err; !errors.Is(err, ErrRemoved) || errors.Is(err, ErrIndeterminate) != unknown {
			t.Errorf("what %s ends in %v", what, err)
		}
	}
	change := func(c raft.Change) {
		t.Helper()
		var done *answer
		leader.ChangeMembersAsync(c, func(err error) { done = &answer{err} })
		s.until("the change", func() bool { return done != nil })
		if done.err != nil {
			t.Fatal(done.err)
		}
	}

	// The leader takes it, and the removed member is told that, but never sees the entry.
	s.drop = func(e Envelope) bool {
		m, ok := e.Message.(*raft.AppendRequest)
		return ok && e.To == addressOf(3) && len(m.Entries) > 0 && m.Entries[0].Kind == raft.EntryCommand
	}
	change(raft.Change{Remove: []raft.MemberID{3}})
	s.until("the removed member knows it", func() bool { return removed.core.CommittedConfiguration().String() == "1 2" })
	s.drop = nil
	refused("is proposed afterwards", propose(removed, text(1, 10)), false)
	read := new(*answer)
	removed.ReadBarrierAsync(func(err error) { *read = &answer{err} })
	refused("is read afterwards", read, false)
	if err := removed.Err(); err != nil {
		t.Errorf("the group stopped: %v", err)
	}

	change(raft.Change{Set: []raft.Member{{ID: 3, Address: addressOf(3)}}})
	again := new(*answer)
	s.until("it takes requests again", func() bool {
		if *again == nil || (*again).err != nil {
			again = propose(removed, text(2, 10))
			s.settle()
		}
		return *again != nil && (*again).err == nil
	})
}
