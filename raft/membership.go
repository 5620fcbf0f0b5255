package raft

import (
	"fmt"
	"slices"
	"time"
)

// latest returns the configuration in force: the last one in the log, committed or not (thesis §4.1).
func (c *Core) latest() *ConfigurationAt { return &c.confs[len(c.confs)-1] }

// configurationAt returns the configuration in force at index i of the log, base <= i.
func (c *Core) configurationAt(i Index) *ConfigurationAt {
	n := len(c.confs) - 1
	for n > 0 && c.confs[n].Index > i {
		n--
	}
	return &c.confs[n]
}

// configurationChanged follows the configuration in force, after an entry that carries one was appended or removed.
func (c *Core) configurationChanged(rule string) {
	at := c.latest()
	c.event(Event{Kind: EventConfiguration, Index: at.Index, Count: len(at.Configuration.Members), Rule: rule})
	switch {
	case c.role == Leader:
		c.updatePeers()
	case c.electionDeadline == NoDeadline && !c.quiesced:
		c.resetElectionTimer() // It may be a voter now.
	}
}

// updatePeers makes the leader's table fit the configuration in force. Who is in it no longer is told so, and then forgotten.
func (c *Core) updatePeers() {
	l := c.leading
	conf := c.latest().Configuration
	ids := conf.all()
	for _, p := range l.peers {
		p.leaving = true
		p.incoming, p.outgoing, p.replaced = false, false, false
		ids = append(ids, p.id)
	}
	ids = append(ids, c.cfg.ID)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	peers := make([]*progress, 0, len(ids))
	for _, id := range ids {
		p := l.peer(id)
		member, ok := conf.Find(id)
		if p == nil || (ok && p.incarnation != 0 && member.Incarnation != p.incarnation) {
			// New here, or with a new disk, of which nothing is known.
			p = &progress{id: id, next: c.log.last + 1, lastActive: c.now}
		}
		if ok {
			p.leaving, p.toldBy = false, 0
			p.incarnation = member.Incarnation
			p.incoming, p.outgoing = votesIn(conf.Members, id), votesIn(conf.Outgoing, id)
			p.replaced = p.outgoing && conf.replaced(find(conf.Outgoing, id))
		}
		peers = append(peers, p)
	}
	l.peers = peers
	l.self = l.peer(c.cfg.ID)
	l.self.match, l.self.next = c.disk.durable, c.disk.durable+1
	if l.self.incarnation == 0 {
		l.self.seenIncarnation = c.cfg.Incarnation
	}
	l.self.round, l.self.lastActive, l.self.leaving = l.round, c.now, false
	if to := l.transfer.to; to != NoMember && !conf.IsVoter(to) {
		c.endTransfer("thesis §3.10: the target is no voter any more")
	}
}

// ChangeMembers appends a configuration in which the members in Set are added or replaced, and those in Remove removed. A change of at most
// one voter is made in a single step (thesis §4.1), any other through joint consensus, which the leader leaves by itself
// (thesis §4.3). It returns the index and term of the entry that begins the change.
func (c *Core) ChangeMembers(ch Change) (Index, Term, error) {
	c.inputs++
	if err := c.mayChange(); err != nil {
		return 0, 0, err
	}
	next, err := c.changed(ch)
	if err != nil {
		return 0, 0, err
	}
	return c.appendConfiguration(next), c.term, nil
}

// mayChange tells why the configuration cannot be changed now.
func (c *Core) mayChange() error {
	switch {
	case c.role != Leader:
		return ErrNotLeader
	case c.leading.transfer.to != NoMember:
		return ErrTransferring
	case !c.committedInTerm():
		// Without this, a configuration of an earlier term that this leader has not seen may be committed (Ongaro, raft-dev, 2015).
		return ErrNotReady
	case c.latest().Index > c.commit || c.latest().Configuration.Joint():
		return ErrChangePending
	}
	return nil
}

// changed returns the configuration that a change leads to: itself, or the joint one on the way to it.
func (c *Core) changed(ch Change) (Configuration, error) {
	old := c.latest().Configuration
	members := cloneMembers(old.Members)
	for _, id := range ch.Remove {
		i := slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
		if i < 0 {
			return Configuration{}, fmt.Errorf("%w: remove %d: %w", ErrBadChange, id, ErrUnknownMember)
		}
		members = slices.Delete(members, i, i+1)
	}
	for _, m := range ch.Set {
		if slices.Contains(ch.Remove, m.ID) {
			return Configuration{}, fmt.Errorf("%w: member %d is both set and removed", ErrBadChange, m.ID)
		}
		i, found := slices.BinarySearchFunc(members, m.ID, func(m Member, id MemberID) int { return compare(m.ID, id) })
		if !m.Learner && !c.ready(m.ID) && !votesIn(old.Members, m.ID) {
			m.Learner, m.AutoPromote = true, true
		}
		if !found {
			members = slices.Insert(members, i, m)
			continue
		}
		was := members[i].Incarnation
		if m.Incarnation == 0 {
			m.Incarnation = was // Whoever changes an address or promotes a learner need not know it.
		}
		if was != 0 && m.Incarnation != was && !m.Learner {
			return Configuration{}, fmt.Errorf("%w: member %d has a new disk, and has to come back as a learner", ErrBadChange, m.ID)
		}
		members[i] = m
	}
	for i := range ch.Set {
		if err := newAddress(old.Members, members, &ch.Set[i]); err != nil {
			return Configuration{}, fmt.Errorf("%w: %w", ErrBadChange, err)
		}
	}
	next := Configuration{Members: members}
	if err := next.Validate(); err != nil {
		return Configuration{}, fmt.Errorf("%w: %w", ErrBadChange, err)
	}
	if next.Equal(old) {
		return Configuration{}, fmt.Errorf("%w: it changes nothing", ErrBadChange)
	}
	if votersChanged(old.Members, next.Members) > 1 {
		next.Outgoing = cloneMembers(old.Members)
	}
	return next, nil
}

// newAddress tells whether a member gets an address that is another one's: of a group there is one member at an address.
func newAddress(old, members []Member, m *Member) error {
	if was := find(old, m.ID); m.Address == "" || was != nil && was.Address == m.Address {
		return nil
	}
	for i := range members {
		if members[i].ID != m.ID && members[i].Address == m.Address {
			return fmt.Errorf("the address %s of member %d is that of member %d", m.Address, m.ID, members[i].ID)
		}
	}
	return nil
}

// ready tells whether a learner is there, has caught up, and has the configuration that made it one.
func (c *Core) ready(id MemberID) bool {
	p := c.leading.peer(id)
	return p != nil && c.now-p.lastActive < c.cfg.ElectionTimeoutMax && p.catchUp.done && p.match >= c.latest().Index && p.match >= c.leading.noop
}

func compare(a, b MemberID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// votersChanged counts the members that vote in one of two configurations and not in the other. Majorities of two
// configurations overlap for certain only if that is at most one (thesis §4.1).
func votersChanged(a, b []Member) int {
	n := 0
	for i := range a {
		if !a[i].Learner && !votesIn(b, a[i].ID) {
			n++
		}
	}
	for i := range b {
		if !b[i].Learner && !votesIn(a, b[i].ID) {
			n++
		}
	}
	return n
}

// appendConfiguration appends an entry with a configuration, which is in force at once.
func (c *Core) appendConfiguration(conf Configuration) Index {
	index := c.log.last + 1
	c.appendOwn([]Entry{{Kind: EntryConfiguration, Data: conf.Encode(nil)}}, []ConfigurationAt{{Index: index, Configuration: conf}})
	return index
}

// configurationCommitted goes on with a change when the commit index moves.
func (c *Core) configurationCommitted() {
	if c.latest().Index > c.commit {
		return
	}
	conf := c.latest().Configuration
	switch {
	case conf.Joint():
		c.reconfigure() // thesis §4.3: once the joint configuration is committed, the leader moves on to the new one.
	case !votesIn(conf.Members, c.cfg.ID):
		c.retire()
	default:
		c.reconfigure()
	}
}

// retire follows thesis §4.2.2: a leader that is no voter of the committed configuration steps down, after it told the
// others that it is committed. It asks the best of them to take over at once.
func (c *Core) retire() {
	c.leading.tellDeadline = c.now // It cannot tell later.
	c.replicate()
	var best *progress
	for _, p := range c.leading.peers {
		if p != c.leading.self && p.incoming && (best == nil || p.match > best.match) {
			best = p
		}
	}
	if best != nil && best.match >= c.commit {
		c.send(best.id, &TimeoutNow{})
	}
	c.event(Event{Kind: EventSteppedDown, Rule: "thesis §4.2.2: the leader is not a voter of the committed configuration"})
	c.follow(NoMember)
}

// reconfigure makes the changes of the configuration that the leader owes: leaving a joint one, admitting new disks of members,
// recording incarnations, promoting learners that have caught up.
func (c *Core) reconfigure() {
	c.forgetLeavers()
	if !c.committedInTerm() || c.latest().Index > c.commit {
		return
	}
	conf := c.latest().Configuration
	if conf.Joint() {
		c.appendConfiguration(Configuration{Members: cloneMembers(conf.Members)})
		return
	}
	if c.leading.transfer.to != NoMember {
		return
	}
	var ch Change
	for i := range conf.Members {
		m := conf.Members[i]
		if c.owed(&m) {
			ch.Set = append(ch.Set, m)
		}
	}
	if len(ch.Set) == 0 {
		return
	}
	if next, err := c.changed(ch); err == nil {
		c.appendConfiguration(next)
	}
}

// owed changes a member as the leader has to, and tells whether it did.
func (c *Core) owed(m *Member) bool {
	l := c.leading
	p := l.peer(m.ID)
	switch {
	case m.Incarnation != 0 && p.seenIncarnation != 0 && p.seenIncarnation != m.Incarnation &&
		c.now-p.lastActive >= c.cfg.ElectionTimeoutMax:
		// Another disk answers in its name, and the old one does not: it comes back as one that knows nothing. While the
		// old one still answers, the other is an impostor, and is left out.
		m.AutoPromote = m.AutoPromote || !m.Learner
		m.Learner, m.Incarnation = true, p.seenIncarnation
		return true
	case m.Incarnation == 0 && p.seenIncarnation != 0 && c.mayStamp():
		m.Incarnation = p.seenIncarnation
		return true
	case m.Learner && m.AutoPromote && c.ready(m.ID):
		m.Learner, m.AutoPromote = false, false
		return true
	}
	return false
}

// mayStamp tells whether the time has come to record incarnations: all have been seen, or the missing ones have had their time.
func (c *Core) mayStamp() bool {
	l := c.leading
	if c.now-l.since >= 2*c.cfg.ElectionTimeoutMax {
		return true
	}
	for _, p := range l.peers {
		if p.incarnation == 0 && p.seenIncarnation == 0 && !p.leaving {
			return false
		}
	}
	return true
}

// admitted tells whether an answer comes from the disk that the group admitted, and remembers if not.
func (c *Core) admitted(p *progress, h *Header) bool {
	switch {
	case h.Incarnation == 0:
		return true
	case p.incarnation == h.Incarnation:
		p.seenIncarnation = 0 // The one that the group knows lives.
		return true
	case p.incarnation == 0:
		p.seenIncarnation = h.Incarnation
		return true
	}
	p.seenIncarnation = h.Incarnation
	return false
}

// forgetLeavers drops who is no member any more and has answered that it knows it, or had time enough to.
func (c *Core) forgetLeavers() {
	at := c.latest().Index
	if at > c.commit {
		return
	}
	c.leading.peers = slices.DeleteFunc(c.leading.peers, func(p *progress) bool {
		if p.leaving && p.toldBy == 0 && p.match >= at && p.commitSent >= at {
			p.toldBy = c.leading.round + 1 // What told it may be lost; that heartbeat tells it again.
		}
		return p.leaving && ((p.toldBy != 0 && p.round >= p.toldBy) || c.now-p.lastActive >= c.cfg.ElectionTimeoutMax)
	})
}

// catchUp measures how a learner keeps up (thesis §4.2.1): replication is split into rounds, each of which brings all entries that were in
// the leader's log when it began; a learner whose round took less than an election timeout is close enough.
type catchUp struct {
	target Index
	began  time.Duration
	done   bool
}

// learnerAdvanced notes that a learner's match moved.
func (c *Core) learnerAdvanced(p *progress) {
	if p.votes() || p.match < p.catchUp.target {
		return
	}
	u := &p.catchUp
	// Once caught up it stays so: what comes after is no more than what voters lag behind.
	u.done = u.done || (u.target != 0 && c.now-u.began < c.cfg.ElectionTimeoutMin)
	u.target, u.began = c.log.last, c.now
	if u.done || p.match >= c.log.last {
		u.done = true
		c.reconfigure()
	}
}
