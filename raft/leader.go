package raft

import (
	"fmt"
	"time"
)

// leading is what only a leader has.
type leading struct {
	// peers are all members of the configuration and this one, ascending by ID.
	peers []*progress
	self  *progress
	// noop is the index of the leader's first entry: once it is committed, so is everything before it (§8).
	noop Index
	// since is when the leadership began; heartbeatDeadline when the next heartbeats are due.
	since, heartbeatDeadline time.Duration
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
			outgoing = append(outgoing, value(p))
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
		since: c.now, busy: c.now, heartbeatDeadline: c.after(c.cfg.HeartbeatInterval),
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
	return d
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
		l.uncommitted -= c.log.window[i-c.log.first].Size()
	}
	l.uncommittedFrom = to + 1
}

// replicate sends every follower what it lacks. Take calls it, so that one message carries all that came together.
func (c *Core) replicate() {
	l := c.leading
	c.startReadRound()
	for _, p := range l.peers {
		if p != l.self {
			c.replicateTo(p)
		}
	}
}

func (c *Core) replicateTo(p *progress) {
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
		for p.next <= c.log.last && p.inflight.count < c.cfg.MaxInflightMessages && p.inflight.bytes < c.cfg.MaxInflightBytes {
			if !c.sendNext(p) {
				break
			}
		}
		if min(c.commit, p.next-1) > p.commitSent && p.sentRound == l.round {
			c.sendEntries(p, nil, 0) // The commit index does not wait for the next heartbeat.
		}
	}
	if p.sentRound < l.round {
		c.sendHeartbeat(p)
	}
}

// sendNext sends entries from next on, or an empty request if there are none. It tells whether something was sent; if not,
// the entries are on the way from the caller.
func (c *Core) sendNext(p *progress) bool {
	switch {
	case p.next > c.log.last:
		c.sendEntries(p, nil, 0)
	case p.next >= c.log.first:
		entries, size := c.log.limited(p.next, c.cfg.MaxMessageBytes)
		c.sendEntries(p, entries, size)
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
