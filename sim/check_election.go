package sim

import "github.com/balsa-raft/balsa/raft"

// checkElection is Election Safety of figure 3: at most one leader can be elected in a given term (§5.2).
type checkElection struct {
	nothing
	group   *group
	leaders map[raft.Term]*member
}

func (c *checkElection) elected(m *member, term raft.Term, _ raft.Index) {
	if other := c.leaders[term]; other != nil && other != m {
		m.world.fail("Election Safety", "%v and %v both lead term %d", other, m, term)
	}
	c.leaders[term] = m
}

// appended also sees a leader that was never said to be elected: only the leader of a term makes entries of it.
func (c *checkElection) appended(m *member, _ raft.Index) {
	core := m.running.Core()
	if core.Role() != raft.Leader || m.role != raft.Leader || m.term != core.Term() {
		return
	}
	if c.leaders[core.Term()] != m {
		m.world.fail("Election Safety", "%v acts as leader of term %d, which it was not elected in", m, core.Term())
	}
}
