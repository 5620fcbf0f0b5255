package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// Options are the settings of a store. The zero value is ready for production.
type Options struct {
	// Logger gets what happens in the background. Nil: nothing is logged.
	Logger *slog.Logger
	// CacheBytes is the memory for blocks of files; 0: 64 MiB.
	CacheBytes int64
	// MemTableBytes is how much is written before Pebble flushes, and so about how much is replayed after a crash; 0: 8 MiB.
	MemTableBytes int64
	// FS is where the files are; nil: the operating system's file system.
	FS vfs.FS
	// Fatal is called, from any goroutine, when the database cannot go on: its files are damaged, or cannot be written. It has to end the
	// process, and must not return. Nil: the goroutine panics.
	Fatal func(error)
	// ManualScrub leaves the removal of compacted history to calls of ScrubStep and WaitCompacted, for tests and simulations that want no goroutine
	// of the store's own. Pebble has its own all the same.
	ManualScrub bool
	// ManualFlush keeps Pebble from flushing by itself, for simulations in which it has to be the same every time what is durable. What fills its memory is not: its lists
	// are made by chance. So the store flushes, and waits for it, before there is so much that they might be full.
	ManualFlush bool
	// NoCompactions keeps Pebble from rearranging its files by itself, for simulations in which the order of all that is done to them has to be the same every
	// time. The files grow in number then, and reads become slow.
	NoCompactions bool
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 8 << 20
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
}

// Store is an engine.DurableStateMachine with etcd's key-value semantics.
//
// The methods of StateMachine are called by one goroutine at a time. All others may be called at any time from any goroutine, beside those too. Who reads keys or settings,
// or hashes them, has first what was applied written to the database. That is memory, mostly; but if the disk is stuck and memory is full, readers wait as Apply does, for as
// long as the disk takes, and no context ends that.
type Store struct {
	options Options
	dir     string

	current atomic.Pointer[generation]
	failure atomic.Pointer[error]
	closing atomic.Bool

	apply   applier
	writing writing
	scrub   scrubber
	newest  int // the number of the newest database that was made or tried to be
	// retired counts the goroutines that wait to remove a database that Restore has replaced.
	retired sync.WaitGroup
}

var _ engine.DurableStateMachine = (*Store)(nil)

// Open opens the store in the directory, and creates it if there is none. The store is then as of some command at or after the DurableIndex that it reported
// last, and AppliedIndex says which one. Nothing else may use the directory.
func Open(dir string, o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{options: o, dir: dir}
	name, exists, err := openDirectory(o.FS, dir)
	if err != nil {
		return nil, err
	}
	g, err := openGeneration(o.FS.PathJoin(dir, name), &s.options, exists)
	if err != nil {
		return nil, err
	}
	if exists {
		err = removeOthers(o.FS, dir, name)
	} else {
		err = writePointer(o.FS, dir, name)
	}
	if err != nil {
		return nil, errors.Join(err, g.db.Close())
	}
	s.current.Store(g)
	if s.newest, err = databaseNumber(name); err != nil {
		panic(err)
	}
	s.apply.reset(s)
	s.scrub.init(s)
	return s, nil
}

// Close flushes the store and closes it. It waits for the readers and snapshots that are under way.
func (s *Store) Close() error {
	if !s.closing.CompareAndSwap(false, true) {
		return ErrClosed
	}
	s.scrub.stop()
	g := s.current.Load()
	s.writing.mu.Lock()
	var flushErr error
	if s.failure.Load() == nil {
		flushErr = s.apply.commit()
	}
	s.writing.closed = true
	s.writing.mu.Unlock()
	// A flush saves the replay at the next start, but is no condition for it. Pebble retries one that fails for ever, so a disk that has
	// just refused one is not asked again.
	if flushErr == nil && !g.diskRefused.Load() {
		flushErr = s.flush(g)
	}
	g.release()
	<-g.closed
	s.retired.Wait()
	return errors.Join(flushErr, g.closeErr)
}

// Revision returns the current revision: that of the last change. Like CompactedRevision and AppliedIndex it waits for nobody, whatever the disk does.
func (s *Store) Revision() int64 {
	// In the middle of an Apply the database may be ahead of what was noted last.
	return max(s.writing.revision.Load(), s.current.Load().revision.Load())
}

// CompactedRevision returns the oldest revision that can be read, or -1 if nothing was ever compacted.
func (s *Store) CompactedRevision() int64 {
	return max(s.writing.compacted.Load(), s.current.Load().compacted.Load())
}

// AppliedIndex returns the log index of the last command that was applied, 0 if there is none.
func (s *Store) AppliedIndex() raft.Index {
	return max(raft.Index(s.writing.applied.Load()), s.current.Load().appliedIndex())
}

// DurableIndex implements engine.DurableStateMachine.
func (s *Store) DurableIndex() raft.Index {
	g, err := s.use()
	if err != nil {
		return s.current.Load().knownDurable()
	}
	defer g.release()
	index, err := g.durableIndex()
	if err != nil {
		_ = s.fail(err)
	}
	return index
}

// Flush implements engine.DurableStateMachine. While the disk refuses to be written it waits.
func (s *Store) Flush() error {
	g, err := s.read()
	if err != nil {
		return err
	}
	defer g.release()
	return s.flush(g)
}

func (s *Store) flush(g *generation) error {
	durable, err := g.durableIndex()
	if err != nil {
		return err
	}
	if durable == g.appliedIndex() {
		return nil
	}
	return g.flush()
}

// Size returns the bytes that the store has on disk, and those of them that hold data that is in use. It does not wait for the disk.
func (s *Store) Size() (total, inUse int64) {
	g, err := s.use()
	if err != nil {
		return 0, 0
	}
	defer g.release()
	m := g.db.Metrics()
	total = int64(m.DiskSpaceUsage())
	tables := m.Total()
	return total, min(total, tables.AggregateSize()+int64(m.MemTable.Size)) // what is still in memory is in use too
}

// Meta returns a cluster-wide setting, nil if there is none.
func (s *Store) Meta(name string) ([]byte, error) {
	g, err := s.read()
	if err != nil {
		return nil, err
	}
	defer g.release()
	value, closer, err := g.db.Get(append([]byte{prefixSetting}, name...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fail(storageError("read a setting", err))
	}
	value = append([]byte(nil), value...)
	return value, closer.Close()
}

// read is use for those who want to see everything that was applied before.
func (s *Store) read() (*generation, error) {
	if err := s.settle(); err != nil {
		return nil, err
	}
	return s.use()
}

// use makes the caller a user of the current generation, which it has to release.
func (s *Store) use() (*generation, error) {
	for {
		if s.closing.Load() {
			return nil, ErrClosed
		}
		if failure := s.failure.Load(); failure != nil {
			return nil, *failure
		}
		if g := s.current.Load(); g.acquire() {
			return g, nil
		}
	}
}

// fail notes that the store cannot be trusted any more, and returns the error. Refusals and the caller's cancellation are passed through.
func (s *Store) fail(err error) error {
	if err == nil || isRefusal(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) {
		return err
	}
	if s.failure.CompareAndSwap(nil, &err) {
		s.options.Logger.Error("the store has failed and answers no more", "dir", s.dir, "error", err)
	}
	return err
}

// storageError says what went wrong with the files, in a form that callers can tell apart.
func storageError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %s: %w", ErrNoSpace, what, err)
	case errors.Is(err, ErrCorrupt), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("kv: %s: %w", what, err)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %s: %w; restore this member from the others or from a backup", ErrCorrupt, what, err)
	}
	return fmt.Errorf("kv: %s: %w", what, err)
}
