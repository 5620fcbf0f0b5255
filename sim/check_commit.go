package sim

import "github.com/balsa-raft/balsa/raft"

// checkCommit writes down which entries are committed, and that all members agree on them. And it is Leader Completeness of figure 3: if an
// entry is committed in a given term, it is present in the logs of the leaders of all higher-numbered terms (§5.4).
type checkCommit struct {
	nothing
	group *group
}

func (c *checkCommit) committed(m *member, from, to raft.Index) {
	g := c.group
	term := m.running.Core().Term()
	for i := from; i <= to; i++ {
		r, here := m.log.at(i)
		switch {
		case i <= g.forgotten:
		case i <= g.size():
			fact, _ := g.fact(i)
			if here && r != fact.record || !here && i == m.log.base && m.log.baseTerm != fact.term {
				m.world.fail("State Machine Safety", "%v takes %d@%d for committed, but %d@%d is", m, i, m.log.term(i), i, fact.term)
				return
			}
			fact.in = min(fact.in, term)
		case !here:
			m.world.fail("State Machine Safety", "%v has a snapshot that stands for entry %d, which nobody had committed", m, i)
			return
		default:
			g.commit(fact{record: r, in: term})
			c.present(i)
		}
	}
}

// present checks that whoever leads a higher term already has the entry that was committed just now.
func (c *checkCommit) present(i raft.Index) {
	fact, _ := c.group.fact(i)
	for _, m := range c.group.members {
		if m.running == nil || m.role != raft.Leader || m.term <= fact.in {
			continue
		}
		c.has(m, i, m.term)
	}
}

func (c *checkCommit) elected(m *member, term raft.Term, first raft.Index) {
	for i := c.group.size(); i > max(m.log.base, c.group.forgotten); i-- {
		if fact, _ := c.group.fact(i); fact.in >= term {
			continue // Committed later than this leader was elected: a candidate may be slow to count its votes.
		}
		if i >= first || !c.has(m, i, term) {
			m.world.fail("Leader Completeness", "%v leads term %d without entry %d, its own begin at %d", m, term, i, first)
			return
		}
	}
}

// has tells whether the leader of a term has a committed entry.
func (c *checkCommit) has(m *member, i raft.Index, term raft.Term) bool {
	fact, known := c.group.fact(i)
	if i <= m.log.base || !known {
		return true
	}
	if r, ok := m.log.at(i); !ok || r != fact.record {
		m.world.fail("Leader Completeness", "entry %d@%d was committed in term %d, but %v, which leads term %d, has not got it", i, fact.term, fact.in, m, term)
		return false
	}
	return true
}

func (c *checkCommit) recovered(m *member, _ *shadow) {
	g := c.group
	if m.commit > g.size() {
		m.world.fail("recovery", "%v starts with everything up to %d for committed, but nobody had more than %d", m, m.commit, g.size())
		return
	}
	for i := m.log.base + 1; i <= m.commit; i++ {
		fact, known := g.fact(i)
		if r, ok := m.log.at(i); known && (!ok || r != fact.record) {
			m.world.fail("recovery", "%v has applied entry %d, but its log has another one there", m, i)
			return
		}
	}
	if fact, known := g.fact(m.log.base); known && m.log.baseTerm != fact.term {
		m.world.fail("recovery", "%v has a log that begins with %d@%d, but %d@%d was committed", m, m.log.base, m.log.baseTerm, m.log.base, fact.term)
	}
}
