package engine

import "github.com/balsa-raft/balsa/raft"

// Envelope is a message with its way: which group it belongs to, and between which hosts it travels. A host is named by the address that its
// peers dial, the one in raft.Member.Address.
type Envelope struct {
	Group raft.GroupID
	// To is the receiving host's address; the transport fills in From, the address by which the sending host introduced itself.
	To, From string
	// Message is one of raft's kinds or of this package's: ForwardRequest, ForwardReply, SnapshotChunk, SnapshotAck.
	Message raft.Message
}

// Network carries envelopes to other hosts. Delivery is best effort: messages may be lost, never corrupted; within one connection they
// stay in order.
type Network interface {
	// Send queues the envelopes and returns at once; what does not fit a peer's queue is dropped. The slice is the caller's again on
	// return; the messages are immutable and may be kept.
	Send(envelopes []Envelope)
}

// PromptNetwork is a network that can also send from the goroutine which it is called on. That saves waking another one, which takes longer than sending little, but
// takes the time of a system call for each peer: it is for a host that has not much to do.
type PromptNetwork interface {
	Network
	// SendNow is Send, except that what can be sent at once is sent when it returns. It does not wait for peers either. The order of the slice may have changed.
	SendNow(envelopes []Envelope)
}

// Sink is where a network delivers. The engine's Host is one.
type Sink interface {
	// Deliver hands over what arrived, in order. It does not block, but may send. The messages become the sink's, the slice stays the caller's.
	Deliver(envelopes []Envelope)
	// Disconnected says that the connection to the host at that address broke: what was sent may be lost, what was asked may stay unanswered.
	Disconnected(address string)
}

// ForwardOp says what a ForwardRequest asks the leader to do.
type ForwardOp uint8

// What can be forwarded.
const (
	ForwardProposal ForwardOp = 1 // Data is a command
	ForwardChange   ForwardOp = 2 // Data is an encoded raft.Change
	ForwardTransfer ForwardOp = 3 // Data is the target's MemberID, 8 bytes, little endian
)

// ForwardRequest carries a request that came in at a follower to the leader. IDs of one sending host ascend, so that a duplicate
// is recognised and never proposed twice.
type ForwardRequest struct {
	raft.Header
	ID   uint64
	Op   ForwardOp
	Sum  uint32 // CRC-32C of Data
	Data []byte
}

// ForwardCode is what the leader says of a forwarded request.
type ForwardCode uint8

// What the leader says. After ForwardAccepted the follower learns the outcome from its own log, so that the member which was asked has the
// change applied when it answers.
const (
	ForwardAccepted      ForwardCode = 1 // appended at Index in the header's Term; or a transfer that has begun
	ForwardNotLeader     ForwardCode = 2 // not done: the receiver is no leader; Leader says who may be
	ForwardOverloaded    ForwardCode = 3 // not done: too much is waiting
	ForwardIndeterminate ForwardCode = 4 // may or may not have happened: the request came twice, or out of order
	ForwardRefused       ForwardCode = 5 // not done: Data says why
)

// ForwardReply answers a ForwardRequest as soon as the leader has it in its log, before it is committed.
type ForwardReply struct {
	raft.Header
	ID     uint64
	Code   ForwardCode
	Leader raft.MemberID
	Index  raft.Index
	// Data is, after ForwardRefused, one byte that names the error (see refusals) and its text.
	Data []byte
}

// SnapshotChunk is a piece of a snapshot's body on its way to a follower. The receiver stages the pieces in a file and acknowledges how far it has
// them, so that a transfer resumes where it broke.
type SnapshotChunk struct {
	raft.Header
	Meta raft.SnapshotMeta
	// ID names this very body: two snapshots of the same index may differ in bytes.
	ID uint64
	// Size is the whole body's length and Offset this piece's place, in bytes.
	Size, Offset int64
	// Sum is CRC-32C of Data; BodySum that of the whole body.
	Sum, BodySum uint32
	Data         []byte
}

// SnapshotStatus is what the receiver says of a transfer.
type SnapshotStatus uint8

// What the receiver of a snapshot answers.
const (
	SnapshotReceiving SnapshotStatus = 1 // Offset: send from here on
	SnapshotComplete  SnapshotStatus = 2 // the body is here in full, checked and durable
	SnapshotUnwanted  SnapshotStatus = 3 // the receiver has as much already, or cannot take it now
)

// SnapshotAck answers a SnapshotChunk.
type SnapshotAck struct {
	raft.Header
	ID     uint64
	Status SnapshotStatus
	Offset int64
}
