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

// client does one operation after the other on a group's registers, each at a host it picks.
type client struct {
	world *World
	id    int
	group *group
	rng   *stream
	seq   uint64
	// Of the operation that is on its way: its number in the history, where it was asked, and how to give up.
	busy    bool
	op      int
	host    *host
	pending *engine.Pending
	// seen are the values the client has seen, by register: what it expects in a compare-and-set.
	seen [registers]uint64
}

// newClient makes the next client, who does nothing yet.
func newClient(w *World, g *group) *client {
	c := &client{world: w, id: len(w.clients) + 1, group: g}
	c.rng = w.stream("client", uint64(c.id))
	w.clients = append(w.clients, c)
	return c
}

// startWorkload makes the clients and the operators.
func (w *World) startWorkload() {
	for _, g := range w.groups {
		for range w.regime.Clients {
			c := newClient(w, g)
			if !slices.Contains(w.options.Without, c.id) {
				w.after(c.rng.around(w.regime.Think), c.next)
			}
		}
		a := &admin{world: w, group: g, rng: w.stream("operator", uint64(g.id)), spare: 3}
		w.admins = append(w.admins, a)
		a.begin()
	}
}

// quiet says that clients begin no more operations: the end is near.
func (w *World) quiet() bool { return w.healing && w.now >= w.healed+w.regime.Calm }

// next begins an operation.
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
	h := up[c.rng.IntN(len(up))]
	register := c.rng.IntN(registers)
	c.busy, c.host, c.pending, c.op = true, h, nil, len(c.group.history)
	op := Operation{Group: c.group.id, Client: c.id, Host: h.id, Register: register, Call: w.now}
	m := h.members[c.group.id-1]
	if m.running == nil {
		c.busy = false
		w.after(c.rng.around(50*time.Millisecond), c.next)
		return
	}
	c.seq++
	kind := pick(c.rng, opWrite, opWrite, opCompareAndSet, opRead, opRead)
	if kind == opRead {
		op.Read = true
		c.begin(op)
		// The caller's call reaches the process as one more thing to do.
		h.guard(func() { c.read(m) })
		return
	}
	op.ID, op.Compare = uint64(c.id)<<32|c.seq, kind == opCompareAndSet
	if op.Compare {
		op.Expect = c.seen[register]
	}
	c.begin(op)
	h.guard(func() { c.write(m, kind) })
}

// begin enters the operation into the history.
func (c *client) begin(op Operation) {
	w := c.world
	c.group.history = append(c.group.history, op)
	number := c.op
	c.tell("asks n%d: %s", op.Host, describeOperation(&op))
	w.after(c.rng.between(w.regime.Patience/2, w.regime.Patience), func() {
		if c.busy && c.op == number {
			c.giveUp()
		}
	})
}

func (c *client) write(m *member, kind opKind) {
	op := &c.group.history[c.op]
	cmd := command{id: op.ID, kind: kind, register: uint8(op.Register), expect: op.Expect}
	number := c.op
	padding := 0
	if c.world.regime.Padding > 0 {
		padding = c.rng.IntN(c.world.regime.Padding + 1)
	}
	pending := m.running.ProposeAsync(cmd.encode(padding), func(r engine.Result, err error) {
		if !c.busy || c.op != number {
			return
		}
		c.end(func(op *Operation) {
			switch {
			case err == nil:
				a, bad := decodeAnswer(r.Data)
				if bad != nil {
					c.world.fail("state machine", "client %d: %v", c.id, bad)
				}
				op.Outcome, op.Value, op.Wrote, op.Index = OutcomeDone, a.before, a.done, raft.Index(a.index)
			case errors.Is(err, engine.ErrIndeterminate):
				op.Outcome = OutcomeUnknown
			default:
				op.Outcome = OutcomeRefused
			}
		}, err)
	})
	if c.busy && c.op == number {
		c.pending = pending
	}
}

// read waits for the barrier and reads the machine of the same member.
func (c *client) read(m *member) {
	number := c.op
	m.running.ReadBarrierAsync(func(err error) {
		if !c.busy || c.op != number {
			return
		}
		c.end(func(op *Operation) {
			op.Outcome = OutcomeRefused
			if err == nil {
				op.Outcome, op.Value, op.Index = OutcomeDone, m.machine.value[op.Register], m.machine.last
			}
		}, err)
	})
}

// end completes the operation and plans the next. It may be called from within a stage.
func (c *client) end(complete func(*Operation), err error) {
	op := &c.group.history[c.op]
	op.Return = c.world.now
	complete(op)
	c.busy, c.pending = false, nil
	if op.Outcome == OutcomeDone {
		c.seen[op.Register] = op.Value
		if op.Wrote {
			c.seen[op.Register] = op.ID
		}
	}
	c.tell("is answered: %s, %v", describeOperation(op), err)
	c.world.after(c.rng.around(c.world.regime.Think), c.next)
}

// giveUp ends the client's patience. A process that is paused does not even hear of it.
func (c *client) giveUp() {
	if c.pending == nil || c.host.paused {
		c.end(func(op *Operation) { op.abandon() }, errPatience)
		return
	}
	c.host.guard(func() { c.pending.Cancel(errPatience) })
	if c.busy {
		c.end(func(op *Operation) { op.abandon() }, errPatience)
	}
}

// hostCrashed ends what was asked of a process that is gone.
func (c *client) hostCrashed(h *host) {
	if c.busy && c.host == h {
		c.end(func(op *Operation) { op.abandon() }, errors.New("the process is gone"))
	}
}

// abandon is the outcome of an operation nobody answers: a read changes nothing, a write may happen yet.
func (op *Operation) abandon() {
	op.Outcome = OutcomeUnknown
	if op.Read {
		op.Outcome = OutcomeRefused
	}
}

func (c *client) tell(format string, args ...any) {
	c.world.story.add(&note{at: c.world.now, kind: noteClient, a: uint64(c.group.id), b: uint64(c.id), text: fmt.Sprintf(format, args...)})
}

func describeOperation(op *Operation) string {
	text := ""
	switch {
	case op.Read:
		text = fmt.Sprintf("read r%d", op.Register)
	case op.Compare:
		text = fmt.Sprintf("if r%d is %x set it to %x", op.Register, op.Expect, op.ID)
	default:
		text = fmt.Sprintf("set r%d to %x", op.Register, op.ID)
	}
	switch {
	case op.Return == 0:
	case op.Outcome == OutcomeDone:
		text += fmt.Sprintf(": had %x, wrote %v, at %d", op.Value, op.Wrote, op.Index)
	case op.Outcome == OutcomeRefused:
		text += ": refused"
	default:
		text += ": outcome unknown"
	}
	return text
}
