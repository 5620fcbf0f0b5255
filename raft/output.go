package raft

// Output is what the core wants done, since the last Take. Its slices belong to the caller until the next Take.
type Output struct {
	// Seq numbers the persists. It is the highest one begun so far; Persist() tells whether this Output begins it.
	Seq uint64
	// HardState, when not nil, is to be written, atomically with Entries.
	HardState *HardState
	// Entries are to be written to the log. They replace everything the log has from Entries[0].Index on (figure 2, AppendEntries 3).
	Entries []Entry
	// Messages may leave at once, in parallel with the disk write (thesis §10.2.1).
	Messages []Message
	// AfterSync may leave once persist Seq and all before it are durable.
	AfterSync []Message
	// Committed are entries that are ready to be applied, in order, each exactly once. Where the core does not have them in memory (after a
	// restart), CommittedFrom..CommittedTo name a range instead, which the caller reads from its log, and Committed is empty.
	Committed                  []Entry
	CommittedFrom, CommittedTo Index
	// Reads are the ReadIndex requests that are settled.
	Reads []Read
	// Install is a snapshot whose state the caller has to take over: its body was announced by the InstallSnapshot message. The caller
	// replaces the log by the snapshot durably, restores the machine, and calls SnapshotInstalled. It comes only when all persists are
	// durable, and no entries come until it is answered.
	Install *SnapshotMeta
	// InstallKeeps says that the log may only be compacted up to the snapshot: entries after it that the disk lost have to stay known as lost.
	InstallKeeps bool
	// Fetches are runs of entries that followers need and the core does not hold; the caller reads them and calls Fetched.
	Fetches []Fetch
	// SendSnapshots names followers that need a snapshot; the caller sends one and calls SnapshotDone.
	SendSnapshots []MemberID
	// Events tell what happened, and the rule that made it happen, in order.
	Events []Event
}

// Persist tells whether the output has something to write.
func (o *Output) Persist() bool { return o.HardState != nil || len(o.Entries) > 0 }

// Read is a settled ReadIndex request. OK false means that no leader confirmed it: ask again or give up.
type Read struct {
	ID    uint64
	Index Index
	OK    bool
}

// Fetch asks for the entries from From (inclusive) to To (inclusive), at most MaxBytes of them but at least one, for follower Member.
type Fetch struct {
	Member   MemberID
	From, To Index
	MaxBytes uint64
}
