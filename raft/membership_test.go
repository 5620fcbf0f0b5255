package raft

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func (c *cluster) change(m *member, ch Change) {
	c.t.Helper()
	c.until("a change may begin", func() bool { return m.core.mayChange() == nil })
	if _, _, err := m.core.ChangeMembers(ch); err != nil {
		c.t.Fatal(err)
	}
	c.settle(m)
}

// untilMembers waits until everybody who is up has committed a configuration that reads so.
func (c *cluster) untilMembers(want string) {
	c.t.Helper()
	c.until("members "+want, func() bool {
		for _, m := range c.members {
			if _, member := c.leaderOrFirst().core.Configuration().Find(m.id); member && !m.down &&
				m.core.CommittedConfiguration().String() != want {
				return false
			}
		}
		return true
	})
}

func (c *cluster) leaderOrFirst() *member {
	if l := c.leader(); l != nil {
		return l
	}
	return c.members[0]
}

func TestANewMemberLearnsFirstAndIsPromotedByItself(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.elect(1)
	for range 20 {
		c.propose(l, "x")
	}
	c.add(2, Configuration{}, nil)
	c.add(3, Configuration{}, nil)
	c.change(l, Change{Set: []Member{{ID: 2, Address: "b"}, {ID: 3, Address: "c"}}})
	if conf := l.core.Configuration(); len(conf.Voters()) != 1 || conf.Joint() {
		t.Fatalf("%v: members without a log vote", conf)
	}
	c.untilMembers("1 2 3")
	m, _ := c.member(3).core.Configuration().Find(2)
	if m.Address != "b" || m.AutoPromote || m.Learner {
		t.Fatalf("member 2 is %+v", m)
	}
}

func TestALearnerThatIsNotToBePromotedStaysOne(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.elect(1)
	c.add(2, Configuration{}, nil)
	c.change(l, Change{Set: []Member{{ID: 2, Learner: true}}})
	c.advance(3 * time.Second)
	if got := l.core.Configuration().String(); got != "1 learner 2" {
		t.Fatalf("members %s", got)
	}
	c.propose(l, "x")
	if l.core.Commit() != l.core.LastIndex() {
		t.Fatal("the learner's acknowledgement is waited for")
	}
	// It does not campaign, and it may be promoted by hand once it has caught up.
	if d := c.member(2).core; d.Role() != Follower {
		t.Fatalf("%v", d.Role())
	}
	c.advance(100 * time.Millisecond)
	c.change(l, Change{Set: []Member{{ID: 2}}})
	c.untilMembers("1 2")
}

func TestAChangeOfManyVotersGoesThroughJointConsensusAndLeavesItByItself(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.elect(1)
	joint := false
	c.story = func(m *member, line string) {
		joint = joint || m.core != nil && m.core.Configuration().Joint()
	}
	c.change(l, Change{Remove: []MemberID{4, 5}})
	if got := l.core.Configuration().String(); got != "1 2 3 <- 1 2 3 4 5" {
		t.Fatalf("members %s, want joint consensus", got)
	}
	c.untilMembers("1 2 3")
	if !joint {
		t.Fatal("nobody but the leader saw the joint configuration")
	}
}

func TestInJointConsensusBothMajoritiesAreNeeded(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.elect(1)
	c.until("ready", func() bool { return l.core.mayChange() == nil })
	c.partition([]MemberID{1, 2}, []MemberID{3, 4, 5})
	c.change(l, Change{Remove: []MemberID{3, 4}})
	i := l.core.LastIndex()
	c.deliverAll()
	// 1 and 2 are a majority of 1, 2, 5, and none of 1 to 5.
	if l.core.Commit() >= i {
		t.Fatalf("commit %d: committed by a majority of the incoming configuration alone", l.core.Commit())
	}
	c.heal()
	c.untilMembers("1 2 5")
}

func TestANewLeaderLeavesTheJointConfigurationOfTheOldOne(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.elect(1)
	c.until("ready", func() bool { return l.core.mayChange() == nil })
	c.change(l, Change{Remove: []MemberID{4, 5}})
	for len(c.network) > 0 {
		// Everybody appends the joint configuration, but nobody's answer arrives.
		if c.network[0].message.Head().To == 1 {
			c.network = c.network[1:]
		} else {
			c.deliver(0)
		}
	}
	c.crash(l)
	c.until("the others leave it", func() bool {
		n := c.leader()
		return n != nil && n.core.CommittedConfiguration().String() == "1 2 3"
	})
}

// Ongaro, raft-dev 2015: single changes by leaders that have not committed in their term lead to disjoint majorities.
func TestNoMembershipChangeBeforeTheFirstCommitOfTheTerm(t *testing.T) {
	a := one(t, 3, 1, 1)
	a.lead()
	if _, _, err := a.ChangeMembers(Change{Remove: []MemberID{3}}); !errors.Is(err, ErrNotReady) {
		t.Fatalf("%v, want ErrNotReady", err)
	}
	a.receive(&AppendReply{Header: head(2, 2), Match: 2, Round: 1})
	if _, _, err := a.ChangeMembers(Change{Remove: []MemberID{3}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.ChangeMembers(Change{Remove: []MemberID{2}}); !errors.Is(err, ErrChangePending) {
		t.Fatalf("%v, want ErrChangePending", err)
	}
}

// TestAnAddressIsOfOneMember: of two at one address, one would hear nothing. Members may swap theirs, and one may take that of a member that goes.
func TestAnAddressIsOfOneMember(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.until("ready", l.core.committedInTerm)
	change := func(ch Change, want string) {
		t.Helper()
		_, _, err := l.core.ChangeMembers(ch)
		if want == "" {
			if err != nil {
				t.Errorf("%v: %v", ch, err)
			}
			c.settle(l)
			c.until("changed", func() bool { return l.core.mayChange() == nil })
		} else if !errors.Is(err, ErrBadChange) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", ch, err, want)
		}
	}
	change(Change{Set: []Member{{ID: 1, Address: "a"}, {ID: 2, Address: "b"}, {ID: 3, Address: "c"}}}, "")
	change(Change{Set: []Member{{ID: 4, Address: "b", Learner: true}}}, "the address b of member 4 is that of member 2")
	change(Change{Set: []Member{{ID: 3, Address: "a"}}}, "the address a of member 3 is that of member 1")
	change(Change{Set: []Member{{ID: 4, Address: "d", Learner: true}, {ID: 5, Address: "d", Learner: true}}}, "the address d")
	change(Change{Set: []Member{{ID: 1, Address: "b"}, {ID: 2, Address: "a"}}}, "")
	change(Change{Set: []Member{{ID: 1, Address: "c"}}, Remove: []MemberID{3}}, "")
}

func TestBadChangesAreRefusedWithAReason(t *testing.T) {
	c := newCluster(t, 2, func(cfg *Config) { cfg.Incarnation = uint64(cfg.ID) })
	l := c.elect(1)
	c.until("stamped", func() bool {
		m, _ := l.core.CommittedConfiguration().Find(2)
		return m.Incarnation == 2 && l.core.mayChange() == nil
	})
	for name, ch := range map[string]Change{
		"nobody left":         {Remove: []MemberID{1, 2}},
		"no voter left":       {Set: []Member{{ID: 1, Learner: true}, {ID: 2, Learner: true}}},
		"unknown member":      {Remove: []MemberID{9}},
		"no member":           {Set: []Member{{ID: 0, Learner: true}}},
		"set and removed":     {Set: []Member{{ID: 2}}, Remove: []MemberID{2}},
		"nothing":             {},
		"what it is already":  {Set: []Member{{ID: 2}}},
		"a voter's new disk":  {Set: []Member{{ID: 2, Incarnation: 99}}},
		"promoting a voter":   {Set: []Member{{ID: 2, AutoPromote: true}}},
		"too long an address": {Set: []Member{{ID: 2, Address: string(make([]byte, maxMemberBytes+1))}}},
	} {
		if _, _, err := l.core.ChangeMembers(ch); !errors.Is(err, ErrBadChange) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := c.member(2).core.ChangeMembers(Change{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("at a follower: %v", err)
	}
}

// thesis §4.2.2: a leader that is removed goes on until the configuration without it is committed, not counting itself.
func TestALeaderThatIsRemovedStepsDownAfterTheCommitAndHandsOver(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.change(l, Change{Remove: []MemberID{1}})
	if l.core.Role() != Leader {
		t.Fatalf("%v before the commit", l.core.Role())
	}
	i := l.core.LastIndex()
	c.deliver(0) // To n2,
	for k, f := range c.network {
		if f.message.Head().To == 1 {
			c.deliver(k) // and its answer: one of two, and the leader's own copy does not count.
			break
		}
	}
	if l.core.Commit() >= i {
		t.Fatal("the leader counted itself")
	}
	c.deliverAll()
	if l.core.Role() == Leader || l.core.Commit() < i {
		t.Fatalf("%v with commit %d after the commit of its removal at %d", l.core.Role(), l.core.Commit(), i)
	}
	if n := c.leader(); n == nil || n.id == 1 {
		t.Fatal("nobody took over at once")
	}
}

func TestADemotedLeaderThatCrashedBeforeAnybodyKnewIsStillNeeded(t *testing.T) {
	c := newCluster(t, 2, nil)
	l := c.elect(1)
	c.until("ready", func() bool { return l.core.mayChange() == nil })
	c.change(l, Change{Set: []Member{{ID: 1, Learner: true}}})
	c.propose(l, "x")
	c.network = nil
	c.crash(l)
	c.start(l, 0)
	// n2 knows nothing of it, and its log is shorter: without n1's candidacy there would never be a leader again.
	c.untilMembers("learner 1 2")
	c.until("n2 leads", func() bool { return c.leader() != nil && c.leader().id == 2 })
}

// thesis §4.1: a configuration is in force once appended; if its entry is removed, the one before it is again.
func TestARemovedEntryTakesItsConfigurationWithIt(t *testing.T) {
	a := one(t, 3, 1, 1)
	next := voters(1, 2)
	conf := Entry{Term: 1, Index: 2, Kind: EntryConfiguration, Data: next.Encode(nil)}
	a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 1, PrevTerm: 1, Commit: 1, Entries: []Entry{conf}})
	if got := a.Configuration().String(); got != "1 2" {
		t.Fatalf("members %s once it is appended, want 1 2", got)
	}
	if got := a.CommittedConfiguration().String(); got != "1 2 3" {
		t.Fatalf("committed members %s, want 1 2 3", got)
	}
	// canonical/raft #250, openraft #1808: a snapshot must carry the committed configuration.
	if meta, ok := a.SnapshotMetaAt(1); !ok || meta.Configuration.String() != "1 2 3" || meta.ConfigurationIndex != 0 {
		t.Fatalf("snapshot at 1 has %+v", meta)
	}
	if _, ok := a.SnapshotMetaAt(2); ok {
		t.Fatal("a snapshot of what is not committed")
	}
	a.receive(&AppendRequest{Header: head(3, 2), PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 2)})
	if got := a.Configuration().String(); got != "1 2 3" {
		t.Fatalf("members %s after its entry was removed, want 1 2 3", got)
	}
}

func TestCompactionKeepsTheConfigurationInForceAndLaterOnes(t *testing.T) {
	a := one(t, 3, 1)
	list := entries(1, 1, 1, 1, 1)
	list[1].Kind, list[1].Data = EntryConfiguration, voters(1, 2, 3, 4).Encode(nil)
	list[3].Kind, list[3].Data = EntryConfiguration, voters(1, 2).Encode(nil)
	a.receive(&AppendRequest{Header: head(2, 1), Commit: 3, Entries: list})
	meta, ok := a.SnapshotMetaAt(3)
	if !ok || meta.Configuration.String() != "1 2 3 4" || meta.ConfigurationIndex != 2 || meta.Term != 1 {
		t.Fatalf("snapshot at 3 has %+v, %v", meta, ok)
	}
	a.Compacted(meta)
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
	if a.FirstIndex() != 4 || a.Configuration().String() != "1 2" || a.CommittedConfiguration().String() != "1 2 3 4" {
		t.Fatalf("first %d, members %v, committed %v", a.FirstIndex(), a.Configuration(), a.CommittedConfiguration())
	}
	a.receive(&AppendRequest{Header: head(3, 2), PrevIndex: 3, PrevTerm: 1, Entries: entries(4, 2)})
	if a.Configuration().String() != "1 2 3 4" {
		t.Fatalf("members %v after the removal of the later one", a.Configuration())
	}
}

// dragonboat #256: a wiped disk under its old identity voted away what it had acknowledged.
func TestAWipedDiskNeitherVotesNorCountsUntilItIsAdmittedAgain(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.Incarnation = 100 + uint64(cfg.ID) })
	l := c.elect(1)
	c.until("the incarnations are recorded", func() bool {
		m, _ := c.member(3).core.CommittedConfiguration().Find(2)
		return m.Incarnation == 102
	})
	// n3 misses an entry, which n1 and n2 commit; then n2 loses its disk, and n1 is away.
	c.isolate(3)
	i := c.propose(l, "x")
	c.until("committed", func() bool { return l.core.Commit() >= i })
	c.partition([]MemberID{2, 3})
	w := c.member(2)
	c.crash(w)
	w.stable, w.state = disk{}, nil
	w.cfg.Incarnation = 202
	c.start(w, 0)
	c.advance(3 * time.Second)
	if n := c.member(3); n.core.Role() == Leader {
		t.Fatal("n3 was elected without a committed entry, by the vote of a disk that forgot it")
	}
	c.heal()
	c.until("n2 is back as a voter with its new disk", func() bool {
		l := c.leader()
		if l == nil {
			return false
		}
		m, _ := l.core.CommittedConfiguration().Find(2)
		return m.Incarnation == 202 && !m.Learner && len(w.state) == len(l.state)
	})
}

func TestAnswersOfAnotherDiskThanTheAdmittedOneDoNotCount(t *testing.T) {
	conf := Configuration{Members: []Member{{ID: 1, Incarnation: 101}, {ID: 2, Incarnation: 102}, {ID: 3, Incarnation: 103}}}
	start := func(incarnation uint64) *alone {
		core, err := New(Config{ID: 1, Incarnation: incarnation}, Restored{Snapshot: SnapshotMeta{Configuration: conf}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return &alone{t: t, Core: core}
	}
	from := func(id MemberID, term Term, incarnation uint64) Header {
		return Header{From: id, To: 1, Term: term, Incarnation: incarnation}
	}
	a := start(101)
	a.timeout()
	a.take()
	a.receive(&PreVoteReply{Header: from(2, 1, 202), Granted: true, Campaign: 1})
	if a.Role() != PreCandidate {
		t.Fatal("the pre-vote of a replaced disk counted")
	}
	a.receive(&PreVoteReply{Header: from(2, 1, 102), Granted: true, Campaign: 1})
	a.receive(&VoteReply{Header: from(2, 1, 202), Granted: true})
	if a.Role() != Candidate {
		t.Fatal("the vote of a replaced disk counted")
	}
	a.receive(&VoteReply{Header: from(3, 1, 103), Granted: true})
	a.receive(&AppendReply{Header: from(2, 1, 202), Match: 1, Round: 1})
	if a.Commit() != 0 || a.leading.confirmed != 0 {
		t.Fatal("the acknowledgement of a replaced disk counted")
	}
	a.receive(&AppendReply{Header: from(2, 1, 102), Match: 1, Round: 1})
	if a.Commit() != 1 || a.leading.confirmed != 1 {
		t.Fatal("the acknowledgement of the admitted disk did not count")
	}

	replaced := start(201)
	replaced.pass(time.Second)
	replaced.take()
	if replaced.Role() != Follower {
		t.Fatal("a replaced disk campaigns")
	}
	if reply := only[*VoteReply](t, replaced.receive(&VoteRequest{Header: from(2, 1, 102)})); reply.Granted {
		t.Fatal("a replaced disk votes")
	}
}

// TestTheDiskOfALearnerDoesNotCountForTheVoterThatItReplaces has two of five voters come back with new disks at once. The old disks may be alive, and elect another
// leader with those who do not know of the change: so what the new ones say counts for nothing in the old majority.
func TestTheDiskOfALearnerDoesNotCountForTheVoterThatItReplaces(t *testing.T) {
	conf := Configuration{Outgoing: []Member{{ID: 1, Incarnation: 101}, {ID: 2, Incarnation: 102}, {ID: 3, Incarnation: 103}, {ID: 4, Incarnation: 104}, {ID: 5, Incarnation: 105}}}
	conf.Members = cloneMembers(conf.Outgoing)
	for i := 1; i <= 2; i++ {
		conf.Members[i].Learner, conf.Members[i].AutoPromote, conf.Members[i].Incarnation = true, true, 202+uint64(i-1)
	}
	core, err := New(Config{ID: 1, Incarnation: 101, DisablePreVote: true}, Restored{Snapshot: SnapshotMeta{Configuration: conf}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{t: t, Core: core}
	from := func(id MemberID, incarnation uint64) Header {
		return Header{From: id, To: 1, Term: 1, Incarnation: incarnation}
	}
	a.timeout()
	a.take()
	for _, h := range []Header{from(2, 202), from(3, 203), from(4, 104)} {
		a.receive(&VoteReply{Header: h, Granted: true})
	}
	if a.Role() != Candidate {
		t.Fatal("it leads by the votes of disks that the old majority does not know")
	}
	a.receive(&VoteReply{Header: from(5, 105), Granted: true})
	if a.Role() != Leader {
		t.Fatal("two of three, and three of five, are a majority")
	}
	for _, h := range []Header{from(2, 202), from(3, 203), from(4, 104)} {
		a.receive(&AppendReply{Header: h, Match: 1, Round: 1})
	}
	if a.Commit() != 0 || a.leading.confirmed != 0 {
		t.Fatal("what it commits is on disks that the old majority does not know")
	}
	a.receive(&AppendReply{Header: from(5, 105), Match: 1, Round: 1})
	if a.Commit() != 1 || a.leading.confirmed != 1 {
		t.Fatal("two of three, and three of five, are a majority")
	}
}

func TestAMemberThatKnowsNoConfigurationVotesForNobody(t *testing.T) {
	core, err := New(Config{ID: 1}, Restored{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{t: t, Core: core}
	if reply := only[*PreVoteReply](t, a.receive(&PreVoteRequest{Header: head(2, 2), LastIndex: 9, LastTerm: 1})); reply.Granted {
		t.Fatal("it would vote")
	}
	if reply := only[*VoteReply](t, a.receive(&VoteRequest{Header: head(2, 2), LastIndex: 9, LastTerm: 1})); reply.Granted {
		t.Fatal("it votes: it may be a disk that was replaced, and have forgotten what it acknowledged")
	}
	// Once it has one, it does, even if it is no voter in it yet as far as it knows (thesis §4.1).
	list := entries(1, 2)
	list[0].Kind, list[0].Data = EntryConfiguration, Configuration{Members: []Member{{ID: 1, Learner: true}, {ID: 2}}}.Encode(nil)
	a.receive(&AppendRequest{Header: head(2, 2), Entries: list})
	a.pass(time.Second)
	a.take()
	if reply := only[*VoteReply](t, a.receive(&VoteRequest{Header: head(2, 3), LastIndex: 9, LastTerm: 2})); !reply.Granted {
		t.Fatal("it does not vote")
	}
}

func TestTwoDisksUnderOneIdentityDoNotTakeTurns(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.Incarnation = 100 + uint64(cfg.ID) })
	l := c.elect(1)
	c.until("the incarnations are recorded", func() bool {
		m, _ := l.core.CommittedConfiguration().Find(2)
		return m.Incarnation == 102
	})
	for range 40 {
		// An impostor answers in the name of n2, which answers too.
		l.core.Receive(&AppendReply{Header: Header{From: 2, To: 1, Term: l.core.Term(), Incarnation: 666}, Match: l.core.LastIndex()})
		c.settle(l)
		c.advance(50 * time.Millisecond)
	}
	if m, _ := l.core.Configuration().Find(2); m.Incarnation != 102 || m.Learner {
		t.Fatalf("member 2 is %+v", m)
	}
}

func TestPrioritiesBringLeadershipToWhereItIsWanted(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.change(l, Change{Set: []Member{{ID: 3, Priority: 9}}})
	c.until("n3 leads", func() bool { return c.leader() != nil && c.leader().id == 3 })
	c.crash(c.member(3))
	c.until("another leads", func() bool { return c.leader() != nil })
	c.propose(c.leader(), "x")
	c.start(c.member(3), 0)
	c.until("n3 leads again", func() bool { return c.leader() != nil && c.leader().id == 3 })
}
