package raft

import "time"

// Reads without the log (thesis §6.4): the leader remembers its commit index when the read comes in, makes sure by a round of heartbeats that
// began after that that it still leads, and the reader waits until its machine has applied that much.

// readQueue is what every member has of reads that wait for a leader elsewhere.
type readQueue struct {
	// nonce makes the numbers of forwarded requests unique to this life of the member, so that a late answer to an earlier one is not
	// taken for an answer to a new one.
	nonce uint64
	// fresh are the callers' reads since the last Take; sent are those that went to the leader, in groups.
	fresh []uint64
	sent  []sentReads
}

type sentReads struct {
	id       uint64
	ids      []uint64
	deadline time.Duration
}

func (q *readQueue) deadline() time.Duration {
	if len(q.sent) == 0 {
		return NoDeadline
	}
	return q.sent[0].deadline
}

// leaderReads are the reads at a leader.
type leaderReads struct {
	// waiting came in before the leader had committed in its term; queued wait for a round to begin; confirming for theirs to be answered.
	waiting, queued, confirming []pendingRead
}

// pendingRead is one read, of this member's caller if from is NoMember.
type pendingRead struct {
	from  MemberID
	id    uint64
	index Index
	round uint64
}

func (r *leaderReads) count() int { return len(r.waiting) + len(r.queued) + len(r.confirming) }

// join lets the queued reads wait for a round that begins now.
func (r *leaderReads) join(round uint64) {
	for i := range r.queued {
		r.queued[i].round = round
	}
	r.confirming = append(r.confirming, r.queued...)
	r.queued = r.queued[:0]
}

// ReadIndex asks for an index such that a machine which has applied it answers reads linearizably (thesis §6.4). The
// result comes in Output.Reads under the caller's id. A follower asks its leader.
func (c *Core) ReadIndex(id uint64) error {
	c.inputs++
	switch {
	case c.role == Leader:
		if c.leading.reads.count() >= maxWaitingReads {
			return ErrOverloaded
		}
		c.read(pendingRead{id: id})
	case c.leaderID == NoMember:
		return ErrNoLeader
	case len(c.reads.fresh) >= maxWaitingReads || len(c.reads.sent) >= maxWaitingReads:
		return ErrOverloaded
	default:
		c.reads.fresh = append(c.reads.fresh, id)
		c.dirty = true
	}
	return nil
}

// read takes a read at the leader.
func (c *Core) read(r pendingRead) {
	l := c.leading
	c.wakeLeader()
	switch {
	case !c.committedInTerm():
		// §8: before it has committed in its term, the leader does not know which entries are committed.
		l.reads.waiting = append(l.reads.waiting, r)
	case c.leaseHolds():
		r.index = c.commit
		c.settle(r, "thesis §6.4.1: the leader's lease holds")
	default:
		r.index = c.commit
		l.reads.queued = append(l.reads.queued, r)
	}
	c.dirty = true
}

// leaseHolds tells whether no other leader can have been elected yet: a quorum answered a round, and will not vote before the
// minimum election timeout has passed on its clocks since (thesis §6.4.1). The lease runs from when the round was sent.
func (c *Core) leaseHolds() bool {
	l := c.leading
	if !c.cfg.LeaseReads || l.transfer.everSent || l.confirmed == 0 {
		return false
	}
	lease := c.cfg.ElectionTimeoutMin * time.Duration(100-c.cfg.ClockDriftBound) / 100
	return c.now-l.leaseStart < lease
}

// readyReads lets the reads go on that waited for the first commit of the term.
func (c *Core) readyReads() {
	l := c.leading
	waiting := l.reads.waiting
	l.reads.waiting = nil
	for _, r := range waiting {
		c.read(r)
	}
}

// startReadRound begins a round for the queued reads, unless one is under way: then they share the next.
func (c *Core) startReadRound() {
	l := c.leading
	if len(l.reads.queued) > 0 && len(l.reads.confirming) == 0 {
		c.beginRound()
	}
}

// confirmReads settles the reads whose round a quorum has answered.
func (c *Core) confirmReads() {
	l := c.leading
	n := 0
	for n < len(l.reads.confirming) && l.reads.confirming[n].round <= l.confirmed {
		n++
	}
	if n == 0 {
		return
	}
	confirmed := l.reads.confirming[:n]
	l.reads.confirming = append([]pendingRead(nil), l.reads.confirming[n:]...)
	for _, r := range confirmed {
		c.settle(r, "")
	}
	c.event(Event{Kind: EventReadConfirmed, Index: confirmed[n-1].index, Count: n,
		Rule: "thesis §6.4: a quorum answered a heartbeat sent after the read came in"})
}

// settle answers a read.
func (c *Core) settle(r pendingRead, rule string) {
	if rule != "" {
		c.event(Event{Kind: EventReadConfirmed, Index: r.index, Count: 1, Rule: rule})
	}
	if r.from != NoMember {
		c.send(r.from, &ReadIndexReply{ID: r.id, Index: r.index})
		c.Await(r.from, r.index)
		return
	}
	c.out.Reads = append(c.out.Reads, Read{ID: r.id, Index: r.index, OK: true})
	c.dirty = true
}

// failLeaderReads gives up the reads of a leader that is one no more.
func (c *Core) failLeaderReads() {
	r := &c.leading.reads
	for _, list := range [][]pendingRead{r.waiting, r.queued, r.confirming} {
		for _, read := range list {
			if read.from != NoMember {
				c.send(read.from, &ReadIndexReply{ID: read.id})
				continue
			}
			c.out.Reads = append(c.out.Reads, Read{ID: read.id})
			c.dirty = true
		}
	}
	*r = leaderReads{}
}

// forwardReads sends the reads since the last Take to the leader, as one.
func (c *Core) forwardReads() {
	q := &c.reads
	if len(q.fresh) == 0 || c.leaderID == NoMember || c.role == Leader {
		return
	}
	c.wakeFollower()
	q.nonce++
	q.sent = append(q.sent, sentReads{id: q.nonce, ids: q.fresh, deadline: c.after(c.cfg.ElectionTimeoutMax)})
	q.fresh = nil
	c.send(c.leaderID, &ReadIndexRequest{ID: q.nonce})
}

// onReadIndexRequest takes a follower's read at the leader.
func (c *Core) onReadIndexRequest(m *ReadIndexRequest) {
	switch _, member := c.latest().Configuration.Find(m.From); {
	case c.role != Leader || !member || c.leading.reads.count() >= maxWaitingReads:
		c.send(m.From, &ReadIndexReply{ID: m.ID})
	default:
		c.read(pendingRead{from: m.From, id: m.ID})
	}
}

// onReadIndexReply settles forwarded reads.
func (c *Core) onReadIndexReply(m *ReadIndexReply) {
	q := &c.reads
	for i := range q.sent {
		if q.sent[i].id != m.ID {
			continue
		}
		c.settleForwarded(q.sent[i].ids, m.Index)
		q.sent = append(q.sent[:i], q.sent[i+1:]...)
		return
	}
}

func (c *Core) settleForwarded(ids []uint64, index Index) {
	for _, id := range ids {
		c.out.Reads = append(c.out.Reads, Read{ID: id, Index: index, OK: index != 0})
	}
	c.dirty = true
}

// tickReads gives up reads that the leader did not answer within an election timeout.
func (c *Core) tickReads() {
	q := &c.reads
	for len(q.sent) > 0 && c.now >= q.sent[0].deadline {
		c.settleForwarded(q.sent[0].ids, 0)
		q.sent = append(q.sent[:0], q.sent[1:]...)
	}
}

// failReads gives up all forwarded reads: their leader is not the leader any more.
func (c *Core) failReads() {
	q := &c.reads
	c.settleForwarded(q.fresh, 0)
	q.fresh = nil
	for i := range q.sent {
		c.settleForwarded(q.sent[i].ids, 0)
	}
	q.sent = nil
}
