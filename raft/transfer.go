package raft

import "time"

// transfer is a handover of leadership under way (thesis §3.10). It lives in leading, so that whatever ends the leadership ends it too.
type transfer struct {
	to       MemberID
	deadline time.Duration
	// everSent says that a TimeoutNow was sent in this term. It may arrive at any time later, and the election it causes overrides
	// stickiness: from then on the term has no lease.
	everSent bool
}

// TransferLeadership hands leadership to another voter: the leader takes no more proposals, brings the target's log up to date, and asks it to campaign at once
// (thesis §3.10). If it did not succeed within an election timeout, the leader goes on. To itself it does nothing.
func (c *Core) TransferLeadership(to MemberID) error {
	c.inputs++
	if c.role != Leader {
		return ErrNotLeader
	}
	conf := c.latest().Configuration
	_, known := conf.Find(to)
	switch {
	case !known:
		return ErrUnknownMember
	case !votesIn(conf.Members, to):
		return ErrNotVoter
	case c.leading.transfer.to != NoMember:
		return ErrTransferring
	case to == c.cfg.ID:
		return nil
	}
	c.wakeLeader()
	t := &c.leading.transfer
	t.to, t.deadline = to, c.after(c.cfg.ElectionTimeoutMax)
	c.event(Event{Kind: EventTransferStarted, Peer: to, Rule: "thesis §3.10: the leader stops taking proposals"})
	c.continueTransfer(c.leading.peer(to))
	return nil
}

// continueTransfer asks the target to take over once its log is as long as the leader's.
func (c *Core) continueTransfer(p *progress) {
	t := &c.leading.transfer
	if t.to != p.id || p.match < c.log.last {
		return
	}
	t.everSent = true
	c.send(p.id, &TimeoutNow{})
}

// resendTimeoutNow asks again, because a message may be lost.
func (c *Core) resendTimeoutNow() {
	if p := c.leading.peer(c.leading.transfer.to); p != nil {
		c.continueTransfer(p)
	}
}

func (c *Core) endTransfer(rule string) {
	t := &c.leading.transfer
	c.event(Event{Kind: EventTransferEnded, Peer: t.to, Rule: rule})
	t.to, t.deadline = NoMember, 0
}

// onTimeoutNow campaigns at once, without a pre-vote: the leader of this term asks for it.
func (c *Core) onTimeoutNow(m *TimeoutNow) {
	if c.role != Follower || (c.leaderID != NoMember && c.leaderID != m.From) {
		c.ignore(m.From, "thesis §3.10: the sender does not lead this term")
		return
	}
	if ok, rule := c.mayLead(); !ok {
		c.ignore(m.From, rule)
		return
	}
	c.becomeCandidate(true)
}

// preferOthers hands over to a voter of higher priority that has caught up.
func (c *Core) preferOthers() {
	l := c.leading
	conf := c.latest().Configuration
	if l.transfer.to != NoMember || c.now < l.priorityRetry || c.mayChange() != nil {
		return
	}
	self, _ := conf.Find(c.cfg.ID)
	var best *Member
	for i := range conf.Members {
		m := &conf.Members[i]
		if m.Learner || m.Priority <= self.Priority || (best != nil && m.Priority <= best.Priority) {
			continue
		}
		p := l.peer(m.ID)
		if p.state == Replicating && p.match >= c.commit && c.now-p.lastActive < 2*c.cfg.HeartbeatInterval {
			best = m
		}
	}
	if best == nil {
		return
	}
	l.priorityRetry = c.after(8 * c.cfg.ElectionTimeoutMax)
	if err := c.TransferLeadership(best.ID); err != nil {
		c.ignore(best.ID, "a voter of higher priority cannot take over now")
	}
}
