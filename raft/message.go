package raft

// Message is what members of one group say to each other: one Go struct per kind, each a pointer. Messages are immutable once made.
type Message interface {
	// Head returns the part that all messages have.
	Head() *Header
}

// Header is common to all messages.
type Header struct {
	From, To MemberID
	// Term is the sender's current term; in a PreVoteRequest it is the term it would campaign in.
	Term Term
	// Incarnation is the sender's (see Config.Incarnation).
	Incarnation uint64
}

// Head implements Message for every struct that embeds a Header.
func (h *Header) Head() *Header { return h }

// PreVoteRequest asks whether the receiver would vote for the sender if it campaigned in Term (thesis §9.6): nobody's state changes.
type PreVoteRequest struct {
	Header
	LastIndex Index
	LastTerm  Term
}

// PreVoteReply answers a PreVoteRequest. Term is the campaign's term when granted, else the replier's own.
type PreVoteReply struct {
	Header
	Granted bool
	// Campaign echoes the term of the request, so that a late reply is not counted in a later round.
	Campaign Term
}

// VoteRequest is RequestVote (figure 2).
type VoteRequest struct {
	Header
	LastIndex Index
	LastTerm  Term
	// Transfer marks a campaign that the leader itself asked for (TimeoutNow): it overrides leader stickiness (thesis §3.10).
	Transfer bool
}

// VoteReply answers a VoteRequest; it leaves only once term and vote are durable.
type VoteReply struct {
	Header
	Granted bool
	// Candidate is the incarnation of the candidate that asked, 0 if it named none: another disk under the same identity may be the one who hears the
	// answer, and has no right to a vote that was given to a log it has not got.
	Candidate uint64
}

// AppendRequest is AppendEntries (figure 2). Without entries it is a heartbeat; it is checked like any other.
type AppendRequest struct {
	Header
	PrevIndex Index
	PrevTerm  Term
	Commit    Index
	// Round numbers this leader's messages in its term: 1, 2, 3 ... A reply echoes it, which proves that the follower
	// still accepted this leader after the round began (ReadIndex §6.4, check-quorum, lease).
	Round   uint64
	Entries []Entry
	// Quiesce tells an up-to-date follower that the leader falls silent after this message.
	Quiesce bool
}

// AppendReply answers an AppendRequest or an InstallSnapshot.
type AppendReply struct {
	Header
	// Rejected says that the follower has no entry at PrevIndex with PrevTerm.
	Rejected bool
	// Match is the last index known to equal the leader's log, and durable here: PrevIndex + the entries of the message that
	// was accepted, never the follower's whole log. 0 when rejected.
	Match Index
	// PrevIndex echoes the rejected request, so that a delayed rejection is recognised as stale. In a reply that is no rejection it is 0, except
	// from a member whose log is under repair: there it is what it holds in memory, and cannot acknowledge yet.
	PrevIndex Index
	// ConflictTerm is the term of the follower's entry at PrevIndex (0 if its log is shorter), and ConflictIndex the first index of that
	// term (or the last index + 1): the leader backs up a whole term at a time (§5.3).
	ConflictTerm  Term
	ConflictIndex Index
	Round         uint64
}

// InstallSnapshot says that a snapshot's body has arrived in full at the receiver (figure 13). The body travels beside the core: the
// engine streams it in chunks and hands this message to the core when it is complete and durable.
type InstallSnapshot struct {
	Header
	Meta SnapshotMeta
}

// TimeoutNow asks the receiver to campaign at once (thesis §3.10).
type TimeoutNow struct {
	Header
}

// ReadIndexRequest asks the leader for an index from which the sender may serve linearizable reads (thesis §6.4).
type ReadIndexRequest struct {
	Header
	ID uint64
}

// ReadIndexReply answers it. Index is 0 when the receiver could not confirm one; the sender asks again.
type ReadIndexReply struct {
	Header
	ID    uint64
	Index Index
}

// WakeRequest tells a quiesced leader that a follower has work (a proposal to forward, a doubt about the leader), or that a member which may not
// campaign has not heard from it.
type WakeRequest struct {
	Header
}
