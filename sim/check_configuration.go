package sim

import "github.com/balsa-raft/balsa/raft"

// checkConfiguration is the thesis's chapter 4 on who may decide: a member goes by the latest configuration in its log, committed or not (§4.1), and no two
// majorities decide independently of each other.
type checkConfiguration struct {
	nothing
	group *group
}

func (c *checkConfiguration) appended(m *member, _ raft.Index)      { c.goesBy(m) }
func (c *checkConfiguration) recovered(m *member, _ *shadow)        { c.goesBy(m) }
func (c *checkConfiguration) committed(m *member, _, to raft.Index) { c.goesBy(m); c.overlaps(to) }

// goesBy compares the configurations that a member has in force, and takes for committed, with those that its log has. What it took from a snapshot is
// the one that was committed there. A disk that lost something may have lost that, too.
func (c *checkConfiguration) goesBy(m *member) {
	core := m.running.Core()
	if core.Faulty() || m.host.disk.hurtNow() {
		return
	}
	inForce, committed := core.ConfigurationIndexes()
	c.same(m, "goes by", inForce, core.Configuration(), core.LastIndex())
	c.same(m, "takes for committed", committed, core.CommittedConfiguration(), core.Commit())
}

func (c *checkConfiguration) same(m *member, does string, index raft.Index, conf raft.Configuration, to raft.Index) {
	right, known := c.group.configurations.of(m, to)
	if !known || index == 0 && right.index == 0 && len(conf.Members) == 0 {
		return // Whoever waits to be added knows none yet.
	}
	if index != right.index || !conf.Equal(right.Configuration) {
		m.world.fail("configuration", "%v %s the configuration %v of entry %d, but the latest in its log up to %d is %v of entry %d", m, does, conf, index, to,
			right.Configuration, right.index)
	}
}

// overlaps sees, when an entry is committed for the first time, that nobody can be elected any more who has not got it: for every member whose log lacks it,
// a majority of each half of the configuration that it goes by has a log that is more up-to-date than its own. If it were not so, it would take no more than a
// loss of messages to have two majorities that decide differently. Of members whose disks lost something it is said elsewhere what they owe.
func (c *checkConfiguration) overlaps(to raft.Index) {
	g := c.group
	if to != g.size() || g.world.regime.Beyond {
		return
	}
	fact, _ := g.fact(to)
	for _, m := range g.members {
		if r, has := m.log.at(to); has && r == fact.record || m.log.base >= to {
			continue
		}
		if voters := c.couldBeElected(m); voters != nil {
			g.world.fail("Leader Completeness", "entry %d@%d is committed, and %v could be elected without it by %v, who know no better", to, fact.term, m, voters)
			return
		}
	}
}

// couldBeElected returns the voters whose log is no better than a member's, if they are a majority of each half of the configuration that it goes by.
func (c *checkConfiguration) couldBeElected(m *member) (voters []raft.MemberID) {
	conf, known := c.group.configurations.of(m, m.log.last())
	if !known || !conf.IsVoter(m.host.id) || m.host.disk.hurtNow() || !c.knows(m) {
		return nil
	}
	self, _ := conf.Find(m.host.id)
	if !named(&self, m.host.incarnation()) {
		return nil
	}
	for _, half := range [][]raft.Member{conf.Members, conf.Outgoing} {
		would, all := 0, 0
		for i := range half {
			if half[i].Learner {
				continue
			}
			all++
			if c.wouldVote(c.group.members[half[i].ID-1], &half[i], m) {
				would++
				voters = append(voters, half[i].ID)
			}
		}
		if all > 0 && would < all/2+1 {
			return nil
		}
	}
	return voters
}

// wouldVote tells whether a member that a configuration names would vote for a candidate, if it heard of nobody else.
func (c *checkConfiguration) wouldVote(m *member, as *raft.Member, candidate *member) bool {
	if m == candidate {
		return true
	}
	conf, known := c.group.configurations.of(m, m.log.last())
	self, _ := conf.Find(m.host.id)
	disk := m.host.incarnation()
	mine, theirs := m.log.term(m.log.last()), candidate.log.term(candidate.log.last())
	upToDate := theirs > mine || theirs == mine && candidate.log.last() >= m.log.last()
	return known && c.knows(m) && upToDate && named(as, disk) && named(&self, disk) && !m.host.disk.hurtNow()
}

// knows tells whether a member knows any configuration, without which it may not vote.
func (c *checkConfiguration) knows(m *member) bool {
	conf, known := c.group.configurations.of(m, m.log.last())
	return known && (conf.index > 0 || m.host.founder || m.log.base > 0)
}

// named tells whether a disk is the one that a configuration names, as far as it names one.
func named(m *raft.Member, incarnation uint64) bool {
	return m.Incarnation == 0 || m.Incarnation == incarnation
}
