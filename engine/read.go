package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// readCall is one ReadBarrier on its way.
type readCall struct {
	index raft.Index
	done  chan error // capacity 1
	// then is called where done is nil (async.go), by whoever takes it from here.
	then atomic.Pointer[func(error)]
	// prompt says that the caller, who has set then, may be in a turn nevertheless.
	prompt bool
	gone   atomic.Bool
}

var readPool = sync.Pool{New: func() any { return &readCall{done: make(chan error, 1)} }}

func (r *readCall) finish(err error) {
	if r.done != nil {
		r.done <- err
	} else if then := r.then.Swap(nil); then != nil {
		(*then)(err)
	}
}

// ReadBarrier returns once this member's machine has applied everything that was committed anywhere when it was called: what is read from
// the machine afterwards is linearizable (thesis §6.4). Any member takes it. It blocks until then or until ctx ends; ErrNoLeader wraps
// the context's error when no leader confirmed it in time; ErrRemoved says that this is no member any more.
func (g *Group) ReadBarrier(ctx context.Context) error { return g.ReadBarrierUntil(ctx, nil) }

// ReadBarrierUntil is ReadBarrier, and gives up when until is closed too: see ProposeUntil.
func (g *Group) ReadBarrierUntil(ctx context.Context, until <-chan struct{}) error {
	r := readPool.Get().(*readCall)
	if err := g.enqueueRead(r); err != nil {
		return err
	}
	// Whether the group is closed is not looked at, as in submit: every read is answered when it closes (see drop and worker.stop).
	select {
	case err := <-r.done:
		readPool.Put(r)
		return err
	case <-ctx.Done():
		r.gone.Store(true)
		return fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
	case <-until:
		r.gone.Store(true)
		return fmt.Errorf("%w: %w", ErrNoLeader, context.DeadlineExceeded)
	}
}

func (g *Group) enqueueRead(r *readCall) error {
	w := g.worker
	w.mu.Lock()
	if g.closed.Load() || w.stopped { // Afterwards no turn may come that would answer it.
		w.mu.Unlock()
		return g.closeReason()
	}
	g.box.reads = append(g.box.reads, r)
	g.enqueueLocked()
	w.releaseFor(!g.reads.underWay.Load() && (r.done != nil || r.prompt))
	return nil
}

// readRounds batches barriers: at most one round is on its way, and what comes in meanwhile shares the next.
type readRounds struct {
	waiting []*readCall            // for the next round
	batches map[uint64][]*readCall // on their way, by the id the core knows
	nextID  uint64
	retry   bool // ask again in this turn
	retryAt time.Duration

	underWay atomic.Bool // a round is, as of the last turn

	// applied holds the settled ones until the machine is there; the applier shares it.
	mu      sync.Mutex
	settled []*readCall
}

// read takes the barriers of this turn in and begins a round if none is on its way.
func (g *Group) read(calls []*readCall) {
	r := &g.reads
	r.waiting = append(r.waiting, calls...)
	if g.removed {
		r.failAll(ErrRemoved)
		return
	}
	if len(r.waiting) == 0 || len(r.batches) > 0 {
		return
	}
	if !r.retry && r.retryAt > g.worker.now {
		return
	}
	r.retry = false
	r.nextID++
	if err := g.core.ReadIndex(r.nextID); err != nil {
		// No leader: wait for one, or for a heartbeat's time.
		g.core.Wake()
		r.retryAt = g.worker.now + g.host.options.Raft.HeartbeatInterval
		r.waiting = slices.DeleteFunc(r.waiting, func(c *readCall) bool { return c.gone.Load() })
		return
	}
	r.batches[r.nextID] = r.waiting
	r.waiting = nil
}

// settleRead ends a round: its barriers wait for the machine, or ask again.
func (g *Group) settleRead(read raft.Read) {
	r := &g.reads
	batch := r.batches[read.ID]
	delete(r.batches, read.ID)
	if !read.OK {
		batch = slices.DeleteFunc(batch, func(c *readCall) bool { return c.gone.Load() })
		r.waiting = append(batch, r.waiting...)
		r.retry = false
		r.retryAt = g.worker.now + g.host.options.Raft.HeartbeatInterval
		return
	}
	for _, c := range batch {
		c.index = read.Index
	}
	r.mu.Lock()
	r.settled = append(r.settled, batch...)
	r.mu.Unlock()
	r.release(g.AppliedIndex())
	if len(r.waiting) > 0 {
		r.retry = true
		g.read(nil)
	}
}

// release lets the barriers go that the machine has reached. The applier calls it after each batch, the turn after each round.
func (r *readRounds) release(applied raft.Index) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.settled) == 0 {
		return
	}
	rest := r.settled[:0]
	for _, c := range r.settled {
		if c.index <= applied {
			c.finish(nil)
		} else {
			rest = append(rest, c)
		}
	}
	clear(r.settled[len(rest):])
	r.settled = rest
}

// failAll answers everybody with err.
func (r *readRounds) failAll(err error) {
	ids := make([]uint64, 0, len(r.batches))
	for id := range r.batches {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, cmp.Compare[uint64])
	for _, id := range ids {
		r.waiting = append(r.waiting, r.batches[id]...)
		delete(r.batches, id)
	}
	r.mu.Lock()
	r.waiting = append(r.waiting, r.settled...)
	r.settled = nil
	r.mu.Unlock()
	for _, c := range r.waiting {
		c.finish(err)
	}
	r.waiting = nil
}

// expire does what the engine itself has a time for: forwarded calls, reads that ask again, held calls.
func (g *Group) expire() {
	g.expireForwards()
	if len(g.reads.waiting) > 0 {
		g.read(nil)
	}
	g.releaseHeld()
}

// ownDeadline is when the engine, beside the core, wants this group's next turn.
func (g *Group) ownDeadline() time.Duration {
	at := g.transferDeadline()
	now, beat := g.worker.now, g.host.options.Raft.HeartbeatInterval
	if len(g.reads.waiting) > 0 && len(g.reads.batches) == 0 {
		at = min(at, max(g.reads.retryAt, now+time.Millisecond))
	}
	if len(g.held) > 0 || len(g.forwards) > 0 {
		at = min(at, now+beat)
	}
	return at
}
