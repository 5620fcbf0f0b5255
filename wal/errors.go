package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrPoisoned is what every call returns after a write or an fsync failed; it wraps the first failure. The host has to stop: what is
	// durable is known again only after the log was opened anew.
	ErrPoisoned = errors.New("wal: poisoned by a failed write: stop the process, check the disk, start again")
	// ErrCompacted says that the entries were dropped by a compaction or a snapshot.
	ErrCompacted = errors.New("wal: entries are compacted")
	// ErrFaulty says that the disk lost an entry that was durable; it has to come from a peer.
	ErrFaulty = errors.New("wal: entry is damaged on disk")
	// ErrNotFound says that there is no such group, or that its log does not reach that far.
	ErrNotFound = errors.New("wal: entry not found")
	// ErrLocked says that another process has the log open.
	ErrLocked = errors.New("wal: locked by another process")
	// ErrFull says that there is no room for the entries. Nothing was changed, the log stays usable, and takes entries again once there
	// is room.
	ErrFull = errors.New("wal: disk is full")
	// ErrCorrupt says that the log on disk contradicts itself in a way that cannot be repaired from peers.
	ErrCorrupt = errors.New("wal: corrupt")
	// ErrInvalid says that a batch does not fit the log. Nothing was changed.
	ErrInvalid = errors.New("wal: invalid batch")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("wal: closed")
	// ErrNoSpace is what an FS wraps when it has no room for a write.
	ErrNoSpace = errors.New("no space left on device")
)

// poison notes the first failure and returns what every call returns from now on.
func (l *Log) poison(operation string, err error) error {
	wrapped := fmt.Errorf("%w: %s: %w", ErrPoisoned, operation, err)
	if !l.failure.CompareAndSwap(nil, &wrapped) {
		return *l.failure.Load()
	}
	l.logger.Error("log poisoned: nothing is written any more", "operation", operation, "error", err)
	return wrapped
}

// failed returns the error that every call has to return, if there is one.
func (l *Log) failed() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}
