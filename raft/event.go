package raft

// EventKind says what happened.
type EventKind uint8

// What can happen to a member. Peer, Index and Count of the Event mean what the kind's comment says.
const (
	EventElectionTimeout    EventKind = iota + 1 // the election timer ran out
	EventBecameFollower                          // Peer: the leader, if known
	EventBecamePreCandidate                      //
	EventBecameCandidate                         //
	EventBecameLeader                            // Index: the index of its no-op
	EventVoteGranted                             // Peer: to whom
	EventVoteRefused                             // Peer: to whom; Rule says why
	EventVoteReceived                            // Peer: from whom; Count: votes so far
	EventTermAdvanced                            // Peer: who told us
	EventLeaderKnown                             // Peer: the leader
	EventProposed                                // Index: the first new entry; Count: how many
	EventAppended                                // Peer: the leader; Index: the first entry; Count: how many
	EventTruncated                               // Index: the first entry removed; Count: how many
	EventRejected                                // Peer: the leader; Index: where the logs differ
	EventCommitted                               // Index: the new commit index
	EventConfiguration                           // Index: the entry of the configuration now in force
	EventSteppedDown                             // a leader gave up; Rule says why
	EventTransferStarted                         // Peer: the target
	EventTransferEnded                           // Peer: the target; Rule says how
	EventSnapshotNeeded                          // Peer: the follower
	EventSnapshotInstalled                       // Index: of the snapshot
	EventReadConfirmed                           // Index: the read index; Count: how many reads
	EventQuiesced                                //
	EventWoke                                    //
	EventIgnored                                 // Peer: the sender of a message that did not count; Rule says why
)

// Event is something that happened to the member, and the rule of the paper that made it happen. Rule is a constant text
// that begins with the section: "§5.2: the election timeout elapsed".
type Event struct {
	Kind  EventKind
	Term  Term
	Peer  MemberID
	Index Index
	Count int
	Rule  string
}
