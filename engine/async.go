package engine

import (
	"fmt"
	"sync"

	"github.com/balsa-raft/balsa/raft"
)

// Requests for callers that cannot block, such as a simulator that steps the host by itself. They mean what their blocking twins mean; the
// answer comes by a function, which is called exactly once, from within one of the host's stages, Cancel or giveUp: it has to be quick, and may not
// call the group.

// Pending is a request that was made without waiting for its answer.
type Pending struct {
	group  *Group
	answer func(outcome)
	make   func() *call
	size   int64

	mu    sync.Mutex
	call  *call // on its way; nil once answered
	gone  bool  // cancelled, because of cause: nothing is tried again
	cause error
}

// ProposeAsync is Propose; done gets its result. A request that can never succeed is answered before it returns.
func (g *Group) ProposeAsync(data []byte, done func(Result, error)) *Pending {
	return g.proposeAsync(data, done, false)
}

// ProposeThen is ProposeAsync for a goroutine that may be in a turn for a while, as Propose's caller: so it may not have anything that done waits for. giveUp is Pending.Cancel.
func (g *Group) ProposeThen(data []byte, done func(Result, error)) (giveUp func(cause error)) {
	return g.proposeAsync(data, done, true).Cancel
}

func (g *Group) proposeAsync(data []byte, done func(Result, error), prompt bool) *Pending {
	p := &Pending{group: g, answer: func(o outcome) { done(o.result, o.err) }, size: int64(len(data)) + raft.EntryOverhead}
	if len(data) > g.host.options.MaxCommandBytes {
		done(Result{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, len(data), g.host.options.MaxCommandBytes))
		return p
	}
	sum := raft.Sum(data)
	p.make = func() *call { return &call{kind: callPropose, data: data, sum: sum} }
	p.submit(prompt)
	return p
}

// ChangeMembersAsync is ChangeMembers; done gets its error.
func (g *Group) ChangeMembersAsync(change raft.Change, done func(error)) *Pending {
	p := &Pending{group: g, answer: func(o outcome) { done(o.err) }}
	p.make = func() *call { return &call{kind: callChange, change: change} }
	p.submit(false)
	return p
}

// TransferLeadershipAsync asks the leader to hand over; done is called when it has begun to, or refused: unlike TransferLeadership it does not wait
// for the new leader.
func (g *Group) TransferLeadershipAsync(to raft.MemberID, done func(error)) *Pending {
	p := &Pending{group: g, answer: func(o outcome) { done(o.err) }}
	p.make = func() *call { return &call{kind: callTransfer, data: encodeMember(to)} }
	p.submit(false)
	return p
}

// submit makes an attempt. Only the first one may be prompt: the next is made from within a stage.
func (p *Pending) submit(prompt bool) {
	c := p.make()
	c.prompt = prompt
	c.then = func(o outcome) { p.finished(c, o) }
	p.mu.Lock()
	if p.gone { // between two attempts
		p.mu.Unlock()
		p.answer(outcome{err: p.group.gaveUp(p.cause)})
		return
	}
	p.call = c
	p.mu.Unlock()
	p.enter(c)
}

// enter hands an attempt in. Whoever gives up from now on finds it.
func (p *Pending) enter(c *call) {
	if err := p.group.enqueue(c, p.size); err != nil {
		if !c.state.CompareAndSwap(callWaiting, callAnswered) {
			p.group.pendingBytes.Add(p.size) // Cancel has answered, and taken off what enqueue had not left there.
			return
		}
		p.mu.Lock()
		p.call = nil
		p.mu.Unlock()
		p.answer(outcome{err: err})
	}
}

// finished takes an attempt's answer, and tries again what surely did not happen, as Propose does.
func (p *Pending) finished(c *call, o outcome) {
	p.group.pendingBytes.Add(-p.size)
	p.mu.Lock()
	again := o.retry && !p.gone && !p.group.closed.Load()
	p.call = nil
	p.mu.Unlock()
	if again {
		p.submit(false)
		return
	}
	p.answer(o)
}

// Cancel gives up on the request, as the end of a context does: the answer, if there was none yet, is an error that wraps cause and says whether
// the request may have happened.
func (p *Pending) Cancel(cause error) {
	p.mu.Lock()
	c := p.call
	if !p.gone {
		p.gone, p.cause = true, cause
	}
	p.mu.Unlock()
	if c == nil {
		return
	}
	if err, answered := p.group.abandon(c, cause); !answered {
		p.mu.Lock()
		p.call = nil
		p.mu.Unlock()
		p.group.pendingBytes.Add(-p.size)
		p.answer(outcome{err: err})
	}
}

// ReadBarrierAsync is ReadBarrier; done gets its error. It cannot be cancelled, only ignored.
func (g *Group) ReadBarrierAsync(done func(error)) { g.readBarrierAsync(done, false) }

// ReadBarrierThen is ReadBarrierAsync as ProposeThen is ProposeAsync. giveUp answers, if nobody has yet, with ErrNoLeader that wraps cause.
func (g *Group) ReadBarrierThen(done func(error)) (giveUp func(cause error)) {
	return g.readBarrierAsync(done, true).giveUp
}

func (g *Group) readBarrierAsync(done func(error), prompt bool) *readCall {
	r := &readCall{prompt: prompt}
	r.then.Store(&done)
	if err := g.enqueueRead(r); err != nil {
		r.finish(err)
	}
	return r
}

// giveUp lets go of who waits at once: the call itself may stay until its round or the machine is there.
func (r *readCall) giveUp(cause error) {
	r.gone.Store(true)
	r.finish(fmt.Errorf("%w: %w", ErrNoLeader, cause))
}

// Core gives access to the group's core: only for who steps the host by itself, and not during a stage. Whoever changes it breaks it.
func (g *Group) Core() *raft.Core { return g.core }

// DurableIndex is up to where the log is on stable storage, which the core may not have been told yet: only for who steps the host by itself, and not during a stage.
func (g *Group) DurableIndex() raft.Index { return g.core.DurableWith(g.syncedSeq.Load()) }

// Tune changes the core's timings and switches in its next turn (see raft.Core.Tune); those that the engine derives from them, such as how long it waits for a
// forwarded request, stay until the host is made anew. done gets what is wrong with them, or nil; it may be nil.
func (g *Group) Tune(t raft.Tuning, done func(error)) {
	g.post(func() {
		if err := g.core.Tune(t); done != nil {
			done(err)
		}
	})
}

// Load is what waits in a group.
type Load struct {
	// PendingBytes is what the calls take that are not answered, InboxBytes what peers have sent since the last turn.
	PendingBytes, InboxBytes int64
	// Calls counts the requests that wait: for a leader, for its answer, or for an entry that was applied already. Of those that wait for an entry to come
	// there may always be some: what took their place may come later than their callers gave up. Reads counts the barriers.
	Calls, Reads int
}

// Load adds up what waits: only for who steps the host by itself, and not during a stage.
func (g *Group) Load() Load {
	l := Load{
		PendingBytes: g.pendingBytes.Load(), InboxBytes: g.box.bytes,
		Calls: len(g.box.calls) + len(g.held) + len(g.forwards), Reads: len(g.box.reads) + len(g.reads.waiting) + len(g.reads.settled),
	}
	for _, batch := range g.reads.batches {
		l.Reads += len(batch)
	}
	for _, run := range g.waiting.runs {
		if applied := g.AppliedIndex(); run.first <= applied {
			l.Calls += min(len(run.calls), int(applied-run.first)+1)
		}
	}
	return l
}
