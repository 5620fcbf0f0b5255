package wal

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/balsa-raft/balsa/raft"
)

// Options say where a log is and how it uses the disk.
type Options struct {
	// FS and Dir are where the log's files are. The directory is the log's alone.
	FS  FS
	Dir string
	// SegmentBytes is the size of a segment: 64 MiB by default.
	SegmentBytes int64
	// Incarnation names a new log; an existing one keeps its own, see Log.Incarnation. It should be random, and never be used twice.
	Incarnation uint64
	// ReserveBytes is the room that is kept for term, vote and truncations when the disk is full: an eighth of SegmentBytes by default, at
	// most SegmentBytes. It has to be enough for the state of all groups, twice.
	ReserveBytes int64
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil || o.Dir == "" {
		return o, errors.New("wal: options: FS and Dir have to be given")
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.SegmentBytes < minSegment || o.SegmentBytes > maxAppend {
		return o, errors.New("wal: options: SegmentBytes has to be between 4 KiB and 8 GiB")
	}
	o.SegmentBytes &^= align - 1
	if o.ReserveBytes == 0 {
		o.ReserveBytes = o.SegmentBytes / 8
	}
	if o.ReserveBytes < 0 {
		return o, errors.New("wal: options: ReserveBytes is negative")
	}
	o.ReserveBytes = min(max(o.ReserveBytes, segmentStart), o.SegmentBytes)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

const minSegment = 4 << 10

// Log is an open log. Append and Sync are for one goroutine, the writer; all else may be called by anybody at any time.
type Log struct {
	options     Options
	fs          FS
	dir         string
	logger      *slog.Logger
	lock        io.Closer
	incarnation uint64

	failure atomic.Pointer[error] // set once: the log is poisoned or closed
	full    atomic.Bool
	syncs   atomic.Uint64
	pending atomic.Bool // there may be work for Prepare

	// writer is held by Append and Sync, and by Prepare for a moment when it copies entries forward. The fields below it are the
	// writer's own. Locks are taken in the order house, writer, mu; who holds writer may only try house.
	writer     sync.Mutex
	synced     int64  // up to here the active segment is durable
	sequence   uint64 // of the last batch
	stamp      uint64
	fresh      map[raft.GroupID]*group
	descriptor descriptor
	scratch    []byte

	// mu guards what readers see. The writer alone changes it, and reads it without the lock; Prepare takes segments from the front and adds
	// spares.
	mu       sync.RWMutex
	groups   map[raft.GroupID]*group
	chunks   chunkPool
	segments []*segment // by number, without gaps
	current  *segment   // the last of them, which is written to
	buf      []byte     // frames that were appended and are not in the file yet
	flushed  int64      // offset of buf in the active segment
	needed   uint32     // segments before this one are dead, durably
	spares   []*spare
	spareID  uint64

	// house is held while segments are recycled, filled and cleaned.
	house   sync.Mutex
	filling *spare
	doomed  []*spare // to be removed
	cleaner cleaner
}

// Groups returns the groups that have a state, sorted.
func (l *Log) Groups() []raft.GroupID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.sortedGroups()
}

func (l *Log) sortedGroups() []raft.GroupID { return slices.Sorted(maps.Keys(l.groups)) }

// State returns what the log knows of a group: as recovered, and kept current by Append. Only after a Sync is it durable.
func (l *Log) State(id raft.GroupID) (GroupState, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g := l.groups[id]
	if g == nil {
		return GroupState{}, false
	}
	return g.state(), true
}

// Incarnation is what the log was created with.
func (l *Log) Incarnation() uint64 { return l.incarnation }

// Bytes returns how much of the log the group's entries take.
func (l *Log) Bytes(id raft.GroupID) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if g := l.groups[id]; g != nil {
		return g.bytes
	}
	return 0
}

// Size returns how many bytes of disk the log's files take, spare ones included.
func (l *Log) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var size int64
	for _, s := range l.segments {
		size += s.filled
	}
	for _, s := range l.spares {
		size += s.filled
	}
	return uint64(size)
}

// Syncs returns how often the log has waited for the disk so far.
func (l *Log) Syncs() uint64 { return l.syncs.Load() }

// Full tells whether entries were refused, or the reserve could not be made, for want of room. It ends when Prepare or Append finds room.
func (l *Log) Full() bool { return l.full.Load() }

// Pending tells whether Prepare may have something to do: a cheap question, for after each Sync and while the log is full.
func (l *Log) Pending() bool { return l.pending.Load() || l.full.Load() }

// Close syncs what was appended, notes that it did, and lets go of the directory. It returns ErrPoisoned if the log is. No other call may be
// running; those that come later return ErrClosed.
func (l *Log) Close() error {
	l.house.Lock()
	defer l.house.Unlock()
	l.writer.Lock()
	defer l.writer.Unlock()
	failed := l.failed()
	if errors.Is(failed, ErrClosed) {
		return nil
	}
	err := failed
	if err == nil {
		err = l.mark()
	}
	closed := ErrClosed
	l.failure.Store(&closed)
	return errors.Join(err, l.closeFiles())
}

// mark writes that everything is durable, so that damage to the last batch is known for what it is when the log is opened again.
func (l *Log) mark() error {
	if err := l.sync(); err != nil {
		return err
	}
	if l.flushed == l.current.data {
		return nil
	}
	if err := l.grow(frameSize(0)); err != nil {
		return ignoreFull(err)
	}
	l.mu.Lock()
	l.frame(&header{typ: frameMark, sum: raft.Sum(nil)}, nil)
	l.mu.Unlock()
	return l.sync()
}

func (l *Log) closeFiles() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	if l.filling != nil {
		l.spares = append(l.spares, l.filling)
	}
	for _, s := range append(l.spares, l.doomed...) {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}
