package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/balsa-raft/balsa/raft"
)

// generation is one Pebble database. Restore makes the next one and retires this one, which is closed when its last user is done.
type generation struct {
	db   *pebble.DB
	path string

	// users counts those who may use db, of which the store is one. At zero db is closed and closed is closed.
	users    atomic.Int64
	closed   chan struct{}
	closeErr error

	// What has been committed, for readers that need no iterator. pending is the revision that the commit in progress leads to: it is stored before the commit,
	// and revision after it, so as long as they are equal nothing newer than revision can be seen.
	pending   atomic.Int64
	revision  atomic.Int64
	compacted atomic.Int64
	applied   atomic.Uint64

	// flushes counts Pebble's flushes. What became durable by them is looked up when somebody asks.
	flushes atomic.Uint64
	// diskRefused says that something in the background has failed since the last flush that worked.
	diskRefused atomic.Bool
	// room is how much may be written yet before there has to be a flush, and flushing says that one was asked for: with Options.ManualFlush.
	manual   bool
	room     int
	flushing atomic.Bool

	durableMu   sync.Mutex
	durable     raft.Index
	durableAsOf uint64
}

// openGeneration opens the database at path, which has to exist or else is created. The caller is its first user.
func openGeneration(path string, o *Options, exists bool) (*generation, error) {
	g := &generation{path: path, closed: make(chan struct{}), manual: o.ManualFlush, room: manualFlushBytes}
	g.users.Store(1)
	if exists {
		if err := checkManifest(path, o); err != nil {
			return nil, err
		}
	}
	// Pebble takes the memory of memtables out of the cache: of the one that is written to, and of the one that is being flushed. Without that much more there
	// would be no room for blocks.
	cache := pebble.NewCache(o.CacheBytes + 2*o.MemTableBytes)
	defer cache.Unref()
	options := o.pebble()
	options.Cache = cache
	options.ErrorIfNotExists = exists
	options.EventListener = g.listener(options.Logger.(pebbleLogger))
	g.flushing.Store(true) // Pebble does at its start, too, and waits for it.
	db, err := pebble.Open(path, options)
	g.flushing.Store(false)
	if err != nil {
		return nil, storageError("open "+path, err)
	}
	g.db = db
	st, err := g.readState()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	g.publish(st)
	g.durable = st.applied
	return g, nil
}

// pebble makes Pebble's options, but for the cache and the listener.
func (o *Options) pebble() *pebble.Options {
	p := &pebble.Options{
		FS:                          o.FS,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       32, // it begins at half as many, and rewrites the level below: the rarer, the less work there is for a record
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                1024,
		Logger:                      pebbleLogger{o.Logger, o.Fatal},
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
	}
	if o.ManualFlush {
		// Pebble keeps its options in a file, which is to be the same on any machine.
		p.CompactionConcurrencyRange = func() (int, int) { return 1, 1 }
		p.Experimental.FileCacheShards = 1
	}
	if o.NoCompactions {
		p.DisableAutomaticCompactions, p.L0StopWritesThreshold = true, 1<<20
	}
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	return p
}

// listener notes what concerns durability. Pebble calls it while it holds locks, so it must not call Pebble.
func (g *generation) listener(logger pebbleLogger) *pebble.EventListener {
	return &pebble.EventListener{
		FlushBegin: func(pebble.FlushInfo) {
			if g.manual && !g.flushing.Load() {
				logger.Fatalf("%s is flushed by itself, though flushes are manual", g.path)
			}
		},
		FlushEnd: func(info pebble.FlushInfo) {
			// A flush that found nothing to write ends with an error too, which is none.
			if info.Err == nil {
				g.diskRefused.Store(false)
			}
			g.flushes.Add(1)
		},
		BackgroundError: func(err error) {
			g.diskRefused.Store(true)
			logger.Error("the store's database has a problem in the background, and tries again", "path", g.path, "error", err)
		},
	}
}

// Pebble's first memtable has 256 KiB, and each later one is no smaller. A record takes there what it has in a batch and, at most, recordOverhead.
const (
	manualFlushBytes = 192 << 10
	recordOverhead   = 256
)

// sizeInMemory bounds what records take in a memtable that have so many bytes in a batch.
func sizeInMemory(bytes, records int) int { return bytes + records*recordOverhead }

// commit writes a batch. If flushes are manual, there is one first where the batch might not fit into memory beside what is there.
func (g *generation) commit(b *pebble.Batch) error {
	if g.manual {
		size := sizeInMemory(b.Len(), int(b.Count()))
		if size > g.room {
			if err := g.flush(); err != nil {
				return err
			}
		}
		g.room -= size
	}
	return b.Commit(pebble.NoSync)
}

// flush makes durable what was committed, and waits for that. If flushes are manual, nobody else may write or flush at the same time.
func (g *generation) flush() error {
	if g.manual {
		g.flushing.Store(true)
		defer g.flushing.Store(false)
		g.room = manualFlushBytes
	}
	return storageError("flush "+g.path, g.db.Flush())
}

// readState returns what the database holds, the initial state if it is empty.
func (g *generation) readState() (state, error) {
	st, err := stateFrom(g.db)
	if !errors.Is(err, pebble.ErrNotFound) {
		return st, err
	}
	it, err := g.db.NewIter(nil)
	if err != nil {
		return st, storageError("read "+g.path, err)
	}
	hasKeys := it.First()
	if err := it.Close(); err != nil {
		return st, storageError("read "+g.path, err)
	}
	if hasKeys {
		return st, fmt.Errorf("%w: %s has keys but no state record", ErrCorrupt, g.path)
	}
	return initialState, nil
}

// stateFrom reads the state as r has it. It says pebble.ErrNotFound where nothing was applied yet.
func stateFrom(r pebble.Reader) (state, error) {
	encoded, closer, err := r.Get(stateKey)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return state{}, pebble.ErrNotFound
		}
		return state{}, storageError("read the state record", err)
	}
	st, err := parseState(encoded)
	return st, errors.Join(err, closer.Close())
}

// publish lets readers see a committed state.
func (g *generation) publish(st state) {
	g.pending.Store(st.revision)
	g.compacted.Store(st.compacted)
	g.revision.Store(st.revision)
	g.applied.Store(uint64(st.applied))
}

func (g *generation) appliedIndex() raft.Index { return raft.Index(g.applied.Load()) }

// acquire makes the caller a user, unless the generation is being closed.
func (g *generation) acquire() bool {
	for {
		n := g.users.Load()
		if n == 0 {
			return false
		}
		if g.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *generation) release() {
	if g.users.Add(-1) == 0 {
		g.closeErr = g.db.Close()
		close(g.closed)
	}
}

// durableIndex returns the applied index that the flushed part of the database holds. Pebble flushes batches in the order of their commits, and a batch
// entirely or not at all, so the state record that is durable tells that all before it is.
func (g *generation) durableIndex() (raft.Index, error) {
	g.durableMu.Lock()
	defer g.durableMu.Unlock()
	asOf := g.flushes.Load()
	if asOf == g.durableAsOf {
		return g.durable, nil
	}
	if err := g.lookUpDurable(); err != nil {
		return g.durable, err
	}
	g.durableAsOf = asOf
	return g.durable, nil
}

// lookUpDurable reads the state record past what is only in memory. The caller has durableMu, or the generation to itself.
func (g *generation) lookUpDurable() (err error) {
	it, err := g.db.NewIter(&pebble.IterOptions{LowerBound: stateKey, OnlyReadGuaranteedDurable: true})
	if err != nil {
		return storageError("read what is durable", err)
	}
	defer func() { err = errors.Join(err, storageError("read what is durable", it.Close())) }()
	if it.First() {
		st, err := parseState(it.Value())
		if err != nil {
			return err
		}
		g.durable = max(g.durable, st.applied)
	}
	return nil
}

// knownDurable is durableIndex as it was found last, for a database that cannot be asked any more.
func (g *generation) knownDurable() raft.Index {
	g.durableMu.Lock()
	defer g.durableMu.Unlock()
	return g.durable
}

// pebbleLogger passes Pebble's messages on.
type pebbleLogger struct {
	*slog.Logger
	fatal func(error)
}

func (l pebbleLogger) Infof(format string, args ...any) {
	l.Logger.Debug("the store's database says", "message", lazyText{format, args})
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.Logger.Error("the store's database reports an error", "message", lazyText{format, args})
}

// Fatalf is called when Pebble cannot go on, as when its list of files cannot be written. It has no way to return an error, and must not return.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("kv: the database cannot go on: "+format, args...)
	if l.fatal != nil {
		l.fatal(err)
	}
	panic(err)
}

// lazyText is formatted only if the message is logged.
type lazyText struct {
	format string
	args   []any
}

func (t lazyText) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf(t.format, t.args...)) }
