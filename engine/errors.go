package engine

import (
	"errors"
	"fmt"

	"github.com/balsa-raft/balsa/raft"
)

// The ways a request can fail. Unless it is ErrIndeterminate, the request did not happen and never will.
var (
	// ErrIndeterminate: the request may or may not have happened, or may happen yet. Ask the state machine, or use a session to retry.
	ErrIndeterminate = errors.New("balsa: outcome unknown: the request may or may not have happened")
	// ErrOverloaded: too much is waiting already. Retry later.
	ErrOverloaded = errors.New("balsa: overloaded: too many requests are waiting")
	// ErrNoLeader: no leader was found in the time the request had. Nothing happened; retry.
	ErrNoLeader = errors.New("balsa: no leader")
	// ErrDropped: another leader's entry took the place of this one. Nothing happened; the group retries by itself as long as the request has time.
	ErrDropped = errors.New("balsa: dropped: another leader's entry was committed in its place")
	// ErrTooLarge: the command is larger than Options.MaxCommandBytes.
	ErrTooLarge = errors.New("balsa: command too large")
	// ErrFull: the disk of the leader is too full to take more. Nothing happened; make room.
	ErrFull = errors.New("balsa: the disk is full: writes are refused until there is room, reads go on")
	// ErrClosed: the group or its host was closed.
	ErrClosed = errors.New("balsa: closed")
	// ErrRemoved: this member was removed from the group, and knows it. Ask another member, or have this one added again.
	ErrRemoved = errors.New("balsa: this member was removed from its group")
	// ErrTransferFailed: the leadership did not move to the member it was to go to.
	ErrTransferFailed = errors.New("balsa: leadership was not transferred")
	// ErrStopped: the host stopped because its disk failed, or the group because its machine did; it wraps the cause.
	ErrStopped = errors.New("balsa: stopped")
)

// NotLeaderError says that the request needs the leader and this member is not, and forwarding was not wanted or not possible.
type NotLeaderError struct {
	// Leader is who may know more, or raft.NoMember.
	Leader raft.MemberID
}

// Error implements error.
func (e *NotLeaderError) Error() string {
	if e.Leader == raft.NoMember {
		return "balsa: not the leader, and no leader is known"
	}
	return fmt.Sprintf("balsa: not the leader; member %x is", uint64(e.Leader))
}

// refusals are the errors a leader may answer to a forwarded request, by the byte that names them on the wire. The order is part of the wire
// format: append only.
var refusals = []error{
	nil,
	ErrFull,
	ErrTooLarge,
	raft.ErrChangePending,
	raft.ErrNotReady,
	raft.ErrBadChange,
	raft.ErrUnknownMember,
	raft.ErrNotVoter,
	raft.ErrTransferring,
	ErrOverloaded,
}

// encodeRefusal writes the error that is known to both sides, and its text.
func encodeRefusal(err error) []byte {
	code := byte(0)
	for i, known := range refusals {
		if i > 0 && errors.Is(err, known) {
			code = byte(i)
			break
		}
	}
	return append([]byte{code}, err.Error()...)
}

// decodeRefusal makes an error of it that errors.Is recognises.
func decodeRefusal(data []byte) error {
	if len(data) == 0 {
		return errors.New("balsa: the leader refused without a reason")
	}
	text := string(data[1:])
	if code := int(data[0]); code > 0 && code < len(refusals) {
		return &refusedError{cause: refusals[code], text: text}
	}
	return errors.New(text)
}

// refusedError is an error that the leader reported; its text is the leader's.
type refusedError struct {
	cause error
	text  string
}

func (e *refusedError) Error() string { return e.text }
func (e *refusedError) Unwrap() error { return e.cause }
