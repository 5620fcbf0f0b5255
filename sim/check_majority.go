package sim

import (
	"fmt"

	"github.com/balsa-raft/balsa/raft"
)

// checkMajority counts what members have said: a leader is elected by the votes of a majority, and takes an entry for committed when a majority has acknowledged it
// (§5.2, §5.3), of each half while the configuration is joint (thesis §4.3). A vote and an acknowledgement count if they come from the disk that the configuration
// names, once it names one, and a vote only for the disk that it was given to. That the messages arrived is for the network to know, but none that counted
// was never sent.
type checkMajority struct {
	nothing
	group *group
	votes map[raft.Term][]vote
	acks  map[speaker]raft.Index
}

// speaker is a member on one of its disks, in a term: what it acknowledges is the highest entry that it has told the leader of the term of.
type speaker struct {
	id   raft.MemberID
	disk uint64
	term raft.Term
}

// vote is one that was given; on is the disk of the candidate who asked, 0 if it did not say.
type vote struct {
	by, to raft.MemberID
	disk   uint64
	on     uint64
}

// termsMost bounds for how many terms what was said is remembered.
const termsMost = 64

func (c *checkMajority) sent(m *member, message raft.Message) {
	h := message.Head()
	switch message := message.(type) {
	case *raft.VoteReply:
		if message.Granted {
			c.votes[h.Term] = append(c.votes[h.Term], vote{by: m.host.id, to: h.To, disk: m.host.incarnation(), on: message.Candidate})
			delete(c.votes, h.Term-termsMost)
			c.mayVote(m, h.Term)
		}
	case *raft.AppendReply:
		if message.Rejected {
			return
		}
		who := speaker{id: m.host.id, disk: m.host.incarnation(), term: h.Term}
		c.acks[who] = max(c.acks[who], message.Match)
		who.term -= termsMost
		delete(c.acks, who)
	}
}

// mayVote sees that a disk which took the place of another votes only when the group, or at least its own log, says that it is the member's: it has forgotten what
// the other one promised.
func (c *checkMajority) mayVote(m *member, term raft.Term) {
	if m.host.wiped == 0 {
		return
	}
	settled, known := c.group.configurations.settled()
	if !known {
		return
	}
	if self, in := settled.Find(m.host.id); !in || named(&self, m.host.incarnation()) {
		return
	}
	own, known := c.group.configurations.of(m, m.log.last())
	if self, in := own.Find(m.host.id); known && own.index > 0 && in && named(&self, m.host.incarnation()) {
		return
	}
	m.world.fail("identity", "%v votes in term %d on a disk that nobody has admitted: the group knows another one", m, term)
}

// elected: the votes that were given make a majority, and who leads has a vote itself. Thesis §4.2.2: one that is no voter of its latest configuration may still be
// needed until that is committed.
func (c *checkMajority) elected(m *member, term raft.Term, first raft.Index) {
	confs := &c.group.configurations
	conf, known := confs.of(m, first-1)
	if !known || m.host.disk.hurtNow() || len(m.running.Core().Configuration().Members) == 0 {
		return
	}
	for at := conf; !at.IsVoter(m.host.id); {
		before := configurationSeen{}
		if at.index > 0 {
			before, known = confs.of(m, at.index-1)
		}
		if at.index <= m.commit || !known {
			m.world.fail("Election Safety", "%v leads term %d, and is no voter of %v", m, term, conf.Configuration)
			return
		}
		at = before
	}
	self := m.host.incarnation()
	c.count(&conf.Configuration, func(voter *raft.Member) bool {
		if voter.ID == m.host.id {
			return named(voter, self)
		}
		for _, v := range c.votes[term] {
			if v.by == voter.ID && v.to == m.host.id && named(voter, v.disk) && (v.on == 0 || v.on == self) {
				return true
			}
		}
		return false
	}, func(half string, have []raft.MemberID) {
		m.world.fail("Election Safety", "%v leads term %d of %v, where of the %s only %v have voted for it", m, term, conf.Configuration, half, have)
	})
}

// committed: of what a leader takes for committed by counting, a majority has told it so in its term.
func (c *checkMajority) committed(m *member, _, _ raft.Index) {
	for _, counted := range m.counted {
		conf, known := c.group.configurations.of(m, counted.by)
		if !known || conf.index != counted.by {
			continue
		}
		c.count(&conf.Configuration, func(voter *raft.Member) bool {
			if voter.ID == m.host.id {
				return named(voter, m.host.incarnation())
			}
			h := m.world.hosts[voter.ID-1]
			for wiped := range h.wiped + 2 { // A second disk under its name is one more.
				if disk := h.disks(wiped); named(voter, disk) && c.acks[speaker{id: voter.ID, disk: disk, term: m.term}] >= counted.to {
					return true
				}
			}
			return false
		}, func(half string, have []raft.MemberID) {
			m.world.fail("commitment", "%v takes entry %d for committed in term %d of %v, where of the %s only %v have acknowledged it", m, counted.to, m.term,
				conf.Configuration, half, have)
		})
	}
}

// count calls lacks unless a majority of each half of a configuration has something.
func (c *checkMajority) count(conf *raft.Configuration, has func(*raft.Member) bool, lacks func(half string, have []raft.MemberID)) {
	for i, half := range [][]raft.Member{conf.Members, conf.Outgoing} {
		var have []raft.MemberID
		all := 0
		for k := range half {
			if half[k].Learner {
				continue
			}
			all++
			if has(&half[k]) {
				have = append(have, half[k].ID)
			}
		}
		if all > 0 && len(have) < all/2+1 {
			lacks(fmt.Sprintf("%d %s", all, []string{"voters", "outgoing voters"}[i]), have)
			return
		}
	}
}
