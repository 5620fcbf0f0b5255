package raft

import "time"

// ReplicationState is how a leader sends to one follower.
type ReplicationState uint8

const (
	// Probing looks for where the follower's log begins to differ, with one message at a time.
	Probing ReplicationState = iota
	// Replicating sends ahead of the acknowledgements.
	Replicating
	// Snapshotting waits until the follower has a snapshot; it gets nothing but heartbeats.
	Snapshotting
)

// String is a word for people.
func (s ReplicationState) String() string {
	switch s {
	case Probing:
		return "probing"
	case Replicating:
		return "replicating"
	case Snapshotting:
		return "snapshotting"
	}
	return "unknown"
}

// progress is what a leader knows of one member.
type progress struct {
	id MemberID
	// incoming and outgoing tell in which half of the configuration the member votes; leaving that it is in neither any more, and is
	// only told so. incarnation is the one the group admitted, 0 while it is unknown.
	incoming, outgoing, leaving bool
	// replaced says that the outgoing half names another disk of the member: what this one says does not count there.
	replaced    bool
	incarnation uint64

	// match is the last index known to be durable there and equal to this log: it never goes back in a term. matchRound is the round
	// in which it was learned. next is the next index to send: while replicating, all before it is on its way.
	match, next Index
	matchRound  uint64
	state       ReplicationState
	// probeSent says that a probe is under way: no other is sent until it is answered.
	probeSent bool
	inflight  inflight
	// fetching is the run of entries that was asked of the caller, zero if none.
	fetching Fetch
	// pendingSnapshot is the last index of the compacted prefix when a snapshot was asked of the caller; retrySnapshot that the
	// transfer failed, and is tried again with the next heartbeat.
	pendingSnapshot Index
	retrySnapshot   bool
	// lastSnapshot is when one was last asked for, if ever.
	snapshotAsked bool
	lastSnapshot  time.Duration

	// round is the highest round the member answered, sentRound the last one it was sent a heartbeat of, commitSent the commit index it was told.
	round, sentRound uint64
	commitSent       Index
	// toldBy is the round whose answer tells that a member that leaves has heard that it is committed, 0 before it was sent that.
	toldBy uint64
	// awaited is the highest index that somebody waits for at the member.
	awaited Index
	// lastActive is when it last answered in this term.
	lastActive time.Duration
	// seenIncarnation is another incarnation that answers in its name, 0 if none, or the first one while none is recorded.
	seenIncarnation uint64
	// catchUp is the round of replication a learner is in (thesis §4.2.1).
	catchUp catchUp
}

// votes tells whether the member counts in any quorum.
func (p *progress) votes() bool { return p.incoming || p.outgoing }

// probe goes back to sending one message at a time, from next on.
func (p *progress) probe(next Index) {
	p.state, p.next, p.probeSent = Probing, max(next, 1), false
	p.pendingSnapshot, p.retrySnapshot = 0, false
	p.inflight.reset()
	p.fetching = Fetch{}
}

// replicate begins to send ahead, from next on.
func (p *progress) replicate(next Index) {
	p.probe(next)
	p.state = Replicating
}

// inflight counts what is on its way to a follower and not acknowledged. It is a ring of the last index and size of each message.
type inflight struct {
	ring        []inflightMessage
	head, count int
	bytes       uint64
}

type inflightMessage struct {
	last Index
	size uint64
}

func (f *inflight) add(last Index, size uint64) {
	if f.count == len(f.ring) {
		grown := make([]inflightMessage, max(8, 2*f.count))
		for i := range f.count {
			grown[i] = f.ring[(f.head+i)%len(f.ring)]
		}
		f.ring, f.head = grown, 0
	}
	f.ring[(f.head+f.count)%len(f.ring)] = inflightMessage{last: last, size: size}
	f.count++
	f.bytes += size
}

// acknowledged frees the messages up to index i.
func (f *inflight) acknowledged(i Index) {
	for f.count > 0 && f.ring[f.head].last <= i {
		f.bytes -= f.ring[f.head].size
		f.head = (f.head + 1) % len(f.ring)
		f.count--
	}
}

func (f *inflight) reset() { f.head, f.count, f.bytes = 0, 0, 0 }
