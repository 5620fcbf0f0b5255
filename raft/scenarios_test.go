package raft

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// Scenarios in which implementations of Raft were wrong before, each named after what has to hold.

// ratis #1519: a heartbeat's success advanced the match index over a divergent tail.
func TestAHeartbeatVerifiesNothingBehindItsPreviousEntry(t *testing.T) {
	a := one(t, 3, 2, 1, 1, 2, 2, 2)
	reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 3), PrevIndex: 2, PrevTerm: 1, Commit: 9}))
	if reply.Match != 2 || a.Commit() != 2 {
		t.Fatalf("match %d, commit %d: entries 3 to 5 were not compared", reply.Match, a.Commit())
	}
}

// CCF #5991: a stale AppendEntries truncated entries that were acknowledged.
func TestReorderedAndRepeatedRequestsLeaveTheLogAlone(t *testing.T) {
	a := one(t, 3, 1)
	all := entries(1, 1, 1, 1, 1, 1)
	for i, r := range [][2]Index{{0, 5}, {0, 1}, {2, 4}, {0, 0}, {1, 2}, {4, 5}} {
		m := &AppendRequest{Header: head(2, 1), PrevIndex: r[0], Entries: all[r[0]:r[1]], Round: uint64(i + 1)}
		if r[0] > 0 {
			m.PrevTerm = 1
		}
		if reply := only[*AppendReply](t, a.receive(m)); reply.Rejected || reply.Match != r[1] {
			t.Fatalf("request (%d, %d] is answered by %+v", r[0], r[1], reply)
		}
		a.wantLog(1, 1, 1, 1, 1)
	}
}

// openraft #511: after a restart a compacted previous entry was treated as a conflict.
func TestACompactedPreviousEntryIsNoConflict(t *testing.T) {
	a := &alone{t: t}
	core, err := New(Config{ID: 1}, Restored{
		HardState: HardState{Term: 2},
		Snapshot:  SnapshotMeta{Index: 10, Term: 2, Configuration: voters(1, 2, 3)},
		LastIndex: 12, Terms: []TermRun{{First: 11, Term: 2}}, Entries: entries(11, 2, 2),
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a.Core = core
	a.entries = make([]Entry, 12)
	for i, c := range []struct {
		prev  Index
		n     int
		match Index
	}{{4, 3, 7}, {4, 0, 4}, {8, 3, 11}, {9, 1, 10}, {10, 0, 10}, {8, 5, 13}} {
		m := &AppendRequest{Header: head(2, 2), PrevIndex: c.prev, PrevTerm: 1, Round: uint64(i + 1)}
		if c.prev >= 9 {
			m.PrevTerm = 2
		}
		for i := range c.n {
			term := Term(2)
			if index := c.prev + 1 + Index(i); index < 9 {
				term = 1
			}
			m.Entries = append(m.Entries, entries(c.prev+1+Index(i), term)...)
		}
		if reply := only[*AppendReply](t, a.receive(m)); reply.Rejected || reply.Match != c.match {
			t.Fatalf("%d entries after %d: answers %+v, want match %d", c.n, c.prev, reply, c.match)
		}
	}
	if a.LastIndex() != 13 || a.Commit() != 10 {
		t.Fatalf("last %d, commit %d, want 13 and 10", a.LastIndex(), a.Commit())
	}
}

// openraft #1501: a delayed rejection was read as the follower having lost its log.
func TestADelayedRejectionMovesNothing(t *testing.T) {
	a := one(t, 3, 1, 1, 1, 1)
	a.lead()
	p := a.leading.peer(2)
	rejection := &AppendReply{Header: head(2, 2), Rejected: true, PrevIndex: 3, ConflictIndex: 1, Round: 1}
	a.receive(rejection)
	a.receive(&AppendReply{Header: head(2, 2), Match: 4, Round: 1})
	if p.match != 4 || p.state != Replicating {
		t.Fatalf("match %d, %v", p.match, p.state)
	}
	a.receive(rejection)
	if p.match != 4 || p.next != 5 || p.state != Replicating {
		t.Fatalf("a delayed rejection left match %d, next %d, %v", p.match, p.next, p.state)
	}
}

func TestALostMessageOfAPipelineIsSentAgain(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.MaxMessageBytes = 1 })
	c.until("a leader", func() bool { return c.leader() != nil && c.leader().core.committedInTerm() })
	c.advance(100 * time.Millisecond)
	l := c.leader()
	for range 5 {
		c.propose(l, "x")
	}
	c.network = c.network[3:]
	c.network = c.network[:len(c.network)-1]
	want := l.core.LastIndex()
	c.until("all have all", func() bool {
		for _, m := range c.members {
			if Index(len(m.state)) != want {
				return false
			}
		}
		return true
	})
}

// etcd #8243, openraft #1796: a long log of an old term and a short log of a new term, neither of which lets the other win.
func TestPreVoteDoesNotDeadlockBetweenALongLogAndALaterTerm(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.members = nil
	long := &member{id: 1, cfg: Config{ID: 1, Seed: 1}}
	long.stable = disk{hard: HardState{Term: 3}, snap: SnapshotMeta{Configuration: voters(1, 2)}, log: entries(1, 1, 1, 3, 3)}
	short := &member{id: 2, cfg: Config{ID: 2, Seed: 2}}
	short.stable = disk{hard: HardState{Term: 9, Vote: 2}, snap: SnapshotMeta{Configuration: voters(1, 2)}, log: entries(1, 1)}
	c.members = []*member{long, short}
	c.start(long, 0)
	c.start(short, 0)
	c.until("a leader", func() bool { return c.leader() != nil })
	if c.leader() != long {
		t.Fatal("the member with the shorter log leads")
	}
}

// Cloudflare, November 2020: partial connectivity kept the cluster without a stable leader.
func TestPartialConnectivityLeavesAStableLeader(t *testing.T) {
	links := map[string]struct {
		n   int
		cut [][2]MemberID
	}{
		"one follower does not hear the leader":  {3, [][2]MemberID{{1, 2}}},
		"everybody hears only n3":                {5, [][2]MemberID{{1, 2}, {1, 4}, {1, 5}, {2, 4}, {2, 5}, {4, 5}}},
		"a ring":                                 {5, [][2]MemberID{{1, 3}, {1, 4}, {2, 4}, {2, 5}, {3, 5}}},
		"a chain of three":                       {3, [][2]MemberID{{1, 3}}},
		"the leader reaches a minority and n3":   {5, [][2]MemberID{{1, 4}, {1, 5}, {2, 4}, {2, 5}}},
		"two halves that overlap in one of five": {5, [][2]MemberID{{1, 4}, {1, 5}, {2, 4}, {2, 5}}},
	}
	for name, w := range links {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, w.n, nil)
			c.elect(1)
			for _, l := range w.cut {
				c.cutLink(l[0], l[1])
			}
			c.advance(3 * time.Second) // Whatever has to change has changed.
			l := c.leader()
			if l == nil {
				t.Fatalf("no leader\n%s", c.describe())
			}
			term := l.core.Term()
			for range 40 {
				i := c.propose(l, "x")
				c.until("committed", func() bool { return l.core.Commit() >= i })
				c.advance(100 * time.Millisecond)
				if l.core.Role() != Leader || l.core.Term() != term {
					t.Fatalf("the leader of term %d is %v of term %d now", term, l.core.Role(), l.core.Term())
				}
			}
		})
	}
}

// hashicorp/raft #476: a removed member kept campaigning and disrupted the others.
func TestARemovedMemberThatDoesNotKnowDisturbsNobody(t *testing.T) {
	c := newCluster(t, 4, nil)
	l := c.elect(1)
	c.until("ready", l.core.committedInTerm)
	c.isolate(4)
	if _, _, err := l.core.ChangeMembers(Change{Remove: []MemberID{4}}); err != nil {
		t.Fatal(err)
	}
	c.settle(l)
	c.until("removed", func() bool { return l.core.Commit() == l.core.LastIndex() && !l.core.Configuration().IsVoter(4) })
	term := l.core.Term()
	c.heal()
	// Nobody sends to n4 any more, so it times out again and again.
	c.advance(5 * time.Second)
	if l.core.Role() != Leader || l.core.Term() != term {
		t.Fatalf("the leader of term %d is %v of term %d now", term, l.core.Role(), l.core.Term())
	}
	if c.member(4).core.Term() != term {
		t.Fatalf("the removed member raised its term to %d", c.member(4).core.Term())
	}
}

func TestARemovedMemberIsToldSo(t *testing.T) {
	c := newCluster(t, 4, nil)
	l := c.elect(1)
	c.until("ready", l.core.committedInTerm)
	if _, _, err := l.core.ChangeMembers(Change{Remove: []MemberID{4}}); err != nil {
		t.Fatal(err)
	}
	c.settle(l)
	c.until("it knows", func() bool { return c.member(4).core.CommittedConfiguration().String() == "1 2 3" })
	c.advance(time.Second)
	if d := c.member(4).core.Deadline(); d != NoDeadline {
		t.Fatalf("it still has a timer, at %v", d)
	}
	if len(l.core.leading.peers) != 3 {
		t.Fatalf("the leader still tells %d members", len(l.core.leading.peers))
	}
}

// TestARemovedMemberIsToldAtOnce, whatever the delay of commits, and again if that is lost.
func TestARemovedMemberIsToldAtOnce(t *testing.T) {
	for _, lost := range []bool{false, true} {
		c := newCluster(t, 4, func(cfg *Config) { cfg.CommitDelay = 5 * time.Millisecond })
		l, removed := c.elect(1), c.member(4)
		c.until("ready", l.core.committedInTerm)
		c.advance(time.Second)
		at, _, err := l.core.ChangeMembers(Change{Remove: []MemberID{4}})
		if err != nil {
			t.Fatal(err)
		}
		c.settle(l)
		for l.core.Commit() < at {
			c.deliver(0)
		}
		if lost {
			c.network = slices.DeleteFunc(c.network, func(f flight) bool { return f.message.Head().To == 4 })
			c.advance(200 * time.Millisecond)
		} else {
			c.deliverAll()
		}
		if got := removed.core.CommittedConfiguration().String(); got != "1 2 3" {
			t.Errorf("lost %v: the removed member knows the members %s", lost, got)
		}
		c.advance(200 * time.Millisecond)
		if len(l.core.leading.peers) != 3 {
			t.Errorf("lost %v: the leader still tells %d members", lost, len(l.core.leading.peers))
		}
	}
}

// hashicorp/raft #696: the flag of a transfer stayed, so that a leader elected again refused proposals.
func TestATransferEndsWithItsTimeoutAndWithTheLeadership(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.isolate(2)
	if err := l.core.TransferLeadership(2); err != nil {
		t.Fatal(err)
	}
	c.settle(l)
	proposal := []Proposal{{Kind: EntryCommand}}
	if _, _, err := l.core.Propose(proposal); !errors.Is(err, ErrTransferring) {
		t.Fatalf("proposing during a transfer: %v", err)
	}
	if _, _, err := l.core.ChangeMembers(Change{Remove: []MemberID{3}}); !errors.Is(err, ErrTransferring) {
		t.Fatalf("changing members during a transfer: %v", err)
	}
	if err := l.core.TransferLeadership(3); !errors.Is(err, ErrTransferring) {
		t.Fatalf("another transfer: %v", err)
	}
	c.advance(301 * time.Millisecond)
	if _, _, err := l.core.Propose(proposal); err != nil {
		t.Fatalf("after an election timeout: %v", err)
	}
	c.settle(l)

	if err := l.core.TransferLeadership(2); err != nil {
		t.Fatal(err)
	}
	l.core.StepDown("the test says so")
	c.settle(l)
	c.heal()
	l = c.elect(1)
	if _, _, err := l.core.Propose(proposal); err != nil {
		t.Fatalf("after re-election: %v", err)
	}
}

func TestATransferHandsOverWithoutWaitingForATimeout(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.propose(l, "x")
	if err := l.core.TransferLeadership(3); err != nil {
		t.Fatal(err)
	}
	c.settle(l)
	c.deliverAll()
	if got := c.leader(); got.id != 3 || !got.core.committedInTerm() {
		t.Fatalf("member %d leads", got.id)
	}
}

func TestTransferErrors(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	for to, want := range map[MemberID]error{9: ErrUnknownMember, 1: nil} {
		if err := l.core.TransferLeadership(to); !errors.Is(err, want) {
			t.Errorf("to %d: %v, want %v", to, err, want)
		}
	}
	if err := c.member(2).core.TransferLeadership(3); !errors.Is(err, ErrNotLeader) {
		t.Errorf("at a follower: %v", err)
	}
	c.until("ready", func() bool { return l.core.mayChange() == nil })
	if _, _, err := l.core.ChangeMembers(Change{Set: []Member{{ID: 2, Learner: true}}}); err != nil {
		t.Fatal(err)
	}
	if err := l.core.TransferLeadership(2); !errors.Is(err, ErrNotVoter) {
		t.Errorf("to a learner: %v", err)
	}
}

// etcd #7331: ReadIndex was answered before the leader had committed in its term.
func TestReadsWaitForTheFirstCommitOfTheTerm(t *testing.T) {
	a := one(t, 3, 1, 1, 1)
	a.lead()
	if err := a.ReadIndex(7); err != nil {
		t.Fatal(err)
	}
	a.Receive(&AppendReply{Header: head(2, 2), Match: 2, Round: 1})
	if out := a.Take(); len(out.Reads) != 0 {
		t.Fatalf("read %v before a commit in the term", out.Reads)
	}
	a.Receive(&AppendReply{Header: head(2, 2), Match: 3, Round: 1})
	out := a.Take()
	if len(out.Reads) != 0 {
		t.Fatalf("read %v is confirmed by a round that began before it could be served", out.Reads)
	}
	a.Receive(&AppendReply{Header: head(2, 2), Match: 3, Round: 2})
	out = a.Take()
	if len(out.Reads) != 1 || out.Reads[0] != (Read{ID: 7, Index: 3, OK: true}) {
		t.Fatalf("reads %v, want read 7 at 3", out.Reads)
	}
}

func TestAReadNeedsARoundThatBeganAfterIt(t *testing.T) {
	a := one(t, 3, 1)
	a.lead()
	a.receive(&AppendReply{Header: head(2, 2), Match: 1, Round: 1})
	a.pass(50 * time.Millisecond)
	a.take() // A round that nobody has answered yet.
	round := a.leading.round
	if err := a.ReadIndex(1); err != nil {
		t.Fatal(err)
	}
	a.take()
	a.Receive(&AppendReply{Header: head(3, 2), Match: 1, Round: round}) // Answers what was sent before the read came in.
	if out := a.Take(); len(out.Reads) != 0 {
		t.Fatalf("read %v is confirmed by an old answer", out.Reads)
	}
	if a.leading.round != round+1 {
		t.Fatalf("round %d began, want %d", a.leading.round, round+1)
	}
	a.Receive(&AppendReply{Header: head(3, 2), Rejected: true, PrevIndex: 1, ConflictIndex: 1, Round: round + 1})
	if out := a.Take(); len(out.Reads) != 1 || !out.Reads[0].OK {
		t.Fatalf("reads %v: a rejection for the log's sake accepts the leader all the same", out.Reads)
	}
}

func TestAnAnswerOfAnEarlierTermCountsForNothing(t *testing.T) {
	a := one(t, 3, 1)
	a.lead()
	a.receive(&AppendReply{Header: head(2, 1), Match: 1, Round: 1})
	a.receive(&AppendReply{Header: head(3, 1), Rejected: true, PrevIndex: 1, ConflictIndex: 1, Round: 1})
	if a.Commit() != 0 || a.leading.confirmed != 0 || a.leading.peer(2).match != 0 {
		t.Fatalf("commit %d, round %d confirmed, match %d", a.Commit(), a.leading.confirmed, a.leading.peer(2).match)
	}
}

func TestAReadAtAFollowerGoesThroughTheLeaderAndFailsWithIt(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	f := c.member(2)
	c.propose(l, "x")
	c.deliverAll()
	if err := f.core.ReadIndex(5); err != nil {
		t.Fatal(err)
	}
	c.settle(f)
	c.deliverAll()
	if len(f.reads) != 1 || !f.reads[0].OK || f.reads[0].Index != l.core.Commit() {
		t.Fatalf("reads %v, commit %d", f.reads, l.core.Commit())
	}
	f.reads = nil
	c.isolate(2)
	if err := f.core.ReadIndex(6); err != nil {
		t.Fatal(err)
	}
	c.settle(f)
	c.advance(310 * time.Millisecond)
	if len(f.reads) != 1 || f.reads[0] != (Read{ID: 6}) {
		t.Fatalf("reads %v, want 6 to fail within an election timeout", f.reads)
	}
	if err := f.core.ReadIndex(7); !errors.Is(err, ErrNoLeader) {
		t.Fatalf("reading without a leader: %v", err)
	}
}

func TestADeposedLeaderServesNoReads(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.advance(100 * time.Millisecond)
	c.isolate(1)
	if err := l.core.ReadIndex(1); err != nil {
		t.Fatal(err)
	}
	c.settle(l)
	c.until("another leader", func() bool { return c.leader() != nil && c.leader() != l })
	c.heal()
	c.advance(time.Second)
	if len(l.reads) != 1 || l.reads[0].OK {
		t.Fatalf("reads %v, want one that failed", l.reads)
	}
}

// tikv #964: lease reads under drift, pause or transfer.
func TestALeaseRunsFromWhenTheRoundWasSentAndIsShorterByTheDrift(t *testing.T) {
	lease := func(cfg *Config) { cfg.LeaseReads = true }
	served := func(a *alone, id uint64) bool {
		if err := a.ReadIndex(id); err != nil {
			t.Fatal(err)
		}
		out := a.Take()
		return len(out.Reads) == 1 && out.Reads[0].OK
	}
	start := func() (*alone, time.Duration) {
		a := oneWith(t, lease, 3, 1)
		a.lead()
		a.receive(&AppendReply{Header: head(2, 2), Match: 1, Round: 1})
		a.pass(50 * time.Millisecond)
		a.take()
		sent := a.now
		a.pass(30 * time.Millisecond)
		a.receive(&AppendReply{Header: head(3, 2), Match: 1, Round: 2})
		return a, sent
	}
	a, sent := start()
	a.pass(sent + 135*time.Millisecond - a.now - 1)
	if !served(a, 1) {
		t.Fatal("no lease 135 ms less a moment after the round was sent")
	}
	a, sent = start()
	a.pass(sent + 135*time.Millisecond - a.now)
	if served(a, 1) {
		t.Fatal("a lease 135 ms after the round was sent: 10% of 150 ms belong to the drift")
	}
	a, _ = start()
	if err := a.TransferLeadership(3); err != nil {
		t.Fatal(err)
	}
	only[*TimeoutNow](t, a.take())
	if served(a, 1) {
		t.Fatal("a lease while another is asked to campaign")
	}
	a.pass(299 * time.Millisecond)
	a.receive(&AppendReply{Header: head(2, 2), Match: 1, Round: a.leading.round})
	a.pass(2 * time.Millisecond)
	a.receive(&AppendReply{Header: head(2, 2), Match: 1, Round: a.leading.round})
	if a.leading.transfer.to != NoMember || served(a, 2) {
		t.Fatal("a lease after a transfer that was given up: its TimeoutNow may still arrive")
	}
}

func TestARestartedMemberKeepsToALeaseItMayHaveGiven(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.advance(100 * time.Millisecond)
	f := c.member(2)
	c.crash(f)
	c.start(f, 0)
	f.core.Receive(&VoteRequest{Header: Header{From: 3, To: 2, Term: l.core.Term() + 1}, LastIndex: 99, LastTerm: l.core.Term()})
	c.settle(f)
	if f.core.Term() != l.core.Term() {
		t.Fatal("it voted against a leader whom it may have answered just before it crashed")
	}
}

// Random worlds found this one: the only voter of a configuration that was not committed yet elected itself, while the leader before it
// served reads by the lease that this voter had given.
func TestAMemberDoesNotCampaignAgainstALeaseItGave(t *testing.T) {
	c := newCluster(t, 2, func(cfg *Config) { cfg.LeaseReads = true })
	l := c.elect(1)
	c.until("a change may begin", func() bool { return l.core.mayChange() == nil })
	c.change(l, Change{Remove: []MemberID{1}})
	c.network = c.network[:1] // n2 learns that it is alone, and its answer is lost.
	c.deliver(0)
	c.network = nil
	f := c.member(2)
	f.core.Campaign()
	c.settle(f)
	if f.core.Role() != Follower {
		t.Fatalf("%v, while the leader may still serve reads by its lease", f.core.Role())
	}
	c.until("n2 leads", func() bool { return f.core.Role() == Leader })
}

func TestAGroupOfOneNeedNotWaitAfterARestart(t *testing.T) {
	c := newCluster(t, 1, nil)
	m := c.elect(1)
	c.crash(m)
	c.start(m, 0)
	m.core.Campaign()
	c.settle(m)
	if m.core.Role() != Leader {
		t.Fatalf("%v", m.core.Role())
	}
}

// hashicorp/raft #503: a leader on a stuck disk kept heartbeating for ever. The engine notices, and has it step down.
func TestALeaderThatHasToStepDownLetsOthersTryFirst(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	l.core.StepDown("the disk is stuck")
	c.settle(l)
	if l.core.Role() != Follower || l.core.Leader() != NoMember {
		t.Fatalf("%v of %d", l.core.Role(), l.core.Leader())
	}
	c.until("another leader", func() bool { return c.leader() != nil })
	if c.leader() == l {
		t.Fatal("the same member leads again")
	}
}

// A slow disk of a follower must not make the leader think that it is alone.
func TestHeartbeatsAreAnsweredWhileTheDiskWrites(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.manualSync = true
	c.propose(l, "x")
	for range 20 {
		c.advance(50 * time.Millisecond)
	}
	if l.core.Role() != Leader || l.core.Commit() != 1 {
		t.Fatalf("%v with commit %d, want a leader that has not committed", l.core.Role(), l.core.Commit())
	}
}

// An empty request that only brings a commit index needs no answer, and in a busy group there are as many of them as commits.
func TestACommitIndexAloneIsNotAnswered(t *testing.T) {
	a := one(t, 3, 1)
	only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 1), Entries: entries(1, 1), Round: 1}))
	only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 1, PrevTerm: 1, Round: 1})) // The first of its round.
	none[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 1, PrevTerm: 1, Commit: 1, Round: 1}))
	if a.Commit() != 1 {
		t.Fatalf("commit %d", a.Commit())
	}
	only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 1, PrevTerm: 1, Commit: 1, Round: 2}))
	// After a rejection the leader asks again, in the same round, and waits for the answer.
	only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 5, PrevTerm: 1, Round: 2}))
	only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 1, PrevTerm: 1, Round: 2}))
}

// A completion of a write must not make durable what took the place of what was written (ABA).
func TestADelayedCompletionAcknowledgesNothingNewer(t *testing.T) {
	a := one(t, 3, 1)
	a.Receive(&AppendRequest{Header: head(2, 1), Entries: entries(1, 1, 1, 1)})
	first := a.Take()
	a.Receive(&AppendRequest{Header: head(3, 2), PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 2, 2)})
	second := a.Take()
	a.Synced(first.Seq)
	if d := a.Status().Durable; d != 1 {
		t.Fatalf("durable %d after the first write, want 1: entries 2 and 3 are others now", d)
	}
	a.Synced(first.Seq) // Twice.
	a.Synced(99)        // Never begun.
	if d := a.Status().Durable; d != 1 {
		t.Fatalf("durable %d", d)
	}
	a.Synced(second.Seq)
	if d := a.Status().Durable; d != 3 {
		t.Fatalf("durable %d after the second write, want 3", d)
	}
}

// What was handed out must stay as it is, whatever happens to the log (cockroach #63302 is the same mistake the other way round).
func TestTruncationLeavesWhatWasHandedOutAlone(t *testing.T) {
	a := one(t, 3, 1)
	a.Receive(&AppendRequest{Header: head(2, 1), Entries: entries(1, 1, 1, 1)})
	out := a.Take()
	a.Receive(&AppendRequest{Header: head(3, 2), PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 2, 2)})
	again := a.Take()
	for i, e := range out.Entries {
		if e.Term != 1 || e.Index != Index(i+1) {
			t.Fatalf("entry %d of the first output is %d@%d now", i, e.Index, e.Term)
		}
	}
	if len(again.Entries) != 2 || again.Entries[0].Term != 2 || a.log.window.at(2).Term != 2 {
		t.Fatalf("the log serves the old entries: %v", again.Entries)
	}
}

// etcd #14370: a group of one committed, and answered, before its own fsync.
func TestAGroupOfOneCommitsNothingBeforeItsFsync(t *testing.T) {
	c := newCluster(t, 1, nil)
	m := c.elect(1)
	c.until("the first entry is committed", func() bool { return m.core.Commit() == m.core.LastIndex() })
	before := m.core.Commit()
	c.manualSync = true
	i := c.propose(m, "x")
	c.settle(m)
	if m.core.Commit() != before || Index(len(m.state)) > before {
		t.Fatalf("commit %d, applied %d, while entry %d is on its way to the disk", m.core.Commit(), len(m.state), i)
	}
	c.sync(m, len(m.writes))
	c.settle(m)
	if m.core.Commit() != i {
		t.Fatalf("commit %d after the sync, want %d", m.core.Commit(), i)
	}
}

// etcd #7280: a member campaigned by a configuration that was older than the one in its log, because it had not applied that one yet.
func TestACandidateCountsVotesByTheLatestConfigurationInItsLog(t *testing.T) {
	wide := voters(1, 2, 3, 4)
	core, err := New(Config{ID: 1, DisablePreVote: true}, Restored{
		HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Configuration: voters(1, 2, 3)}, LastIndex: 2, Terms: []TermRun{{First: 1, Term: 1}},
		Entries:        []Entry{{Term: 1, Index: 1, Kind: EntryNoop}, {Term: 1, Index: 2, Kind: EntryConfiguration, Data: wide.Encode(nil)}},
		Configurations: []ConfigurationAt{{Index: 2, Configuration: wide}}, Applied: 1,
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{t: t, Core: core, entries: make([]Entry, 2)}
	a.timeout()
	asked := map[MemberID]bool{}
	for _, m := range a.take() {
		asked[m.Head().To] = true
	}
	if len(asked) != 3 || !asked[4] {
		t.Fatalf("asked %v, want 2, 3 and 4", asked)
	}
	a.receive(&VoteReply{Header: head(2, a.Term()), Granted: true})
	if a.Role() != Candidate {
		t.Fatalf("%v with two votes of four", a.Role())
	}
	a.receive(&VoteReply{Header: head(4, a.Term()), Granted: true})
	if a.Role() != Leader {
		t.Fatalf("%v with three votes of four", a.Role())
	}
}

// openraft #1808: a snapshot took the log's place, but not that of an uncommitted configuration in it.
func TestASnapshotTakesTheUncommittedConfigurationOfTheLogAway(t *testing.T) {
	wide := voters(1, 2, 3, 4, 5)
	data := wide.Encode(nil)
	log := entries(1, 1, 1, 1, 1, 1, 1)
	log[5] = Entry{Term: 1, Index: 6, Kind: EntryConfiguration, Sum: Sum(data), Data: data}
	core, err := New(Config{ID: 1}, Restored{
		HardState: HardState{Term: 2}, Snapshot: SnapshotMeta{Configuration: voters(1, 2, 3)}, LastIndex: 6, Terms: []TermRun{{First: 1, Term: 1}},
		Entries: log, Configurations: []ConfigurationAt{{Index: 6, Configuration: wide}},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{t: t, Core: core, entries: log}
	if got := a.Configuration().String(); got != "1 2 3 4 5" {
		t.Fatalf("members %s before the snapshot", got)
	}
	meta := SnapshotMeta{Index: 4, Term: 2, Configuration: voters(1, 2, 3)}
	a.Receive(&InstallSnapshot{Header: head(2, 2), Meta: meta})
	if out := a.Take(); out.Install == nil {
		t.Fatalf("the snapshot is not installed: %+v", out)
	}
	a.SnapshotInstalled(meta, true)
	if got := a.Configuration().String(); got != "1 2 3" || a.LastIndex() != 4 {
		t.Fatalf("members %s, last %d: the configuration at 6 went with its entry", got, a.LastIndex())
	}
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
}

// Two disks under one identity, and the network changes its mind about which of them it reaches: a vote that one asked for is no vote for the other.
func TestAVoteThatAnotherDiskAskedForDoesNotCount(t *testing.T) {
	a := oneWith(t, func(cfg *Config) { cfg.Incarnation, cfg.DisablePreVote = 101, true }, 3, 1, 1)
	a.timeout()
	a.take()
	a.receive(&VoteReply{Header: head(2, a.Term()), Granted: true, Candidate: 202})
	if a.Role() != Candidate {
		t.Fatalf("%v by a vote that the disk 202 asked for", a.Role())
	}
	a.receive(&VoteReply{Header: head(2, a.Term()), Granted: true, Candidate: 101})
	if a.Role() != Leader {
		t.Fatalf("%v with its own vote and another", a.Role())
	}
	// Who votes says for which disk.
	b := oneWith(t, func(cfg *Config) { cfg.Incarnation = 101 }, 3, 1, 1)
	request := &VoteRequest{Header: head(2, 5), LastIndex: 9, LastTerm: 4}
	request.Incarnation = 77
	if reply := only[*VoteReply](t, b.receive(request)); !reply.Granted || reply.Candidate != 77 {
		t.Fatalf("it is answered with %+v", reply)
	}
}
