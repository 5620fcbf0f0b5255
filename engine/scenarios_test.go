package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// Scenarios in which engines around Raft were wrong before, each named after what has to hold. Hosts are stepped by hand: nothing happens but
// what a scenario lets happen.

// stage is some hosts, each on a disk in memory, and the messages between them.
type stage struct {
	t       *testing.T
	now     time.Duration
	hosts   []*stepped
	mail    []Envelope
	options func(*Options)
	// lose drops a message, twice delivers it twice, watch sees it.
	lose, twice func(Envelope) bool
	watch       func(Envelope)
}

// stepped is one host: member id of group 1.
type stepped struct {
	stage   *stage
	id      raft.MemberID
	fs      *wal.MemFS
	host    *Host
	group   *Group
	machine StateMachine
	// heldSync keeps the disk at work.
	heldSync, syncing bool
	life              uint64
}

func (s *stepped) Send(envelopes []Envelope) {
	for _, e := range envelopes {
		e.From = addressOf(s.id)
		s.stage.mail = append(s.stage.mail, e)
	}
}

func newStage(t *testing.T, n int, machine func() StateMachine, options func(*Options)) *stage {
	s := &stage{t: t, options: options}
	for id := raft.MemberID(1); id <= raft.MemberID(n); id++ {
		h := &stepped{stage: s, id: id, fs: wal.NewMemFS(), machine: machine()}
		s.hosts = append(s.hosts, h)
	}
	for _, h := range s.hosts {
		h.start()
	}
	return s
}

func (s *stepped) start() {
	t := s.stage.t
	t.Helper()
	log, err := wal.Open(wal.Options{FS: s.fs, Dir: "wal", SegmentBytes: 64 << 10, Incarnation: uint64(s.id)})
	if err != nil {
		t.Fatal(err)
	}
	s.life++
	o := Options{Log: log, FS: s.fs, SnapshotDir: "snap", Network: s, Address: addressOf(s.id), Epoch: s.life, Seed: uint64(s.id), Check: true}
	if s.stage.options != nil {
		s.stage.options(&o)
	}
	if s.host, err = NewHost(o, nil); err != nil {
		t.Fatal(err)
	}
	var first raft.Configuration
	for _, h := range s.stage.hosts {
		first.Members = append(first.Members, raft.Member{ID: h.id, Address: addressOf(h.id)})
	}
	if s.group, err = s.host.Start(StartOptions{Group: 1, Self: s.id, Bootstrap: first, Machine: s.machine}); err != nil {
		t.Fatal(err)
	}
}

// crash ends the process and loses what was not synced.
func (s *stepped) crash() {
	s.host, s.group, s.syncing = nil, nil, false
	s.fs.Crash(rand.New(rand.NewPCG(uint64(s.id), s.life)))
}

// run lets everything happen that can happen at this moment.
func (s *stage) run() {
	for again := true; again; {
		again = false
		for _, h := range s.hosts {
			if h.host == nil {
				continue
			}
			h.host.Turn(s.now)
			switch {
			case h.syncing || h.heldSync:
				if h.heldSync && !h.syncing {
					h.syncing = h.host.BeginSync()
				}
			default:
				again = h.host.Sync() || again
			}
			again = h.host.Apply() || again
			again = h.host.Background() || again
		}
		mail := s.mail
		s.mail = nil
		for _, e := range mail {
			again = s.deliver(e) || again
		}
	}
}

func (s *stage) deliver(e Envelope) bool {
	if s.watch != nil {
		s.watch(e)
	}
	if s.lose != nil && s.lose(e) {
		return false
	}
	for _, h := range s.hosts {
		if addressOf(h.id) == e.To && h.host != nil {
			h.host.Deliver([]Envelope{e})
			if s.twice != nil && s.twice(e) {
				h.host.Deliver([]Envelope{e})
			}
		}
	}
	return true
}

// pass lets time pass, in small steps.
func (s *stage) pass(d time.Duration) {
	for end := s.now + d; s.now < end; {
		s.now += 5 * time.Millisecond
		s.run()
	}
}

// until lets time pass until something holds, a minute at most.
func (s *stage) until(what string, holds func() bool) {
	s.t.Helper()
	for end := s.now + time.Minute; !holds(); s.pass(5 * time.Millisecond) {
		if s.now > end {
			s.t.Fatalf("not within a minute: %s", what)
		}
	}
}

func (s *stage) leader() *stepped {
	for _, h := range s.hosts {
		if h.host != nil && h.group.core.Role() == raft.Leader && h.group.core.Commit() > 0 {
			return h
		}
	}
	return nil
}

// elect waits for a leader that everybody knows, and returns it and two others.
func (s *stage) elect() (leader, a, b *stepped) {
	s.t.Helper()
	s.until("a leader that all know", func() bool {
		l := s.leader()
		return l != nil && !slices.ContainsFunc(s.hosts, func(h *stepped) bool { return h.group.core.Leader() != l.id })
	})
	leader = s.leader()
	for _, h := range s.hosts {
		switch {
		case h == leader:
		case a == nil:
			a = h
		default:
			b = h
		}
	}
	return leader, a, b
}

func newAdder() StateMachine { return &adder{} }

// Jepsen, jetcd 0.8.2: a request that arrived twice was applied twice.
func TestAForwardedRequestThatArrivesTwiceIsAppliedOnce(t *testing.T) {
	s := newStage(t, 3, newAdder, nil)
	_, follower, _ := s.elect()
	forwards := 0
	s.twice = func(e Envelope) bool {
		_, is := e.Message.(*ForwardRequest)
		if is {
			forwards++
		}
		return is
	}
	var answered []error
	for i := range uint64(5) {
		follower.group.ProposeAsync(number(i), func(_ Result, err error) { answered = append(answered, err) })
		s.pass(50 * time.Millisecond)
	}
	s.until("all requests are answered", func() bool { return len(answered) == 5 })
	s.pass(time.Second)
	if forwards != 5 {
		t.Fatalf("%d requests were forwarded, want 5", forwards)
	}
	for _, h := range s.hosts {
		if n := h.machine.(*adder).n; n != 5 {
			t.Errorf("member %d has applied %d commands, want 5", h.id, n)
		}
	}
}

// Whoever invents names does not make a leader remember all of them, and who is known is served all the same, as are members that come later.
func TestInventedForwardersAreNotRemembered(t *testing.T) {
	s := newStepper(t, 3, nil)
	leader := s.startAll()
	var code ForwardCode
	s.seen = func(e Envelope) {
		if m, ok := e.Message.(*ForwardReply); ok {
			code = m.Code
		}
	}
	forward := func(address string, from raft.MemberID, id uint64) ForwardCode {
		code = 0
		leader.post(func() {
			data := text(int(id), 20)
			leader.receiveForward(address, &ForwardRequest{
				Header: raft.Header{From: from, To: 1, Term: leader.core.Term()}, ID: id, Op: ForwardProposal, Sum: raft.Sum(data), Data: data,
			})
		})
		s.settle()
		return code
	}
	for i := range maxForwardersOfHost + 10 {
		want := ForwardAccepted
		if i >= maxForwardersOfHost {
			want = ForwardOverloaded
		}
		if got := forward("elsewhere:1", raft.MemberID(100+i), 1); got != want {
			t.Fatalf("invented name %d is answered %v, want %v", i, got, want)
		}
	}
	for i := 0; len(leader.forwarded) < maxForwarders; i++ {
		forward(fmt.Sprintf("elsewhere:%d", 2+i/maxForwardersOfHost), raft.MemberID(100+i%maxForwardersOfHost), 1)
	}
	if got := forward("nowhere:1", 100, 1); got != ForwardOverloaded || len(leader.forwarded) != maxForwarders {
		t.Errorf("one more is answered %v, and %d are remembered, at most %d should be", got, len(leader.forwarded), maxForwarders)
	}
	if got := forward("elsewhere:1", 100, 2); got != ForwardAccepted {
		t.Errorf("one that is known is answered %v", got)
	}
	if got := forward(addressOf(2), 2, 1); got != ForwardAccepted {
		t.Errorf("a member is answered %v", got)
	}
	if got := forward(addressOf(2), 2, 1); got != ForwardIndeterminate {
		t.Errorf("a copy of that is answered %v", got)
	}
	if got := forward("elsewhere:99", 2, 1); got != ForwardOverloaded {
		t.Errorf("somebody else under its name is answered %v", got)
	}
}

// Figure 8 seen by a client: an entry that was overwritten here may still come back from another member's log.
func TestACommandWhoseEntryWasOverwrittenIsNotTriedAgain(t *testing.T) {
	var w waiters
	outcomes := make(chan outcome, 1)
	w.add(5, 1, []*call{{then: func(o outcome) { outcomes <- o }}})
	w.add(5, 3, []*call{{then: func(outcome) {}}})
	if o := <-outcomes; o.retry || !errors.Is(o.err, ErrIndeterminate) {
		t.Errorf("it is answered with %v, retry %v: its outcome is not known", o.err, o.retry)
	}
}

// A leader that does not answer may have done what it was asked.
func TestAForwardWithoutAnAnswerIsNotTriedAgain(t *testing.T) {
	s := newStage(t, 3, newAdder, nil)
	leader, follower, _ := s.elect()
	s.lose = func(e Envelope) bool { _, is := e.Message.(*ForwardReply); return is }
	var got error
	answers := 0
	follower.group.ProposeAsync(number(7), func(_ Result, err error) { got, answers = err, answers+1 })
	s.pass(20 * time.Millisecond)
	follower.host.Disconnected(addressOf(leader.id))
	s.pass(time.Second)
	if answers != 1 || !errors.Is(got, ErrIndeterminate) {
		t.Errorf("%d answers, the last %v: want one that says that the outcome is unknown", answers, got)
	}
	if n := leader.machine.(*adder).n; n != 1 {
		t.Errorf("the command was applied %d times", n)
	}
}

// Two disks under one identity are reached at one address: what the one that does not lead says of a request says nothing of a copy that the leader served.
// The request was tried again, and refused in the end, though it had been applied.
func TestARefusalOfAnotherDiskDoesNotCount(t *testing.T) {
	s := newStage(t, 3, newAdder, nil)
	leader, follower, _ := s.elect()
	s.lose = func(e Envelope) bool {
		if r, is := e.Message.(*ForwardReply); is {
			r.Incarnation, r.Code = r.Incarnation+1, ForwardNotLeader
		}
		return false
	}
	var got error
	answers := 0
	follower.group.ProposeAsync(number(7), func(_ Result, err error) { got, answers = err, answers+1 })
	s.pass(time.Second)
	if answers != 1 || !errors.Is(got, ErrIndeterminate) {
		t.Errorf("%d answers, the last %v: want one that says that the outcome is unknown", answers, got)
	}
	if n := leader.machine.(*adder).n; n != 1 {
		t.Errorf("the command was applied %d times", n)
	}
}

// hashicorp/raft #212: the log was compacted faster than a snapshot was sent, so that every snapshot was followed by the next.
func TestTheLogKeepsWhatFollowsASnapshotThatIsOnItsWay(t *testing.T) {
	s := newStage(t, 3, newAdder, func(o *Options) { o.CompactEntries, o.KeepEntries, o.CompactBytes = 10, 1, 1<<20 })
	leader, other, away := s.elect()
	s.lose = func(e Envelope) bool { return e.To == addressOf(away.id) || e.From == addressOf(away.id) }
	proposed := func(n int) {
		for range n {
			leader.group.ProposeAsync(number(1), func(Result, error) {})
			s.pass(5 * time.Millisecond)
		}
	}
	proposed(60)
	s.pass(time.Second) // The one that is away counts as gone.
	proposed(60)
	if first := leader.group.core.FirstIndex(); first < 60 {
		t.Fatalf("the log begins at %d: it was to be compacted", first)
	}
	// It is back, but what it is sent of the snapshot takes long, while the leader's log grows.
	snapshots := map[raft.Index]bool{}
	slow := true
	s.lose = func(e Envelope) bool {
		if c, is := e.Message.(*SnapshotChunk); is {
			snapshots[c.Meta.Index] = true
			return slow
		}
		return false
	}
	s.until("a snapshot is sent", func() bool { return len(snapshots) > 0 })
	proposed(100)
	slow = false
	s.until("the member that was away has everything", func() bool {
		return away.group.AppliedIndex() == leader.group.AppliedIndex() && leader.group.AppliedIndex() >= 200
	})
	if len(snapshots) != 1 {
		t.Errorf("it took %d snapshots: the log was compacted beyond the first", len(snapshots))
	}
	if first := leader.group.core.FirstIndex(); other.group.AppliedIndex() < first {
		t.Errorf("the log begins at %d", first)
	}
}

// keeper is a machine that keeps its state itself, and remembers every index it was given.
type keeper struct {
	adder
	seen    []raft.Index
	durable raft.Index
}

func (k *keeper) Apply(entries []Entry) []Result {
	for i := range entries {
		k.seen = append(k.seen, entries[i].Index)
	}
	return k.adder.Apply(entries)
}

func (k *keeper) DurableIndex() raft.Index { return k.durable }

func (k *keeper) Flush() error {
	if n := len(k.seen); n > 0 {
		k.durable = k.seen[n-1]
	}
	return nil
}

// etcd #13766: after a crash the applied index was not the state's, and entries were applied again.
func TestADurableMachineGoesOnExactlyWhereItsStateIs(t *testing.T) {
	s := newStage(t, 1, func() StateMachine { return &keeper{} }, nil)
	s.until("a leader", func() bool { return s.leader() != nil })
	h := s.hosts[0]
	k := h.machine.(*keeper)
	propose := func(n int) {
		for range n {
			h.group.ProposeAsync(number(1), func(Result, error) {})
			s.pass(5 * time.Millisecond)
		}
	}
	propose(5)
	if err := k.Flush(); err != nil {
		t.Fatal(err)
	}
	propose(3)
	// The process ends. What comes back is the state as it was flushed, and the log.
	h.crash()
	kept := k.seen[:slices.Index(k.seen, k.durable)+1]
	after := &keeper{seen: slices.Clone(kept), durable: k.durable}
	h.machine = after
	h.start()
	s.until("a leader again", func() bool { return s.leader() != nil })
	propose(2)
	s.pass(time.Second)
	if !slices.Equal(after.seen[:len(k.seen)], k.seen) || len(after.seen) != 10 {
		t.Errorf("after the restart the machine has seen %v, and before it had seen %v", after.seen, k.seen)
	}
}

// hashicorp/raft #503: a leader whose disk was stuck went on with its heartbeats, and nobody could take over.
func TestALeaderWhoseDiskIsStuckStepsDown(t *testing.T) {
	s := newStage(t, 3, newAdder, nil)
	leader, other, _ := s.elect()
	leader.heldSync = true
	leader.group.ProposeAsync(number(1), func(Result, error) {})
	s.pass(10 * time.Millisecond)
	if !leader.syncing {
		t.Fatal("the disk has nothing to do")
	}
	s.until("another leads", func() bool { l := s.leader(); return l != nil && l != leader })
	done := false
	other.group.ProposeAsync(number(2), func(_ Result, err error) { done = err == nil })
	s.until("the group takes commands again", func() bool { return done })
}

// What a member says of its disk is true when it says it: a crash at any moment takes nothing back.
func TestWhatAMemberSaysSurvivesACrashRightAfter(t *testing.T) {
	for moment := range 60 {
		s := newStage(t, 3, newAdder, nil)
		var leader *stepped
		acknowledged := map[raft.MemberID]raft.Index{}
		terms := map[raft.MemberID]raft.Term{}
		s.watch = func(e Envelope) {
			h := e.Message.Head()
			if r, is := e.Message.(*raft.AppendReply); is {
				acknowledged[h.From] = max(acknowledged[h.From], r.Match)
			}
			switch e.Message.(type) {
			case *raft.PreVoteRequest, *raft.PreVoteReply: // They speak of a term that may come.
			default:
				terms[h.From] = max(terms[h.From], h.Term)
			}
		}
		if leader, _, _ = s.elect(); leader == nil {
			t.Fatal("no leader")
		}
		leader.group.ProposeAsync(number(1), func(Result, error) {})
		for step := range moment {
			h := s.hosts[step%3]
			switch step / 3 % 4 {
			case 0, 2:
				h.host.Turn(s.now)
			case 1:
				h.host.Sync()
			case 3:
				mail := s.mail
				s.mail = nil
				for _, e := range mail {
					s.deliver(e)
				}
			}
		}
		for _, e := range s.mail {
			s.watch(e)
		}
		for _, h := range s.hosts {
			h.crash()
			log, err := wal.Open(wal.Options{FS: h.fs, Dir: "wal", SegmentBytes: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			state, _ := log.State(1)
			if state.LastIndex < acknowledged[h.id] || state.HardState.Term < terms[h.id] {
				t.Fatalf("moment %d: member %d has acknowledged %d and shown term %d, and has %d in term %d", moment, h.id, acknowledged[h.id], terms[h.id],
					state.LastIndex, state.HardState.Term)
			}
		}
	}
}

// A request that is lost on its way to the leader, and of whose loss nobody is told, once waited until its caller gave up, and was kept after that.
func TestAForwardThatIsLostSilentlyEnds(t *testing.T) {
	s := newStage(t, 3, newAdder, nil)
	_, follower, _ := s.elect()
	s.lose = func(e Envelope) bool { _, is := e.Message.(*ForwardRequest); return is }
	var answers []error
	follower.group.ProposeAsync(number(1), func(_ Result, err error) { answers = append(answers, err) })
	s.until("it is answered", func() bool { return len(answers) == 1 })
	if !errors.Is(answers[0], ErrIndeterminate) {
		t.Errorf("it is answered with %v: nobody knows whether it happened", answers[0])
	}
	given := follower.group.ProposeAsync(number(2), func(_ Result, err error) { answers = append(answers, err) })
	s.pass(20 * time.Millisecond)
	given.Cancel(context.Canceled)
	if load := follower.group.Load(); len(answers) != 2 || load.Calls != 1 {
		t.Errorf("the caller of %+v has given up, with answers %v", load, answers)
	}
	s.pass(200 * time.Millisecond)
	if load := follower.group.Load(); load != (Load{}) {
		t.Errorf("what nobody waits for is kept: %+v", load)
	}
}

// Of several requests that a leader took and could not replicate, all but the first once had an unknown outcome or, if the first was given up, waited for as
// long as nobody else wrote anything: what took the place of the first was the new leader's beginning, and nothing came after it. But terms ascend along
// the log, so that beginning says of all of them that they will never happen.
func TestRequestsThatLostTheirPlaceDoNotWaitForOthers(t *testing.T) {
	s := newStage(t, 3, newAdder, nil)
	old, _, _ := s.elect()
	s.lose = func(e Envelope) bool { return e.To == addressOf(old.id) || e.From == addressOf(old.id) }
	var answers []error
	for range 5 {
		old.group.ProposeAsync(number(1), func(_ Result, err error) { answers = append(answers, err) })
	}
	s.pass(5 * time.Millisecond)
	s.until("another leader", func() bool {
		l := s.leader()
		return l != nil && l != old && l.group.core.Term() > old.group.core.Term()
	})
	s.pass(100 * time.Millisecond)
	s.lose = nil
	s.until("all requests are answered", func() bool { return len(answers) == 5 })
	for _, err := range answers {
		if err != nil {
			t.Errorf("answers %v: none had happened, and all could be tried again", answers)
			break
		}
	}
	s.pass(100 * time.Millisecond)
	for _, h := range s.hosts {
		if n := h.machine.(*adder).n; n != 5 {
			t.Errorf("member %d has applied %d commands, want 5", h.id, n)
		}
	}
}

// A group that has fallen silent does not notice by itself that its leader is gone, and where nobody is told that a connection broke, a request that was passed on
// to that leader was once the last anybody did: it, and all requests after it, had no answer for as long as nobody asked for a read.
func TestAChangeAskedOfASilentGroupFindsThatItsLeaderIsGone(t *testing.T) {
	s := newStage(t, 3, newAdder, func(o *Options) { o.Raft.QuiesceAfter = 100 * time.Millisecond })
	old, follower, _ := s.elect()
	s.until("the group is silent", func() bool {
		for _, h := range s.hosts {
			if !h.group.core.Status().Quiesced {
				return false
			}
		}
		return true
	})
	s.lose = func(e Envelope) bool { return e.To == addressOf(old.id) || e.From == addressOf(old.id) }
	follower.group.ProposeAsync(number(1), func(Result, error) {})
	s.until("another leader", func() bool {
		l := s.leader()
		return l != nil && l != old && l.group.core.Term() > old.group.core.Term()
	})
}

// A member whose disk was stuck while a snapshot was to take its log's place cut that log again and again, turn after turn, since its core forgot nothing: all of a processor, and
// a record for each time in what was to be written.
func TestALogThatASnapshotReplacesIsNotCut(t *testing.T) {
	s := newStepper(t, 3, func(o *Options) { o.CompactBytes, o.KeepEntries = 2<<10, 200 })
	leader := s.startAll()
	behind := s.hosts[2]
	g := behind.Group(1)
	proposed := func(n int) {
		for range n {
			propose(leader, text(1, 200))
			s.pass(5 * time.Millisecond)
		}
	}
	// It gets entries that it has not applied, and is cut off until the leader's log begins after them.
	behind.noApply = true
	proposed(30)
	s.drop = cut(3)
	s.pass(time.Second)
	proposed(200)
	if first, last := leader.core.FirstIndex(), g.core.LastIndex(); first <= last+1 {
		t.Fatalf("the leader's log begins at %d, that of the member ends at %d", first, last)
	}
	// Then it is sent a snapshot, and its disk is stuck from when it would take it over.
	s.drop = nil
	behind.noSync = true
	s.until("a snapshot is to take its log's place", g.core.Installing)
	behind.noApply = false
	s.pass(time.Second)
	if g.AppliedIndex() < 30 {
		t.Fatalf("it has applied %d entries", g.AppliedIndex())
	}
	if !g.core.Installing() {
		t.Fatal("the snapshot has taken its log's place already")
	}
	behind.noSync = false
	s.until("it has everything", func() bool { return g.AppliedIndex() == leader.AppliedIndex() })
}
