package engine

import (
	"container/heap"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// worker gives the groups it owns their turns. One goroutine at a time calls turn.
type worker struct {
	host   *Host
	number int
	shortcut

	mu      sync.Mutex
	queue   []*Group            // groups whose inbox is not empty, each once, in order of arrival
	woken   bool                // a turn is on its way for them
	stopped bool                // the last turn is about to be given: no more calls come in
	groups  map[*Group]struct{} // the worker's, from their start to the turn that drops them

	// The turn's own.
	spare     []*Group
	due       []*Group
	now       time.Duration
	timers    timerHeap
	envelopes []Envelope
	persists  []persist
	proposals []raft.Proposal
}

// release gives the lock back, and sees to it that a turn comes if a group waits for one. The first that was put on an empty list has woken the worker already:
// until it takes the list nobody else has to. A nil worker has no lock.
func (w *worker) release() { w.releaseFor(false) }

// releaseFor is release; if what came in is little, the turn may come at once, on this goroutine.
func (w *worker) releaseFor(little bool) {
	if w == nil {
		return
	}
	wake := len(w.queue) > 0 && !w.woken
	w.woken = w.woken || wake
	w.mu.Unlock()
	if wake && !(little && w.atOnce()) {
		w.host.notify(StageTurn, w.number)
	}
}

// stop gives the last turn, which answers all who still wait: every group that was not dropped yet is closed and has its turn, also one that somebody else
// is closing just now and has not touched yet, and no calls come in any more.
func (w *worker) stop(clock Clock) {
	w.mu.Lock()
	w.stopped = true
	left := slices.Collect(maps.Keys(w.groups))
	w.mu.Unlock()
	for _, g := range left {
		g.close()
		g.touch()
	}
	w.turn(clock)
}

// turn drains the inboxes, serves the groups that have input or whose deadline has come, hands out what they want done, and returns
// when the next deadline is. All groups share one send and one hand-over to the disk: that is what makes many groups cheap.
//
// The clock is read after the inboxes are drained: a message may not seem to have come before it did, or leases and stickiness would not hold.
func (w *worker) turn(clock Clock) time.Duration {
	w.mu.Lock()
	run := w.queue
	w.queue, w.woken = w.spare[:0], false
	for _, g := range run {
		g.box, g.spare = g.spare, g.box
		g.queued = false
	}
	w.mu.Unlock()
	w.soothe(run)
	w.now = max(w.now, clock())

	for _, g := range run {
		g.serve()
	}
	w.serveDue(clock)
	// The network first: followers write to their disks while this host writes to its own (thesis §10.2.1).
	if len(w.envelopes) > 0 {
		w.send(w.envelopes)
		clear(w.envelopes)
		w.envelopes = w.envelopes[:0]
	}
	if len(w.persists) > 0 {
		w.host.disk.enqueue(w.persists)
		clear(w.persists)
		w.persists = w.persists[:0]
	}
	clear(run)
	w.spare = run[:0]
	if len(w.timers) == 0 {
		return math.MaxInt64
	}
	return w.timers[0].deadline
}

// serveDue serves the groups whose deadline has come. Something may lie in their inboxes that could wait until now, and the clock is read after that, too.
func (w *worker) serveDue(clock Clock) {
	for len(w.timers) > 0 && w.timers[0].deadline <= w.now {
		w.due = append(w.due, heap.Pop(&w.timers).(*Group)) // its turn puts it back, to a later place
	}
	if len(w.due) == 0 {
		return
	}
	w.mu.Lock()
	for _, g := range w.due {
		g.box, g.spare = g.spare, g.box
	}
	w.mu.Unlock()
	w.now = max(w.now, clock())
	for _, g := range w.due {
		g.serve()
	}
	clear(w.due)
	w.due = w.due[:0]
}

// serve is one group's turn: first the clock, then what is durable, then peers, then clients, so that clients find the newest role.
func (g *Group) serve() {
	w, box := g.worker, &g.spare
	if g.closed.Load() {
		g.drop()
		return
	}
	if !g.begun {
		// The host's clock may have run for long: what the member promised not to do for a while after its start, it may not do now.
		g.begun = true
		g.core.Begin(w.now)
	}
	g.core.Tick(w.now)
	if seq := g.syncedSeq.Load(); seq > g.lastSeq {
		g.lastSeq = seq
		g.core.Synced(seq)
	}
	g.core.Applied(g.AppliedIndex())
	g.watchDisk()
	for i := range box.envelopes {
		g.receive(&box.envelopes[i])
	}
	for _, f := range box.funcs {
		f()
	}
	g.propose(box.calls)
	g.read(box.reads)
	box.reset()
	g.advance()
}

// advance carries out what the core wants until it wants nothing more, and sets the timer.
func (g *Group) advance() {
	for {
		out := g.core.Take()
		if g.host.options.Check {
			if err := g.core.Check(); err != nil {
				panic(err)
			}
		}
		g.handOut(&out)
		if !g.core.HasOutput() {
			break
		}
	}
	g.noticeRemoval()
	g.driveTransfers()
	g.expire()
	g.maybeCompact()
	at := min(g.core.Deadline(), g.ownDeadline())
	g.reads.underWay.Store(len(g.reads.batches) > 0)
	g.awaitSync()
	g.settle()
	g.leans.Store(len(g.forwards) > 0 || at == math.MaxInt64)
	g.setDeadline(at)
}

// awaitSync tells the disk whether the group needs a turn when its writes are durable. If one became so meanwhile, the disk may not have known.
func (g *Group) awaitSync() {
	awaits := g.core.AwaitsSync()
	if awaits != g.awaitsSync.Load() {
		g.awaitsSync.Store(awaits)
	}
	if awaits && g.syncedSeq.Load() > g.lastSeq {
		g.touch()
	}
}

// settle tells whoever delivers which acknowledgements can wait. What waits already may have to wait no more.
func (g *Group) settle() {
	settled, was := uint64(g.core.Settled()), g.settled.Load()
	if settled == was {
		return
	}
	g.settled.Store(settled)
	if settled < was {
		w := g.worker
		w.mu.Lock()
		if len(g.box.envelopes) > 0 {
			g.enqueueLocked()
		}
		w.release()
	}
}

// handOut passes one Output on: messages to the network, writes to the disk, committed entries to the applier.
func (g *Group) handOut(out *raft.Output) {
	w := g.worker
	g.observe(out.Events)
	for _, m := range out.Messages {
		g.send(m)
	}
	if out.Install != nil {
		g.install(out)
	} else if out.Persist() {
		w.persists = append(w.persists, persist{
			group: g, seq: out.Seq,
			batch: wal.Batch{Group: g.id, HardState: out.HardState, Entries: out.Entries},
			after: g.address(out.AfterSync),
		})
	} else if len(out.AfterSync) > 0 {
		w.persists = append(w.persists, persist{group: g, seq: out.Seq, after: g.address(out.AfterSync)})
	}
	if n := len(out.Committed); n > 0 {
		g.commit.Store(uint64(out.Committed[n-1].Index))
		for i := range out.Committed {
			g.compact.grown += out.Committed[i].Size()
		}
		g.apply.push(g, applyTask{entries: out.Committed})
	} else if out.CommittedTo >= out.CommittedFrom && out.CommittedTo != 0 {
		g.commit.Store(uint64(out.CommittedTo))
		g.compact.grown = math.MaxUint64 / 2 // however much that is
		g.apply.push(g, applyTask{from: out.CommittedFrom, to: out.CommittedTo})
	}
	for _, r := range out.Reads {
		g.settleRead(r)
	}
	for _, f := range out.Fetches {
		g.fetch(f)
	}
	for _, to := range out.SendSnapshots {
		g.startTransfer(to)
	}
}

// observe follows the core's events as far as the engine has to know them.
func (g *Group) observe(events []raft.Event) {
	if len(events) == 0 {
		g.updateLeader()
		return
	}
	if f := g.host.options.Observe; f != nil {
		f(g.id, g.self, events)
	}
	for i := range events {
		switch events[i].Kind {
		case raft.EventConfiguration, raft.EventTruncated, raft.EventSnapshotInstalled:
			g.learnAddresses()
		}
	}
	g.updateLeader()
}

// updateLeader publishes a change of leader or term, and moves what waited for one.
func (g *Group) updateLeader() {
	leader, term, role := g.core.Leader(), g.core.Term(), g.core.Role()
	old := g.leader.Load()
	if old.leader == leader && old.term == term && role == g.role {
		return
	}
	g.role = role
	g.suspect = raft.NoMember
	g.leader.Store(&leadership{leader: leader, term: term, self: role == raft.Leader, address: g.addressOf(leader), changed: make(chan struct{})})
	close(old.changed)
	g.host.options.Logger.Debug("leadership", "group", uint64(g.id), "leader", uint64(leader), "term", uint64(term), "role", role.String())
	if leader != raft.NoMember {
		g.leaderFound()
	}
}

// learnAddresses takes the members' addresses from the configuration in force. The way to those that are in it no more is kept, since they are to be told.
func (g *Group) learnAddresses() {
	if len(g.routes)+len(g.addresses) > maxRoutes {
		clear(g.routes) // They are learned again from what comes.
	}
	maps.Copy(g.routes, g.addresses)
	clear(g.addresses)
	cfg := g.core.Configuration()
	for _, list := range [][]raft.Member{cfg.Outgoing, cfg.Members} {
		for i := range list {
			g.addresses[list[i].ID] = list[i].Address
			delete(g.routes, list[i].ID)
		}
	}
	_, g.belongs = g.addresses[g.self]
	g.belonged = g.belonged || g.belongs
}

// noticeRemoval looks whether the member was removed from the group: the configuration without it is committed. A member that has yet to be added is not. What
// waits here would wait for ever, as nobody sends to it any more.
func (g *Group) noticeRemoval() {
	if g.belongs || !g.belonged {
		g.removed = false
		return
	}
	if inForce, committed := g.core.ConfigurationIndexes(); g.removed || inForce != committed {
		return
	}
	g.removed = true
	g.host.options.Logger.Info("this member was removed from its group", "group", uint64(g.id), "member", uint64(g.self))
	// What the change itself is waiting for comes with the commit, or came before.
	g.waiting.failBehind(g.core.Commit(), fmt.Errorf("%w: %w", ErrIndeterminate, ErrRemoved))
	g.reads.failAll(ErrRemoved)
}

// addressOf says where a member is reached: as the configuration says, else where it last wrote from, or was as a member.
func (g *Group) addressOf(id raft.MemberID) string {
	if a, ok := g.addresses[id]; ok {
		return a
	}
	return g.routes[id]
}

// send puts a message among those that leave at the end of this turn.
func (g *Group) send(m raft.Message) {
	if to := g.addressOf(m.Head().To); to != "" {
		g.worker.envelopes = append(g.worker.envelopes, Envelope{Group: g.id, To: to, Message: m})
	}
}

// address resolves where messages go while the configuration that they were made under is known.
func (g *Group) address(messages []raft.Message) []Envelope {
	if len(messages) == 0 {
		return nil
	}
	envelopes := make([]Envelope, 0, len(messages))
	for _, m := range messages {
		if to := g.addressOf(m.Head().To); to != "" {
			envelopes = append(envelopes, Envelope{Group: g.id, To: to, Message: m})
		}
	}
	return envelopes
}

// maxRoutes is about how many members outside the configuration a group remembers the way to.
const maxRoutes = 256

// receive sorts a peer's message: the core's kinds go to the core, the engine's own are handled here.
func (g *Group) receive(e *Envelope) {
	head := e.Message.Head()
	if head.To != g.self {
		return // meant for an earlier member on this host
	}
	if _, known := g.addresses[head.From]; !known && e.From != "" && len(g.routes) < maxRoutes {
		g.routes[head.From] = e.From
	}
	switch m := e.Message.(type) {
	case *ForwardRequest:
		g.receiveForward(e.From, m)
	case *ForwardReply:
		g.receiveForwardReply(m)
	case *SnapshotChunk:
		g.receiveChunk(m)
	case *SnapshotAck:
		g.receiveAck(m)
	case *raft.InstallSnapshot:
		// Only this host's own staging may announce a snapshot: its body has to be here (see receiveChunk).
	default:
		if head.From == g.suspect {
			g.suspect = raft.NoMember
		}
		g.core.Receive(m)
		if _, leads := m.(*raft.AppendRequest); leads && head.From == g.core.Leader() && head.Term == g.core.Term() {
			g.leaderDisk = head.Incarnation // of one term there is one leader, and so one disk
		}
	}
}

// disconnected hears that a host hung up.
func (g *Group) disconnected(address string) {
	g.failForwards(func(f *forward) bool { return f.address == address })
	if leader := g.core.Leader(); leader != g.self && leader != raft.NoMember && g.addressOf(leader) == address {
		g.suspect = leader
		g.core.Wake() // a leader that had fallen silent has to be heard again
	}
}

// knownLeader is the leader of this term, unless its host hung up and it was not heard since.
func (g *Group) knownLeader() raft.MemberID {
	if leader := g.core.Leader(); leader != g.suspect {
		return leader
	}
	return raft.NoMember
}

// watchDisk makes a leader give up when this host's disk has been stuck for long: it cannot do its own part any more, and as long as it
// sends heartbeats nobody else will.
func (g *Group) watchDisk() {
	if g.role == raft.Leader && g.host.disk.stuck(g.worker.now) > g.host.options.DiskStallTimeout {
		g.core.StepDown("the disk of the leader is stuck: its log cannot grow")
	}
}

// drop is the last turn of a closed group; more of them may follow.
func (g *Group) drop() {
	err := g.closeReason()
	for _, c := range append(g.held, g.spare.calls...) {
		c.finish(outcome{err: err})
	}
	g.held = nil
	for _, r := range g.spare.reads {
		r.finish(err)
	}
	g.failForwards(func(*forward) bool { return true })
	g.reads.failAll(err)
	g.dropTransfers()
	g.dropCaptured()
	if p := g.removal.Swap(nil); p != nil {
		g.worker.persists = append(g.worker.persists, *p)
	}
	if !g.dropped {
		g.dropped = true
		g.host.behind(g.abandonReceiving)
		g.worker.persists = append(g.worker.persists, persist{group: g, then: func() { g.host.hasWritten(g) }})
	}
	g.spare.reset()
	g.worker.mu.Lock()
	delete(g.worker.groups, g)
	g.worker.mu.Unlock()
	g.setDeadline(math.MaxInt64)
}

// setDeadline moves the group to its place among the worker's timers.
func (g *Group) setDeadline(at time.Duration) {
	w := g.worker
	if at != math.MaxInt64 {
		at = max(at, w.now+1) // what is due now was served just now
	}
	g.deadline = at
	switch {
	case at == math.MaxInt64 && g.heapIndex >= 0:
		heap.Remove(&w.timers, g.heapIndex)
	case at == math.MaxInt64:
	case g.heapIndex < 0:
		heap.Push(&w.timers, g)
	default:
		heap.Fix(&w.timers, g.heapIndex)
	}
}

// timerHeap is a container/heap of groups by deadline.
type timerHeap []*Group

func (t timerHeap) Len() int           { return len(t) }
func (t timerHeap) Less(i, j int) bool { return t[i].deadline < t[j].deadline }
func (t timerHeap) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].heapIndex, t[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (t *timerHeap) Push(x any) {
	g := x.(*Group)
	g.heapIndex = len(*t)
	*t = append(*t, g)
}

// Pop implements heap.Interface.
func (t *timerHeap) Pop() any {
	last := len(*t) - 1
	g := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	g.heapIndex = -1
	return g
}
