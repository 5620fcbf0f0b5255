package raft

import "slices"

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
	// terms are those of the log as it was: the disk knows them also where it lost the entries.
	terms []TermRun
}

// termAt returns the term that the log had at index i, 0 if it had none there.
func (r *repair) termAt(i Index) Term {
	var term Term
	for _, run := range r.terms {
		if run.First <= i && i <= r.target {
			term = run.Term
		}
	}
	return term
}

// restoreFaulty begins a repair if the disk lost entries.
func (c *Core) restoreFaulty(r *Restored) {
	if lost := r.lastFaultyApplied(c.commit); lost > 0 {
		// The machine has these already, so nobody here needs them again: the log begins after them. But a configuration may have been among them.
		c.relearning = &relearning{next: r.lowestFaulty(), until: lost}
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
	c.repair = &repair{target: c.log.last, term: r.HardState.Term, terms: slices.Clone(c.log.runs)}
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

// mayReplace tells whether a snapshot covers all that a repair is after. It does so, too, if the log had an entry of another term where the snapshot ends:
// what came after that entry was never committed (§5.3, Log Matching).
func (c *Core) mayReplace(meta *SnapshotMeta) bool {
	r := c.repair
	return r == nil || meta.Index >= r.target || meta.Term > r.term || r.termAt(meta.Index) != meta.Term
}

// shortens tells whether a snapshot covers a part of what a repair is after, which is then all that the leader can still give: its log begins there. The rest
// stays lost, on disk, too, until it was sent again.
func (c *Core) shortens(meta *SnapshotMeta) bool {
	return c.repair != nil && meta.Index > c.log.last && !c.mayReplace(meta)
}

// relearning is the way back to a configuration that the disk lost together with entries that were applied: the leader is asked for the
// entries again, which are not written, but looked through. Until then the member does not campaign, because it might
// count a majority of the wrong members, and makes no snapshot, which would spread the wrong ones.
type relearning struct {
	// next is the first entry that has to be looked at, until the last one.
	next, until Index
	// found is the latest configuration in what was looked at so far.
	found *ConfigurationAt
}

// relearnFrom looks through a request for lost configurations. It returns false if the request begins too late, and asks for an earlier one.
func (c *Core) relearnFrom(m *AppendRequest, confs []ConfigurationAt) bool {
	r := c.relearning
	if m.PrevIndex >= r.next {
		c.following.reject = &AppendReply{Rejected: true, PrevIndex: m.PrevIndex, ConflictIndex: r.next, Round: m.Round}
		c.event(Event{Kind: EventRejected, Peer: m.From, Index: r.next, Rule: "the disk lost entries that may have held the latest configuration"})
		return false
	}
	last := m.PrevIndex + Index(len(m.Entries))
	if last < r.next {
		return true
	}
	for i := range confs {
		if confs[i].Index >= r.next && confs[i].Index <= r.until {
			r.found = &confs[i]
		}
	}
	r.next = last + 1
	if r.next > r.until {
		c.relearned(r.found)
	}
	return true
}

// relearnFromSnapshot takes the configuration out of a snapshot that does not replace the log.
func (c *Core) relearnFromSnapshot(meta *SnapshotMeta) {
	r := c.relearning
	if meta.Index < r.until {
		// The leader's log begins within what was lost. The snapshot stands for what comes before that, and the leader can send the rest.
		if meta.Index >= r.next {
			if meta.ConfigurationIndex >= r.next {
				r.found = &ConfigurationAt{Index: meta.ConfigurationIndex, Configuration: meta.Configuration.Clone()}
			}
			r.next = meta.Index + 1
		}
		return
	}
	if meta.ConfigurationIndex > r.until {
		c.relearning, c.sureFrom = nil, meta.ConfigurationIndex // It is in the log here, after all that was lost.
		return
	}
	c.relearned(&ConfigurationAt{Index: meta.ConfigurationIndex, Configuration: meta.Configuration.Clone()})
}

// relearned ends the search. Without a configuration in what was lost the one before it is still in force there.
func (c *Core) relearned(found *ConfigurationAt) {
	c.relearning = nil
	if found == nil || found.Index <= c.confs[0].Index {
		return
	}
	c.confs[0] = *found
	if len(c.confs) == 1 {
		c.configurationChanged("the leader sent the configuration that the disk had lost")
	}
}
