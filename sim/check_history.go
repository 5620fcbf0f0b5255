package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// checkHistory judges, at the end, what the clients saw. The log gives every operation its place in one order: a write its index, a read the
// index up to which the machine was when it was read. The history is linearizable in that order if every answer is what the registers had at
// that place, and no operation stands before one that had ended when it began. Beyond that: what was acknowledged is in the log; what was
// refused is not.
type checkHistory struct {
	nothing
	group *group
}

func (c *checkHistory) finished() {
	c.answers()
	c.realTime()
}

// answers replays the log, and compares what clients were told.
func (c *checkHistory) answers() {
	g := c.group
	order := make([]*Operation, 0, len(g.history))
	for i := range g.history {
		op := &g.history[i]
		at, happened := g.byID[op.ID]
		switch {
		case op.Read:
		case op.Outcome == OutcomeDone && (!happened || at != op.Index):
			g.world.fail("durability", "g%d: write %x was acknowledged at %d, but it is not there", g.id, op.ID, op.Index)
			return
		case op.Outcome == OutcomeRefused && happened:
			g.world.fail("exactly once", "g%d: write %x was refused, but it happened at %d", g.id, op.ID, at)
			return
		}
		if op.Outcome == OutcomeDone {
			order = append(order, op)
		}
	}
	slices.SortStableFunc(order, func(a, b *Operation) int { return cmp.Compare(a.Index, b.Index) })
	var s state
	next := 0
	for _, op := range order {
		if !op.Read {
			continue
		}
		next = c.replay(&s, next, op.Index)
		if s.value[op.Register] != op.Value {
			g.world.fail("linearizability", "g%d: client %d read %x from register %d at %d, where it had %x", g.id, op.Client, op.Value, op.Register, op.Index, s.value[op.Register])
			return
		}
	}
	c.writes(order)
}

// writes compares the answers of writes.
func (c *checkHistory) writes(order []*Operation) {
	g := c.group
	var s state
	next := 0
	for _, op := range order {
		if op.Read {
			continue
		}
		next = c.replay(&s, next, op.Index-1)
		before := s.value[op.Register]
		if wrote := !op.Compare || before == op.Expect; before != op.Value || wrote != op.Wrote {
			g.world.fail("linearizability", "g%d: write %x at %d was told that register %d had %x before, and that it wrote: %v; it had %x", g.id, op.ID, op.Index, op.Register,
				op.Value, op.Wrote, before)
			return
		}
	}
}

// replay applies the commands up to an index.
func (c *checkHistory) replay(s *state, next int, to raft.Index) int {
	list := c.group.commands
	for next < len(list) && list[next].index <= to {
		s.apply(list[next].index, &list[next].command, list[next].sum)
		next++
	}
	return next
}

// realTime checks that the order of the log is one that the clients can have seen: whatever had ended when an operation began stands before it.
func (c *checkHistory) realTime() {
	g := c.group
	ended := make([]*Operation, 0, len(g.history))
	began := make([]*Operation, 0, len(g.history))
	for i := range g.history {
		op := &g.history[i]
		if op.Outcome == OutcomeDone {
			ended = append(ended, op)
		}
		if op.Outcome == OutcomeUnknown {
			op.Index = g.byID[op.ID] // 0 if it never happened
		}
		if op.Outcome != OutcomeRefused && op.Index > 0 {
			began = append(began, op)
		}
	}
	slices.SortStableFunc(ended, func(a, b *Operation) int { return cmp.Compare(a.Return, b.Return) })
	slices.SortStableFunc(began, func(a, b *Operation) int { return cmp.Compare(a.Call, b.Call) })
	var newest *Operation
	next := 0
	for _, op := range began {
		for next < len(ended) && ended[next].Return < op.Call {
			if newest == nil || ended[next].Index > newest.Index {
				newest = ended[next]
			}
			next++
		}
		if newest != nil && (op.Index < newest.Index || op.Index == newest.Index && !op.Read) {
			g.world.fail("linearizability", "g%d: an operation of client %d on n%d began at %v and stands at %d, but one of client %d on n%d that had ended at %v stands at %d",
				g.id, op.Client, op.Host, op.Call.Round(time.Microsecond), op.Index, newest.Client, newest.Host, newest.Return.Round(time.Microsecond), newest.Index)
			return
		}
	}
}
