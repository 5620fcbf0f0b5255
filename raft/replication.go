package raft

import "fmt"

// Replication at the leader (§5.3): what is sent to each follower, what its answers mean, and what is committed by them.

// onAppendReply learns from a follower's answer what its log has.
func (c *Core) onAppendReply(m *AppendReply) {
	if c.role != Leader {
		return
	}
	l := c.leading
	p := l.peer(m.From)
	switch {
	case p == nil || p == l.self:
		c.ignore(m.From, "thesis §4.1: an answer of no member of the configuration does not count")
		return
	case !c.admitted(p, &m.Header):
		c.ignore(m.From, "the disk of this member was replaced: its answer does not count")
		return
	case m.Match > c.log.last || m.PrevIndex > c.log.last || m.Round > l.round:
		c.ignore(m.From, "malformed: AppendReply to what was never sent")
		return
	}
	p.lastActive = c.now
	if m.Rejected {
		c.onRejected(p, m)
	} else {
		c.onAccepted(p, m)
	}
	if c.role == Leader && m.Round > p.round {
		p.round = m.Round
		c.confirmRounds()
	}
}

// onAccepted moves match and next of a follower (§5.3).
func (c *Core) onAccepted(p *progress, m *AppendReply) {
	// A follower under repair says in PrevIndex what it has in memory; its durable log does not move until all of it is there.
	has := max(m.Match, m.PrevIndex)
	p.inflight.acknowledged(has)
	switch p.state {
	case Probing:
		if has+1 >= p.next {
			p.replicate(has + 1)
		}
	case Replicating:
		p.next = max(p.next, has+1)
	case Snapshotting:
		if _, ok := c.log.term(m.Match); ok && m.Match > p.match {
			p.replicate(m.Match + 1) // It has what the log begins with, from wherever.
		}
	}
	if m.Match <= p.match {
		return
	}
	p.match, p.matchRound = m.Match, c.leading.round
	c.commitByCounting()
	if c.role == Leader {
		c.learnerAdvanced(p)
		c.continueTransfer(p)
	}
}

// Settled returns up to where an acknowledgement of this term changes nothing that could not wait for another input: nobody waits for the answers to a round, and
// all that a follower lacks is on its way. 0 if there is no such index. Of three members, every commit is followed by such an answer.
func (c *Core) Settled() Index {
	if c.role != Leader || c.quiesced || c.leading.transfer.to != NoMember || c.leading.reads.count() > 0 || c.latest().Index > c.commit {
		return 0
	}
	if !c.cfg.DisableCheckQuorum && c.now-c.leading.quorumActive(c.now) >= c.cfg.HeartbeatInterval {
		return 0 // The next input may be the one that looks for a quorum.
	}
	for _, p := range c.leading.peers {
		if p != c.leading.self && (p.state != Replicating || p.next <= c.log.last || !p.votes()) {
			return 0
		}
	}
	return c.commit
}

// onRejected backs up to where the follower's log may agree. §5.3: by whole terms, with what the follower said of the conflict.
func (c *Core) onRejected(p *progress, m *AppendReply) {
	switch {
	case p.state == Snapshotting:
		return
	case m.PrevIndex <= p.match && m.Round > p.matchRound && m.ConflictIndex <= p.match:
		// It acknowledged this once, and was asked again after that: its disk lost it, and it says so. What it acknowledged still counts, because
		// such a member neither votes nor leads before it is repaired; it is sent everything from there on.
		p.probe(max(m.ConflictIndex, 1))
		return
	case m.PrevIndex <= p.match || m.PrevIndex >= p.next:
		return // Stale: the follower accepted it since, or another rejection was heeded.
	}
	next := m.ConflictIndex
	if m.ConflictTerm != 0 {
		// The logs can only agree where this one has no later term than the follower's; and if this one lacks that very term, only before
		// the follower's first entry of it.
		agree := c.log.lastUpTo(m.PrevIndex-1, m.ConflictTerm)
		if term, _ := c.log.term(agree); term == m.ConflictTerm {
			next = agree + 1
		} else {
			next = min(next, agree+1)
		}
	}
	p.probe(max(min(next, m.PrevIndex), p.match+1))
}

// advanceOwnMatch counts the leader's own entries, once they are durable: replication to others runs in parallel (thesis §10.2.1).
func (c *Core) advanceOwnMatch() {
	self := c.leading.self
	if c.disk.durable > self.match {
		self.match, self.next = c.disk.durable, c.disk.durable+1
		c.commitByCounting()
	}
}

// commitByCounting moves the commit index to what a quorum has.
func (c *Core) commitByCounting() {
	l := c.leading
	n := Index(l.agreedOn(func(p *progress) uint64 { return uint64(p.match) }))
	if n <= c.commit || n > c.log.last {
		return
	}
	// §5.4.2: only entries of the current term are committed by counting replicas; those before them are then committed indirectly.
	if term, ok := c.log.term(n); !ok || term != c.term {
		return
	}
	c.uncount(n)
	first := !c.committedInTerm()
	c.advanceCommit(n, "§5.3, §5.4.2: a quorum has an entry of the current term")
	if first {
		c.readyReads()
	}
	c.configurationCommitted()
}

// uncount takes what is committed off the uncommitted bytes.
func (c *Core) uncount(to Index) {
	l := c.leading
	for i := max(l.uncommittedFrom, c.log.first); i <= to; i++ {
		l.uncommitted -= c.log.window.at(i).Size()
	}
	l.uncommittedFrom = to + 1
}

// replicate sends every follower what it lacks. Take calls it, so that one message carries all that came together.
func (c *Core) replicate() {
	l := c.leading
	c.startReadRound()
	tell := c.now >= l.tellDeadline
	if tell {
		l.tellDeadline = NoDeadline
	}
	for _, p := range l.peers {
		if p != l.self {
			c.replicateTo(p, tell)
		}
	}
}

// Await has a member told of commits at once, without Config.CommitDelay, until it knows that the entry at that index is committed: somebody waits for that
// there. It belongs to the request whose entry that is.
func (c *Core) Await(member MemberID, index Index) {
	if c.role != Leader {
		return
	}
	if p := c.leading.peer(member); p != nil {
		p.awaited = max(p.awaited, index)
	}
}

// tellsLater tells whether a member hears of a commit with what is sent next, or when the delay is over. A member that leaves hears of it at once: the leader is about
// to forget it, or to step down.
func (c *Core) tellsLater(p *progress) bool {
	if c.cfg.CommitDelay == 0 || p.awaited > p.commitSent || p.leaving {
		return false
	}
	c.leading.tellDeadline = min(c.leading.tellDeadline, c.after(c.cfg.CommitDelay))
	return true
}

func (c *Core) replicateTo(p *progress, tell bool) {
	l := c.leading
	if p.next <= c.log.base && p.state != Snapshotting {
		c.needSnapshot(p)
	}
	switch p.state {
	case Probing:
		if !p.probeSent && p.fetching.Member == NoMember {
			c.sendNext(p)
		}
	case Replicating:
		for p.next <= c.log.last && p.inflight.count < c.cfg.MaxInflightMessages && c.sendNext(p) {
		}
		if min(c.commit, p.next-1) > p.commitSent && p.sentRound == l.round && (tell || !c.tellsLater(p)) {
			c.sendEntries(p, nil, 0) // The commit index does not wait for the next heartbeat.
		}
	}
	if p.sentRound < l.round {
		c.sendHeartbeat(p)
	}
}

// fits tells whether so many bytes more may be on their way to a follower. What is larger than the bound goes alone.
func (c *Core) fits(p *progress, size uint64) bool {
	return p.inflight.bytes == 0 || p.inflight.bytes+size <= c.cfg.MaxInflightBytes
}

// sendNext sends entries from next on, or an empty request if there are none. It tells whether something was sent; if not,
// there is too much on its way, or the entries are on the way from the caller.
func (c *Core) sendNext(p *progress) bool {
	switch {
	case p.next > c.log.last:
		c.sendEntries(p, nil, 0)
	case p.next >= c.log.first:
		entries, size := c.log.limited(p.next, c.cfg.MaxMessageBytes)
		if !c.fits(p, size) {
			return false
		}
		c.sendEntries(p, entries, size)
	case !c.fits(p, c.cfg.MaxMessageBytes):
		return false
	default:
		c.fetch(p)
		return false
	}
	return true
}

// sendEntries sends entries that begin at next, or none.
func (c *Core) sendEntries(p *progress, entries []Entry, size uint64) {
	prev := p.next - 1
	term, ok := c.log.term(prev)
	if !ok {
		panic(fmt.Sprintf("raft: member %d is sent what follows entry %d, but the log is (%d, %d]", p.id, prev, c.log.base, c.log.last))
	}
	last := prev + Index(len(entries))
	c.send(p.id, &AppendRequest{PrevIndex: prev, PrevTerm: term, Commit: c.commit, Round: c.leading.round, Entries: entries})
	p.commitSent = max(p.commitSent, min(c.commit, last))
	if len(entries) == 0 {
		p.sentRound = c.leading.round // It is a heartbeat, whatever it was sent for.
	}
	switch p.state {
	case Probing:
		p.probeSent = true
		if c.leading.round == 1 && len(entries) > 0 {
			p.sentRound = 1 // The no-op itself tells of the new leader.
		}
	case Replicating:
		p.next = last + 1
		if len(entries) > 0 {
			p.inflight.add(last, size)
		}
	}
}

// sendHeartbeat sends an empty request, which is checked like any other: a follower that missed entries before next rejects it. One
// for which next is compacted away gets a request that says nothing about its log.
func (c *Core) sendHeartbeat(p *progress) {
	prev := p.next - 1
	term, ok := c.log.term(prev)
	if !ok || p.state == Snapshotting {
		prev, term = 0, 0
	}
	c.send(p.id, &AppendRequest{PrevIndex: prev, PrevTerm: term, Commit: c.commit, Round: c.leading.round})
	p.sentRound = c.leading.round
	p.commitSent = max(p.commitSent, min(c.commit, prev))
}
