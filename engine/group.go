package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// Group is this host's member of one Raft group. Its exported methods may be called from any goroutine.
type Group struct {
	id      raft.GroupID
	self    raft.MemberID
	host    *Host
	worker  *worker
	machine StateMachine
	durable DurableStateMachine // the machine again, when it is one; else nil

	// box is what came in since the last turn; guarded by worker.mu. queued says that the worker knows.
	box    inbox
	queued bool

	// What follows is the turn's alone.
	core      *raft.Core
	spare     inbox
	deadline  time.Duration
	heapIndex int // place in the worker's timer heap, -1 if none
	addresses map[raft.MemberID]string
	routes    map[raft.MemberID]string // where members that the configuration does not know (yet) wrote from
	held      []*call                  // proposals that wait for a leader
	forwards  map[uint64]*forward
	forwarded map[forwarder]uint64 // the highest id a host has forwarded to us
	bornTerm  raft.Term            // the term in which this life of the member began
	begun     bool                 // the core knows the time
	reads     readRounds
	transfers map[raft.MemberID]*transfer
	receiving *receiving
	compact   compaction
	lastSeq   uint64
	role      raft.Role
	// leaderDisk is the incarnation of the disk with which the leader of this term was heard.
	leaderDisk uint64
	// suspect is a leader whose host hung up. What it might not get is held until it is heard again, or another one leads.
	suspect raft.MemberID
	dropped bool // the last turn was given
	// belongs says that the configuration in force has the member, belonged that one had, removed that it was and is no more.
	belongs, belonged, removed bool

	// Shared with the other stages.
	pendingBytes atomic.Int64
	leader       atomic.Pointer[leadership]
	commit       atomic.Uint64
	applied      atomic.Uint64
	syncedSeq    atomic.Uint64
	closed       atomic.Bool
	failure      atomic.Pointer[error] // why the group stopped by itself
	awaitsSync   atomic.Bool           // as of the last turn, something may follow when a write is durable
	settled      atomic.Uint64         // as of the last turn, what acknowledges entries up to this index can wait for the next one
	leans        atomic.Bool           // on another host's connection: something is forwarded there, or the group is silent
	done         chan struct{}
	waiting      waiters
	apply        applyQueue
	// captured is a state of the machine that waits to be written, one at a time. Who takes it out closes it: the job that writes it, or who ends the group.
	captured atomic.Pointer[SnapshotWriter]
	// beside is held for reading while the machine is used beside Apply, and only as long as the group is not closed; who ends the group waits for that.
	beside sync.RWMutex
	// removal is written by the last turn, behind all that the group has written.
	removal atomic.Pointer[persist]
	// written is closed when the group is, and all that it has written is durable.
	written chan struct{}
}

// leadership is who leads in which term; changed is closed when that is no longer so.
type leadership struct {
	leader  raft.MemberID
	term    raft.Term
	self    bool
	address string // of the leader's host
	changed chan struct{}
}

// inbox is what happened to a group between two turns.
type inbox struct {
	calls     []*call
	reads     []*readCall
	envelopes []Envelope
	bytes     int64
	funcs     []func()
}

func (b *inbox) reset() {
	clear(b.calls)
	clear(b.reads)
	clear(b.envelopes)
	clear(b.funcs)
	b.calls, b.reads, b.envelopes, b.funcs, b.bytes = b.calls[:0], b.reads[:0], b.envelopes[:0], b.funcs[:0], 0
}

// restoreGroup brings a group back from the log and its machine or snapshot, or founds it.
func restoreGroup(h *Host, o StartOptions) (*Group, error) {
	if o.Self == raft.NoMember {
		return nil, errors.New("the member needs an id other than 0")
	}
	if o.Machine == nil {
		return nil, errors.New("the group needs a state machine")
	}
	state, known := h.options.Log.State(o.Group)
	if !known {
		state = wal.GroupState{Snapshot: raft.SnapshotMeta{Configuration: o.Bootstrap.Clone()}}
		h.disk.enqueue([]persist{{batch: wal.Batch{Group: o.Group, Snapshot: &state.Snapshot}}})
	}
	if is := holder(state, h.options.Log.Incarnation()); is != raft.NoMember && is != o.Self {
		return nil, fmt.Errorf("this directory holds the group as member %d, not %d: start it as that one, or take the directory of member %d", is, o.Self, o.Self)
	}
	g := &Group{
		id: o.Group, self: o.Self, host: h, machine: o.Machine,
		worker:    h.workers[uint64(o.Group)%uint64(len(h.workers))],
		heapIndex: -1,
		addresses: map[raft.MemberID]string{}, routes: map[raft.MemberID]string{},
		forwards: map[uint64]*forward{}, forwarded: map[forwarder]uint64{}, transfers: map[raft.MemberID]*transfer{},
		done: make(chan struct{}), written: make(chan struct{}),
	}
	g.apply.idle = make(chan struct{})
	g.durable, _ = o.Machine.(DurableStateMachine)
	g.reads.batches = map[uint64][]*readCall{}
	g.compact.grown = math.MaxUint64 / 2 // the log may be as long as any
	applied, err := g.restoreMachine(state)
	if err != nil {
		return nil, err
	}
	cfg := h.options.Raft
	cfg.ID = o.Self
	cfg.Incarnation = h.options.Log.Incarnation()
	cfg.Seed = h.options.Seed ^ uint64(o.Group)*0x9e3779b97f4a7c15 ^ uint64(o.Self)*0xbf58476d1ce4e5b9
	g.core, err = raft.New(cfg, raft.Restored{
		HardState: state.HardState, Snapshot: state.Snapshot, LastIndex: state.LastIndex, Terms: state.Terms,
		Configurations: state.Configurations, Faulty: state.Faulty, Applied: applied,
	}, 0)
	if err != nil {
		return nil, err
	}
	g.bornTerm = state.HardState.Term
	g.applied.Store(uint64(applied))
	g.commit.Store(uint64(applied))
	g.leader.Store(&leadership{term: state.HardState.Term, changed: make(chan struct{})})
	g.belonged = named(state.Snapshot.Configuration, o.Self) || slices.ContainsFunc(state.Configurations, func(at raft.ConfigurationAt) bool {
		return named(at.Configuration, o.Self)
	})
	g.learnAddresses()
	return g, nil
}

// holder is the member whose log this is: the one for which the group has recorded the log's incarnation. NoMember if it has not, or the member was removed.
func holder(state wal.GroupState, incarnation uint64) raft.MemberID {
	latest := state.Snapshot.Configuration
	if n := len(state.Configurations); n > 0 {
		latest = state.Configurations[n-1].Configuration
	}
	for i := range latest.Members {
		if latest.Members[i].Incarnation == incarnation {
			return latest.Members[i].ID
		}
	}
	return raft.NoMember
}

// named tells whether a configuration has a member, in either half.
func named(c raft.Configuration, id raft.MemberID) bool {
	is := func(m raft.Member) bool { return m.ID == id }
	return slices.ContainsFunc(c.Members, is) || slices.ContainsFunc(c.Outgoing, is)
}

// restoreMachine brings the machine to a state the log can go on from and returns the index of that state.
func (g *Group) restoreMachine(state wal.GroupState) (raft.Index, error) {
	var have raft.Index
	if g.durable != nil {
		have = g.durable.DurableIndex()
		if have >= state.Snapshot.Index {
			if have > state.LastIndex {
				return 0, fmt.Errorf("the state machine has applied up to %d, but the log ends at %d: the log's files are older than the machine's, or were removed. "+
					"Remove this member's whole data directory and add it to the group anew", have, state.LastIndex)
			}
			return have, nil
		}
	}
	var at raft.Index
	meta, found, err := g.host.store.restore(g.id, func(m raft.SnapshotMeta) bool {
		at = m.Index
		return m.Index >= state.Snapshot.Index && m.Index <= state.LastIndex && termAt(state, m.Index) == m.Term
	}, state.Snapshot.Index == 0, g.machine.Restore)
	switch {
	case err != nil:
		return 0, fmt.Errorf("restore the state machine from the snapshot at %d: %w", at, err)
	case !found && state.Snapshot.Index == 0:
		return 0, nil
	case !found:
		return 0, fmt.Errorf("the log begins after index %d, but the snapshot of it is missing or damaged: restore the file, or remove this member's whole data "+
			"directory and add it to the group anew", state.Snapshot.Index)
	}
	g.compact.snapshotIndex = meta.Index
	return meta.Index, nil
}

// termAt returns the term of the entry at index i, as recovered.
func termAt(state wal.GroupState, i raft.Index) raft.Term {
	if i == state.Snapshot.Index {
		return state.Snapshot.Term
	}
	var term raft.Term
	for _, run := range state.Terms {
		if run.First > i {
			break
		}
		term = run.Term
	}
	return term
}

// ID is the group's.
func (g *Group) ID() raft.GroupID { return g.id }

// Self is the id of this host's member.
func (g *Group) Self() raft.MemberID { return g.self }

// Machine is what the group was started with. The group calls it from its own goroutines: whoever else uses it has to agree with it.
func (g *Group) Machine() StateMachine { return g.machine }

// Leader returns the leader this member knows, raft.NoMember if none, and the term. It does not wait.
func (g *Group) Leader() (raft.MemberID, raft.Term) {
	l := g.leader.Load()
	return l.leader, l.term
}

// LeaderChange returns what Leader does and a channel that is closed when the answer is no longer true.
func (g *Group) LeaderChange() (raft.MemberID, raft.Term, <-chan struct{}) {
	l := g.leader.Load()
	return l.leader, l.term, l.changed
}

// CommitIndex and AppliedIndex are those of this member, as of its last turn.
func (g *Group) CommitIndex() raft.Index { return raft.Index(g.commit.Load()) }

// AppliedIndex is the index of the last entry that the machine has applied.
func (g *Group) AppliedIndex() raft.Index { return raft.Index(g.applied.Load()) }

// Done is closed when the group ends on this host: when it is stopped, its host is closed, or either fails. A member that was removed goes on, idle, until
// then, since it may be added again; its requests end in ErrRemoved.
func (g *Group) Done() <-chan struct{} { return g.done }

// touch makes the worker look at the group in its next turn.
func (g *Group) touch() {
	w := g.worker
	w.mu.Lock()
	g.enqueueLocked()
	w.release()
}

// enqueueLocked puts the group on the worker's list; worker.mu is held, and is to be given back by release.
func (g *Group) enqueueLocked() {
	if !g.queued {
		g.queued = true
		g.worker.queue = append(g.worker.queue, g)
	}
}

// post has f run within the group's next turn.
func (g *Group) post(f func()) {
	w := g.worker
	w.mu.Lock()
	g.box.funcs = append(g.box.funcs, f)
	g.enqueueLocked()
	w.release()
}

// maxInboxBytes bounds what peers can make a group hold between two turns; beyond it messages are dropped, as on a bad network.
const maxInboxBytes = 128 << 20

// deliverLocked puts what a peer sent into the inbox; worker.mu is held.
func (g *Group) deliverLocked(e *Envelope) {
	size := messageBytes(e.Message)
	if g.box.bytes+size > maxInboxBytes {
		return
	}
	g.box.bytes += size
	g.box.envelopes = append(g.box.envelopes, *e)
	if !g.canWait(e.Message) {
		g.enqueueLocked()
	}
}

// canWait tells whether a message may lie in the inbox until the group has a turn for something else: a leader has one for its next heartbeat at the latest.
func (g *Group) canWait(m raft.Message) bool {
	reply, ok := m.(*raft.AppendReply)
	return ok && !reply.Rejected && reply.PrevIndex == 0 && uint64(reply.Match) <= g.settled.Load() && reply.Term <= g.leader.Load().term
}

// messageBytes is about what a message holds on to in memory.
func messageBytes(m raft.Message) int64 {
	switch m := m.(type) {
	case *raft.AppendRequest:
		size := int64(128)
		for i := range m.Entries {
			size += int64(m.Entries[i].Size())
		}
		return size
	case *ForwardRequest:
		return int64(len(m.Data)) + 128
	case *SnapshotChunk:
		return int64(len(m.Data)) + 128
	default:
		return 128
	}
}

// close ends the group: whoever waits is answered, and no further turn touches the core.
func (g *Group) close() {
	if !g.closed.CompareAndSwap(false, true) {
		return
	}
	close(g.done)
	g.waiting.failAll(ErrIndeterminate)
	g.apply.close()
	g.touch()
}

// fail stops the group for good: its machine cannot go on. The host, and its other groups, do.
func (g *Group) fail(cause error) {
	err := fmt.Errorf("%w: group %d: %w", ErrStopped, g.id, cause)
	g.failure.CompareAndSwap(nil, &err)
	g.host.options.Logger.Error("group stops", "group", uint64(g.id), "error", cause)
	g.close()
}

// Err says why the group stopped by itself, or had to with its host; nil while it runs, also as a member
// that was removed, and when it was stopped as asked.
func (g *Group) Err() error {
	if err := g.host.Err(); err != nil {
		return err
	}
	if p := g.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Status is a copy of what a member knows, for people and for tests.
type Status struct {
	raft.Status
	Group raft.GroupID
	// LogBytes is how much of the log on disk is this group's.
	LogBytes uint64
	// Unapplied is how many committed entries the machine has not applied yet.
	Unapplied uint64
	// SnapshotIndex is that of the newest snapshot this member has written or received, 0 if none.
	SnapshotIndex raft.Index
}

// Status waits for the group's next turn and returns what it finds then; ErrClosed if there is none.
func (g *Group) Status() (Status, error) {
	var s Status
	err := g.inTurn(func() { s = g.status() })
	return s, err
}

func (g *Group) status() Status {
	s := Status{Status: g.core.Status(), Group: g.id, LogBytes: g.host.options.Log.Bytes(g.id), SnapshotIndex: g.compact.snapshotIndex}
	s.Applied = g.AppliedIndex()
	s.Unapplied = uint64(s.Commit) - min(uint64(s.Commit), uint64(s.Applied))
	return s
}

// inTurn runs f within a turn and waits for it.
func (g *Group) inTurn(f func()) error {
	ran := make(chan struct{})
	var once sync.Once
	g.post(func() { f(); once.Do(func() { close(ran) }) })
	select {
	case <-ran:
		return nil
	case <-g.done:
		return g.closeReason()
	}
}

func (g *Group) closeReason() error {
	if err := g.Err(); err != nil {
		return err
	}
	return ErrClosed
}
