package raft

// A disk can lose entries that it had made durable. If the member acknowledged them, they may be committed, and it must not act as if it never had
// them: voting for a candidate without them, or leading without them, could lose them for the group. Such entries are faulty, not missing
// (Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018).
//
// The member then behaves as a follower whose log ends before the first faulty entry, and takes from the leader what comes after, but:
// it neither votes nor campaigns, acknowledges nothing beyond that point, and keeps what it gets in memory. Only when it has
// everything up to where its log once ended does it write all of that at once, so that a crash in between finds the log as faulty as before.

// repair is the way back to a whole log.
type repair struct {
	// target is where the log once ended, and term at least the term of its last entry.
	target Index
	term   Term
}

// restoreFaulty begins a repair if the disk lost entries.
func (c *Core) restoreFaulty(r *Restored) {
	if lost := r.lastFaultyApplied(c.commit); lost > 0 {
		// The machine has these already, so nobody here needs them again: the log begins after them. But a configuration may have been among them.
		c.doubt = lost
		at := *c.configurationAt(lost)
		for len(c.confs) > 0 && c.confs[0].Index <= lost {
			c.confs = c.confs[1:]
		}
		c.confs = append([]ConfigurationAt{at}, c.confs...)
		c.log.compact(lost)
	}
	from := r.firstFaulty(c.commit)
	if from == 0 {
		return
	}
	c.repair = &repair{target: c.log.last, term: r.HardState.Term}
	if !r.isFaulty(c.log.last) {
		c.repair.term = c.log.lastTerm()
	}
	c.log.truncate(from)
	c.disk.truncated(from)
	n := len(c.confs)
	for n > 1 && c.confs[n-1].Index >= from {
		n--
	}
	c.confs = c.confs[:n:n]
}

// repaired ends the repair once the log has everything it may ever have acknowledged: it reaches as far as it did, or has an entry of a
// term after all it had, which was never in it and before which the leader's log is complete (§5.4).
func (c *Core) repaired() {
	if c.repair != nil && (c.log.last >= c.repair.target || c.log.lastTerm() > c.repair.term) {
		c.repair = nil
		c.dirty = true
	}
}

// mayReplace tells whether a snapshot covers all that a repair is after.
func (c *Core) mayReplace(meta *SnapshotMeta) bool {
	return c.repair == nil || meta.Index >= c.repair.target || meta.Term > c.repair.term
}
