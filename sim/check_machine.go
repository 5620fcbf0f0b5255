package sim

import (
	"bytes"

	"github.com/balsa-raft/balsa/raft"
)

// checkMachine is State Machine Safety of figure 3: if a member has applied an entry at an index, no other member ever applies a
// different one there (§5.4.3). It also sees that machines apply what is committed, all of it, in order, and each command once; that they answer what
// the oracle does; and that their states are equal where they have applied the same.
type checkMachine struct {
	nothing
	group *group
}

func (c *checkMachine) applied(m *member, a *applied) {
	g, l := c.group, c.group.ledger
	sum := raft.Sum(a.entry.Data)
	index := a.entry.Index
	if fact, ok := g.fact(index); !ok || fact.record != (record{term: a.entry.Term, sum: sum}) {
		m.world.fail("State Machine Safety", "%v applies %d@%d, which is not what is committed there", m, index, a.entry.Term)
		return
	}
	if index > l.last() {
		if at, twice := l.byID[a.id]; twice {
			m.world.fail("exactly once", "command %x was applied at %d, and is applied again at %d", a.id, at, index)
			return
		}
		if before, known := l.chainAt(l.last()); known && !m.machine.blind && chained(before, index, sum) != a.chain {
			m.world.fail("State Machine Safety", "%v has applied %d, but not all before it that others have", m, index)
			return
		}
		d := l.add(a)
		g.happened(d)
		c.answered(m, a, d)
		return
	}
	d := l.find(index)
	switch {
	case d == nil && index <= l.dropped:
	case d == nil || !m.machine.blind && d.chain != a.chain:
		m.world.fail("State Machine Safety", "the machine of %v differs from others at %d", m, index)
	default:
		c.answered(m, a, d)
	}
}

// answered compares a machine's answer with the oracle's. It has to give one only if somebody waits for it.
func (c *checkMachine) answered(m *member, a *applied, d *deed) {
	if a.entry.Local && !bytes.Equal(a.answer, d.answer) {
		m.world.fail("answers", "%v answers %s to the command at %d, %s; in the order of the log the answer is %s", m, describeBytes(a.answer), d.index, describeBytes(d.command), describeBytes(d.answer))
	}
}

func (c *checkMachine) hashed(m *member, index raft.Index, hash uint64) {
	if wrong := c.group.ledger.hashed(m.host.id, index, hash); wrong != "" {
		m.world.fail("state machine equality", "the machine of %v %s%s", m, wrong, c.states(m, index))
	}
}

// states shows the state of somebody's own machine, and the one that it should have at that index: of two hashes nobody learns what differs.
func (c *checkMachine) states(m *member, index raft.Index) string {
	oracle, own := c.group.ledger.asOf(index).(*alone)
	if !own {
		return ""
	}
	return describeStates(m.machine.inner, oracle.machine)
}

// same checks a machine's chain against the one that is known at that index.
func (c *checkMachine) same(m *member, h head) {
	if chain, known := c.group.ledger.chainAt(h.last); known && chain != h.chain || h.last > c.group.ledger.last() {
		m.world.fail("State Machine Safety", "the machine of %v differs from others at %d", m, h.last)
	}
}

func (c *checkMachine) restored(m *member, h head) { c.same(m, h) }

// recovered: the machine a member starts with is as far as it says.
func (c *checkMachine) recovered(m *member, _ *shadow) {
	if !m.machine.blind {
		c.same(m, m.machine.head)
	}
	if m.machine.last > m.running.AppliedIndex() {
		m.world.fail("State Machine Safety", "the machine of %v has applied %d, but it is taken to be at %d", m, m.machine.last, m.running.AppliedIndex())
	}
	if m.machine.last > 0 {
		m.machine.compare()
	}
}

// finished: all members of the group are equal.
func (c *checkMachine) finished() {
	g := c.group
	l := g.ledger
	if len(l.deeds) == 0 {
		return
	}
	end := &l.deeds[len(l.deeds)-1]
	if h, ok := l.oracle.(Hasher); ok {
		l.hashes[end.index] = stateFact{hash: h.Hash()}
	}
	conf, _ := g.configuration()
	for i := range conf.Members {
		m := g.members[conf.Members[i].ID-1]
		if m.machine.last != end.index || !m.machine.blind && m.machine.chain != end.chain {
			m.world.fail("State Machine Safety", "in the end the machine of %v is at %d, and that of others at %d", m, m.machine.last, end.index)
			return
		}
		m.machine.compare()
	}
}
