package sim

import (
	"fmt"
	"slices"

	"github.com/balsa-raft/balsa/raft"
)

// checkDurable sees at each start of a process that everything which was acknowledged to a client is still where it has to be: a majority of the voters has
// it, in the log or in a snapshot. That is what makes the next leader have it; to wait until an election loses it would be to wait for bad luck.
//
// The majority is one of the latest configuration that is committed, or of a later one that somebody already goes by: an entry may have been committed
// by the count of either. A member whose disk lost something on purpose, and has not got it back, counts as if it had it: the fault budget keeps
// those a minority.
type checkDurable struct {
	nothing
	group *group
	// settled is the latest configuration that is committed; later are those that were seen beyond it.
	settled configurationSeen
	later   []configurationSeen
}

func (c *checkDurable) appended(m *member, _ raft.Index) {
	core := m.running.Core()
	if index, _ := core.ConfigurationIndexes(); index > c.settled.index {
		seen := configurationSeen{index: index, term: m.log.term(index), Configuration: core.Configuration()}
		if !slices.ContainsFunc(c.later, func(l configurationSeen) bool { return l.index == seen.index && l.term == seen.term }) {
			seen.Configuration = seen.Configuration.Clone()
			c.later = append(c.later, seen)
		}
	}
}

func (c *checkDurable) committed(m *member, _, _ raft.Index) { c.settle(m) }

// settle notes the latest configuration that is committed.
func (c *checkDurable) settle(m *member) {
	core := m.running.Core()
	_, index := core.ConfigurationIndexes()
	if index < c.settled.index || index == c.settled.index && len(c.settled.Members) > 0 {
		return
	}
	c.settled = configurationSeen{index: index, Configuration: core.CommittedConfiguration().Clone()}
	c.later = slices.DeleteFunc(c.later, func(l configurationSeen) bool { return l.index <= index })
}

func (c *checkDurable) recovered(m *member, _ *shadow) {
	c.settle(m)
	c.judge()
}

// judge looks for the newest acknowledged entry.
func (c *checkDurable) judge() {
	g := c.group
	index := g.answers.acknowledged
	fact, known := g.fact(index)
	if index == 0 || !known || len(c.settled.Members) == 0 {
		return
	}
	why := c.lacks(&c.settled.Configuration, index, fact)
	for i := range c.later {
		if why == "" {
			return
		}
		if c.lacks(&c.later[i].Configuration, index, fact) == "" {
			why = ""
		}
	}
	if why != "" {
		g.world.fail("durability", "g%d: entry %d@%d was acknowledged to a client, and no majority has it: %s", g.id, index, fact.term, why)
	}
}

// lacks tells why a configuration has no majority with an entry, "" if it has.
func (c *checkDurable) lacks(conf *raft.Configuration, index raft.Index, fact *fact) string {
	for _, voters := range [][]raft.MemberID{votersOf(conf.Members), votersOf(conf.Outgoing)} {
		var without []raft.MemberID
		for _, id := range voters {
			if !c.has(id, index, fact) {
				without = append(without, id)
			}
		}
		if n := len(voters); n > 0 && n-len(without) < n/2+1 {
			return fmt.Sprintf("of the voters %v, it is not at %v", voters, without)
		}
	}
	return ""
}

func votersOf(members []raft.Member) []raft.MemberID { return appendVoters(nil, members) }

func appendVoters(ids []raft.MemberID, members []raft.Member) []raft.MemberID {
	for i := range members {
		if !members[i].Learner {
			ids = append(ids, members[i].ID)
		}
	}
	return ids
}

func (c *checkDurable) has(id raft.MemberID, index raft.Index, fact *fact) bool {
	m := c.group.members[id-1]
	if m.log.base >= index || m.host.disk.hurtNow() || m.group.world.regime.Beyond {
		return true
	}
	r, ok := m.log.at(index)
	return ok && r == fact.record
}
