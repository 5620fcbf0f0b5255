package engine

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// sharesMemory says whether two pieces of data are the same bytes, and not only equal ones.
func sharesMemory(a, b []byte) bool { return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] }

// Thesis §10.2.1: the entries are on their way to the followers before the leader's disk has them, and two followers are a majority without it.
func TestALeaderReplicatesWhileItsOwnDiskWrites(t *testing.T) {
	s := newStepper(t, 3, nil)
	leader := s.startAll()
	before, applied := leader.CommitIndex(), len(s.hosts[0].machines[1].commands)
	s.hosts[0].noSync = true
	done := propose(leader, text(1, 100))
	sent := map[string]int{}
	s.seen = func(e Envelope) {
		if m, ok := e.Message.(*raft.AppendRequest); ok {
			sent[e.To] += len(m.Entries)
		}
	}
	s.hosts[0].Turn(s.now)
	if sent[addressOf(2)] != 1 || sent[addressOf(3)] != 1 {
		t.Fatalf("after the turn, and before any fsync of the leader's, these entries were sent: %v", sent)
	}
	s.settle()
	status, err := leader.statusStepped(s)
	if err != nil || status.Commit != before+1 {
		t.Errorf("with two durable copies the commit index is %d (%v), want %d", status.Commit, err, before+1)
	}
	if status.Durable > before {
		t.Fatalf("the leader takes index %d for durable, though its disk did nothing", status.Durable)
	}
	if *done != nil || len(s.hosts[0].machines[1].commands) != applied {
		t.Error("the leader's machine is ahead of the leader's log")
	}
	s.hosts[0].noSync = false
	s.settle()
	if *done == nil || (*done).err != nil {
		t.Errorf("after its own fsync: %v", *done)
	}
}

// statusStepped is Status for who calls the stages himself.
func (g *Group) statusStepped(s *stepper) (status Status, err error) {
	err = ErrClosed
	g.post(func() { status, err = g.status(), nil })
	g.host.Turn(s.now)
	return status, err
}

// Whatever was queued while one fsync ran goes into the next one: the writes of all groups, and of several turns.
func TestOneFsyncServesAllGroupsAndTurns(t *testing.T) {
	s := newStepper(t, 1, nil)
	const groups = 20
	for id := raft.GroupID(1); id <= groups; id++ {
		g := s.start(1, id)
		g.post(func() { g.core.Campaign() })
	}
	h := s.hosts[0]
	s.until("all groups have leaders", func() bool {
		for _, g := range h.Groups() {
			if !g.isLeader() {
				return false
			}
		}
		return true
	})
	syncs := h.options.Log.Syncs()
	if h.Sync() {
		t.Fatal("something is left to write")
	}
	var answers []**answer
	for range 3 {
		for _, g := range h.Groups() {
			answers = append(answers, propose(g, text(1, 50)))
		}
		h.Turn(s.now)
	}
	h.Sync()
	if n := h.options.Log.Syncs() - syncs; n != 1 {
		t.Errorf("%d writes of %d groups in 3 turns took %d fsyncs", len(answers), groups, n)
	}
	s.settle()
	for i, a := range answers {
		if *a == nil || (*a).err != nil {
			t.Fatalf("write %d: %v", i, *a)
		}
	}
}

// The bytes that a client handed over are those in the leader's log, in the messages, and in what the machine gets; those that a follower
// received are those that it writes and applies. None is copied in order to encode it.
func TestAnEntryIsTheSameBytesFromTheClientToTheMachine(t *testing.T) {
	s := newStepper(t, 3, nil)
	leader := s.startAll()
	data := text(7, 300)
	var sent []raft.Entry
	s.seen = func(e Envelope) {
		if m, ok := e.Message.(*raft.AppendRequest); ok {
			sent = append(sent, m.Entries...)
		}
	}
	done := propose(leader, data)
	s.settle()
	if *done == nil || (*done).err != nil || len(sent) < 2 {
		t.Fatalf("%v, %d entries sent", *done, len(sent))
	}
	for _, e := range sent {
		if !sharesMemory(e.Data, data) || e.Sum != raft.Sum(data) {
			t.Errorf("the entry in a message has bytes of its own, or another checksum: %08x", e.Sum)
		}
	}
	for i, h := range s.hosts {
		commands := h.machines[1].commands
		if last := commands[len(commands)-1]; !sharesMemory(last, data) {
			t.Errorf("the machine of member %d got a copy", i+1)
		}
		at := h.Group(1).CommitIndex()
		entries, err := h.options.Log.Entries(1, at, at+1, 1<<20)
		if err != nil || len(entries) != 1 || !bytes.Equal(entries[0].Data, data) || entries[0].Sum != raft.Sum(data) {
			t.Errorf("the log of member %d has %v (%v)", i+1, entries, err)
		}
	}
}

func TestAMachineThatStallsDelaysNoHeartbeat(t *testing.T) {
	s := newStepper(t, 3, nil)
	leader := s.startAll()
	_, term := leader.Leader()
	s.hosts[0].noApply = true
	done := propose(leader, text(1, 50))
	s.pass(5 * time.Second)
	for i, h := range s.hosts {
		if id, now := h.Group(1).Leader(); id != 1 || now != term {
			t.Errorf("for member %d member %d leads term %d, and it was member 1 and term %d", i+1, id, now, term)
		}
	}
	if *done != nil {
		t.Errorf("answered before it was applied: %v", *done)
	}
	s.hosts[0].noApply = false
	s.settle()
	if *done == nil || (*done).err != nil {
		t.Errorf("once the machine goes on: %v", *done)
	}
}

// Thesis §6.4: while a round is on its way, all reads that come in share the next one.
func TestReadsThatWaitShareARound(t *testing.T) {
	s := newStepper(t, 3, nil)
	leader := s.startAll()
	s.settle()
	rounds := map[uint64]bool{}
	s.seen = func(e Envelope) {
		if m, ok := e.Message.(*raft.AppendRequest); ok {
			rounds[m.Round] = true
		}
	}
	answered := 0
	for range 100 {
		leader.ReadBarrierAsync(func(err error) {
			if err == nil {
				answered++
			}
		})
		s.hosts[0].Turn(s.now) // each read in a turn of its own
	}
	if len(rounds) != 1 {
		t.Errorf("while the first round is on its way there are %d", len(rounds))
	}
	s.settle()
	if answered != 100 || len(rounds) > 2*2 { // a round may take one message number for each follower
		t.Errorf("%d reads were answered by %d messages' numbers", answered, len(rounds))
	}
}

// Nobody is told of an error, or kept waiting, because a leader died: what had not left this host waits for the next leader.
func TestWhatWaitsForALeaderIsProposedToTheNextOne(t *testing.T) {
	s := newStepper(t, 3, nil)
	s.startAll()
	follower := s.hosts[1].Group(1)

	// This one is on its way to the leader when the leader dies: nobody knows whether it got there.
	s.hosts[0].noTurn = true
	s.drop = cut(1)
	underWay := propose(follower, text(1, 50))
	s.settle()
	if *underWay != nil {
		t.Fatalf("answered before anything is known: %v", *underWay)
	}
	// The connections break, which is what the death of a process does. The next one is held.
	for _, h := range s.hosts[1:] {
		h.Disconnected(addressOf(1))
	}
	s.settle()
	if *underWay == nil || !errors.Is((*underWay).err, ErrIndeterminate) {
		t.Errorf("what was on its way is answered %v", *underWay)
	}
	held, began := propose(follower, text(2, 50)), s.now
	s.settle()
	if *held != nil {
		t.Fatalf("what need not go to a dead leader is answered %v", *held)
	}
	s.until("the next leader takes what was held", func() bool { return *held != nil })
	if (*held).err != nil {
		t.Errorf("what was held is answered %v", (*held).err)
	}
	if took := s.now - began; took > 2*follower.host.options.Raft.ElectionTimeoutMax {
		t.Errorf("without its leader the group took %v", took)
	}
}

// Clients that give up and come back, again and again, do not fill the memory of a member that has no leader.
func TestWhatNobodyWaitsForIsNotHeld(t *testing.T) {
	s := newStepper(t, 3, nil)
	s.start(1, 1)
	alone := s.hosts[0].Group(1)
	for range 100 {
		var err error
		p := alone.ProposeAsync(text(1, 50), func(_ Result, e error) { err = e })
		s.settle()
		p.Cancel(context.DeadlineExceeded)
		if !errors.Is(err, ErrNoLeader) || errors.Is(err, ErrIndeterminate) {
			t.Fatalf("without a leader: %v", err)
		}
	}
	s.pass(time.Second)
	if n := len(alone.held); n > 0 {
		t.Errorf("%d requests are held for nobody", n)
	}
}

func TestALeaderWhoseDiskIsStuckLetsAnotherLead(t *testing.T) {
	s := newStepper(t, 3, nil)
	leader := s.startAll()
	propose(leader, text(1, 50))
	h := s.hosts[0]
	h.Turn(s.now)
	if !h.BeginSync() { // and it does not end
		t.Fatal("there is nothing to write")
	}
	h.noSync = true
	s.until("another one leads", func() bool {
		id, _ := s.hosts[1].Group(1).Leader()
		return id != raft.NoMember && id != 1
	})
	h.EndSync()
	h.noSync = false
	s.pass(time.Second)
	if id, _ := leader.Leader(); id == 1 || id == raft.NoMember {
		t.Errorf("when its disk is back, member 1 takes member %d for the leader", id)
	}
}

// lossy loses a follower's entries but not its heartbeats: it can be reached, and lags.
func lossy(to raft.MemberID) func(Envelope) bool {
	return func(e Envelope) bool {
		m, ok := e.Message.(*raft.AppendRequest)
		return ok && e.To == addressOf(to) && len(m.Entries) > 0
	}
}

func TestTheLogIsKeptForTheSlowestMemberThatCanBeReached(t *testing.T) {
	const bound = 64 << 10
	s := newStepper(t, 3, func(o *Options) { o.CompactBytes, o.KeepEntries = bound, 10 })
	leader := s.startAll()
	write := func(bytes int) {
		for n := range bytes / 1000 {
			propose(leader, text(n, 1000))
			s.settle()
		}
		s.pass(time.Second)
	}
	first := func() raft.Index {
		status, err := leader.statusStepped(s)
		if err != nil {
			t.Fatal(err)
		}
		return status.First
	}
	s.drop = lossy(3)
	behind := leader.CommitIndex()
	write(4 * bound)
	if at := first(); at > behind+1 {
		t.Errorf("the log begins at %d, and member 3, which answers, has it up to %d", at, behind)
	}
	// A member that nobody hears keeps nothing.
	s.drop = cut(3)
	s.pass(2 * time.Second)
	write(bound / 4)
	if at := first(); at <= behind+1 {
		t.Errorf("the log begins at %d because of a member that is gone", at)
	}
	if size := s.hosts[0].options.Log.Bytes(1); size > bound+bound/2 {
		t.Errorf("the log has %d bytes, and its bound is %d", size, bound)
	}
	// It comes back, behind all of that.
	s.drop = nil
	s.until("member 3 catches up", func() bool {
		return bytes.Equal(s.hosts[2].machines[1].bytes(), s.hosts[0].machines[1].bytes())
	})
}

// A machine that does not understand a snapshot is one group's trouble: the others on the host go on.
func TestAMachineThatRefusesASnapshotStopsItsGroupAlone(t *testing.T) {
	s := newStepper(t, 3, func(o *Options) { o.CompactBytes, o.KeepEntries = 16<<10, 1 })
	leader := s.startAll()
	for id := raft.MemberID(1); id <= 3; id++ {
		s.start(id, 2)
	}
	other := s.hosts[0].Group(2)
	other.post(func() { other.core.Campaign() })
	s.until("member 1 leads group 2", func() bool { return other.isLeader() && other.CommitIndex() > 0 })

	s.drop = cut(3)
	s.pass(2 * time.Second)
	for n := range 100 {
		propose(leader, text(n, 1000))
		s.settle()
	}
	s.pass(time.Second)
	broken := errors.New("not a state of mine")
	s.hosts[2].machines[1].refuse = broken
	s.drop = nil
	lost, lives := s.hosts[2].Group(1), s.hosts[2].Group(2)
	s.until("group 1 stops on host 3", func() bool { return lost.closed.Load() })
	if err := lost.Err(); !errors.Is(err, broken) || !errors.Is(err, ErrStopped) {
		t.Errorf("the group says %v", err)
	}
	if a := propose(lost, text(1, 10)); *a == nil || !errors.Is((*a).err, broken) {
		t.Errorf("a proposal there is answered with %v", *a)
	}
	if err := s.hosts[2].Err(); err != nil {
		t.Errorf("the host stops: %v", err)
	}
	a := propose(lives, text(1, 10))
	s.until("group 2 goes on there", func() bool { return *a != nil })
	if (*a).err != nil {
		t.Errorf("a proposal to the other group: %v", (*a).err)
	}
	// What stopped can be started again, from the log and the snapshot that are here.
	if err := s.hosts[2].Stop(1); err != nil {
		t.Fatal(err)
	}
	s.start(3, 1)
	s.until("it catches up", func() bool { return bytes.Equal(s.hosts[2].machines[1].bytes(), s.hosts[0].machines[1].bytes()) })
}

// A member that answers and never catches up does not fill the leader's disk: far beyond its bound the log is cut all the same.
func TestALogFarBeyondItsBoundIsCutAllTheSame(t *testing.T) {
	const bound = 16 << 10
	s := newStepper(t, 3, func(o *Options) { o.CompactBytes, o.KeepEntries = bound, 10 })
	leader := s.startAll()
	s.drop = lossy(3)
	most := uint64(0)
	for n := range 20 * bound / 1000 {
		propose(leader, text(n, 1000))
		s.pass(10 * time.Millisecond)
		most = max(most, s.hosts[0].options.Log.Bytes(1))
	}
	if most < 4*bound || most > 10*bound {
		t.Errorf("the log grew to %d bytes, and its bound is %d", most, bound)
	}
}

// A transfer that broke goes on where it broke, though the receiver was restarted: what it had staged is on its disk.
func TestABrokenTransferOfASnapshotIsResumed(t *testing.T) {
	s := newStepper(t, 3, func(o *Options) { o.CompactBytes, o.KeepEntries = 4<<20, 1 })
	leader := s.startAll()
	s.drop = cut(3)
	for n := range 16 {
		propose(leader, text(n, 1<<20))
		s.pass(10 * time.Millisecond)
	}
	s.pass(20 * time.Second) // what was on its way while the machine grew is given up for the newest snapshot
	want := s.hosts[0].machines[1].bytes()

	var sent, end, body int64
	s.seen = func(e Envelope) {
		if m, ok := e.Message.(*SnapshotChunk); ok {
			sent, end, body = sent+int64(len(m.Data)), max(end, m.Offset), m.Size
		}
	}
	s.drop = func(e Envelope) bool {
		m, ok := e.Message.(*SnapshotChunk)
		return ok && m.Offset >= m.Size/2
	}
	s.until("half of the body is there", func() bool { return body > 0 && end >= body/2 })
	if body < 6*snapshotWindow {
		t.Fatalf("the body has only %d bytes", body)
	}

	// The receiver's process ends, and starts again on the same disk.
	s.drop = cut(3)
	s.hosts[2].Close()
	s.flight = nil
	s.open(3)
	s.start(3, 1)
	s.pass(20 * time.Second) // the leader gives the transfer up
	sent = 0
	s.drop = nil
	s.until("the rest arrives", func() bool { return bytes.Equal(s.hosts[2].machines[1].bytes(), want) })
	if sent < body/3 || sent > body/2+2*snapshotWindow {
		t.Errorf("of a body of %d bytes, half of which had arrived, %d were sent again", body, sent)
	}
}

// A piece that was damaged on its way, or on the receiver's disk, is found by its sums, and a body that was resumed upon it begins anew.
func TestADamagedPieceOfASnapshotIsNotInstalled(t *testing.T) {
	s := newStepper(t, 3, func(o *Options) { o.CompactBytes, o.KeepEntries = 16<<10, 1 })
	leader := s.startAll()
	s.drop = cut(3)
	for n := range 8 {
		propose(leader, text(n, 256<<10))
		s.pass(10 * time.Millisecond)
	}
	s.pass(2 * time.Second)
	damaged := 0
	s.drop = func(e Envelope) bool {
		m, ok := e.Message.(*SnapshotChunk)
		if !ok || damaged >= 3 || m.Offset == 0 {
			return false
		}
		damaged++
		bad := *m
		bad.Data = bytes.Clone(m.Data)
		bad.Data[len(bad.Data)/2] ^= 1
		s.hosts[2].Deliver([]Envelope{{Group: e.Group, To: e.To, From: e.From, Message: &bad}})
		return true
	}
	s.until("the snapshot arrives", func() bool {
		return bytes.Equal(s.hosts[2].machines[1].bytes(), s.hosts[0].machines[1].bytes())
	})
	if damaged != 3 {
		t.Errorf("%d pieces were damaged", damaged)
	}
}
