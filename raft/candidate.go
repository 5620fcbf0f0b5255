package raft

// campaign is what only a candidate or pre-candidate has.
type campaign struct {
	// granted and refused are who answered; a member of another incarnation than the configuration's is in neither.
	granted, refused []MemberID
	// transfer says that the leader itself asked for this election (thesis §3.10).
	transfer bool
}

func (p *campaign) hasGranted(id MemberID) bool { return contains(p.granted, id) }
func (p *campaign) hasRefused(id MemberID) bool { return contains(p.refused, id) }

func contains(ids []MemberID, id MemberID) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}

// mayLead tells whether this member may campaign, and the rule that forbids it.
func (c *Core) mayLead() (bool, string) {
	conf := c.latest().Configuration
	self, _ := conf.Find(c.cfg.ID)
	switch {
	case !c.voterUntilCommitted():
		return false, "thesis §4.2.1: only a voter of its own configuration campaigns"
	case !c.sameIncarnation(self, c.cfg.Incarnation):
		return false, "this member's disk was replaced: it has to be admitted again"
	case c.repair != nil:
		return false, "the disk lost entries that may be committed"
	case c.relearning != nil:
		return false, "the disk lost entries that may have held the latest configuration"
	case c.installing != nil:
		return false, "§7: the log is being replaced by a snapshot"
	case c.term >= maxTerm:
		return false, "there is no later term"
	}
	return true, ""
}

// voterUntilCommitted tells whether this member votes in the configuration in force, or in the one before, while the one in force may not be
// committed. Thesis §4.2.2: a server that is not part of its latest configuration still starts elections, because it might be needed
// until that is committed. Its own vote then does not count.
func (c *Core) voterUntilCommitted() bool {
	for i := len(c.confs) - 1; i >= 0; i-- {
		if c.confs[i].Configuration.IsVoter(c.cfg.ID) {
			return true
		}
		if c.confs[i].Index <= c.commit {
			return false
		}
	}
	return false
}

// sameIncarnation tells whether an incarnation is the one that the group admitted, as far as both are known.
func (c *Core) sameIncarnation(m Member, incarnation uint64) bool {
	return m.Incarnation == 0 || incarnation == 0 || m.Incarnation == incarnation
}

// electionTimeout follows §5.2: a follower that hears from no leader for an election timeout begins an election.
func (c *Core) electionTimeout() {
	c.event(Event{Kind: EventElectionTimeout, Rule: "§5.2: the election timeout elapsed"})
	if ok, _ := c.mayLead(); !ok {
		if c.role != Follower || c.leaderID != NoMember {
			c.follow(NoMember)
		}
		c.askForLeader()
		return
	}
	if c.cfg.DisablePreVote {
		c.becomeCandidate(false)
	} else {
		c.becomePreCandidate()
	}
}

func (c *Core) campaignAs(role Role, transfer bool) {
	c.role, c.following, c.leading = role, nil, nil
	c.campaign = &campaign{transfer: transfer}
	if c.leaderID != NoMember {
		c.leaderID = NoMember
		c.failReads()
	}
	c.quiesced = false
	c.resetElectionTimer()
}

// becomePreCandidate asks the others whether an election would succeed, without disturbing them (thesis §9.6).
func (c *Core) becomePreCandidate() {
	c.campaignAs(PreCandidate, false)
	c.event(Event{Kind: EventBecamePreCandidate, Rule: "thesis §9.6: a member asks before it raises the term"})
	c.campaign.granted = append(c.campaign.granted, c.cfg.ID)
	c.askAll(func() Message {
		return &PreVoteRequest{Header: Header{Term: c.term + 1}, LastIndex: c.log.last, LastTerm: c.log.lastTerm()}
	})
	c.countVotes()
}

// becomeCandidate begins an election (§5.2): it raises the term, votes for itself, and asks the others. The requests leave, and the
// own vote counts, once the vote is durable.
func (c *Core) becomeCandidate(transfer bool) {
	c.setTerm(c.term + 1)
	c.vote = c.cfg.ID
	c.campaignAs(Candidate, transfer)
	c.event(Event{Kind: EventBecameCandidate, Rule: "§5.2: a candidate raises its term and votes for itself"})
	c.askAll(func() Message {
		return &VoteRequest{LastIndex: c.log.last, LastTerm: c.log.lastTerm(), Transfer: transfer}
	})
}

// askAll sends a request to every other voter.
func (c *Core) askAll(request func() Message) {
	conf := c.latest().Configuration
	for _, id := range conf.all() {
		if id != c.cfg.ID && conf.IsVoter(id) {
			c.send(id, request())
		}
	}
}

// countOwnVote counts the candidate's vote for itself once it is durable; with it alone a group of one has its leader.
func (c *Core) countOwnVote() {
	if !c.hardDurable() || c.campaign.hasGranted(c.cfg.ID) {
		return
	}
	c.campaign.granted = append(c.campaign.granted, c.cfg.ID)
	c.countVotes()
}

// countVotes acts on the votes so far.
func (c *Core) countVotes() {
	p := c.campaign
	if c.latest().Configuration.decide(p.hasGranted, p.hasRefused) != won {
		return // A lost election is left to the timer: §5.2, each candidate times out and starts a new one.
	}
	if c.role == PreCandidate {
		c.becomeCandidate(false)
	} else {
		c.becomeLeader()
	}
}

// record notes a vote. Only members of the configuration count, and only the incarnation of them that was admitted: one that
// comes back with an empty disk has forgotten what it acknowledged, and must not vote it away.
func (c *Core) record(h *Header, granted bool) {
	p := c.campaign
	member, ok := c.latest().Configuration.Find(h.From)
	switch {
	case !ok:
		c.ignore(h.From, "thesis §4.1: a vote of no member of the configuration does not count")
		return
	case !c.sameIncarnation(member, h.Incarnation):
		c.ignore(h.From, "the disk of this member was replaced: its vote does not count")
		return
	case p.hasGranted(h.From) || p.hasRefused(h.From):
		return
	}
	if granted {
		p.granted = append(p.granted, h.From)
		c.event(Event{Kind: EventVoteReceived, Peer: h.From, Count: len(p.granted)})
	} else {
		p.refused = append(p.refused, h.From)
	}
	c.countVotes()
}

func (c *Core) onPreVoteGranted(m *PreVoteReply) {
	if c.role != PreCandidate || m.Campaign != c.term+1 || m.Term != m.Campaign {
		c.ignore(m.From, "thesis §9.6: the pre-vote is of another round")
		return
	}
	c.record(&m.Header, true)
}

func (c *Core) onVoteReply(m *VoteReply) {
	switch {
	case c.role != Candidate:
	case m.Candidate != 0 && c.cfg.Incarnation != 0 && m.Candidate != c.cfg.Incarnation:
		c.ignore(m.From, "the vote was asked for by another disk under this identity")
	default:
		c.record(&m.Header, m.Granted)
	}
}

// onPreVoteRequest answers whether this member would vote for the sender (thesis §9.6). A refusal tells the own term, so that a
// candidate whose log is good but whose term is behind catches up, and its next round succeeds.
func (c *Core) onPreVoteRequest(m *PreVoteRequest) {
	rule := c.refusal(m.LastIndex, m.LastTerm)
	switch {
	case c.sticky():
		rule = ruleSticky
	case m.Term <= c.term:
		rule = "§5.1: the campaign's term is not later than the current one"
	}
	c.wakeFollower() // If the leader is gone, this member's own timer will tell.
	reply := &PreVoteReply{Granted: rule == "", Campaign: m.Term}
	if reply.Granted {
		reply.Term = m.Term
	}
	c.answered(m.From, rule, "thesis §9.6: the log is up-to-date, and no leader is heard")
	c.send(m.From, reply)
	if reply.Granted && c.role == PreCandidate && c.yieldsTo(m) {
		c.follow(NoMember)
	}
}

// yieldsTo tells whether a pre-candidate leaves the field to another one, for whom it has just granted a pre-vote: the one with the better log,
// then the one of higher priority, then of higher id. Timeouts that elapse within a message's way of each other are frequent where the members share
// a machine or are kept waiting for a processor; both would be granted their pre-votes, and then split the votes (§5.2). A pre-vote binds nobody,
// so this is no matter of safety, and whoever yields tries again after a new timeout. The paper does not have it.
func (c *Core) yieldsTo(m *PreVoteRequest) bool {
	conf := c.latest().Configuration
	self, _ := conf.Find(c.cfg.ID)
	other, _ := conf.Find(m.From)
	switch {
	case !conf.IsVoter(m.From) || !c.sameIncarnation(other, m.Incarnation):
		return false // It cannot win.
	case m.LastTerm != c.log.lastTerm() || m.LastIndex != c.log.last:
		return true // Its log is the better one, or it would not have been granted.
	case other.Priority != self.Priority:
		return other.Priority > self.Priority
	}
	return m.From > c.cfg.ID
}

// onVoteRequest is RequestVote of figure 2.
func (c *Core) onVoteRequest(m *VoteRequest) {
	rule := c.refusal(m.LastIndex, m.LastTerm)
	if c.vote != NoMember && c.vote != m.From {
		rule = "§5.2: at most one vote a term, and it is given"
	}
	if rule == "" {
		c.vote = m.From
		c.resetElectionTimer() // §5.2: granting a vote resets the timer.
	}
	c.answered(m.From, rule, "§5.2, §5.4.1: no vote is given in this term, and the log is up-to-date")
	c.send(m.From, &VoteReply{Granted: rule == "", Candidate: m.Incarnation}) // After the sync, as the vote is not durable yet.
}

// refusal tells why this member may not vote for a candidate with such a log, whatever the term.
func (c *Core) refusal(last Index, term Term) string {
	conf := c.latest().Configuration
	self, _ := conf.Find(c.cfg.ID)
	switch {
	case conf.empty():
		return "this member knows no configuration: it may have forgotten one, and what it promised" // See Change.
	case !c.log.upToDate(last, term):
		return "§5.4.1: the candidate's log is less up-to-date"
	case c.repair != nil:
		return "the disk lost entries that may be committed: this log cannot judge another"
	case !c.sameIncarnation(self, c.cfg.Incarnation):
		return "this member's disk was replaced: it has to be admitted again"
	}
	return ""
}

func (c *Core) answered(to MemberID, refusal, grant string) {
	if refusal == "" {
		c.event(Event{Kind: EventVoteGranted, Peer: to, Rule: grant})
	} else {
		c.event(Event{Kind: EventVoteRefused, Peer: to, Rule: refusal})
	}
}
