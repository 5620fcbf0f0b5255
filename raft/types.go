package raft

import "time"

// Term numbers the periods in which at most one leader exists (paper §5.1). Terms start at 1; 0 means "none yet".
type Term uint64

// Index is an entry's position in the log, starting at 1; 0 means "before the first entry".
type Index uint64

// MemberID names a participant of a group. 0 is no member.
type MemberID uint64

// GroupID names one Raft consensus instance among the many that a host carries.
type GroupID uint64

// NoMember is the MemberID of nobody: no vote cast, no leader known.
const NoMember MemberID = 0

// Role is what a member currently is within its term.
type Role uint8

// The roles of the paper's figure 4, and the pre-candidate of thesis §9.6. A learner is a follower without a vote.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

// EntryKind tells what an entry's Data means.
type EntryKind uint8

const (
	// EntryCommand carries a command of the application; Data is opaque to the core.
	EntryCommand EntryKind = 1
	// EntryNoop is the empty entry that a new leader appends so that it can commit in its own term (§8). Data is empty.
	EntryNoop EntryKind = 2
	// EntryConfiguration carries an encoded Configuration (see Configuration.Encode); it takes effect once appended (thesis §4.1).
	EntryConfiguration EntryKind = 3
	// EntrySession carries a session's command or its opening and closing (thesis §6.3); opaque to the core.
	EntrySession EntryKind = 4
)

// Entry is one record of the replicated log. Data is immutable from the moment the entry is made: the same bytes go to the leader's
// log, over the wire, and to the follower's log, so nobody may write to them.
type Entry struct {
	Term  Term
	Index Index
	Kind  EntryKind
	// Sum is CRC-32C (Castagnoli) of Data, made once when the entry is made and checked at every disk and wire boundary.
	Sum  uint32
	Data []byte
}

// EntryOverhead is what an entry is counted to cost beyond len(Data), in bytes, in every limit of the core.
const EntryOverhead = 32

// Size is the entry's weight in the core's byte limits.
func (e *Entry) Size() uint64 { return uint64(len(e.Data)) + EntryOverhead }

// HardState is the part of a member's state that must be on stable storage before any message that reveals it (figure 2,
// "Persistent state"); the log is kept apart. Term and Vote are always written as one record.
type HardState struct {
	Term Term
	Vote MemberID
}

// SnapshotMeta says what a snapshot (or a compacted log prefix) stands for: all entries up to and including Index.
type SnapshotMeta struct {
	Index Index
	Term  Term
	// Configuration is the one in force at Index, as committed: never a later, uncommitted one.
	Configuration Configuration
	// ConfigurationIndex is the index of the entry that carried Configuration; 0 for the one the group was bootstrapped with.
	ConfigurationIndex Index
}

// Config is what a core is made with. The zero value of a field means its default.
type Config struct {
	ID MemberID
	// Incarnation is drawn at random when a member's data directory is created and stays with the directory. It tells a member
	// that comes back from one whose disk was replaced. 0 means "not tracked".
	Incarnation uint64

	// HeartbeatInterval is how often a leader lets followers hear from it: 50 ms by default.
	HeartbeatInterval time.Duration
	// ElectionTimeoutMin and ElectionTimeoutMax bound the random election timeout: 150 ms and 300 ms by default (§5.2, §9.3).
	// The minimum has to be at least twice the heartbeat interval.
	ElectionTimeoutMin, ElectionTimeoutMax time.Duration

	// DisablePreVote and DisableCheckQuorum switch off thesis §9.6 and §6.2 (a leader without a quorum steps down); for the lab.
	DisablePreVote, DisableCheckQuorum bool

	// MaxMessageBytes bounds the entries in one AppendEntries: 1 MiB by default. At least one entry is always sent.
	MaxMessageBytes uint64
	// MaxInflightMessages and MaxInflightBytes bound what is unacknowledged on its way to one follower: 256 and 16 MiB by default. An entry that is larger goes alone.
	MaxInflightMessages int
	MaxInflightBytes    uint64
	// MaxUncommittedBytes bounds the leader's uncommitted tail; proposals beyond it get ErrOverloaded: 64 MiB by default.
	MaxUncommittedBytes uint64
	// MaxCachedBytes bounds how many bytes of durable, applied entries the core keeps in memory for followers: 8 MiB by default.
	MaxCachedBytes uint64

	// LeaseReads lets a leader answer reads by lease (thesis §6.4.1). ClockDriftBound is the largest relative drift between two
	// members' monotonic clocks it has to allow for, in percent: 10 by default.
	LeaseReads      bool
	ClockDriftBound int

	// QuiesceAfter lets a group that had nothing to do for that long fall silent; 0 never does.
	QuiesceAfter time.Duration

	// CommitDelay is how long a follower may hear later of a commit, so that it hears of it with what is sent next: most often that is another entry. Where
	// somebody waits for the commit (see Await) it is told at once, and so is everybody while this is 0. Heartbeats tell it in any case, so it is at most HeartbeatInterval.
	CommitDelay time.Duration

	// Seed makes the random election timeouts: the same seed and the same inputs give the same outputs.
	Seed uint64
}
