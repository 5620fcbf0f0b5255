package raft

import (
	"math/rand/v2"
	"time"
)

// Core is one member of one group. See the package comment for how it is driven.
type Core struct {
	cfg Config
	rng *rand.Rand
	now time.Duration
	// inputs counts what the core was given: see Inputs.
	inputs uint64

	// What all members have (figure 2). Term and vote are persistent; the log is too, up to disk.durable.
	term Term
	vote MemberID
	log  entryLog
	disk persists
	// confs are the configurations of the log, ascending by index. The first is the one in force at log.base, the last the one in force.
	confs []ConfigurationAt
	// commit is the highest index known to be committed, handed the last one handed out to be applied, applied the last applied one.
	commit, handed, applied Index

	// role says which one of following, campaign and leading is not nil.
	role      Role
	following *following
	campaign  *campaign
	leading   *leading
	// leaderID is the leader of this term, as far as known.
	leaderID MemberID

	// electionDeadline is when a member that is no leader runs out of patience. NoDeadline if it never does.
	electionDeadline time.Duration
	// stickyUntil is how long this member knows a leader to be alive and refuses to vote for others (§6, thesis §4.2.3).
	stickyUntil time.Duration
	// quiesced says that the group is silent by agreement: no heartbeats are sent or expected.
	quiesced bool
	// installing is the snapshot that the caller is taking over, nil if none.
	installing *installation
	// repair is not nil while entries that the disk lost are being fetched from the leader.
	repair *repair
	// relearning is not nil while the configuration in force may be an outdated one, because the disk lost applied entries. From sureFrom on
	// the configurations at an index are known, even if not before.
	relearning *relearning
	sureFrom   Index
	reads      readQueue

	out   Output
	lent  lent
	dirty bool
	// restoredLast is where the log ended when the member started: up to there entries are on disk and need not be in memory.
	restoredLast Index
	// checked is the state that Check saw last.
	checked *checkedState
}

// New makes a member from what it has on stable storage, as a follower (§5.2). now is the current time, as in Tick. It
// fails if the configuration is invalid, or what was restored contradicts itself.
func New(cfg Config, r Restored, now time.Duration) (*Core, error) {
	cfg = cfg.Default()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	c := &Core{
		cfg:  cfg,
		rng:  rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.ID))),
		now:  max(now, 0),
		term: r.HardState.Term, vote: r.HardState.Vote,
		electionDeadline: NoDeadline,
	}
	c.reads.nonce = c.rng.Uint64()
	c.restore(&r)
	c.following = &following{}
	c.resetElectionTimer()
	c.event(Event{Kind: EventBecameFollower, Rule: "§5.2: members start as followers"})
	if c.term > 0 {
		// Who voted, or heard from a leader, just before a crash must not vote against that leader's lease now: it has to be as if the
		// leader had been heard at the last moment before the crash (thesis §6.4.1 presumes that stickiness survives).
		c.stickyUntil = c.after(cfg.ElectionTimeoutMin)
	}
	return c, nil
}

func (c *Core) restore(r *Restored) {
	s := &r.Snapshot
	c.log = entryLog{base: s.Index, baseTerm: s.Term, runs: r.Terms, last: r.LastIndex, first: r.LastIndex + 1}
	if len(r.Entries) > 0 {
		piece := c.log.window.room(len(r.Entries))
		*piece = append(*piece, r.Entries...)
		c.log.first = r.Entries[0].Index
		for i := range r.Entries {
			c.log.bytes += r.Entries[i].Size()
		}
	}
	c.confs = append([]ConfigurationAt{{Index: s.ConfigurationIndex, Configuration: s.Configuration}}, r.Configurations...)
	c.commit = max(s.Index, r.Applied)
	c.handed, c.applied = c.commit, c.commit
	c.restoredLast = r.LastIndex
	hard := r.HardState
	c.disk = persists{durable: c.log.last, next: c.log.last + 1, hard: hard, emitted: hard}
	c.restoreFaulty(r)
}

// Begin lets a member that was made for an earlier time begin at now: its timers run from then on. Whoever makes a member before knowing the time calls
// it once, before any other input.
func (c *Core) Begin(now time.Duration) {
	c.inputs++
	late := now - c.now
	if late <= 0 {
		return
	}
	c.now = now
	if c.electionDeadline != NoDeadline {
		c.electionDeadline += late
	}
	if c.stickyUntil > 0 {
		c.stickyUntil += late
	}
}

// Tick tells the core the time: a monotonic duration since any fixed origin. A time that goes back is ignored. To make leases and
// stickiness hold, read the clock after collecting the messages that are then handed to Receive, never before.
func (c *Core) Tick(now time.Duration) {
	c.inputs++
	if now > c.now {
		c.now = now
	}
	c.tickReads()
	if c.role == Leader {
		c.tickLeader()
		return
	}
	if c.now >= c.electionDeadline {
		c.electionTimeout()
	}
}

// Deadline returns when Tick next has something to do; NoDeadline if only another input changes anything.
func (c *Core) Deadline() time.Duration {
	d := c.electionDeadline
	if c.role == Leader {
		d = c.leaderDeadline()
	}
	return min(d, c.reads.deadline())
}

// Campaign makes a member that may lead start an election now, as if its election timeout had elapsed. While it knows a leader to be
// alive it does not: its answers are what that leader's lease rests on, and its own vote would break it. Only a member that is the whole
// group by a committed configuration need not wait, because nobody else leads by that.
func (c *Core) Campaign() {
	c.inputs++
	if c.role == Leader {
		return
	}
	c.wakeFollower()
	if c.sticky() && !c.wholeGroup() {
		c.event(Event{Kind: EventVoteRefused, Peer: c.cfg.ID, Rule: ruleSticky})
		return
	}
	c.electionTimeout()
}

// wholeGroup tells whether this member is the only voter, and that is committed.
func (c *Core) wholeGroup() bool {
	at := c.latest()
	voters := at.Configuration.Voters()
	return at.Index <= c.commit && len(voters) == 1 && voters[0] == c.cfg.ID
}

// after returns the time d from now.
func (c *Core) after(d time.Duration) time.Duration {
	if c.now > NoDeadline-d {
		return NoDeadline
	}
	return c.now + d
}

// Receive hands in a message of another member. Anything may come in: what no correct member would say now is ignored.
func (c *Core) Receive(m Message) {
	c.inputs++
	h := headOf(m)
	if h == nil {
		c.ignore(NoMember, "malformed: no message of a known kind")
		return
	}
	if fault := c.misaddressed(m, h); fault != "" {
		c.ignore(h.From, fault)
		return
	}
	c.dirty = true
	c.wakeFor(m)
	switch m := m.(type) {
	case *PreVoteRequest:
		c.onPreVoteRequest(m) // thesis §9.6: asking changes nobody's term.
		return
	case *PreVoteReply:
		if m.Granted {
			c.onPreVoteGranted(m)
			return
		}
	case *VoteRequest:
		if m.Term > c.term && !m.Transfer && c.sticky() {
			c.event(Event{Kind: EventVoteRefused, Peer: m.From, Rule: ruleSticky})
			c.wakeFollower()
			return
		}
	}
	if h.Term > c.term {
		c.advanceTerm(h.Term, h.From)
	}
	if h.Term < c.term {
		c.onStale(m)
		return
	}
	c.dispatch(m)
}

func (c *Core) dispatch(m Message) {
	switch m := m.(type) {
	case *VoteRequest:
		c.onVoteRequest(m)
	case *VoteReply:
		c.onVoteReply(m)
	case *AppendRequest:
		c.onAppendRequest(m)
	case *AppendReply:
		c.onAppendReply(m)
	case *InstallSnapshot:
		c.onInstallSnapshot(m)
	case *TimeoutNow:
		c.onTimeoutNow(m)
	case *ReadIndexRequest:
		c.onReadIndexRequest(m)
	case *ReadIndexReply:
		c.onReadIndexReply(m)
	}
}

// onStale handles messages of an earlier term. §5.1: requests with a stale term number are rejected; the reply tells the sender
// about the newer term. Replies with a stale term are of no use.
func (c *Core) onStale(m Message) {
	switch m := m.(type) {
	case *VoteRequest:
		c.send(m.From, &VoteReply{Candidate: m.Incarnation})
	case *AppendRequest:
		c.send(m.From, &AppendReply{Rejected: true, PrevIndex: m.PrevIndex, Round: m.Round})
	case *InstallSnapshot:
		c.send(m.From, &AppendReply{Rejected: true})
	case *ReadIndexRequest:
		c.onReadIndexRequest(m) // Its sender has not heard of this term yet, but asks whoever leads now.
	default:
		c.ignore(m.Head().From, "§5.1: the message is of an earlier term")
	}
}

// headOf returns the header of a message of a known kind, nil for anything else, a nil pointer too.
func headOf(m Message) *Header {
	switch m := m.(type) {
	case *PreVoteRequest:
		if m != nil {
			return &m.Header
		}
	case *PreVoteReply:
		if m != nil {
			return &m.Header
		}
	case *VoteRequest:
		if m != nil {
			return &m.Header
		}
	case *VoteReply:
		if m != nil {
			return &m.Header
		}
	case *AppendRequest:
		if m != nil {
			return &m.Header
		}
	case *AppendReply:
		if m != nil {
			return &m.Header
		}
	case *InstallSnapshot:
		if m != nil {
			return &m.Header
		}
	case *TimeoutNow:
		if m != nil {
			return &m.Header
		}
	case *ReadIndexRequest:
		if m != nil {
			return &m.Header
		}
	case *ReadIndexReply:
		if m != nil {
			return &m.Header
		}
	case *WakeRequest:
		if m != nil {
			return &m.Header
		}
	}
	return nil
}

// misaddressed tells why a message cannot be for this member, or from another one.
func (c *Core) misaddressed(m Message, h *Header) string {
	switch {
	case h.To != c.cfg.ID:
		return "malformed: the message is for another member"
	case h.From == NoMember || h.From == c.cfg.ID:
		return "malformed: the message comes from nobody, or from here"
	case h.Term > maxTerm:
		return "malformed: the term is out of range"
	case h.Term == 0:
		if reply, ok := m.(*PreVoteReply); !ok || reply.Granted {
			return "malformed: the message has no term" // Only who is asked for a pre-vote may have none yet.
		}
	}
	return ""
}

// advanceTerm follows §5.1: whoever sees a higher term adopts it and becomes a follower.
func (c *Core) advanceTerm(t Term, from MemberID) {
	if c.role == Leader {
		c.event(Event{Kind: EventSteppedDown, Peer: from, Rule: "§5.1: a message has a higher term"})
	}
	c.setTerm(t)
	c.event(Event{Kind: EventTermAdvanced, Peer: from, Rule: "§5.1: a message has a higher term"})
	c.follow(NoMember)
}

// setTerm moves to a later term, in which no vote is cast yet. Take has it persisted before any message that reveals it.
func (c *Core) setTerm(t Term) {
	c.term, c.vote = t, NoMember
	c.dirty = true
}

// hardDurable tells whether the current term and vote are on stable storage.
func (c *Core) hardDurable() bool { return c.disk.hard == HardState{Term: c.term, Vote: c.vote} }

// Synced tells that persist seq of Output.Seq, and all before it, are on stable storage.
func (c *Core) Synced(seq uint64) {
	c.inputs++
	if !c.disk.synced(seq) {
		return
	}
	c.dirty = true
	switch c.role {
	case Candidate:
		c.countOwnVote()
	case Leader:
		c.advanceOwnMatch()
	}
	c.evict()
}

// Applied tells that the state machine has applied everything up to to.
func (c *Core) Applied(to Index) {
	if to > c.applied && to <= c.handed {
		c.inputs++
		c.applied = to
		c.evict()
	}
}

// evict bounds the entries kept in memory for followers.
func (c *Core) evict() {
	c.log.evict(min(c.applied, c.disk.durable), c.cfg.MaxCachedBytes)
}

// appendEntries puts entries at the end of the log and the configurations among them in force.
func (c *Core) appendEntries(entries []Entry, confs []ConfigurationAt) {
	c.log.append(entries)
	for _, at := range confs {
		c.confs = append(c.confs, at)
		c.configurationChanged("thesis §4.1: a configuration is in force once it is in the log")
	}
	c.dirty = true
}

// ignore notes that a message did not count.
func (c *Core) ignore(from MemberID, rule string) {
	c.event(Event{Kind: EventIgnored, Peer: from, Rule: rule})
}

func (c *Core) event(e Event) {
	e.Term = c.term
	c.out.Events = append(c.out.Events, e)
	c.dirty = true
}
