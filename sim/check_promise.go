package sim

import "github.com/balsa-raft/balsa/raft"

// promise is what a member has said of its stable storage: others rely on it, so that no crash may break it.
type promise struct {
	// term is the highest it has shown, and vote whom it has voted for in that term, if it has shown that.
	term raft.Term
	vote raft.MemberID
	// match is the highest entry it has acknowledged and not truncated since, and matchTerm that entry's term.
	match     raft.Index
	matchTerm raft.Term
	// repairing says that the disk lost some of that, and the member has not got it back yet.
	repairing bool
}

// ballot is one member's vote in one term.
type ballot struct {
	term  raft.Term
	voter raft.MemberID
	disk  uint64 // a member that comes back with an empty disk is another one
}

// checkPromise sees that members keep their promises: figure 2, "updated on stable storage before responding to RPCs". After a crash a
// member has the term it has shown, the vote it has given and the entries it has acknowledged, and it never votes twice in a term.
type checkPromise struct {
	nothing
	group *group
	votes map[ballot]raft.MemberID
}

func (c *checkPromise) sent(m *member, message raft.Message) {
	h := message.Head()
	p := &m.given
	vote := raft.NoMember
	switch message := message.(type) {
	case *raft.PreVoteReply:
		if message.Granted {
			return // It says nothing of the member's own term.
		}
	case *raft.VoteReply:
		if message.Granted {
			vote = h.To
		}
	case *raft.VoteRequest, *raft.AppendRequest:
		vote = m.host.id // Candidates and leaders have voted for themselves.
	case *raft.AppendReply:
		c.acknowledged(m, message)
	case *raft.ReadIndexRequest, *raft.ReadIndexReply, *raft.TimeoutNow, *raft.WakeRequest:
	default:
		return
	}
	if p.repairing && vote != raft.NoMember && m.running.Core().Faulty() {
		if _, leads := message.(*raft.AppendRequest); !leads || m.role == raft.Leader {
			m.world.fail("promise", "%v votes or leads in term %d although its disk lost entries that it had acknowledged", m, h.Term)
		}
	}
	if h.Term > p.term {
		p.term, p.vote = h.Term, raft.NoMember
	}
	if vote == raft.NoMember {
		return
	}
	if h.Term == p.term {
		p.vote = vote
	}
	b := ballot{term: h.Term, voter: m.host.id, disk: m.host.wiped}
	if other, voted := c.votes[b]; voted && other != vote {
		m.world.fail("Election Safety", "%v votes for n%d and for n%d in term %d", m, other, vote, h.Term)
	}
	c.votes[b] = vote
}

// acknowledged notes an acknowledgement, if it is of the log as it is: one that waited for the disk may be of entries that were removed since.
func (c *checkPromise) acknowledged(m *member, reply *raft.AppendReply) {
	core := m.running.Core()
	if reply.Rejected || reply.Term != core.Term() || reply.Match <= m.given.match {
		return
	}
	if term, ok := core.TermAt(reply.Match); ok {
		m.given.match, m.given.matchTerm = reply.Match, term
	} else if reply.Match > core.LastIndex() {
		m.world.fail("promise", "%v acknowledges %d, but its log ends at %d", m, reply.Match, core.LastIndex())
	}
}

// truncated: a leader of a later term has taken the entries back.
func (c *checkPromise) truncated(m *member, from raft.Index) {
	p := &m.given
	if p.match >= from {
		p.match = from - 1
		p.matchTerm = m.log.term(p.match)
	}
}

func (c *checkPromise) recovered(m *member, was *shadow) {
	status := m.running.Core().Status()
	p := &m.given
	p.repairing = status.Faulty
	if base := m.log.base; base > was.base && p.match >= base && was.term(base) != m.log.baseTerm {
		// It ended when a leader's snapshot had taken the place of a log that contradicts it, and before anybody was told (figure 13, 7). That what the
		// snapshot stands for is committed is for checkCommit to see.
		p.match, p.matchTerm = base, m.log.baseTerm
	}
	if status.Faulty && !m.host.disk.hurtNow() {
		m.world.fail("recovery", "%v comes back without entries that its log says it had, and nothing was done to its disk", m)
	}
	switch {
	case status.Term < p.term:
		m.world.fail("promise", "%v has shown term %d, and comes back in term %d", m, p.term, status.Term)
	case status.Term == p.term && p.vote != raft.NoMember && status.Vote != p.vote:
		m.world.fail("promise", "%v has voted for n%d in term %d, and comes back with a vote for n%d", m, p.vote, p.term, status.Vote)
	case status.Faulty:
		// It knows, and may not act as if it had never had what it lost: see sent and appended.
	case p.match > m.log.last():
		m.world.fail("promise", "%v has acknowledged %d@%d, and comes back with a log that ends at %d", m, p.match, p.matchTerm, m.log.last())
	case p.match >= m.log.base && m.log.term(p.match) != p.matchTerm:
		m.world.fail("promise", "%v has acknowledged %d@%d, and comes back with %d@%d", m, p.match, p.matchTerm, p.match, m.log.term(p.match))
	}
}

// appended: a member that got back what its disk had lost has to have all of it.
func (c *checkPromise) appended(m *member, _ raft.Index) {
	p := &m.given
	if !p.repairing || m.running.Core().Faulty() {
		return
	}
	p.repairing = false
	if last := m.log.last(); last < p.match && m.log.term(last) <= p.matchTerm {
		m.world.fail("promise", "%v votes again with a log that ends at %d@%d, and has acknowledged %d@%d", m, last, m.log.term(last), p.match, p.matchTerm)
	}
}
