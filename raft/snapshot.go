package raft

// Snapshots (§7, thesis §5) are made, kept and streamed by the caller; the core decides who needs one, and what one replaces.

// Compacted tells that the caller has dropped the log up to meta.Index, which is applied. The core forgets the entries and older
// configurations; what contradicts its own knowledge is ignored.
func (c *Core) Compacted(meta SnapshotMeta) {
	c.inputs++
	if meta.Index <= c.log.base || meta.Index > c.applied || c.installing != nil {
		return
	}
	at := *c.configurationAt(meta.Index)
	keep := []ConfigurationAt{at}
	for _, later := range c.confs {
		if later.Index > meta.Index {
			keep = append(keep, later)
		}
	}
	c.confs = keep
	c.log.compact(meta.Index)
}

// Installing tells whether a snapshot of the leader is about to take the log's place: until then Compacted does nothing.
func (c *Core) Installing() bool { return c.installing != nil }

// SnapshotMetaAt returns what a snapshot at index i stands for: the term and the configuration in force there, which is committed
// because i is. False if i is not within [compacted prefix, commit index], or the disk lost what the configuration was.
func (c *Core) SnapshotMetaAt(i Index) (SnapshotMeta, bool) {
	term, ok := c.log.term(i)
	if !ok || i > c.commit || i < c.sureFrom || c.relearning != nil {
		return SnapshotMeta{}, false
	}
	at := c.configurationAt(i)
	return SnapshotMeta{Index: i, Term: term, Configuration: at.Configuration.Clone(), ConfigurationIndex: at.Index}, true
}

// onInstallSnapshot is InstallSnapshot of figure 13, at the moment when the whole body has arrived.
func (c *Core) onInstallSnapshot(m *InstallSnapshot) {
	meta := &m.Meta
	if meta.Index == 0 || meta.Index > maxIndex || meta.Term == 0 || meta.Term > m.Term ||
		meta.ConfigurationIndex > meta.Index || meta.Configuration.Validate() != nil {
		c.ignore(m.From, "malformed: InstallSnapshot with an impossible snapshot")
		return
	}
	if !c.heard(m.From) {
		return
	}
	if c.installing != nil {
		c.ignore(m.From, "§7: another snapshot is being installed")
		return
	}
	term, ok := c.log.term(meta.Index)
	if c.relearning != nil && (meta.Index <= c.commit || (ok && term == meta.Term)) {
		c.relearnFromSnapshot(meta)
	}
	switch {
	case meta.Index <= c.commit:
		// The log is newer: a snapshot never takes back what is committed.
		c.ackSnapshot(min(meta.Index, c.disk.durable))
	case ok && term == meta.Term && c.repair == nil:
		// Figure 13, 6: the log has the snapshot's last entry, so it has all before it, and keeps what follows it.
		c.advanceCommit(meta.Index, "figure 13: the snapshot's last entry is committed, and it is in the log")
		c.ackSnapshot(min(meta.Index, c.disk.durable))
	case !c.mayReplace(meta) && !c.shortens(meta):
		c.ignore(m.From, "the disk lost entries that may be committed, and they are beyond the snapshot")
	default:
		// Figure 13, 7: discard the entire log. It waits until the caller has taken over the snapshot.
		c.installing = &installation{meta: *meta, keeps: c.shortens(meta)}
		c.installing.meta.Configuration = meta.Configuration.Clone()
		c.dirty = true
	}
}

// installation is a snapshot that replaces the log.
type installation struct {
	meta SnapshotMeta
	// keeps says that what the log on disk has after the snapshot, or has lost there, stays: see repair.go.
	keeps bool
	// asked says that Output.Install went out.
	asked bool
}

// askToInstall hands out the snapshot once no write is under way: what was written before belongs to the log that it replaces, and
// the term that it was sent in has to be durable before it is.
func (c *Core) askToInstall() {
	i := c.installing
	if i == nil || i.asked || len(c.disk.pending) > 0 || !c.hardDurable() {
		return
	}
	i.asked = true
	meta := i.meta
	meta.Configuration = meta.Configuration.Clone()
	c.out.Install, c.out.InstallKeeps = &meta, i.keeps
}

// ackSnapshot tells the leader that everything up to match is here.
func (c *Core) ackSnapshot(match Index) {
	c.send(c.leaderID, &AppendReply{Match: match})
}

// SnapshotInstalled answers Output.Install: the log is durably replaced by the snapshot and the machine restored from it,
// or not, and then nothing was changed.
func (c *Core) SnapshotInstalled(meta SnapshotMeta, ok bool) {
	c.inputs++
	if c.installing == nil || !c.installing.asked || c.installing.meta.Index != meta.Index || c.installing.meta.Term != meta.Term {
		return
	}
	s, keeps := c.installing.meta, c.installing.keeps
	c.installing = nil
	c.dirty = true
	if !ok {
		c.resetElectionTimer()
		return
	}
	c.event(Event{Kind: EventSnapshotInstalled, Index: s.Index, Rule: "figure 13: the log is discarded, and the machine reset by the snapshot"})
	c.log.reset(s.Index, s.Term)
	c.disk.replaced(s.Index)
	c.confs = []ConfigurationAt{{Index: s.ConfigurationIndex, Configuration: s.Configuration}}
	c.relearning, c.sureFrom = nil, 0
	if !keeps {
		c.repair = nil
	}
	c.handed, c.applied = s.Index, s.Index
	c.advanceCommit(s.Index, "figure 13: a snapshot stands for committed entries")
	c.configurationChanged("figure 13: the snapshot's configuration is in force")
	if c.role == Follower && c.leaderID != NoMember {
		c.ackSnapshot(s.Index)
	}
}

// needSnapshot asks the caller to send a follower a snapshot, because the entries it needs are compacted away.
func (c *Core) needSnapshot(p *progress) {
	p.probe(p.next)
	p.state, p.pendingSnapshot = Snapshotting, c.log.base
	if p.snapshotAsked && c.now-p.lastSnapshot < c.cfg.HeartbeatInterval {
		p.retrySnapshot = true // The last one did not help; at most one a heartbeat.
		return
	}
	p.snapshotAsked, p.lastSnapshot = true, c.now
	c.out.SendSnapshots = append(c.out.SendSnapshots, p.id)
	c.event(Event{Kind: EventSnapshotNeeded, Peer: p.id, Index: p.next, Rule: "§7: the entries the follower needs are compacted away"})
}

// SnapshotDone answers Output.SendSnapshots: the follower has taken over the snapshot, or the transfer failed and is asked for again with
// the next heartbeat, if it is still needed.
func (c *Core) SnapshotDone(to MemberID, meta SnapshotMeta, ok bool) {
	c.inputs++
	if c.role != Leader {
		return
	}
	p := c.leading.peer(to)
	if p == nil || p.state != Snapshotting {
		return
	}
	if !ok {
		p.retrySnapshot = true
		return
	}
	p.probe(max(p.match, meta.Index) + 1)
	if p.next > c.log.last+1 {
		p.next = c.log.last + 1
	}
	c.dirty = true
}

// fetch asks the caller for entries that are on disk only.
func (c *Core) fetch(p *progress) {
	if p.fetching.Member != NoMember {
		return
	}
	p.fetching = Fetch{Member: p.id, From: p.next, To: min(c.log.last, c.log.first-1), MaxBytes: c.cfg.MaxMessageBytes}
	c.out.Fetches = append(c.out.Fetches, p.fetching)
}

// Fetched answers one of Output.Fetches with the entries, which belong to the core from then on. None says that they could not be
// read, for example because they were compacted in the meantime: then the follower needs a snapshot.
func (c *Core) Fetched(f Fetch, entries []Entry) {
	c.inputs++
	if c.role != Leader {
		return
	}
	p := c.leading.peer(f.Member)
	if p == nil || p.fetching != f {
		return // Of an earlier leadership, or the follower's log was found to differ in the meantime.
	}
	p.fetching = Fetch{}
	c.dirty = true
	if p.next != f.From {
		return // The follower had some of it after all.
	}
	var size uint64
	for i := range entries {
		e := &entries[i]
		if term, ok := c.log.term(e.Index); !ok || term != e.Term || e.Index != f.From+Index(i) {
			entries = nil
			break
		}
		size += e.Size()
	}
	if len(entries) == 0 || p.next <= c.log.base {
		c.needSnapshot(p)
		return
	}
	c.sendEntries(p, entries[:len(entries):len(entries)], size)
}
