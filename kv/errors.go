package kv

import "errors"

// What a command or a read is refused with. The first group is part of a command's result, so all members agree on it.
var (
	ErrCompacted      = errors.New("kv: the revision has been compacted")
	ErrFutureRev      = errors.New("kv: the revision is in the future")
	ErrKeyNotFound    = errors.New("kv: the key does not exist")
	ErrLeaseNotFound  = errors.New("kv: the lease does not exist")
	ErrInvalidCommand = errors.New("kv: the command cannot be understood")

	// ErrCorrupt means that the store on this member's disk, a snapshot or a result is damaged. A store that found damage, or cannot read or write its
	// files, answers nothing any more until it is opened again, or restored.
	ErrCorrupt = errors.New("kv: the store is damaged")
	// ErrNoSpace is for a disk without room.
	ErrNoSpace = errors.New("kv: no space is left")
	// ErrClosed is what a closed store answers.
	ErrClosed = errors.New("kv: the store is closed")
)

// code is the first byte of a command's result.
type code byte

const (
	codeRevision    code = 0 // revision
	codeMessage     code = 1 // a protobuf message
	codeCount       code = 2 // revision, count of deleted keys
	codePuts        code = 3 // revision, twice the count of the puts of a transaction and 1 if it succeeded
	codeCompacted   code = 16
	codeFutureRev   code = 17
	codeKeyNotFound code = 18
	codeLease       code = 19
	codeInvalid     code = 20
	codeBroken      code = 32 // this member's store has failed; what became of the command is not known here
)

func codeOf(err error) code {
	switch {
	case errors.Is(err, ErrCompacted):
		return codeCompacted
	case errors.Is(err, ErrFutureRev):
		return codeFutureRev
	case errors.Is(err, ErrKeyNotFound):
		return codeKeyNotFound
	case errors.Is(err, ErrLeaseNotFound):
		return codeLease
	case errors.Is(err, ErrInvalidCommand):
		return codeInvalid
	}
	return codeBroken
}

func (c code) err() error {
	switch c {
	case codeCompacted:
		return ErrCompacted
	case codeFutureRev:
		return ErrFutureRev
	case codeKeyNotFound:
		return ErrKeyNotFound
	case codeLease:
		return ErrLeaseNotFound
	case codeInvalid:
		return ErrInvalidCommand
	}
	return ErrCorrupt
}

// isRefusal tells an error that is a deterministic answer from one that says that the store itself has failed.
func isRefusal(err error) bool { return codeOf(err) != codeBroken }
