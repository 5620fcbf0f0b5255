package raft

// A group that has nothing to do can fall silent: the leader says so in a last heartbeat, stops sending, and followers stop expecting any. Ten
// thousand idle groups then cost nothing. Only a group in which every member is up to date falls silent, so nothing is owed to anybody. Whoever
// has work, or a doubt about the leader, wakes it; that a silent leader's host is gone is for the caller to notice (it calls Wake).

// quiesceLeader lets the group fall silent if it may, and tells whether it did.
func (c *Core) quiesceLeader() bool {
	l := c.leading
	if c.cfg.QuiesceAfter == 0 || c.now-l.busy < c.cfg.QuiesceAfter || l.transfer.to != NoMember || l.reads.count() > 0 ||
		c.commit != c.log.last || c.latest().Configuration.Joint() {
		return false
	}
	for _, p := range l.peers {
		if p.match != c.log.last || (p != l.self && (p.state != Replicating || p.round+1 < l.round)) {
			return false
		}
	}
	term := c.log.lastTerm()
	for _, p := range l.peers {
		if p != l.self {
			c.send(p.id, &AppendRequest{PrevIndex: c.log.last, PrevTerm: term, Commit: c.commit, Round: l.round, Quiesce: true})
			p.commitSent = c.commit
		}
	}
	c.quiesced = true
	c.event(Event{Kind: EventQuiesced})
	return true
}

// quiesceFollower stops expecting the leader's heartbeats, if all it has is committed here.
func (c *Core) quiesceFollower(m *AppendRequest) {
	if m.PrevIndex != c.log.last || c.commit != c.log.last || c.disk.durable != c.log.last {
		return
	}
	c.quiesced = true
	c.electionDeadline = NoDeadline
	c.event(Event{Kind: EventQuiesced, Peer: m.From})
}

// Wake ends the silence of a quiesced group: there is work, or a doubt whether the leader lives.
func (c *Core) Wake() {
	c.inputs++
	switch {
	case c.role == Leader:
		c.wakeLeader()
	case c.leaderID != NoMember:
		c.wakeFollower()
	}
}

// askForLeader is what a member does that has run out of patience and may not campaign: a voter's requests for votes would wake a leader that has
// fallen silent, and nothing of its own does. It may have missed the last heartbeat, or not yet know that its entries are committed, as after a restart. It asks until a
// leader is heard; where groups never fall silent it just waits for one.
func (c *Core) askForLeader() {
	c.electionDeadline = NoDeadline // Until a leader is heard, or the configuration makes it a voter.
	conf := c.latest().Configuration
	if _, member := conf.Find(c.cfg.ID); c.cfg.QuiesceAfter == 0 || !member {
		return
	}
	for _, id := range conf.all() {
		if id != c.cfg.ID {
			c.send(id, &WakeRequest{})
		}
	}
	c.resetElectionTimer()
}

// wakeFor wakes a quiesced leader for any message: somebody is awake, and should hear from it.
func (c *Core) wakeFor(m Message) {
	if c.role != Leader || !c.quiesced {
		return
	}
	if _, reply := m.(*AppendReply); reply {
		return // The answer to the last heartbeat.
	}
	c.wakeLeader()
}

// wakeLeader notes that there is work, and begins to send heartbeats again if the group was silent.
func (c *Core) wakeLeader() {
	l := c.leading
	l.busy = c.now
	if !c.quiesced {
		return
	}
	c.quiesced = false
	c.event(Event{Kind: EventWoke})
	for _, p := range l.peers {
		p.lastActive = c.now // Nobody was asked to answer.
	}
	l.heartbeatDeadline = c.after(c.cfg.HeartbeatInterval)
	c.beginRound()
}

// wakeFollower expects heartbeats again, within an election timeout, or there will be an election; and asks the leader for them, since whoever woke this member
// may be known to no other: one that was removed and does not know it, say.
func (c *Core) wakeFollower() {
	if c.role != Follower || !c.quiesced {
		return
	}
	c.quiesced = false
	c.resetElectionTimer()
	c.event(Event{Kind: EventWoke})
	c.send(c.leaderID, &WakeRequest{})
}
