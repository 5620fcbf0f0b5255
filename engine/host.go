package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// Options are what a Host is made with. Log, FS, SnapshotDir, Network and Address are required.
type Options struct {
	// Log is the host's write-ahead log; the host owns it from then on, and closes it.
	Log *wal.Log
	// FS and SnapshotDir say where snapshots are kept. The directory is made if missing.
	FS          wal.FS
	SnapshotDir string
	Network     Network
	// Address is by what name peers reach this host.
	Address string
	// Epoch is larger at every start of this host than at all starts before: milliseconds of wall time, say. It keeps the ids of forwarded requests ascending.
	Epoch uint64
	// Seed makes the election timeouts.
	Seed uint64
	// Workers is how many turns may run in parallel; a group belongs to one of them. 1 by default.
	Workers int
	// Timing and limits of every group's core; ID, Incarnation and Seed are filled in.
	Raft raft.Config

	// MaxCommandBytes bounds one command: 8 MiB by default.
	MaxCommandBytes int
	// MaxPendingBytes bounds what waits in one group's inbox: 64 MiB by default.
	MaxPendingBytes int64
	// CompactBytes is how large a group's log may grow before it is compacted: 64 MiB by default. CompactEntries is the same
	// in entries; 0 means no such bound.
	CompactBytes   uint64
	CompactEntries uint64
	// KeepEntries are left in the log behind the applied index when it is compacted, so that a member that was away for a moment needs no snapshot: 5,000 by default.
	KeepEntries uint64
	// DiskStallTimeout is how long one fsync may take before the leaders of this host step down: 10 election timeouts by default.
	DiskStallTimeout time.Duration

	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
	// Observe, if set, is called within the turn with a group's events; it must be quick, must not call the group, and may not keep the slice.
	Observe func(group raft.GroupID, member raft.MemberID, events []raft.Event)
	// Check runs the core's invariants after every turn and panics on a violation: for tests and simulations.
	Check bool
}

func (o *Options) setDefaults() error {
	switch {
	case o.Log == nil || o.FS == nil || o.Network == nil:
		return errors.New("balsa: engine options need a log, a file system and a network")
	case o.Address == "" || o.SnapshotDir == "":
		return errors.New("balsa: engine options need an address and a snapshot directory")
	case o.Workers < 0 || o.MaxCommandBytes < 0 || o.MaxPendingBytes < 0:
		return errors.New("balsa: engine options: Workers, MaxCommandBytes and MaxPendingBytes cannot be negative")
	}
	setDefault(&o.Workers, 1)
	setDefault(&o.MaxCommandBytes, 8<<20)
	setDefault(&o.MaxPendingBytes, 64<<20)
	setDefault(&o.CompactBytes, 64<<20)
	setDefault(&o.KeepEntries, 5000)
	setDefault(&o.Raft.ElectionTimeoutMin, 150*time.Millisecond)
	setDefault(&o.Raft.ElectionTimeoutMax, 2*o.Raft.ElectionTimeoutMin)
	setDefault(&o.Raft.HeartbeatInterval, 50*time.Millisecond)
	setDefault(&o.DiskStallTimeout, 10*o.Raft.ElectionTimeoutMin)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Host carries members of many groups on one log. Its methods may be called from any goroutine, except the stages (Turn, Sync, Apply,
// Background), each of which wants one caller at a time.
type Host struct {
	options Options
	workers []*worker
	disk    disk
	store   *snapshotStore

	mu     sync.RWMutex
	groups map[raft.GroupID]*Group
	ended  map[raft.GroupID]chan struct{} // of groups that were stopped, until all that they wrote is durable

	ready readyGroups
	jobs  jobQueue

	prompt    PromptNetwork // the network, if it is one; else nil
	forwardID atomic.Uint64
	notify    func(Stage, int)
	failOnce  sync.Once
	failure   atomic.Pointer[error]
	failed    chan struct{}
	closed    chan struct{}
	closeOnce sync.Once
	loops     sync.WaitGroup
}

// Stage names one of the kinds of work a host does.
type Stage uint8

// The stages.
const (
	StageTurn Stage = iota
	StageSync
	StageApply
	StageBackground
)

// NewHost makes a host without groups and without goroutines: call Run, or call the stages yourself. Notify, if set, is called
// whenever a stage (for turns: of which worker) has something to do; it must not call back.
func NewHost(o Options, notify func(stage Stage, worker int)) (*Host, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	store, err := openSnapshotStore(o.FS, o.SnapshotDir)
	if err != nil {
		return nil, err
	}
	h := &Host{
		options: o, store: store, groups: map[raft.GroupID]*Group{}, ended: map[raft.GroupID]chan struct{}{}, notify: notify,
		failed: make(chan struct{}), closed: make(chan struct{}),
	}
	if h.notify == nil {
		h.notify = func(Stage, int) {}
	}
	h.prompt, _ = o.Network.(PromptNetwork)
	h.disk.host, h.disk.log = h, o.Log
	h.forwardID.Store(o.Epoch << 20)
	for i := range o.Workers {
		h.workers = append(h.workers, &worker{host: h, number: i, groups: map[*Group]struct{}{}})
	}
	return h, nil
}

// StartOptions describe the member of a group that this host is to carry.
type StartOptions struct {
	Group raft.GroupID
	Self  raft.MemberID
	// Bootstrap is the first configuration of a new group, the same on every member. It is ignored when the host has the group already. The zero
	// configuration means: this member waits to be added by the others.
	Bootstrap raft.Configuration
	Machine   StateMachine
}

// Start restores the group from the log, or makes it, and begins to take part in it. It reads the disk and may restore a snapshot, so it
// may take a while; other groups are not held up. If the group was stopped just before, it waits until all that it had written is durable: who steps the host by
// itself gives it a Turn and a Sync between the two.
func (h *Host) Start(o StartOptions) (*Group, error) {
	if err := h.err(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	if _, taken := h.groups[o.Group]; taken {
		h.mu.Unlock()
		return nil, fmt.Errorf("balsa: group %d is already running on this host, or about to start or to end", o.Group)
	}
	h.groups[o.Group] = nil // nobody else may start it meanwhile
	ended := h.ended[o.Group]
	h.mu.Unlock()

	var g *Group
	err := h.settled(ended)
	if err == nil {
		g, err = restoreGroup(h, o)
	}
	if err == nil {
		g.worker.mu.Lock()
		g.worker.groups[g] = struct{}{}
		g.worker.mu.Unlock()
	}
	h.mu.Lock()
	if err != nil {
		delete(h.groups, o.Group)
	} else {
		h.groups[o.Group] = g
	}
	h.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("balsa: start group %d: %w", o.Group, err)
	}
	if err := h.err(); err != nil {
		g.close() // the host was closed while the group was restored
		return nil, err
	}
	g.touch()
	return g, nil
}

// Stop ends this host's part in a group until it is started again; what is on disk stays. It returns once the machine is no longer used, also not by a Flush; a state that
// it has captured may still be written, and is closed after that.
func (h *Host) Stop(id raft.GroupID) error {
	g, err := h.stop(id)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.groups, id)
	select {
	case <-g.written:
	default:
		h.ended[id] = g.written
	}
	return nil
}

// settled waits until all is durable that a group wrote before it ended, if there was one. Its vote and its entries may still be on their way to the log: a life that
// began without them might vote again in the same term.
func (h *Host) settled(ended chan struct{}) error {
	if ended == nil {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-h.failed:
		return h.Err()
	case <-h.closed:
		return ErrClosed
	}
}

// hasWritten notes that nothing of an ended group is on its way to the log any more.
func (h *Host) hasWritten(g *Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(g.written)
	if h.ended[g.id] == g.written {
		delete(h.ended, g.id)
	}
}

// stop ends a group, which nobody may start before it is forgotten.
func (h *Host) stop(id raft.GroupID) (*Group, error) {
	h.mu.Lock()
	g := h.groups[id]
	if g != nil {
		h.groups[id] = nil
	}
	h.mu.Unlock()
	if g == nil {
		return nil, fmt.Errorf("balsa: group %d is not running on this host", id)
	}
	g.close()
	<-g.apply.idle
	g.beside.Lock() // whoever comes later finds the group closed
	defer g.beside.Unlock()
	return g, nil
}

func (h *Host) forget(id raft.GroupID) {
	h.mu.Lock()
	delete(h.groups, id)
	h.mu.Unlock()
}

// Remove is Stop, and then deletes what the group has in the log and as snapshots, durably when it returns. Do it only after the member was removed from the
// group's configuration: a member that forgot what it had acknowledged must not come back.
func (h *Host) Remove(id raft.GroupID) error {
	g, err := h.stop(id)
	if err != nil {
		return err
	}
	defer h.forget(id)
	durable, pruned := make(chan struct{}), make(chan struct{})
	g.removal.Store(&persist{group: g, batch: wal.Batch{Group: id, Remove: true}, then: func() { close(durable) }})
	g.touch()
	h.lengthy(func() {
		h.store.prune(id, math.MaxUint64, false)
		close(pruned)
	})
	for _, done := range []chan struct{}{durable, pruned} {
		select {
		case <-done:
		case <-h.failed:
			return h.Err()
		case <-h.closed:
			return ErrClosed
		}
	}
	return nil
}

// Group returns a running group, or nil.
func (h *Host) Group(id raft.GroupID) *Group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.groups[id]
}

// Groups returns the running groups, by id.
func (h *Host) Groups() []*Group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	groups := make([]*Group, 0, len(h.groups))
	for _, g := range h.groups {
		if g != nil {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b *Group) int { return cmp.Compare(a.id, b.id) })
	return groups
}

// Deliver implements Sink: it puts what peers sent into the inboxes of the groups it is for. Messages for groups that are not here are dropped.
func (h *Host) Deliver(envelopes []Envelope) {
	held := h.fill(envelopes)
	held.releaseFor(len(envelopes) <= maxAtOnce)
}

// fill puts envelopes into inboxes and returns the last worker whose those are, with its lock.
func (h *Host) fill(envelopes []Envelope) (held *worker) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for i := range envelopes { // The inboxes of many groups are filled at once.
		e := &envelopes[i]
		g := h.groups[e.Group]
		if g == nil {
			continue
		}
		if held != g.worker {
			held.release()
			held = g.worker
			held.mu.Lock()
		}
		g.deliverLocked(e)
	}
	return held
}

// Disconnected implements Sink: what was forwarded to that host now has an unknown outcome, and a leader there may be gone.
func (h *Host) Disconnected(address string) {
	for _, g := range h.Groups() {
		if g.leans.Load() || g.leader.Load().address == address {
			g.post(func() { g.disconnected(address) })
		}
	}
}

// Turn gives every worker's groups a turn at time now (a monotonic duration since any origin) and returns when the next is due at
// the latest; math.MaxInt64 if none is. Simulators call it; Run gives each worker its own goroutine instead.
func (h *Host) Turn(now time.Duration) time.Duration {
	next := time.Duration(math.MaxInt64)
	for _, w := range h.workers {
		next = min(next, w.turn(func() time.Duration { return now }))
	}
	return next
}

// fail stops the host for good: its promises cannot be kept any more.
func (h *Host) fail(cause error) {
	h.failOnce.Do(func() {
		err := fmt.Errorf("%w: %w", ErrStopped, cause)
		h.failure.Store(&err)
		h.options.Logger.Error("host stops", "error", cause)
		close(h.failed)
	})
	h.closeGroups()
}

// Failed is closed when the host had to stop by itself; Err says why.
func (h *Host) Failed() <-chan struct{} { return h.failed }

// Err says why the host stopped, or nil while it runs.
func (h *Host) Err() error {
	if p := h.failure.Load(); p != nil {
		return *p
	}
	return nil
}

func (h *Host) err() error {
	if err := h.Err(); err != nil {
		return err
	}
	select {
	case <-h.closed:
		return ErrClosed
	default:
		return nil
	}
}

func (h *Host) closeGroups() {
	for _, g := range h.Groups() {
		g.close()
	}
}

// Close stops all groups and the goroutines, and closes the log. What was not answered yet ends in ErrClosed or ErrIndeterminate.
func (h *Host) Close() error {
	var err error
	h.closeOnce.Do(func() {
		close(h.closed)
		h.closeGroups()
		h.wakeAll()
		h.loops.Wait()
		h.jobs.finish()
		err = h.options.Log.Close()
	})
	return err
}

func (h *Host) wakeAll() {
	for i := range h.workers {
		h.notify(StageTurn, i)
	}
	h.notify(StageSync, 0)
	h.notify(StageApply, 0)
	h.notify(StageBackground, 0)
}
