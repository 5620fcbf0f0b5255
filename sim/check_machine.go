package sim

import (
	"sort"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// checkMachine is State Machine Safety of figure 3: if a member has applied an entry at an index, no other member ever applies a
// different one there (§5.4.3). It also sees that machines apply what is committed, all of it, in order, and each command once.
type checkMachine struct {
	nothing
	group *group
}

func (c *checkMachine) applied(m *member, e *engine.Entry, cmd *command, chain uint64) {
	g := c.group
	sum := raft.Sum(e.Data)
	if int(e.Index) > len(g.committed) || g.committed[e.Index-1].record != (record{term: e.Term, sum: sum}) {
		m.world.fail("State Machine Safety", "%v applies %d@%d, which is not what is committed there", m, e.Index, e.Term)
		return
	}
	if n := len(g.commands); n == 0 || e.Index > g.commands[n-1].index {
		if at, twice := g.byID[cmd.id]; twice {
			m.world.fail("exactly once", "command %x was applied at %d, and is applied again at %d", cmd.id, at, e.Index)
			return
		}
		g.byID[cmd.id] = e.Index
		g.commands = append(g.commands, applied{index: e.Index, command: *cmd, sum: sum, chain: chain})
		if n > 0 && chained(g.commands[n-1].chain, e.Index, sum) != chain || n == 0 && chained(0, e.Index, sum) != chain {
			m.world.fail("State Machine Safety", "%v has applied %d, but not all before it that others have", m, e.Index)
		}
		return
	}
	c.same(m, e.Index, chain)
}

// same checks a machine's chain against the one that is known at that index.
func (c *checkMachine) same(m *member, index raft.Index, chain uint64) {
	i := c.find(index)
	if i < 0 || c.group.commands[i].chain != chain {
		m.world.fail("State Machine Safety", "the machine of %v differs from others at %d", m, index)
	}
}

// find returns the place of the command at an index, -1 if there is none.
func (c *checkMachine) find(index raft.Index) int {
	list := c.group.commands
	i := sort.Search(len(list), func(i int) bool { return list[i].index >= index })
	if i == len(list) || list[i].index != index {
		return -1
	}
	return i
}

func (c *checkMachine) restored(m *member, s *state) {
	if s.last > 0 {
		c.same(m, s.last, s.chain)
	}
}

// recovered: the machine a member starts with is as far as it says.
func (c *checkMachine) recovered(m *member, _ *shadow) {
	if m.machine.last > 0 {
		c.same(m, m.machine.last, m.machine.chain)
	}
	if m.machine.last > m.running.AppliedIndex() {
		m.world.fail("State Machine Safety", "the machine of %v has applied %d, but it is taken to be at %d", m, m.machine.last, m.running.AppliedIndex())
	}
}

// finished: all members of the group are equal.
func (c *checkMachine) finished() {
	g := c.group
	if len(g.commands) == 0 {
		return
	}
	end := g.commands[len(g.commands)-1]
	conf, _ := g.configuration()
	for i := range conf.Members {
		m := g.members[conf.Members[i].ID-1]
		if m.machine.last != end.index || m.machine.chain != end.chain {
			m.world.fail("State Machine Safety", "in the end the machine of %v is at %d, and that of others at %d", m, m.machine.last, end.index)
		}
	}
}
