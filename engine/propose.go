package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/balsa-raft/balsa/raft"
)

// callKind says what a client wants.
type callKind uint8

const (
	callPropose callKind = iota
	callChange
	callTransfer
)

// call is one request of a client on its way through the group. It is answered exactly once, on done; whoever answers may not touch
// it afterwards. A caller that gives up marks it abandoned; such a call is left to the garbage collector, since somebody may still hold it.
type call struct {
	kind callKind
	sum  uint32
	data []byte // the command; for callTransfer the target
	// change is what callChange asks for.
	change raft.Change
	done   chan outcome
	// then is called instead of sending on done, if set (async.go).
	then func(outcome)
	// prompt says that the caller, who has set then, may be in a turn nevertheless.
	prompt bool
	state  atomic.Uint32
	// mayHaveHappened is set before the call leaves this member's hands: from then on giving up means "unknown".
	mayHaveHappened atomic.Bool
}

const (
	callWaiting uint32 = iota
	callAnswered
	callAbandoned
)

// outcome is how a call ends. retry says that it surely did not happen and may be tried again.
type outcome struct {
	result Result
	index  raft.Index
	err    error
	retry  bool
}

var callPool = sync.Pool{New: func() any { return &call{done: make(chan outcome, 1)} }}

func newCall(kind callKind) *call {
	c := callPool.Get().(*call)
	c.kind, c.data, c.change, c.sum, c.then, c.prompt = kind, nil, raft.Change{}, 0, nil, false
	c.state.Store(callWaiting)
	c.mayHaveHappened.Store(false)
	return c
}

// finish answers the call, unless its caller has given up.
func (c *call) finish(o outcome) {
	if !c.state.CompareAndSwap(callWaiting, callAnswered) {
		return
	}
	if c.then != nil {
		c.then(o)
		return
	}
	c.done <- o
}

// Propose replicates a command and returns what applying it answered, once it is applied on this member. Any member takes proposals:
// followers pass them to the leader, and while there is none they wait for one. The group owns data from then on.
//
// It blocks until the outcome is known or ctx ends. Errors: ErrIndeterminate when it may or may not have happened; ErrOverloaded, ErrFull,
// ErrTooLarge, ErrClosed, ErrRemoved, ErrNoLeader (wrapping the context's error) when it did not; nor did it when the context had ended before.
func (g *Group) Propose(ctx context.Context, data []byte) (Result, error) {
	return g.ProposeUntil(ctx, nil, data)
}

// ProposeUntil is Propose, and gives up when until is closed too, as if the deadline of ctx had passed: a channel that many calls share costs them much less
// than a deadline each.
func (g *Group) ProposeUntil(ctx context.Context, until <-chan struct{}, data []byte) (Result, error) {
	if len(data) > g.host.options.MaxCommandBytes {
		return Result{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, len(data), g.host.options.MaxCommandBytes)
	}
	sum := raft.Sum(data)
	for {
		c := newCall(callPropose)
		c.data, c.sum = data, sum
		o := g.submit(ctx, until, c, int64(len(data))+raft.EntryOverhead)
		if o.retry && ctx.Err() == nil && !g.closed.Load() {
			continue
		}
		return o.result, o.err
	}
}

// ChangeMembers alters the configuration and returns once the change is committed and in force here. Any member takes it. Errors as
// for Propose, and raft.ErrChangePending, raft.ErrNotReady, raft.ErrBadChange. The first two pass: ask again in a moment. The leader makes changes of its own, too, such as
// when it records, soon after a group was founded, which disk each member has.
func (g *Group) ChangeMembers(ctx context.Context, change raft.Change) error {
	for {
		c := newCall(callChange)
		c.change = change
		o := g.submit(ctx, nil, c, 0)
		if o.retry && ctx.Err() == nil && !g.closed.Load() {
			continue
		}
		return o.err
	}
}

// TransferLeadership asks the leader to hand over to another voter, and returns once that one leads as far as this member knows. Any
// member takes it. ErrTransferFailed when another leader emerged instead.
func (g *Group) TransferLeadership(ctx context.Context, to raft.MemberID) error {
	_, term := g.Leader()
	c := newCall(callTransfer)
	c.data = encodeMember(to)
	if o := g.submit(ctx, nil, c, 0); o.err != nil {
		return o.err
	}
	for {
		leader, now, changed := g.LeaderChange()
		if leader == to {
			return nil
		}
		if leader != raft.NoMember && now > term {
			return fmt.Errorf("%w to member %x: member %x leads term %d", ErrTransferFailed, uint64(to), uint64(leader), uint64(now))
		}
		select {
		case <-changed:
		case <-g.done:
			return g.closeReason()
		case <-ctx.Done():
			return fmt.Errorf("%w to member %x: %w", ErrTransferFailed, uint64(to), ctx.Err())
		}
	}
}

// submit puts a call into the inbox and waits for its end. It does not look at whether the group is closed: a thousand callers would wait for each
// other's locks on one channel, and every call is answered when the group closes (see drop, waiters.failAll and worker.stop).
func (g *Group) submit(ctx context.Context, until <-chan struct{}, c *call, size int64) outcome {
	if err := ctx.Err(); err != nil {
		return outcome{err: fmt.Errorf("balsa: not begun: %w", err)}
	}
	if err := g.enqueue(c, size); err != nil {
		return outcome{err: err}
	}
	var o outcome
	if gone := ctx.Done(); gone == nil && until == nil {
		o = <-c.done
	} else {
		answered := false
		select {
		case o = <-c.done:
			answered = true
		case <-gone:
		case <-until:
		}
		if !answered {
			if err, answered := g.abandon(c, cmp.Or(ctx.Err(), context.DeadlineExceeded)); !answered {
				g.pendingBytes.Add(-size)
				return outcome{err: err}
			}
			o = <-c.done
		}
	}
	g.pendingBytes.Add(-size)
	callPool.Put(c)
	return o
}

// enqueue puts a call into the inbox. Once it ended, size is to be taken off pendingBytes.
func (g *Group) enqueue(c *call, size int64) error {
	if g.closed.Load() {
		return g.closeReason()
	}
	pending := g.pendingBytes.Add(size)
	if pending > g.host.options.MaxPendingBytes {
		g.pendingBytes.Add(-size)
		return ErrOverloaded
	}
	w := g.worker
	w.mu.Lock()
	if g.closed.Load() || w.stopped { // Afterwards no turn may come that would answer it.
		w.mu.Unlock()
		g.pendingBytes.Add(-size)
		return g.closeReason()
	}
	g.box.calls = append(g.box.calls, c)
	g.enqueueLocked()
	w.releaseFor(pending == size && (c.then == nil || c.prompt)) // A caller that cannot block may not be in the turn, either.
	return nil
}

// abandon gives up on a call, because of cause or, if that is nil, because the group was closed, and tells with what error. If the call
// was answered in the meantime, its answer counts.
func (g *Group) abandon(c *call, cause error) (err error, answered bool) {
	unknown := c.mayHaveHappened.Load()
	if !c.state.CompareAndSwap(callWaiting, callAbandoned) {
		return nil, true
	}
	// Between the load and the swap the call may have been proposed; afterwards nobody starts an abandoned call.
	switch {
	case unknown || c.mayHaveHappened.Load():
		if cause == nil {
			cause = g.closeReason()
		}
		return fmt.Errorf("%w: %w", ErrIndeterminate, cause), false
	default:
		return g.gaveUp(cause), false
	}
}

// gaveUp is the error of a call that surely did not happen, because its caller gave up or, if cause is nil, the group was closed.
func (g *Group) gaveUp(cause error) error {
	if cause == nil {
		return g.closeReason()
	}
	return fmt.Errorf("%w: %w", ErrNoLeader, cause)
}

// start marks that the call is about to leave this member's hands; false if its caller has given up, so that it must not happen any more.
func (c *call) start() bool {
	c.mayHaveHappened.Store(true)
	return c.state.Load() != callAbandoned
}

// propose serves the calls of this turn: at the leader all commands become one batch of entries; elsewhere they are forwarded or held.
func (g *Group) propose(calls []*call) {
	if len(calls) == 0 {
		return
	}
	switch {
	case g.removed:
		for _, c := range calls {
			c.finish(outcome{err: ErrRemoved})
		}
	case g.role == raft.Leader || g.core.Role() == raft.Leader:
		g.proposeHere(calls)
	case g.knownLeader() != raft.NoMember:
		g.forwardAll(calls)
	default:
		g.core.Wake()
		g.held = append(g.held, calls...)
	}
}

// leaderFound gives the calls and reads that were held another try.
func (g *Group) leaderFound() {
	if held := g.held; len(held) > 0 {
		g.held = nil
		g.propose(held)
	}
	g.reads.retry = true
}

// proposeHere appends a batch of commands to the leader's log. Changes and transfers go one by one.
func (g *Group) proposeHere(calls []*call) {
	w := g.worker
	batch := w.proposals[:0]
	run := make([]*call, 0, len(calls))
	full := g.host.options.Log.Full()
	if full {
		g.host.notify(StageBackground, 0) // nothing is written that would tell that there is room again
	}
	for _, c := range calls {
		switch {
		case c.kind == callChange:
			g.changeHere(c)
		case c.kind == callTransfer:
			to, err := decodeMember(c.data)
			if err == nil {
				err = g.core.TransferLeadership(to)
			}
			g.finishHere(c, err)
		case full:
			c.finish(outcome{err: ErrFull})
		case !c.start():
		default:
			batch = append(batch, raft.Proposal{Kind: raft.EntryCommand, Sum: c.sum, Data: c.data})
			run = append(run, c)
		}
	}
	if len(run) > 0 {
		first, term, err := g.core.Propose(batch)
		if err == nil {
			g.waiting.add(first, term, run)
		} else {
			g.refuse(run, err)
		}
	}
	clear(batch)
	w.proposals = batch[:0]
}

// refuse answers calls that the core did not take, or holds them where waiting helps.
func (g *Group) refuse(calls []*call, err error) {
	switch {
	case errors.Is(err, raft.ErrTransferring), errors.Is(err, raft.ErrNotLeader):
		// In a moment there is a leader who takes them; nothing has happened yet.
		for _, c := range calls {
			c.mayHaveHappened.Store(false)
		}
		g.held = append(g.held, calls...)
	case errors.Is(err, raft.ErrOverloaded):
		for _, c := range calls {
			c.finish(outcome{err: ErrOverloaded})
		}
	default:
		for _, c := range calls {
			c.finish(outcome{err: err})
		}
	}
}

func (g *Group) changeHere(c *call) {
	if !c.start() {
		return
	}
	index, term, err := g.core.ChangeMembers(c.change)
	if err != nil {
		g.finishHere(c, err)
		return
	}
	g.waiting.add(index, term, []*call{c})
}

// finishHere answers a call that ended within the turn.
func (g *Group) finishHere(c *call, err error) {
	if errors.Is(err, raft.ErrNotLeader) {
		c.mayHaveHappened.Store(false)
		g.held = append(g.held, c)
		return
	}
	c.finish(outcome{err: err})
}

// releaseHeld lets go of held calls whose callers have given up, so that none gather while there is no leader for long, and tries the others again
// once there is one; called when the timer fires.
func (g *Group) releaseHeld() {
	g.held = slices.DeleteFunc(g.held, func(c *call) bool { return c.state.Load() == callAbandoned })
	if len(g.held) > 0 && (g.knownLeader() != raft.NoMember || g.removed) {
		held := g.held
		g.held = nil
		g.propose(held)
	}
}
