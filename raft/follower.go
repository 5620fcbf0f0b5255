package raft

import "time"

// following is what only a follower has.
type following struct {
	// ack and reject are the answer to what the leader sent since the last Take.
	ack    pendingAck
	reject *AppendReply
	// toldRound and toldMatch are what the leader was told already, the latter at the latest when the disk is done: an empty request that
	// asks for no more, such as one that only brings a commit index, needs no answer.
	toldRound uint64
	toldMatch Index
}

// pendingAck is one answer to many requests of the leader of this term.
type pendingAck struct {
	// due says that there is an answer to give; heartbeat that one of the requests was empty, entries that one was not.
	due, heartbeat, entries bool
	match                   Index
	round                   uint64
}

const ruleSticky = "§6, thesis §4.2.3: a leader was heard within the minimum election timeout"

// follow makes this member a follower of the leader, who may be unknown, in the current term.
func (c *Core) follow(leader MemberID) {
	was := c.role
	if was == Leader {
		c.stopLeading()
	}
	changed := c.leaderID != leader
	c.role, c.following, c.campaign, c.leading = Follower, &following{}, nil, nil
	c.leaderID, c.quiesced = leader, false
	if was != Follower || leader != NoMember || c.electionDeadline == NoDeadline {
		c.resetElectionTimer() // A higher term alone does not: §5.2 knows two reasons, the leader and a vote given.
	}
	if changed {
		c.failReads()
	}
	if was != Follower || (leader == NoMember && changed) {
		c.event(Event{Kind: EventBecameFollower, Peer: leader})
	}
	if leader != NoMember {
		c.event(Event{Kind: EventLeaderKnown, Peer: leader, Rule: "§5.2: a leader of the current term was heard"})
	}
}

// resetElectionTimer draws a new election timeout, uniformly between the bounds (§5.2, §9.3).
func (c *Core) resetElectionTimer() {
	spread := c.cfg.ElectionTimeoutMax - c.cfg.ElectionTimeoutMin
	c.electionDeadline = c.after(c.cfg.ElectionTimeoutMin + time.Duration(c.rng.Int64N(int64(spread)+1)))
}

// sticky tells whether this member knows a leader to be alive, and so refuses to help to depose it (§6, thesis §4.2.3).
func (c *Core) sticky() bool {
	switch {
	case c.cfg.DisableCheckQuorum:
		return false
	case c.role == Leader:
		return c.now-c.leading.quorumActive(c.now) < c.cfg.ElectionTimeoutMin
	case c.quiesced && c.leaderID != NoMember:
		return true
	}
	return c.now < c.stickyUntil
}

// heard notes a sign of life of the leader of this term, and tells whether the sender can be it.
func (c *Core) heard(from MemberID) bool {
	switch {
	case c.role == Leader || (c.leaderID != NoMember && c.leaderID != from):
		c.ignore(from, "§5.2: there is another leader in this term already")
		return false
	case c.role != Follower || c.leaderID != from:
		c.follow(from) // §5.2: a candidate that hears from a legitimate leader returns to follower state.
	default:
		c.quiesced = false
		c.resetElectionTimer()
	}
	c.stickyUntil = c.after(c.cfg.ElectionTimeoutMin)
	return true
}

// onAppendRequest is AppendEntries of figure 2, in its receiver's numbering.
func (c *Core) onAppendRequest(m *AppendRequest) {
	confs, fault := checkEntries(m)
	if fault != "" {
		c.ignore(m.From, fault)
		return
	}
	if !c.heard(m.From) {
		return
	}
	if c.installing != nil {
		c.acked(0, m) // The log is being replaced. Nothing can be said about it, but that the leader is heard.
		return
	}
	verified := m.PrevIndex + Index(len(m.Entries))
	if c.relearning != nil {
		if !c.relearnFrom(m, confs) {
			return
		}
		if c.relearning == nil {
			verified = max(verified, c.commit) // §5.4: what is committed here is the leader's too; it need not send all that follows.
		}
	}
	if m.PrevIndex >= c.log.base {
		term, ok := c.log.term(m.PrevIndex)
		if !ok || term != m.PrevTerm {
			c.refuse(m, term) // 2. Reply false if the log has no entry at prevLogIndex whose term matches.
			return
		}
	} else if fault := c.belowBase(m, verified); fault != "" {
		c.ignore(m.From, fault)
		return
	}
	if !c.merge(m, confs) {
		return
	}
	// 5. The commit index never passes the last entry that this very request has verified.
	if commit := min(m.Commit, verified); commit > c.commit {
		c.advanceCommit(commit, "figure 2, AppendEntries 5: the leader has committed it, and it is the leader's entry")
	}
	c.acked(verified, m)
	c.repaired()
	if m.Quiesce {
		c.quiesceFollower(m)
	}
}

// checkEntries tells what is malformed in a request, and decodes the configurations among its entries.
func checkEntries(m *AppendRequest) (confs []ConfigurationAt, fault string) {
	if m.PrevIndex > maxIndex || (m.PrevIndex == 0) != (m.PrevTerm == 0) || m.PrevTerm > m.Term {
		return nil, "malformed: AppendRequest with an impossible previous entry"
	}
	index, term := m.PrevIndex, m.PrevTerm
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Index != index+1 || e.Term < term || e.Term > m.Term || e.Term == 0 {
			return nil, "malformed: AppendRequest with entries out of order"
		}
		index, term = e.Index, e.Term
		if e.Kind != EntryConfiguration {
			continue
		}
		conf, err := DecodeConfiguration(e.Data)
		if err == nil {
			err = conf.Validate()
		}
		if err != nil {
			return nil, "malformed: AppendRequest with an invalid configuration"
		}
		confs = append(confs, ConfigurationAt{Index: e.Index, Configuration: conf})
	}
	return confs, ""
}

// belowBase checks a request whose previous entry is compacted away here. That entry was committed, so it is the leader's too
// (§5.4, Leader Completeness), and no conflict; so are all entries up to base.
func (c *Core) belowBase(m *AppendRequest, verified Index) string {
	if verified >= c.log.base && m.Entries[c.log.base-m.PrevIndex-1].Term != c.log.baseTerm {
		return "§5.4: the request contradicts an entry that is committed here"
	}
	return ""
}

// merge brings the entries of an accepted request into the log. It returns false if they contradict what is committed here.
func (c *Core) merge(m *AppendRequest, confs []ConfigurationAt) bool {
	entries := m.Entries
	// Skip what the log has already. A stale or overlapping request must not truncate entries that come after it.
	for len(entries) > 0 && entries[0].Index <= c.log.last {
		e := &entries[0]
		if term, ok := c.log.term(e.Index); ok && term != e.Term {
			if e.Index <= c.commit {
				c.ignore(m.From, "§5.4: the request contradicts an entry that is committed here")
				return false
			}
			// 3. An existing entry conflicts with a new one: delete it and all that follow it.
			c.truncate(e.Index, m.From)
			break
		}
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return true
	}
	for len(confs) > 0 && confs[0].Index < entries[0].Index {
		confs = confs[1:]
	}
	// 4. Append any new entries not already in the log.
	c.event(Event{Kind: EventAppended, Peer: m.From, Index: entries[0].Index, Count: len(entries),
		Rule: "figure 2, AppendEntries 4: entries not in the log are appended"})
	c.appendEntries(entries, confs)
	return true
}

// truncate removes the entries from i on, and the configurations among them.
func (c *Core) truncate(i Index, leader MemberID) {
	c.event(Event{Kind: EventTruncated, Peer: leader, Index: i, Count: int(c.log.last - i + 1),
		Rule: "figure 2, AppendEntries 3: an entry that conflicts with the leader's is removed, with all that follow it"})
	c.log.truncate(i)
	c.disk.truncated(i)
	n := len(c.confs)
	for n > 1 && c.confs[n-1].Index >= i {
		n--
	}
	if n < len(c.confs) {
		c.confs = c.confs[:n:n]
		c.configurationChanged("thesis §4.1: the configuration's entry was removed, so the one before it is in force again")
	}
}

// refuse answers that the log does not have the entry before the request's. §5.3: the reply names the conflicting term and its
// first index, so that the leader backs up a whole term at a time.
func (c *Core) refuse(m *AppendRequest, term Term) {
	if m.PrevIndex <= c.commit {
		c.ignore(m.From, "§5.4: the request contradicts an entry that is committed here")
		return
	}
	reply := &AppendReply{Rejected: true, PrevIndex: m.PrevIndex, ConflictIndex: c.log.last + 1, Round: m.Round}
	if m.PrevIndex <= c.log.last {
		reply.ConflictTerm, reply.ConflictIndex = term, max(c.log.firstOfTerm(m.PrevIndex), c.commit+1)
	}
	if r := c.following.reject; r != nil {
		reply.Round = max(reply.Round, r.Round)
	} else {
		c.event(Event{Kind: EventRejected, Peer: m.From, Index: reply.ConflictIndex,
			Rule: "figure 2, AppendEntries 2: the log has no entry at prevLogIndex with prevLogTerm"})
	}
	c.following.reject = reply
}

// acked notes that a request was accepted, and that the log equals the leader's up to verified.
func (c *Core) acked(verified Index, m *AppendRequest) {
	a := &c.following.ack
	a.due = true
	a.heartbeat = a.heartbeat || len(m.Entries) == 0
	a.entries = a.entries || len(m.Entries) > 0
	a.match = max(a.match, verified)
	a.round = max(a.round, m.Round)
}

// acknowledge answers all that the leader sent since the last Take. What is not durable yet is acknowledged when it is; a
// heartbeat is answered at once with what is, so that a slow disk does not make the leader seem alone.
func (c *Core) acknowledge() {
	if c.role != Follower || c.leaderID == NoMember {
		return
	}
	f := c.following
	if a := f.ack; a.due {
		f.ack = pendingAck{}
		durable := min(a.match, c.disk.durable)
		switch {
		case c.repair != nil:
			c.send(c.leaderID, &AppendReply{Match: durable, PrevIndex: a.match, Round: a.round})
		case !a.entries && a.round <= f.toldRound && durable <= f.toldMatch:
		case a.heartbeat || a.match <= durable:
			c.send(c.leaderID, &AppendReply{Match: durable, Round: a.round})
			f.toldRound, f.toldMatch = a.round, max(f.toldMatch, durable)
		}
		if a.entries && a.match > durable && c.repair == nil {
			c.sendAfterSync(c.leaderID, &AppendReply{Match: a.match, Round: a.round})
			f.toldMatch = max(f.toldMatch, a.match)
		}
	}
	if f.reject != nil {
		c.send(c.leaderID, f.reject)
		f.reject, f.toldMatch, f.toldRound = nil, 0, 0 // The leader will ask where the logs agree.
	}
}
