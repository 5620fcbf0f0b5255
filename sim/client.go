package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// errPatience is why a client gives up.
var errPatience = errors.New("the client's patience ended")

// client asks one request of its application after the other, each at a host it picks.
type client struct {
	world  *World
	id     int
	group  *group
	rng    *stream
	source Client
	seq    uint64
	// Of the operation that is on its way: where it was asked, and how to give up.
	busy    bool
	op      Operation
	host    *host
	pending *engine.Pending
	// guest says that it asks only when a crowd does.
	guest bool
	// patience is how long it waits for an answer, if that is longer than the world's clients do.
	patience time.Duration
}

// newClient makes the next client, who does nothing yet.
func newClient(w *World, g *group) *client {
	c := &client{world: w, id: len(w.clients) + 1, group: g}
	c.rng = w.stream("client", uint64(c.id))
	c.source = w.application.Client(c.id, w.stream("requests", uint64(c.id)).Rand)
	w.clients = append(w.clients, c)
	return c
}

// startWorkload makes the clients and the operators.
func (w *World) startWorkload() {
	for _, g := range w.groups {
		for range w.regime.Clients {
			c := newClient(w, g)
			if !slices.Contains(w.options.Without, c.id) {
				w.after(c.rng.around(c.think()), c.next)
			}
		}
		a := &admin{world: w, group: g, rng: w.stream("operator", uint64(g.id)), haste: w.stream("haste", uint64(g.id)), spare: 3}
		if w.regime.Sweeping {
			a.spare = 4
		}
		w.admins = append(w.admins, a)
		g.admin = a
		a.begin()
	}
}

// think is how long the client waits between two operations, on average.
func (c *client) think() time.Duration {
	r := &c.world.regime
	switch {
	case c.group.id > 1 && r.Uneven > 0:
		return time.Duration(r.Uneven) * r.Think
	case r.Loyal && c.id%2 == 0 && r.Reading > 0:
		return r.Reading
	}
	return r.Think
}

// quiet says that clients begin no more operations: the end is near.
func (w *World) quiet() bool { return w.healing && w.now >= w.healed+w.regime.Calm }

// next begins an operation, at any host whose process runs.
func (c *client) next() {
	w := c.world
	if w.quiet() || c.busy {
		return
	}
	up := w.running()
	if len(up) == 0 {
		w.after(c.rng.around(50*time.Millisecond), c.next)
		return
	}
	at := c.rng.IntN(len(up))
	if w.regime.Loyal {
		at = c.id / 2 % len(up)
	}
	m := up[at].members[c.group.id-1]
	if m.running == nil {
		w.after(c.rng.around(50*time.Millisecond), c.next)
		return
	}
	c.ask(m, c.nextAction())
}

// nextAction is what the workload has next. Of the clients that stay with one host some only read, so that no write that waits keeps them from it.
func (c *client) nextAction() Action {
	action := c.source.Next()
	for tries := 0; c.world.regime.Loyal && c.id%2 == 0 && action.Command != nil && tries < 20; tries++ {
		action = c.source.Next()
	}
	return action
}

// ask makes a request at a member.
func (c *client) ask(m *member, r Action) {
	w := c.world
	c.seq++
	c.busy, c.host, c.pending = true, m.host, nil
	c.op = Operation{Action: r, Group: c.group.id, Client: c.id, Host: m.host.id, Call: w.now}
	if r.Command != nil {
		c.op.ID = uint64(c.id)<<32 | c.seq
		w.progress.changeAsked(m)
	}
	c.group.asked++
	c.group.answers.began(&c.op)
	c.tell("asks n%d: %s", c.op.Host, r.Text)
	seq := c.seq
	patience := max(w.regime.Patience, c.patience)
	w.after(c.rng.between(patience/2, patience), func() {
		if c.busy && c.seq == seq {
			c.giveUp()
		}
	})
	if c.rng.chance(1, 200) && !w.quiet() {
		w.after(c.rng.around(20*time.Millisecond), func() {
			if c.busy && c.seq == seq {
				c.crash()
			}
		})
	}
	// The caller's call reaches the process as one more thing to do.
	switch {
	case r.Command != nil:
		m.host.guard(func() { c.propose(m) })
	case r.Stale:
		m.host.guard(func() { c.query(m, nil) })
	default:
		m.host.guard(func() { c.barrier(m) })
	}
}

// propose has the command replicated.
func (c *client) propose(m *member) {
	seq := c.seq
	padding := 0
	switch r := &c.world.regime; {
	case r.Even > 0:
		padding = r.Even - 1 - (envelopeHead+len(c.op.Command)-1)%r.Even
	case r.Padding > 0:
		padding = c.rng.IntN(r.Padding + 1)
	}
	pending := m.running.ProposeAsync(sealCommand(c.op.ID, padding, c.op.Command), func(r engine.Result, err error) {
		if !c.busy || c.seq != seq {
			return
		}
		switch {
		case err == nil:
			index, answer, bad := openAnswer(r.Data)
			if bad != nil {
				c.world.fail("state machine", "client %d: %v", c.id, bad)
			}
			c.op.Outcome, c.op.Answer, c.op.Index = OutcomeDone, answer, raft.Index(index)
		case errors.Is(err, engine.ErrIndeterminate):
			c.op.Outcome = OutcomeUnknown
		default:
			c.op.Outcome = OutcomeRefused
			if errors.Is(err, engine.ErrFull) {
				c.world.counts.effective("refused by a full disk")
			}
			if c.guest && errors.Is(err, engine.ErrOverloaded) {
				c.world.counts.effective(overload)
			}
		}
		c.end(err)
	})
	if c.busy && c.seq == seq {
		c.pending = pending
	}
}

// barrier waits until the machine of the same member is as far as any was, and asks it then.
func (c *client) barrier(m *member) {
	seq := c.seq
	m.running.ReadBarrierAsync(func(err error) {
		if c.busy && c.seq == seq {
			c.query(m, err)
		}
	})
}

// query asks the machine of a member, unless something went wrong before.
func (c *client) query(m *member, err error) {
	c.op.Outcome = OutcomeRefused
	if err == nil {
		c.op.Outcome = OutcomeDone
		if m.host.disk.capacity > 0 && !c.op.Stale {
			c.world.counts.effective("read on a full disk")
		}
		c.op.Answer = c.world.application.Read(m.machine.inner, c.op.Query)
		c.op.Index, c.op.applied = m.machine.last, m.running.AppliedIndex()
	}
	c.end(err)
}

// end completes the operation and plans the next. It may be called from within a stage.
func (c *client) end(err error) {
	op := &c.op
	op.Return = c.world.now
	c.busy, c.pending = false, nil
	if op.Outcome == OutcomeDone {
		c.tell("is answered: %s: %s at %d", op.Text, describeBytes(op.Answer), op.Index)
	} else {
		c.tell("is answered: %s: %v, %v", op.Text, op.Outcome, err)
	}
	c.group.answers.end(op)
	if c.world.options.Operations {
		c.group.history = append(c.group.history, *op)
	}
	c.source.Ended(&op.Action, op.Outcome, op.Answer)
	if !c.guest {
		c.world.after(c.rng.around(c.think()), c.next)
	}
}

// giveUp ends the client's patience. A process that is paused does not even hear of it.
func (c *client) giveUp() {
	if c.pending == nil || c.host.paused {
		c.abandon(errPatience)
		return
	}
	c.host.guard(func() { c.pending.Cancel(errPatience) })
	if c.busy {
		c.abandon(errPatience)
	}
}

// crash ends the client's process in the middle of an operation: nobody gives it up, nobody hears the answer, and what it knew is gone.
func (c *client) crash() {
	c.world.counts.injected("client crash")
	if c.op.ID != 0 {
		c.world.counts.effective("client crash")
	}
	c.tell("crashes")
	c.source.Crashed()
	c.abandon(errors.New("the client is gone"))
}

// hostCrashed ends what was asked of a process that is gone.
func (c *client) hostCrashed(h *host) {
	if c.busy && c.host == h {
		c.abandon(errors.New("the process is gone"))
	}
}

// abandon ends an operation that nobody answers: a query changes nothing, a command may happen yet.
func (c *client) abandon(why error) {
	c.op.Outcome = OutcomeUnknown
	if c.op.ID == 0 {
		c.op.Outcome = OutcomeRefused
	}
	c.end(why)
}

func (c *client) tell(format string, args ...any) {
	c.world.story.add(&note{at: c.world.now, kind: noteClient, a: uint64(c.group.id), b: uint64(c.id), text: fmt.Sprintf(format, args...)})
}

// describeBytes shows an answer to people.
func describeBytes(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return fmt.Sprintf("%x", clipped(b))
		}
	}
	return fmt.Sprintf("%q", clipped(b))
}

// clipped shortens bytes for people.
func clipped(b []byte) []byte { return b[:min(len(b), 200)] }
