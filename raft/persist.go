package raft

// persists keeps account of what was handed out to be written, and what of it is durable. Writes are numbered and
// complete in order; while they run the core goes on.
type persists struct {
	// seq numbers the last write begun.
	seq     uint64
	pending []persist
	// durable is the last index up to which the log, as it is now, is on stable storage.
	durable Index
	// next is the first index that was not handed out yet.
	next Index
	// hard is on stable storage; emitted was handed out last.
	hard, emitted HardState
}

// persist is a write under way. last is what durable becomes when it completes: the last entry that it made durable and that is
// still in the log.
type persist struct {
	seq  uint64
	last Index
	hard HardState
}

// begin numbers a new write, which makes the log durable up to last, and the hard state that was emitted.
func (p *persists) begin(last Index) uint64 {
	p.seq++
	p.pending = append(p.pending, persist{seq: p.seq, last: last, hard: p.emitted})
	return p.seq
}

// synced notes that write seq and all before it are complete, and tells whether anything changed. What was truncated in the
// meantime stays undurable, even if other entries took its place: the completion was of the old ones (ABA).
func (p *persists) synced(seq uint64) bool {
	if seq > p.seq {
		return false
	}
	n := 0
	for n < len(p.pending) && p.pending[n].seq <= seq {
		p.durable = max(p.durable, p.pending[n].last)
		p.hard = p.pending[n].hard
		n++
	}
	p.pending = append(p.pending[:0], p.pending[n:]...)
	return n > 0
}

// AwaitsSync tells whether something may follow from Synced. If not, the caller may leave it until there is another input: a follower's entries are seldom
// committed before they are durable there, and a leader's own disk is mostly done before a follower's answer is here.
func (c *Core) AwaitsSync() bool {
	switch {
	case len(c.disk.pending) == 0:
		return false
	case !c.hardDurable() || c.commit > c.disk.durable || c.installing != nil || c.repair != nil:
		return true
	}
	return c.role == Leader && c.leading.awaitsSelf()
}

// DurableWith returns the last index that is on stable storage once persist seq is, whether or not Synced was told so.
func (c *Core) DurableWith(seq uint64) Index {
	durable := c.disk.durable
	for _, p := range c.disk.pending {
		if p.seq <= seq {
			durable = max(durable, p.last)
		}
	}
	return durable
}

// awaitsSelf tells whether the leader's own log may be what a quorum lacks: another voter has more, or there is none.
func (l *leading) awaitsSelf() bool {
	alone := true
	for _, p := range l.peers {
		if p == l.self || !p.votes() {
			continue
		}
		if p.match > l.self.match {
			return true
		}
		alone = false
	}
	return alone
}

// truncated notes that the entries from i on were removed from the log.
func (p *persists) truncated(i Index) {
	p.durable = min(p.durable, i-1)
	p.next = min(p.next, i)
	for k := range p.pending {
		p.pending[k].last = min(p.pending[k].last, i-1)
	}
}

// replaced notes that the log was durably replaced by a snapshot at i.
func (p *persists) replaced(i Index) {
	p.durable, p.next = i, i+1
	for k := range p.pending {
		p.pending[k].last = i
	}
}
