package engine

import (
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// step gives hosts a turn, and then delivers what they sent, but no sync.
func (s *stepper) step(hosts ...*steppedHost) {
	for _, h := range hosts {
		h.Turn(s.now)
	}
	s.deliver()
}

// TestAGroupHasNoTurnForWhatChangesNothing: what is durable before anybody has committed it, and the answer to what is committed already, wait for the next turn.
func TestAGroupHasNoTurnForWhatChangesNothing(t *testing.T) {
	s := newStepper(t, 3, func(o *Options) { o.Raft.CommitDelay = o.Raft.HeartbeatInterval })
	g := s.startAll()
	leader, second, third := s.hosts[0], s.hosts[1], s.hosts[2]
	waits := func(what string, h *steppedHost, want bool) {
		t.Helper()
		if is := h.Group(1).queued; is != want {
			t.Errorf("%s: the group of %s waits for a turn: %v", what, h.options.Address, is)
		}
	}
	before := g.CommitIndex()
	proposed := func(at raft.Index) {
		t.Helper()
		propose(g, text(1, 20))
		s.step(leader)
		s.step(second, third)
		if g.CommitIndex() != before || g.core.LastIndex() != at {
			t.Fatalf("committed up to %d, proposed up to %d", g.CommitIndex(), g.core.LastIndex())
		}
	}

	proposed(before + 1)
	leader.Sync()
	waits("the leader's own disk is done first", leader, false)
	second.Sync()
	waits("a follower has what it does not know to be committed", second, false)
	s.deliver()
	waits("the first answer", leader, true)
	s.step(leader)
	if g.CommitIndex() != before+1 {
		t.Fatalf("committed up to %d with the first answer", g.CommitIndex())
	}
	third.Sync()
	s.deliver()
	waits("the second answer", leader, false)
	s.settle()
	before++

	proposed(before + 1)
	second.Sync()
	s.deliver()
	s.step(leader)
	waits("the first answer is here", leader, false)
	leader.Sync()
	waits("the leader's own disk is what lacks", leader, true)
	s.step(leader)
	if g.CommitIndex() != before+1 {
		t.Fatalf("committed up to %d when the leader's own disk is done", g.CommitIndex())
	}
	third.Sync()
	s.deliver()
	s.settle()

	var read *answer
	g.ReadBarrierAsync(func(err error) { read = &answer{err} })
	s.step(leader)
	s.step(second)
	s.deliver()
	waits("somebody waits for the answer", leader, true)
	if s.settle(); read == nil || read.err != nil {
		t.Errorf("the read ended in %v", read)
	}
}

// TestAnAnswerThatCouldWaitCountsWhenSomebodyWaitsForIt: leadership goes to a member whose last answer lies in the inbox, without waiting for a heartbeat.
func TestAnAnswerThatCouldWaitCountsWhenSomebodyWaitsForIt(t *testing.T) {
	s := newStepper(t, 3, nil)
	g := s.startAll()
	s.hosts[2].noSync = true
	propose(g, text(1, 20))
	s.settle()
	s.hosts[2].noSync = false
	s.settle()
	if p := g.core.Status().Peers[2]; p.Match == g.core.LastIndex() {
		t.Fatal("the last answer has been looked at")
	}
	g.TransferLeadershipAsync(3, func(error) {})
	if s.settle(); g.core.Leader() != 3 {
		t.Errorf("member %d leads", g.core.Leader())
	}
}

// TestALeaderWhoseAnswersWaitIsNotAlone: the tightest timings that there are, and a clock that shows a timer's end a moment late. An answer that waits for the next heartbeat is looked at after the
// quorum is, which then must not seem to be silent for two heartbeats.
func TestALeaderWhoseAnswersWaitIsNotAlone(t *testing.T) {
	var s *stepper
	s = newStepper(t, 3, func(o *Options) {
		o.Raft.HeartbeatInterval, o.Raft.ElectionTimeoutMin, o.Raft.ElectionTimeoutMax = 49*time.Millisecond, 98*time.Millisecond, 99*time.Millisecond
		o.Observe = func(_ raft.GroupID, m raft.MemberID, events []raft.Event) {
			for _, e := range events {
				if e.Kind == raft.EventSteppedDown {
					t.Errorf("member %d steps down at %v: %s", m, s.now, e.Rule)
				}
			}
		}
	})
	g := s.startAll()
	for range 200 {
		propose(g, text(1, 20))
		s.pass(45 * time.Millisecond)
	}
}
