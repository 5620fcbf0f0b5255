package lab

import "encoding/json"

// Version is that of the protocol and of runs. What an older page or an older run says is understood as long as the number is the same.
const Version = 1

// Request is what a page asks of an engine. Every request is answered by one Answer with the same ID, in order.
type Request struct {
	ID uint64 `json:"id"`
	// Do says what: see the constants.
	Do string `json:"do"`
	// Run and Until are for DoLoad: the run to load, and how far to run it; nil is to the last input.
	Run   *Run   `json:"run,omitempty"`
	Until *Point `json:"until,omitempty"`
	// Since, of DoLoad, is the last event that the page has of this very branch: only later ones are told.
	Since uint64 `json:"since,omitempty"`
	// To and By are for DoAdvance: the virtual time to go to, or what to go on by: ByEvent or ByMessage.
	To int64  `json:"to,omitempty"`
	By string `json:"by,omitempty"`
	// Input is for DoInput.
	Input *Input `json:"input,omitempty"`
	// Full asks for the whole state, also what did not change since the last answer.
	Full bool `json:"full,omitempty"`
}

// What can be asked.
const (
	DoHello   = "hello"   // who are you? answered with Hello
	DoLoad    = "load"    // begin with this run, and replay it until a point
	DoAdvance = "advance" // let time pass
	DoInput   = "input"   // do something to the world, now
	DoState   = "state"   // where are we?
	DoRun     = "run"     // the run so far, with all inputs

	ByEvent   = "event"   // until something is to be told
	ByMessage = "message" // until a message arrives, or is lost
)

// Point is a moment of a run: after the Nth happening, if N is not 0, and at the virtual time T in nanoseconds. With N 0 it is after all that happens up to T.
type Point struct {
	T int64  `json:"t"`
	N uint64 `json:"n,omitempty"`
}

// Run is everything that makes a run: the same Run gives the same states anywhere.
type Run struct {
	Version int    `json:"v"`
	Seed    uint64 `json:"seed"`
	Setup   Setup  `json:"setup,omitzero"`
	// Inputs are in the order in which they were given, with their moments.
	Inputs []Input `json:"inputs,omitempty"`
	// Campaign, if set, makes it a run of the fault campaign instead, with the options of its failure file: the seed draws everything, and there
	// are no inputs to give. Moment is when it went wrong.
	Campaign json.RawMessage `json:"campaign,omitempty"`
	Moment   *Point          `json:"moment,omitempty"`
	// Trace is what the trace's hash was at that moment, or at the end of an exported run. Where it is another one now, the code has changed.
	Trace string `json:"trace,omitempty"`
}

// Setup is what a run begins with. Zero values are the defaults; times are in nanoseconds.
type Setup struct {
	// Members is how many members found the group: 5 by default, 1 to 9.
	Members int `json:"members,omitempty"`
	Settings
	// CompactEntries is how many applied entries a log may have before it is compacted, and Keep how many are left then; 0 compacts never.
	CompactEntries uint64 `json:"compactEntries,omitempty"`
	KeepEntries    uint64 `json:"keepEntries,omitempty"`
	// NoSessions lets the machine apply a request again that a client has tried twice (thesis §6.3 is what prevents it).
	NoSessions bool `json:"noSessions,omitempty"`
	// Known has the first configuration name the founders' disks, so that the log has no configuration before somebody changes it. Else the first leader
	// learns which disks they have, and writes that down, as in production.
	Known bool `json:"known,omitempty"`
}

// Settings are what may also be changed while the run goes on. In an input, nil leaves a setting as it is; in a setup it is the default.
type Settings struct {
	Heartbeat   *int64 `json:"heartbeat,omitempty"`   // 50 ms
	ElectionMin *int64 `json:"electionMin,omitempty"` // 150 ms
	ElectionMax *int64 `json:"electionMax,omitempty"` // 300 ms
	DelayMin    *int64 `json:"delayMin,omitempty"`    // of a message, one way: 10 ms
	DelayMax    *int64 `json:"delayMax,omitempty"`    // 20 ms
	DiskMin     *int64 `json:"diskMin,omitempty"`     // of an fsync: 2 ms
	DiskMax     *int64 `json:"diskMax,omitempty"`     // 4 ms
	Loss        *int   `json:"loss,omitempty"`        // lost messages per thousand: 0
	PreVote     *bool  `json:"preVote,omitempty"`     // on
	CheckQuorum *bool  `json:"checkQuorum,omitempty"` // on
	LeaseReads  *bool  `json:"leaseReads,omitempty"`  // off
}

// Input is something done to the world. Do says what, and which of the other fields count: see protocol.md.
type Input struct {
	// At is when it was done. The engine fills it in for a new input.
	At Point  `json:"at"`
	Do string `json:"do"`

	Member  uint64     `json:"member,omitempty"`
	Message uint64     `json:"message,omitempty"`
	From    uint64     `json:"from,omitempty"`
	To      uint64     `json:"to,omitempty"`
	By      int64      `json:"by,omitempty"`
	Groups  [][]uint64 `json:"groups,omitempty"`
	Learner bool       `json:"learner,omitempty"`
	Index   uint64     `json:"index,omitempty"`
	Op      *Op        `json:"op,omitempty"`
	Set     *Settings  `json:"set,omitempty"`
}

// What can be done.
const (
	InputStop     = "stop"     // Member ends in order
	InputCrash    = "crash"    // Member ends at once, and its disk forgets what was not synced
	InputPause    = "pause"    // Member's process stands still
	InputResume   = "resume"   // and goes on
	InputRestart  = "restart"  // Member's process starts, after a crash if it runs
	InputWipe     = "wipe"     // Member crashes, and loses its disk
	InputLie      = "lie"      // Member's disk says that it has synced, and has not
	InputHonest   = "honest"   // it does again what it says
	InputRot      = "rot"      // a bit of the entry at Index flips on Member's disk
	InputTimeout  = "timeout"  // Member's clock leaps to where its timer runs out
	InputTransfer = "transfer" // leadership moves to Member
	InputAdd      = "add"      // Member joins; 0 is the next free number. Learner: for good
	InputRemove   = "remove"   // Member leaves
	InputPromote  = "promote"  // Member becomes a voter
	InputDemote   = "demote"   // Member becomes a learner

	InputDrop      = "drop"      // Message is lost
	InputDuplicate = "duplicate" // Message travels once more
	InputDelay     = "delay"     // Message takes By longer
	InputDeliver   = "deliver"   // Message arrives now

	InputCut       = "cut"       // nothing gets through From -> To
	InputMend      = "mend"      // From -> To carries again
	InputPartition = "partition" // only members of one of the Groups hear each other
	InputHeal      = "heal"      // all links carry again

	InputClient = "client" // a client does Op
	InputSet    = "set"    // Settings change
)

// Op is what a client does.
type Op struct {
	// Client is its number, from 1 on. A client does one thing at a time.
	Client uint64 `json:"client"`
	// Member is whom it asks; 0 is the leader, or whoever runs.
	Member uint64 `json:"member,omitempty"`
	// Kind is OpSet, OpAdd, OpDelete, OpCompareAndSet or OpRead.
	Kind string `json:"kind"`
	Key  string `json:"key"`
	// Value is what is set or added, Expect what OpCompareAndSet wants to find.
	Value  string `json:"value,omitempty"`
	Expect string `json:"expect,omitempty"`
	// Read is the kind of an OpRead: ReadLinearizable if empty, ReadSerializable, ReadLease.
	Read string `json:"read,omitempty"`
	// Retry has the client try again, at the next member, until it has an answer.
	Retry bool `json:"retry,omitempty"`
	// Patience is how long it waits for an answer to one attempt: 1 s by default.
	Patience int64 `json:"patience,omitempty"`
}

// What clients do.
const (
	OpSet           = "set"
	OpAdd           = "add"
	OpDelete        = "delete"
	OpCompareAndSet = "cas"
	OpRead          = "read"

	ReadLinearizable = "linearizable" // by ReadIndex, or by the lease if lease reads are on
	ReadSerializable = "serializable" // what this member has, perhaps of yesterday
	ReadLease        = "lease"        // refused unless lease reads are on
)

// Answer is what an engine says. State and Events are there after load, advance, input and state.
type Answer struct {
	ID uint64 `json:"id"`
	// Error says what was wrong with the request; nothing has happened then.
	Error string `json:"error,omitempty"`
	Hello *Hello `json:"hello,omitempty"`
	Run   *Run   `json:"run,omitempty"`
	// Input is the input that was given, with its moment: append it to the run's.
	Input *Input `json:"input,omitempty"`
	State *State `json:"state,omitempty"`
	// Events are what happened since the last answer that had events, the oldest first; Skipped is how many before them were too many to tell.
	Events  []Event `json:"events,omitempty"`
	Skipped uint64  `json:"skipped,omitempty"`
}

// Hello says what is at the other end.
type Hello struct {
	Version int    `json:"v"`
	Host    string `json:"host"` // "native", "wasm" or "live"
	// Open is a run that the engine's host was asked to show: balsa lab FILE.
	Open *Run `json:"open,omitempty"`
	// Controls names the inputs that this host takes; nil is all of them.
	Controls []string `json:"controls,omitzero"`
}

// State is the world at a moment.
type State struct {
	T    int64  `json:"t"`
	N    uint64 `json:"n"`
	Hash string `json:"hash"`
	// Next is when something happens next; 0 if nothing will.
	Next int64 `json:"next,omitempty"`
	// Ended says why the run cannot go on, if it cannot.
	Ended    string    `json:"ended,omitempty"`
	Settings Settings  `json:"settings"`
	Members  []Member  `json:"members"`
	Messages []Message `json:"messages"`
	// Cuts are the one-way links that carry nothing.
	Cuts [][2]uint64 `json:"cuts,omitempty"`
	// Ops are the operations of clients, in the order they began, that changed since the last answer.
	Ops []Operation `json:"ops,omitempty"`
	// Safety has the five properties of figure 3, and others that were violated.
	Safety []Property `json:"safety"`
	// Committed is the highest index that any member knows to be committed.
	Committed uint64 `json:"committed"`
}

// Member is one member as it is now.
type Member struct {
	ID uint64 `json:"id"`
	// Process is "running", "paused", "stopped" or "crashed".
	Process string `json:"process"`
	// In is "voter", "learner" or "", as the newest configuration of the group says, not as the member itself knows.
	In string `json:"in"`
	// Role is "follower", "pre-candidate", "candidate" or "leader".
	Role   string `json:"role"`
	Term   uint64 `json:"term"`
	Vote   uint64 `json:"vote,omitempty"`
	Leader uint64 `json:"leader,omitempty"`
	// Timer is the election timer, or of a leader that of the next heartbeat; nil if it has none.
	Timer *Timer `json:"timer,omitempty"`

	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	// Durable is up to where the log is on stable storage.
	Durable uint64 `json:"durable"`
	// Disk is what a crash would leave of term and vote.
	Disk HardState `json:"disk"`
	// Prefix is the last entry that is compacted away: a snapshot stands for it and all before it.
	Prefix EntryID `json:"prefix,omitzero"`
	// Last is the index of the last entry.
	Last uint64 `json:"last"`
	// Log is the entries after Prefix; nil if it is as in the last answer.
	Log []Entry `json:"log,omitzero"`
	// Configuration is the one in force here, at the index of its entry.
	Configuration Configuration `json:"configuration"`
	// Granted and Refused are the votes that a candidate or pre-candidate has.
	Granted []uint64 `json:"granted,omitempty"`
	Refused []uint64 `json:"refused,omitempty"`
	// Peers is what a leader knows of the others.
	Peers []Peer `json:"peers,omitempty"`
	// Transfer is whom leadership is being handed to.
	Transfer uint64 `json:"transfer,omitempty"`
	// Machine is the contents of the state machine, by key; nil if it is as in the last answer.
	Machine []Pair `json:"machine,omitzero"`
	// Lying: the disk says that it has synced, and has not. Syncing: the disk is at work. Faulty: the disk lost entries, and the member does not vote until they are repaired. Quiet: it fell silent by agreement.
	Lying   bool `json:"lying,omitempty"`
	Syncing bool `json:"syncing,omitempty"`
	Faulty  bool `json:"faulty,omitempty"`
	Quiet   bool `json:"quiet,omitempty"`
	// Waiting is how many messages wait for a paused process.
	Waiting int `json:"waiting,omitempty"`
	// Rate and Lag are of a running cluster: applied commands per second, entries behind the leader.
	Rate float64 `json:"rate,omitempty"`
	Lag  uint64  `json:"lag,omitempty"`
	// Name and Address, of a running cluster.
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
}

// Timer runs from From to To.
type Timer struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// HardState is term and vote on stable storage.
type HardState struct {
	Term uint64 `json:"term"`
	Vote uint64 `json:"vote,omitempty"`
}

// EntryID is a place in the log.
type EntryID struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

// Entry is an entry of a log. Whether it is committed, applied or durable follows from its member's Commit, Applied and Durable.
type Entry struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	// Kind is "command", "noop", "configuration" or "session".
	Kind string `json:"kind"`
	// Text is the command in words, as in "set x 5"; of a configuration, its members: "1 2 3 +4".
	Text string `json:"text,omitempty"`
}

// Configuration is who belongs to the group.
type Configuration struct {
	Index    uint64   `json:"index"`
	Voters   []uint64 `json:"voters"`
	Learners []uint64 `json:"learners,omitempty"`
	// Outgoing are the voters of the configuration before, while the group is in joint consensus.
	Outgoing []uint64 `json:"outgoing,omitempty"`
}

// Peer is what a leader knows of a member.
type Peer struct {
	ID    uint64 `json:"id"`
	Match uint64 `json:"match"`
	Next  uint64 `json:"next"`
	// State is "probing", "replicating" or "snapshot".
	State    string `json:"state"`
	Inflight int    `json:"inflight,omitempty"`
	Active   bool   `json:"active"`
}

// Pair is a key of the machine, and its value.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Message is a message on its way. Ends are "n1" for a member, "c1" for a client.
type Message struct {
	ID   uint64 `json:"id"`
	From string `json:"from"`
	To   string `json:"to"`
	// Kind is "prevote", "vote", "append", "heartbeat", "snapshot", "timeout", "read", "forward", "wake", "request" or "answer".
	Kind string `json:"kind"`
	// Reply is a reply, Refused one that says no.
	Reply   bool `json:"reply,omitempty"`
	Refused bool `json:"refused,omitempty"`
	// Sent and Arrives are times.
	Sent    int64  `json:"sent"`
	Arrives int64  `json:"arrives"`
	Term    uint64 `json:"term,omitempty"`
	// Lost says that it will not arrive: the dial for loss has taken it.
	Lost bool `json:"lost,omitempty"`
	// Of is the message that it is a duplicate of.
	Of     uint64         `json:"of,omitempty"`
	Fields *MessageFields `json:"fields,omitempty"`
}

// MessageFields are what a message says, as far as its kind has it.
type MessageFields struct {
	Last     *EntryID `json:"last,omitempty"`     // a vote is asked for: the candidate's last entry
	Prev     *EntryID `json:"prev,omitempty"`     // append: the entry before
	Entries  []Entry  `json:"entries,omitempty"`  // append
	Commit   uint64   `json:"commit,omitempty"`   // append
	Round    uint64   `json:"round,omitempty"`    // append and its reply
	Match    uint64   `json:"match,omitempty"`    // its reply
	Conflict *EntryID `json:"conflict,omitempty"` // its reply, refused
	Campaign uint64   `json:"campaign,omitempty"` // a pre-vote's reply: the term it is for
	Transfer bool     `json:"transfer,omitempty"` // a vote is asked for because the leader said so
	Snapshot *EntryID `json:"snapshot,omitempty"` // snapshot
	Offset   int64    `json:"offset,omitempty"`   // snapshot and its reply, in bytes
	Size     int64    `json:"size,omitempty"`
	Index    uint64   `json:"index,omitempty"` // a read's or forwarded request's reply
	Text     string   `json:"text,omitempty"`  // request, answer, forward: in words
	Op       uint64   `json:"op,omitempty"`    // request, answer: the operation
}

// Event is something that happened. The texts are English; whoever wants other words makes them from the other fields.
type Event struct {
	// ID counts the events of a run from 1.
	ID uint64 `json:"id"`
	T  int64  `json:"t"`
	// Kind: see protocol.md.
	Kind string `json:"kind"`
	// Member is where it happened, 0 for the network and clients.
	Member uint64 `json:"member,omitempty"`
	Term   uint64 `json:"term,omitempty"`
	// Peer, Index and Count mean what the kind says.
	Peer  uint64 `json:"peer,omitempty"`
	Index uint64 `json:"index,omitempty"`
	Count int    `json:"count,omitempty"`
	// Rule is the rule that made it happen, in English, and Section where it is written: "§5.2", "thesis §9.6", "figure 2".
	Rule    string `json:"rule,omitempty"`
	Section string `json:"section,omitempty"`
	// Message is the message that was sent, delivered or lost; in full when it was sent.
	Message *Message `json:"message,omitempty"`
	// Op is the operation that began, was tried again or ended.
	Op *Operation `json:"op,omitempty"`
	// Why says why a message was lost: "loss", "dropped", "cut", "down"; or what a text event has to say.
	Why string `json:"why,omitempty"`
}

// Operation is something a client does, or did.
type Operation struct {
	ID uint64 `json:"id"`
	Op
	Call int64 `json:"call"`
	// Return is when it ended; 0 while it has not.
	Return int64 `json:"return,omitempty"`
	// Attempts is how often it was asked.
	Attempts int `json:"attempts,omitempty"`
	// Outcome is "" while it goes on, "ok", "refused" if it did not happen, "unknown" if it may have happened, or may happen yet.
	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`
	// Result is what a read found, or what was there before a write; Found says that the key was there.
	Result string `json:"result,omitempty"`
	Found  bool   `json:"found,omitempty"`
	// Wrote says that a write took place: a cas may find something else.
	Wrote bool `json:"wrote,omitempty"`
	// Index is the place in the one order that all agree on: a write's in the log; a read's is how far the machine was.
	Index uint64 `json:"index,omitempty"`
	// Stale says that a read did not see what had ended before it began: it is not linearizable.
	Stale bool `json:"stale,omitempty"`
}

// Property is a property of safety.
type Property struct {
	// Name is as in figure 3: "Election Safety", "Leader Append-Only", "Log Matching", "Leader Completeness", "State Machine Safety".
	Name     string `json:"name"`
	Violated bool   `json:"violated,omitempty"`
	Text     string `json:"text,omitempty"`
	At       int64  `json:"at,omitempty"`
}
