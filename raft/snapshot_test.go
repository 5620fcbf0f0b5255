package raft

import (
	"testing"
	"time"
)

func TestAFollowerBehindTheCompactedLogGetsASnapshotAndThenEntries(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.isolate(3)
	for range 30 {
		c.propose(l, "x")
	}
	c.until("committed", func() bool { return l.core.Commit() == l.core.LastIndex() })
	c.compact(l, l.core.AppliedIndex()-5)
	c.heal()
	f := c.member(3)
	c.until("caught up", func() bool { return len(f.state) == len(l.state) })
	if f.core.FirstIndex() == 1 {
		t.Fatal("no snapshot was installed")
	}
	c.propose(l, "y")
	c.until("replicating again", func() bool { return len(f.state) == len(l.state) && l.core.leading.peer(3).state == Replicating })
}

// hashicorp/raft #212: compaction faster than the transfer made the leader send one snapshot after the other.
func TestALogCompactedDuringATransferNeedsOneMoreSnapshotAndNoMore(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.isolate(3)
	for range 30 {
		c.propose(l, "x")
	}
	c.until("committed", func() bool { return l.core.Commit() == l.core.LastIndex() })
	c.compact(l, l.core.AppliedIndex())
	c.heal()
	snapshots := 0
	c.story = func(m *member, line string) {
		if m == l && line != "" && line[0] == 'h' { // "has to send n3 a snapshot"
			snapshots++
			if snapshots == 1 {
				// While it is on its way, more is written and compacted.
				for range 10 {
					_, _, _ = l.core.Propose([]Proposal{{Kind: EntryCommand, Data: []byte("y")}})
				}
			}
		}
	}
	c.until("caught up", func() bool { return len(c.member(3).state) == len(l.state) && len(l.state) > 40 })
	if snapshots > 2 {
		t.Fatalf("%d snapshots", snapshots)
	}
}

func TestASnapshotNeverReplacesANewerLog(t *testing.T) {
	conf := voters(1, 2, 3)
	a := one(t, 3, 2, 1, 1, 2, 2)
	a.receive(&AppendRequest{Header: head(2, 2), PrevIndex: 3, PrevTerm: 2, Commit: 3})
	// Older than the commit index: nothing happens, and the leader learns that it is here.
	reply := only[*AppendReply](t, a.receive(&InstallSnapshot{Header: head(2, 2), Meta: SnapshotMeta{Index: 2, Term: 1, Configuration: conf}}))
	if reply.Rejected || reply.Match != 2 || a.LastIndex() != 4 {
		t.Fatalf("answers %+v, last %d", reply, a.LastIndex())
	}
	// Its last entry is in the log: what follows stays (figure 13, 6), and nothing is to be installed.
	a.Receive(&InstallSnapshot{Header: head(2, 2), Meta: SnapshotMeta{Index: 4, Term: 2, Configuration: conf}})
	out := a.Take()
	if out.Install != nil || a.Commit() != 4 || a.LastIndex() != 4 {
		t.Fatalf("install %v, commit %d, last %d", out.Install, a.Commit(), a.LastIndex())
	}
}

func TestASnapshotRemovesAConflictingSuffix(t *testing.T) {
	a := one(t, 3, 2, 1, 1, 2, 2)
	meta := SnapshotMeta{Index: 4, Term: 3, Configuration: voters(1, 2), ConfigurationIndex: 3}
	a.Receive(&InstallSnapshot{Header: head(2, 3), Meta: meta})
	out := a.Take()
	if out.Install != nil {
		t.Fatal("it is installed before the term in which it came is durable")
	}
	a.Synced(out.Seq)
	out = a.Take()
	if out.Install == nil || out.Install.Index != 4 || len(out.Entries) != 0 {
		t.Fatalf("output %+v", out)
	}
	// Until it is installed, the leader is heard, but nothing is appended.
	reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 3), PrevIndex: 2, PrevTerm: 1, Entries: entries(3, 3), Round: 7}))
	if reply.Match != 0 || reply.Round != 7 || a.LastIndex() != 4 {
		t.Fatalf("answers %+v, last %d", reply, a.LastIndex())
	}
	a.SnapshotInstalled(meta, true)
	reply = only[*AppendReply](t, a.take())
	if reply.Match != 4 || a.Commit() != 4 || a.AppliedIndex() != 4 || a.Configuration().String() != "1 2" {
		t.Fatalf("answers %+v, commit %d, applied %d, members %v", reply, a.Commit(), a.AppliedIndex(), a.Configuration())
	}
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestASnapshotThatCannotBeInstalledChangesNothingAndIsTriedAgain(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	c.isolate(3)
	f := c.member(3)
	f.refused = true
	for range 10 {
		c.propose(l, "x")
	}
	c.until("committed", func() bool { return l.core.Commit() == l.core.LastIndex() })
	c.compact(l, l.core.AppliedIndex())
	c.heal()
	c.advance(500 * time.Millisecond)
	if f.core.Commit() == l.core.Commit() {
		t.Fatal("it was installed")
	}
	f.refused = false
	c.until("caught up", func() bool { return len(f.state) == len(l.state) })
}

func TestEntriesThatLeftMemoryAreFetched(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.MaxCachedBytes = 100 })
	l := c.elect(1)
	c.isolate(3)
	for range 50 {
		c.propose(l, "0123456789")
		c.deliverAll()
	}
	if l.core.log.first <= 2 {
		t.Fatal("everything is still in memory")
	}
	c.heal()
	f := c.member(3)
	c.until("caught up", func() bool { return len(f.state) == len(l.state) })
	if f.core.FirstIndex() != 1 {
		t.Fatal("a snapshot was sent")
	}
}

func TestFetchedEntriesThatDoNotFitAreNotSent(t *testing.T) {
	a := oneWith(t, func(cfg *Config) { cfg.MaxCachedBytes = 1 }, 3, 1, 1, 1, 1)
	a.lead()
	a.receive(&AppendReply{Header: head(2, 2), Match: 4, Round: 1})
	a.Receive(&AppendReply{Header: head(3, 2), Rejected: true, PrevIndex: 3, ConflictIndex: 1, Round: 1})
	out := a.Take()
	if len(out.Fetches) != 1 || out.Fetches[0].From != 1 || out.Fetches[0].To != 3+1 {
		t.Fatalf("fetches %+v, want 1 to 4", out.Fetches)
	}
	f := out.Fetches[0]
	wrong := f
	wrong.From = 2
	a.Fetched(wrong, entries(2, 1))
	none[*AppendRequest](t, a.take())
	a.Fetched(f, entries(1, 7)) // A term that this log does not have there.
	out = a.Take()
	if len(out.SendSnapshots) != 1 || out.SendSnapshots[0] != 3 {
		t.Fatalf("snapshots for %v, want 3: its log cannot be read", out.SendSnapshots)
	}
}

// restoredWithFaults starts a member whose disk lost ranges of its log.
func restoredWithFaults(t *testing.T, applied Index, faulty ...IndexRange) *alone {
	t.Helper()
	r := Restored{
		HardState: HardState{Term: 3}, Snapshot: SnapshotMeta{Configuration: voters(1, 2, 3)},
		LastIndex: 8, Terms: []TermRun{{1, 1}, {4, 2}}, Applied: applied, Faulty: faulty,
	}
	core, err := New(Config{ID: 1}, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{t: t, Core: core, entries: entries(1, 1, 1, 1, 2, 2, 2, 2, 2)}
	a.applied = make([]Entry, applied)
	a.pass(150 * time.Millisecond)
	return a
}

func TestAMemberWithFaultyEntriesNeitherVotesNorCampaignsNorAcknowledgesThem(t *testing.T) {
	a := restoredWithFaults(t, 0, IndexRange{4, 5})
	if reply := only[*VoteReply](t, a.receive(&VoteRequest{Header: head(2, 4), LastIndex: 99, LastTerm: 3})); reply.Granted {
		t.Fatal("it votes")
	}
	if reply := only[*PreVoteReply](t, a.receive(&PreVoteRequest{Header: head(2, 5), LastIndex: 99, LastTerm: 3})); reply.Granted {
		t.Fatal("it would vote")
	}
	a.timeout()
	a.take()
	if a.Role() != Follower {
		t.Fatalf("%v", a.Role())
	}
	reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 4), PrevIndex: 8, PrevTerm: 2, Round: 1}))
	if !reply.Rejected || reply.ConflictIndex != 4 {
		t.Fatalf("answers %+v, want the entries from 4 on", reply)
	}
	// It takes what the leader sends, and writes none of it before all that it may have acknowledged is there.
	a.Receive(&AppendRequest{Header: head(2, 4), PrevIndex: 3, PrevTerm: 1, Entries: entries(4, 2, 2), Commit: 6, Round: 1})
	out := a.Take()
	if out.Persist() {
		t.Fatalf("writes %v: a crash now would lose 6 to 8 for good", out.Entries)
	}
	for _, m := range append(out.Messages, out.AfterSync...) {
		if r := m.(*AppendReply); r.Match > 3 || r.PrevIndex != 5 {
			t.Fatalf("acknowledges %+v", r)
		}
	}
	a.Receive(&AppendRequest{Header: head(2, 4), PrevIndex: 5, PrevTerm: 2, Entries: entries(6, 2, 2, 2), Commit: 6, Round: 1})
	out = a.Take()
	if len(out.Entries) != 5 || out.Entries[0].Index != 4 {
		t.Fatalf("writes %v, want 4 to 8 at once", out.Entries)
	}
	if r := only[*AppendReply](t, out.AfterSync); r.Match != 8 {
		t.Fatalf("acknowledges %d after the sync, want 8", r.Match)
	}
	a.Synced(out.Seq)
	if reply := only[*PreVoteReply](t, append(a.take(), func() []Message {
		a.pass(time.Second)
		return a.receive(&PreVoteRequest{Header: head(3, 9), LastIndex: 99, LastTerm: 4})
	}()...)); !reply.Granted {
		t.Fatal("it does not vote although it is whole again")
	}
}

func TestAFaultyTailThatTheNewLeaderNeverHadIsGivenUp(t *testing.T) {
	a := restoredWithFaults(t, 0, IndexRange{6, 6})
	// The leader's log has an entry of term 4 at 6: what was at 6 to 8 here was never committed.
	a.Receive(&AppendRequest{Header: head(2, 4), PrevIndex: 5, PrevTerm: 2, Entries: entries(6, 4), Round: 1})
	out := a.Take()
	if len(out.Entries) != 1 || a.Status().Faulty {
		t.Fatalf("writes %v, faulty %v", out.Entries, a.Status().Faulty)
	}
}

// The leader's log may begin in the middle of what the disk lost. Then its snapshot is all there is to have of the first part, and the rest stays lost.
func TestASnapshotInTheMiddleOfWhatTheDiskLostShortensTheRepair(t *testing.T) {
	a := restoredWithFaults(t, 0, IndexRange{4, 7})
	meta := SnapshotMeta{Index: 6, Term: 2, Configuration: voters(1, 2, 3)}
	a.Receive(&InstallSnapshot{Header: head(2, 3), Meta: meta})
	out := a.Take()
	a.Synced(out.Seq)
	if out.Install == nil {
		out = a.Take()
	}
	if out.Install == nil || !out.InstallKeeps {
		t.Fatalf("install %v, keeps %v: a log that begins anew at 6 forgets that 7 and 8 may be committed", out.Install, out.InstallKeeps)
	}
	a.SnapshotInstalled(meta, true)
	if a.LastIndex() != 6 || a.Commit() != 6 || !a.Faulty() {
		t.Fatalf("log ends at %d, commit %d, faulty %v", a.LastIndex(), a.Commit(), a.Faulty())
	}
	a.Take()
	a.Receive(&AppendRequest{Header: head(2, 3), PrevIndex: 6, PrevTerm: 2, Entries: entries(7, 2, 2), Commit: 8, Round: 1})
	if out = a.Take(); len(out.Entries) != 2 || a.Faulty() {
		t.Fatalf("writes %v, faulty %v", out.Entries, a.Faulty())
	}
}

// What came after an entry that contradicts a snapshot was never committed, so the snapshot replaces all of it.
func TestASnapshotThatContradictsWhatTheDiskLostEndsTheRepair(t *testing.T) {
	a := restoredWithFaults(t, 0, IndexRange{4, 8})
	meta := SnapshotMeta{Index: 6, Term: 3, Configuration: voters(1, 2, 3)}
	a.Receive(&InstallSnapshot{Header: head(2, 3), Meta: meta})
	out := a.Take()
	a.Synced(out.Seq)
	if out.Install == nil {
		out = a.Take()
	}
	if out.Install == nil || out.InstallKeeps {
		t.Fatalf("install %v, keeps %v", out.Install, out.InstallKeeps)
	}
	if a.SnapshotInstalled(meta, true); a.Faulty() {
		t.Fatal("faulty")
	}
}

func TestFaultyEntriesThatAreAppliedAreNotNeededAgainButTheirConfigurationsAre(t *testing.T) {
	start := func(t *testing.T) *alone {
		a := restoredWithFaults(t, 6, IndexRange{2, 3})
		if a.Status().Faulty || a.FirstIndex() != 4 || a.LastIndex() != 8 {
			t.Fatalf("faulty %v, log %d-%d, want 4-8", a.Status().Faulty, a.FirstIndex(), a.LastIndex())
		}
		// A configuration may have been among them, so it does not campaign, and makes no snapshot.
		a.timeout()
		a.take()
		if _, ok := a.SnapshotMetaAt(6); ok || a.Role() != Follower {
			t.Fatalf("%v", a.Role())
		}
		// But it votes: its log is good at its end.
		a.pass(time.Second)
		if reply := only[*VoteReply](t, a.receive(&VoteRequest{Header: head(3, 4), LastIndex: 8, LastTerm: 2})); !reply.Granted {
			t.Fatal("it does not vote")
		}
		return a
	}
	whole := func(t *testing.T, a *alone, members string, from Index) {
		t.Helper()
		if got := a.Configuration().String(); got != members {
			t.Fatalf("members %s, want %s", got, members)
		}
		meta, ok := a.SnapshotMetaAt(from)
		if !ok || meta.Configuration.String() != members {
			t.Fatalf("snapshot at %d has %v, %v", from, meta, ok)
		}
		a.pass(time.Second)
		a.take()
		if a.Role() != PreCandidate {
			t.Fatalf("%v, want a pre-candidate", a.Role())
		}
		if err := a.Check(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a configuration was lost", func(t *testing.T) {
		a := start(t)
		reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 4), PrevIndex: 8, PrevTerm: 2, Round: 1}))
		if !reply.Rejected || reply.ConflictIndex != 2 {
			t.Fatalf("answers %+v, want the entries from 2 on", reply)
		}
		list := entries(2, 1, 1)
		list[0].Kind, list[0].Data = EntryConfiguration, voters(1, 2).Encode(nil)
		reply = only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 4), PrevIndex: 1, PrevTerm: 1, Entries: list, Round: 1}))
		if reply.Rejected || reply.Match != 6 {
			t.Fatalf("answers %+v, want all that is committed, 6", reply)
		}
		whole(t, a, "1 2", 3)
	})
	t.Run("none was lost", func(t *testing.T) {
		a := start(t)
		a.receive(&AppendRequest{Header: head(2, 4), PrevIndex: 0, Entries: entries(1, 1), Round: 1})
		a.receive(&AppendRequest{Header: head(2, 4), PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 1, 1, 2), Round: 1})
		whole(t, a, "1 2 3", 3)
	})
	t.Run("the leader has them no more, and sends a snapshot", func(t *testing.T) {
		a := start(t)
		meta := SnapshotMeta{Index: 5, Term: 2, Configuration: voters(1, 2, 4), ConfigurationIndex: 3}
		reply := only[*AppendReply](t, a.receive(&InstallSnapshot{Header: head(2, 4), Meta: meta}))
		if reply.Match != 5 || a.LastIndex() != 8 {
			t.Fatalf("answers %+v, last %d", reply, a.LastIndex())
		}
		whole(t, a, "1 2 4", 4)
	})
	t.Run("the snapshot's configuration came after what was lost", func(t *testing.T) {
		r := Restored{
			HardState: HardState{Term: 3}, Snapshot: SnapshotMeta{Configuration: voters(1, 2, 3)}, LastIndex: 8, Terms: []TermRun{{1, 1}},
			Applied: 6, Faulty: []IndexRange{{2, 3}}, Configurations: []ConfigurationAt{{5, voters(1, 2)}},
		}
		core, err := New(Config{ID: 1}, r, 0)
		if err != nil {
			t.Fatal(err)
		}
		a := &alone{t: t, Core: core, applied: make([]Entry, 6), entries: entries(1, 1, 1, 1, 1, 1, 1, 1, 1)}
		meta := SnapshotMeta{Index: 7, Term: 1, Configuration: voters(1, 2), ConfigurationIndex: 5}
		a.receive(&InstallSnapshot{Header: head(2, 3), Meta: meta})
		if _, ok := a.SnapshotMetaAt(4); ok {
			t.Fatal("the configuration at 4 is not known")
		}
		whole(t, a, "1 2", 5)
	})
}

// A leader hears that a follower's disk lost entries that it had applied, in the term in which they were acknowledged, and in a later one; and where its
// log begins in the middle of them, because the rest is compacted.
func TestAMemberThatLostAppliedEntriesLearnsItsConfigurationAgain(t *testing.T) {
	for _, lost := range []struct {
		sameTerm  bool
		compacted Index
	}{{true, 0}, {false, 0}, {true, 5}, {false, 5}} {
		c := newCluster(t, 4, func(cfg *Config) { cfg.MaxMessageBytes, cfg.MaxCachedBytes = 100, 100 })
		l := c.elect(1)
		c.change(l, Change{Remove: []MemberID{4}})
		c.untilMembers("1 2 3")
		for range 20 {
			c.propose(l, "x")
			c.deliverAll()
		}
		f := c.member(2)
		f.machineDurable = true
		c.crash(f)
		if !lost.sameTerm {
			if err := l.core.TransferLeadership(3); err != nil {
				t.Fatal(err)
			}
			c.settle(l)
			c.until("n3 leads", func() bool { return c.leader() != nil && c.leader().id == 3 })
		}
		r := f.stable.restored(Index(len(f.state)), 0)
		r.Configurations = nil
		r.Faulty = []IndexRange{{From: 1, To: 7}}
		core, err := New(f.cfg, r, c.now)
		if err != nil {
			t.Fatal(err)
		}
		f.core, f.down = core, false
		f.stable.log = f.stable.log[7:]
		f.stable.snap = SnapshotMeta{Index: 7, Term: 1}
		if got := f.core.Configuration().String(); got != "1 2 3 4" {
			t.Fatalf("members %s", got)
		}
		if lost.compacted > 0 {
			c.compact(c.leader(), lost.compacted)
			c.oldSnapshots = true
		}
		c.until("it knows", func() bool { return f.core.relearning == nil })
		if got := f.core.Configuration().String(); got != "1 2 3" {
			t.Fatalf("members %s", got)
		}
		i := c.propose(c.leader(), "y")
		c.until("it goes on", func() bool { return len(f.state) >= int(i) })
	}
}

// A leader that hears that a follower's disk lost what it had acknowledged sends it again, in the same term.
func TestALeaderSendsAgainWhatAFollowersDiskLost(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.elect(1)
	for range 10 {
		c.propose(l, "x")
		c.deliverAll()
	}
	f := c.member(2)
	c.crash(f)
	r := f.stable.restored(0, 0)
	r.Faulty = []IndexRange{{From: 4, To: 5}}
	core, err := New(f.cfg, r, c.now)
	if err != nil {
		t.Fatal(err)
	}
	f.core, f.down, f.state = core, false, nil
	if f.core.LastIndex() != 3 {
		t.Fatalf("last %d", f.core.LastIndex())
	}
	f.stable.log[3], f.stable.log[4] = Entry{}, Entry{}
	c.until("it is whole again", func() bool { return len(f.state) == len(l.state) && !f.core.Status().Faulty })
	if l.core.Term() != 1 {
		t.Fatalf("term %d", l.core.Term())
	}
}

func TestQuiescence(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.QuiesceAfter = 200 * time.Millisecond })
	l := c.elect(1)
	c.propose(l, "x")
	asleep := func() bool {
		for _, m := range c.members {
			if !m.down && m.core.Deadline() != NoDeadline {
				return false
			}
		}
		return true
	}
	c.until("all fall silent", asleep)
	term := l.core.Term()
	c.advance(10 * time.Second)
	if len(c.network) != 0 || !asleep() || l.core.Role() != Leader {
		t.Fatal("somebody woke without a reason")
	}
	// A proposal wakes the group, which then falls silent again.
	i := c.propose(l, "y")
	c.until("all have it", func() bool { return len(c.member(3).state) == int(i) && len(c.member(2).state) == int(i) })
	c.until("all fall silent", asleep)
	// So does a read at a follower.
	if err := c.member(3).core.ReadIndex(1); err != nil {
		t.Fatal(err)
	}
	c.settle(c.member(3))
	c.until("it is served", func() bool { return len(c.member(3).reads) == 1 && c.member(3).reads[0].OK })
	c.until("all fall silent", asleep)
	// And a doubt, which the leader dispels.
	c.member(2).core.Wake()
	c.settle(c.member(2))
	c.advance(time.Second)
	c.until("all fall silent", asleep)
	if l.core.Term() != term {
		t.Fatalf("term %d after %d: an election for nothing", l.core.Term(), term)
	}
	// The leader is gone while all are silent: whoever is told elects a new one.
	c.crash(l)
	c.advance(time.Second)
	if !asleep() {
		t.Fatal("somebody woke without a reason")
	}
	c.member(2).core.Wake()
	c.settle(c.member(2))
	c.until("another leader", func() bool { return c.leader() != nil })
}

func TestAMemberThatMissedTheLastHeartbeatWakesTheGroupWithoutAnElection(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.QuiesceAfter = 200 * time.Millisecond })
	l := c.elect(1)
	c.until("the leader falls silent", func() bool {
		for i, f := range c.network {
			if r, ok := f.message.(*AppendRequest); ok && r.Quiesce && r.To == 3 {
				c.network = append(c.network[:i:i], c.network[i+1:]...)
			}
		}
		return l.core.quiesced
	})
	term := l.core.Term()
	c.advance(5 * time.Second)
	if l.core.Term() != term || l.core.Role() != Leader {
		t.Fatalf("%v of term %d, want the leader of %d still", l.core.Role(), l.core.Term(), term)
	}
}

// TestWhoMayNotCampaignAsksASilentLeader starts members of a silent group anew, which know less of the commit index than their logs have. A voter's request for
// votes wakes the leader; a learner, and a voter whose disk lost entries, have to ask in another way, or know nothing until somebody else has work.
func TestWhoMayNotCampaignAsksASilentLeader(t *testing.T) {
	quiesce := func(cfg *Config) { cfg.QuiesceAfter = 200 * time.Millisecond }
	silent := func(t *testing.T) (*cluster, *member) {
		c := newCluster(t, 3, quiesce)
		l := c.elect(1)
		c.add(4, Configuration{}, quiesce)
		c.change(l, Change{Set: []Member{{ID: 4, Learner: true}}})
		for _, data := range []string{"x", "y", "z"} {
			c.propose(l, data)
		}
		c.until("all have it, and fall silent", func() bool {
			for _, m := range c.members {
				if m.core.commit != l.core.LastIndex() || m.core.Deadline() != NoDeadline {
					return false
				}
			}
			return true
		})
		return c, l
	}
	for _, tc := range []struct {
		name string
		id   MemberID
		lost []IndexRange
	}{
		{name: "learner", id: 4},
		{name: "voter whose disk lost entries", id: 3, lost: []IndexRange{{From: 4, To: 5}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, l := silent(t)
			m, term := c.member(tc.id), l.core.Term()
			c.crash(m)
			m.stable.faulty = tc.lost
			c.start(m, 0)
			if ok, _ := m.core.mayLead(); ok || m.core.commit == l.core.commit {
				t.Fatalf("it may campaign (%v), or knows %d of %d already: nothing is tested", ok, m.core.commit, l.core.commit)
			}
			c.until("it knows what is committed", func() bool {
				return m.core.commit == l.core.commit && len(m.state) == len(l.state) && !m.core.Faulty()
			})
			c.until("all fall silent", func() bool { return m.core.Deadline() == NoDeadline && l.core.Deadline() == NoDeadline })
			if l.core.Role() != Leader || l.core.Term() != term {
				t.Errorf("%v of term %d, want the leader of %d still", l.core.Role(), l.core.Term(), term)
			}
		})
	}
	t.Run("removed", func(t *testing.T) {
		c, l := silent(t)
		c.change(l, Change{Remove: []MemberID{4}})
		m := c.member(4)
		c.until("it has heard, and the others fall silent", func() bool {
			_, in := m.core.Configuration().Find(4)
			return !in && l.core.Deadline() == NoDeadline
		})
		c.crash(m)
		c.start(m, 0)
		c.advance(5 * time.Second)
		if l.core.Deadline() != NoDeadline || m.core.Deadline() != NoDeadline {
			t.Error("who is no member any more keeps the group awake")
		}
	})
}

// TestWhoWasRemovedUnheardDeposesNobody: a member that was down when it was removed comes back to a silent group without pre-votes, and asks a follower for its vote again and
// again. The follower wakes, and has to wake the leader, too: else it waits in vain for a heartbeat, and holds an election for nothing.
func TestWhoWasRemovedUnheardDeposesNobody(t *testing.T) {
	for _, without := range []bool{false, true} {
		c := newCluster(t, 4, func(cfg *Config) { cfg.QuiesceAfter, cfg.DisablePreVote = 200*time.Millisecond, without && cfg.ID != 4 })
		l := c.elect(1)
		c.propose(l, "x")
		gone := c.member(4)
		c.until("it has heard of the others", func() bool { return gone.core.commit == l.core.commit })
		c.crash(gone)
		c.change(l, Change{Remove: []MemberID{4}})
		c.until("the others fall silent", func() bool { return l.core.Deadline() == NoDeadline })
		term := l.core.Term()
		c.cutLink(4, 1) // The leader does not hear it itself.
		c.start(gone, 0)
		c.advance(5 * time.Second)
		if l.core.Term() != term || l.core.Role() != Leader {
			t.Errorf("pre-votes off: %v: %v of term %d, want the leader of %d still", without, l.core.Role(), l.core.Term(), term)
		}
	}
}

func TestFlowControl(t *testing.T) {
	a := oneWith(t, func(cfg *Config) {
		cfg.MaxMessageBytes, cfg.MaxInflightMessages, cfg.MaxInflightBytes, cfg.MaxUncommittedBytes = 100, 3, 1000, 1000
	}, 3, 1)
	a.lead()
	a.receive(&AppendReply{Header: head(2, 2), Match: 1, Round: 1})
	p := a.leading.peer(2)
	data := make([]byte, 60)
	var batch []Proposal
	for range 10 {
		batch = append(batch, Proposal{Kind: EntryCommand, Data: data})
	}
	if _, _, err := a.Propose(batch); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range a.take() {
		if r, ok := m.(*AppendRequest); ok && r.To == 2 && len(r.Entries) > 0 {
			n++
			if len(r.Entries) != 1 {
				t.Fatalf("%d entries of 92 bytes in a message of 100", len(r.Entries))
			}
		}
	}
	if n != 3 || p.inflight.count != 3 || p.next != 5 {
		t.Fatalf("%d messages, %d in flight, next %d: want 3, 3, 5", n, p.inflight.count, p.next)
	}
	// Acknowledging one makes room for one.
	r := only[*AppendRequest](t, a.receive(&AppendReply{Header: head(2, 2), Match: 2, Round: 1}))
	if r.Entries[0].Index != 5 || p.inflight.count != 3 {
		t.Fatalf("sends %d, %d in flight", r.Entries[0].Index, p.inflight.count)
	}
	if _, _, err := a.Propose(batch); err != ErrOverloaded {
		t.Fatalf("%v, want ErrOverloaded with %d bytes uncommitted", err, a.leading.uncommitted)
	}
	for match := Index(3); match <= 11; match++ {
		a.receive(&AppendReply{Header: head(2, 2), Match: match, Round: 1})
	}
	if a.leading.uncommitted != 0 {
		t.Fatalf("%d bytes uncommitted after all is committed", a.leading.uncommitted)
	}
	if _, _, err := a.Propose(batch); err != nil {
		t.Fatal(err)
	}
}

// TestBytesInFlightAreBounded: a message that does not fit waits until enough is acknowledged, and one that never would goes alone.
func TestBytesInFlightAreBounded(t *testing.T) {
	a := oneWith(t, func(cfg *Config) { cfg.MaxMessageBytes, cfg.MaxInflightBytes = 100, 250 }, 3, 1)
	a.lead()
	a.receive(&AppendReply{Header: head(2, 2), Match: 1, Round: 1})
	p := a.leading.peer(2)
	propose := func(sizes ...int) (messages int) {
		t.Helper()
		for _, size := range sizes {
			if _, _, err := a.Propose([]Proposal{{Kind: EntryCommand, Data: make([]byte, size-EntryOverhead)}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range a.take() {
			if r, ok := m.(*AppendRequest); ok && r.To == 2 && len(r.Entries) > 0 {
				messages++
			}
		}
		return messages
	}
	if n := propose(90, 90, 90, 1000); n != 2 || p.inflight.bytes != 180 {
		t.Fatalf("%d messages of 90 bytes are on their way, %d bytes: want 2 of 250", n, p.inflight.bytes)
	}
	a.receive(&AppendReply{Header: head(2, 2), Match: 2, Round: 1})
	if p.inflight.bytes != 180 || p.next != 5 {
		t.Fatalf("%d bytes are on their way after one was acknowledged, next %d: want 180, 5", p.inflight.bytes, p.next)
	}
	a.receive(&AppendReply{Header: head(2, 2), Match: 3, Round: 1})
	if p.next != 5 {
		t.Fatalf("an entry of 1000 bytes is on its way with others, next %d", p.next)
	}
	if a.receive(&AppendReply{Header: head(2, 2), Match: 4, Round: 1}); p.inflight.bytes != 1000 || p.next != 6 {
		t.Fatalf("%d bytes are on their way, next %d: want the large entry alone", p.inflight.bytes, p.next)
	}
	// What is read back from the log counts at its most.
	a.log.first = a.log.last + 1
	p.next, p.inflight = 2, inflight{}
	p.inflight.add(1, 151)
	if out := a.Take(); len(out.Fetches) != 0 {
		t.Fatalf("%v is fetched with 151 of 250 bytes on their way", out.Fetches)
	}
	p.inflight.acknowledged(1)
	p.inflight.add(1, 150)
	if out := a.Take(); len(out.Fetches) != 1 {
		t.Fatal("nothing is fetched with 150 of 250 bytes on their way")
	}
}
