package raft

import "time"

// leading is what only a leader has.
type leading struct {
	// peers are all members of the configuration and this one, ascending by ID.
	peers []*progress
	self  *progress
	// noop is the index of the leader's first entry: once it is committed, so is everything before it (§8).
	noop Index
	// since is when the leadership began; heartbeatDeadline when the next heartbeats are due.
	since, heartbeatDeadline time.Duration
	// tellDeadline is when those are told of a commit that have not been with what was sent since.
	tellDeadline time.Duration
	// round numbers the heartbeats; rounds remembers when those that no quorum has answered yet began.
	round  uint64
	rounds []roundStart
	// confirmed is the highest round a quorum answered; leaseStart is when it began.
	confirmed  uint64
	leaseStart time.Duration
	// uncommitted counts the bytes of proposed entries that are not committed, from uncommittedFrom on.
	uncommitted     uint64
	uncommittedFrom Index
	// busy is when there was last something to do but heartbeats.
	busy     time.Duration
	transfer transfer
	reads    leaderReads
	// priorityRetry is when the leader may next try to hand over to a member of higher priority.
	priorityRetry time.Duration
}

type roundStart struct {
	round uint64
	at    time.Duration
}

// peer returns what is known of a member, nil if it is none.
func (l *leading) peer(id MemberID) *progress {
	for _, p := range l.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

// agreedOn returns the highest value that a quorum has reached, of both halves while joint.
func (l *leading) agreedOn(value func(*progress) uint64) uint64 {
	var a, b [16]uint64
	incoming, outgoing := a[:0], b[:0]
	for _, p := range l.peers {
		if p.incoming {
			incoming = append(incoming, value(p))
		}
		if p.outgoing {
			v := value(p)
			if p.replaced {
				v = 0
			}
			outgoing = append(outgoing, v)
		}
	}
	return min(agreed(incoming), agreed(outgoing))
}

// quorumActive returns since when a quorum has been heard at the latest; the leader itself always is.
func (l *leading) quorumActive(now time.Duration) time.Duration {
	l.self.lastActive = now
	return time.Duration(min(l.agreedOn(func(p *progress) uint64 { return uint64(p.lastActive) }), uint64(now)))
}

// becomeLeader follows §5.2 and §8: the leader appends an empty entry of its term, and tells everybody at once.
func (c *Core) becomeLeader() {
	c.role, c.following, c.campaign = Leader, nil, nil
	c.leaderID = c.cfg.ID
	c.electionDeadline = NoDeadline
	c.leading = &leading{
		since: c.now, busy: c.now, heartbeatDeadline: c.after(c.cfg.HeartbeatInterval), tellDeadline: NoDeadline,
		noop: c.log.last + 1, uncommittedFrom: c.log.last + 1,
	}
	c.updatePeers()
	c.event(Event{Kind: EventBecameLeader, Index: c.leading.noop, Rule: "§5.2: a majority voted for it"})
	c.beginRound()
	c.appendOwn([]Entry{{Kind: EntryNoop}}, nil)
}

// stopLeading ends what only the leader can carry on. What was proposed may still be committed by the next leader, or not.
func (c *Core) stopLeading() {
	if to := c.leading.transfer.to; to != NoMember {
		c.event(Event{Kind: EventTransferEnded, Peer: to, Rule: "thesis §3.10: the leader lost its leadership"})
	}
	c.failLeaderReads()
}

// StepDown makes a leader give up, because of what the core cannot see, such as a disk that is stuck; rule says why. It
// lets others try first.
func (c *Core) StepDown(rule string) {
	c.inputs++
	if c.role != Leader {
		return
	}
	c.event(Event{Kind: EventSteppedDown, Rule: rule})
	c.follow(NoMember)
	c.electionDeadline = c.after(2 * c.cfg.ElectionTimeoutMax)
}

// Proposal is an entry to be.
type Proposal struct {
	Kind EntryKind
	// Sum is Sum(Data).
	Sum  uint32
	Data []byte
}

// Propose appends entries to the leader's log and returns the index and term of the first; the others follow. It is all or
// nothing. That they are committed shows when they come out of Take; that they never will be, when another entry comes out at
// their index. The data belongs to the core from then on.
func (c *Core) Propose(proposals []Proposal) (Index, Term, error) {
	c.inputs++
	l := c.leading
	switch {
	case l == nil:
		return 0, 0, ErrNotLeader
	case l.transfer.to != NoMember:
		return 0, 0, ErrTransferring
	}
	var size uint64
	for i := range proposals {
		if k := proposals[i].Kind; k == EntryConfiguration || k == EntryNoop {
			return 0, 0, ErrBadProposal
		}
		size += uint64(len(proposals[i].Data)) + EntryOverhead
	}
	if l.uncommitted > 0 && l.uncommitted+size > c.cfg.MaxUncommittedBytes {
		return 0, 0, ErrOverloaded
	}
	if c.log.last+Index(len(proposals)) > maxIndex {
		return 0, 0, ErrOverloaded
	}
	first := c.log.last + 1
	c.event(Event{Kind: EventProposed, Index: first, Count: len(proposals), Rule: "§5.3: the leader appends the command to its log"})
	c.wakeLeader()
	c.log.propose(c.term, proposals, size)
	l.uncommitted += size
	c.dirty = true
	return first, c.term, nil
}

// appendOwn appends entries of the leader itself; their terms, indexes and sums are filled in.
func (c *Core) appendOwn(entries []Entry, confs []ConfigurationAt) {
	for i := range entries {
		e := &entries[i]
		e.Term, e.Index, e.Sum = c.term, c.log.last+1+Index(i), Sum(e.Data)
		c.leading.uncommitted += e.Size()
	}
	c.wakeLeader()
	c.appendEntries(entries, confs)
}

// committedInTerm tells whether an entry of the leader's own term is committed: only then does it know what is (§8).
func (c *Core) committedInTerm() bool { return c.commit >= c.leading.noop }

// tickLeader does what is due at the leader.
func (c *Core) tickLeader() {
	l := c.leading
	if c.now >= l.tellDeadline {
		c.dirty = true
	}
	if c.now >= l.transfer.deadline && l.transfer.to != NoMember {
		c.endTransfer("thesis §3.10: the target did not take over within an election timeout")
	}
	if c.quiesced || c.now < l.heartbeatDeadline {
		return
	}
	if !c.cfg.DisableCheckQuorum && c.now-l.quorumActive(c.now) >= c.cfg.ElectionTimeoutMax {
		c.event(Event{Kind: EventSteppedDown, Rule: "thesis §6.2: no quorum answered for an election timeout"})
		c.follow(NoMember)
		return
	}
	c.reconfigure()
	if c.role != Leader || c.quiesceLeader() {
		return
	}
	c.preferOthers()
	c.resendTimeoutNow()
	l.heartbeatDeadline = c.after(c.cfg.HeartbeatInterval)
	c.beginRound()
}

func (c *Core) leaderDeadline() time.Duration {
	d := c.leading.heartbeatDeadline
	if c.quiesced {
		d = NoDeadline
	}
	if c.leading.transfer.to != NoMember {
		d = min(d, c.leading.transfer.deadline)
	}
	return min(d, c.leading.tellDeadline)
}

// beginRound begins a round of heartbeats, which replicate sends. The reads that wait for one share it (thesis §6.4).
func (c *Core) beginRound() {
	l := c.leading
	l.round++
	l.rounds = append(l.rounds, roundStart{round: l.round, at: c.now})
	if len(l.rounds) > maxRounds {
		l.rounds = append(l.rounds[:0], l.rounds[1:]...)
	}
	l.self.round = l.round
	l.self.lastActive = c.now
	for _, p := range l.peers {
		if p.retrySnapshot {
			p.probe(p.match + 1)
		}
	}
	l.reads.join(l.round)
	c.dirty = true
	c.confirmRounds()
}

// maxRounds bounds the memory of unanswered rounds, for a leader that does not check its quorum.
const maxRounds = 256

// confirmRounds notes which rounds a quorum has answered: at their beginning this was still the leader (thesis §6.4).
func (c *Core) confirmRounds() {
	l := c.leading
	confirmed := min(l.agreedOn(func(p *progress) uint64 { return p.round }), l.round)
	if confirmed <= l.confirmed {
		return
	}
	l.confirmed = confirmed
	n := 0
	for n < len(l.rounds) && l.rounds[n].round <= confirmed {
		l.leaseStart = l.rounds[n].at
		n++
	}
	l.rounds = append(l.rounds[:0], l.rounds[n:]...)
	c.confirmReads()
}
