package sim

import "github.com/balsa-raft/balsa/raft"

// configurations are those of a group, as its logs have them: who may decide what is not asked of any member, whose own opinion may be wrong.
type configurations struct {
	group *group
	// seen are the configurations that stood in some log, in the order in which they were first seen but for their indexes, which ascend.
	seen []configurationSeen
	// forgotten is the index up to which they are not all known any more.
	forgotten raft.Index
	first     raft.Configuration // the one that the group was founded with, once somebody asked
}

// configurationSeen is a configuration, and where it stands: the one that the group was founded with is at 0.
type configurationSeen struct {
	index raft.Index
	term  raft.Term
	raft.Configuration
	committed bool
}

// configurationsMost bounds how many are remembered.
const configurationsMost = 1 << 11

// see notes the configuration of an entry, if it has one.
func (c *configurations) see(e *raft.Entry) {
	if e.Kind != raft.EntryConfiguration {
		return
	}
	at := len(c.seen)
	for ; at > 0 && c.seen[at-1].index >= e.Index; at-- {
		if s := &c.seen[at-1]; s.index == e.Index && s.term == e.Term {
			return
		}
	}
	conf, err := raft.DecodeConfiguration(e.Data)
	if err != nil {
		c.group.world.fail("configuration", "entry %d@%d of g%d is a configuration that nobody can read: %v", e.Index, e.Term, c.group.id, err)
		return
	}
	if e.Index <= c.forgotten {
		return
	}
	c.seen = append(c.seen, configurationSeen{})
	copy(c.seen[at+1:], c.seen[at:])
	c.seen[at] = configurationSeen{index: e.Index, term: e.Term, Configuration: conf}
	if len(c.seen) > configurationsMost {
		drop := len(c.seen) / 2
		c.forgotten = c.seen[drop-1].index
		c.seen = append([]configurationSeen(nil), c.seen[drop:]...)
	}
}

// isCommitted tells whether the entry of a configuration is committed.
func (c *configurations) isCommitted(s *configurationSeen) bool {
	if !s.committed {
		fact, known := c.group.fact(s.index)
		s.committed = known && fact.term == s.term
	}
	return s.committed
}

// of returns the latest configuration in a member's log up to an index (thesis §4.1: a server always uses the latest configuration in its log), false
// if it is not known any more.
func (c *configurations) of(m *member, to raft.Index) (configurationSeen, bool) {
	for i := len(c.seen) - 1; i >= 0; i-- {
		s := &c.seen[i]
		switch {
		case s.index > to:
		case s.index > m.log.base:
			if r, ok := m.log.at(s.index); ok && r.term == s.term {
				return *s, true
			}
		case c.isCommitted(s):
			return *s, true
		}
	}
	return c.founding()
}

// settled returns the latest configuration that is committed, false if it is not known.
func (c *configurations) settled() (configurationSeen, bool) {
	for i := len(c.seen) - 1; i >= 0; i-- {
		if c.isCommitted(&c.seen[i]) {
			return c.seen[i], true
		}
	}
	return c.founding()
}

func (c *configurations) founding() (configurationSeen, bool) {
	if c.forgotten > 0 {
		return configurationSeen{}, false
	}
	if c.group.world.steering != nil {
		return configurationSeen{Configuration: c.group.bootstrap(), committed: true}, true // which may name disks
	}
	if c.first.Members == nil {
		c.first = c.group.bootstrap()
	}
	return configurationSeen{Configuration: c.first, committed: true}, true
}

// changing tells whether some log has a configuration that is not committed yet, and may be.
func (c *configurations) changing() bool {
	settled, known := c.settled()
	if !known {
		return true
	}
	for _, m := range c.group.members {
		if s, known := c.of(m, m.log.last()); !known || s.index > settled.index {
			return true
		}
	}
	return false
}
