package kv

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// scrubber removes from the disk what a compaction has made unreadable. It works beside Apply in small steps, each an atomic batch that removes only what
// no read at or after the compacted revision needs, so that nothing observable depends on how far it has come.
//
// Its work list is the revisions below the compacted one: as long as there is one, there is work. It goes through them in order, removes all versions
// that the change of a revision has superseded, and then the revision itself. So it needs no note of its progress, and neither a crash nor
// a restore confuse it.
type scrubber struct {
	store *Store

	// step is held during a step, so that there is one at a time.
	step sync.Mutex

	mu      sync.Mutex
	running bool          // a goroutine is at work
	again   bool          // there was a compaction since it has looked
	idle    chan struct{} // closed when the goroutine ends
	cancel  context.CancelFunc
	ctx     context.Context
}

// scrubStep is how many revisions a step goes through.
const scrubStep = 256

func (c *scrubber) init(s *Store) {
	c.store = s
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.kick()
}

// kick has somebody look for work.
func (c *scrubber) kick() {
	if c.store.options.ManualScrub {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.again = true; c.running || c.ctx.Err() != nil {
		return
	}
	c.running = true
	c.idle = make(chan struct{})
	go c.work(c.idle)
}

func (c *scrubber) work(idle chan struct{}) {
	defer close(idle)
	for c.next() {
		for {
			more, err := c.store.ScrubStep()
			if err != nil && c.ctx.Err() == nil {
				c.store.options.Logger.Error("compacted history could not be removed; it is tried again after the next compaction", "error", err)
			}
			if err != nil || !more || c.ctx.Err() != nil {
				break
			}
		}
	}
}

// next tells whether the goroutine has to look for work once more; otherwise it has to end.
func (c *scrubber) next() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = c.again && c.ctx.Err() == nil
	c.again = false
	return c.running
}

// stop ends the goroutine and waits for it.
func (c *scrubber) stop() {
	c.cancel()
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle != nil {
		<-idle
	}
	// A step that somebody else has begun ends too.
	c.step.Lock()
	defer c.step.Unlock()
}

// WaitCompacted waits until everything that a compaction at the revision, which has been applied, made unreadable is gone from the database. It is what
// a physical compaction waits for. If removal is manual, it is done by this call.
func (s *Store) WaitCompacted(ctx context.Context, at int64) error {
	if compacted := s.CompactedRevision(); at > compacted {
		return ErrFutureRev
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Helping is the simplest way to wait: steps are short, and take turns with those of the goroutine.
		more, err := s.ScrubStep()
		if err != nil || !more {
			return err
		}
	}
}

// ScrubStep removes a part of what compactions have made unreadable, and tells whether there is more. It is for tests and simulations: unless
// Options.ManualScrub is set, it happens by itself.
func (s *Store) ScrubStep() (more bool, err error) {
	s.scrub.step.Lock()
	defer s.scrub.step.Unlock()
	g, err := s.use()
	if err != nil {
		return false, err
	}
	defer g.release()
	more, err = scrubGeneration(g)
	return more, s.fail(err)
}

// scrubGeneration goes through the revisions below the compacted one. The compacted revision can still be read and watched, so what it has superseded is
// left to the next compaction.
func scrubGeneration(g *generation) (more bool, err error) {
	compacted := g.compacted.Load()
	if compacted < 0 {
		return false, nil
	}
	revisions, err := g.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{prefixRevision}, UpperBound: appendRevisionKey(nil, revision{main: compacted}),
	})
	if err != nil {
		return false, storageError("read revisions", err)
	}
	defer func() { err = errors.Join(err, storageError("read revisions", revisions.Close())) }()
	if !revisions.First() {
		return false, nil
	}
	first, err := parseRevisionKey(revisions.Key())
	if err != nil {
		return false, err
	}
	history, err := g.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixHistory}, UpperBound: []byte{prefixHistory + 1}})
	if err != nil {
		return false, storageError("read history", err)
	}
	defer func() { err = errors.Join(err, storageError("read history", history.Close())) }()

	step := scrubbing{batch: g.db.NewBatch(), history: history, first: first}
	defer func() { err = errors.Join(err, step.batch.Close()) }()
	for n := 0; n < scrubStep && revisions.Valid(); n++ {
		if err := step.revision(revisions.Key(), revisions.Value()); err != nil {
			return false, err
		}
		revisions.Next()
	}
	end := revision{main: compacted}
	if more = revisions.Valid(); more {
		if end, err = parseRevisionKey(revisions.Key()); err != nil {
			return false, err
		}
	}
	if err := step.batch.DeleteRange(appendRevisionKey(nil, first), appendRevisionKey(nil, end), nil); err != nil {
		return false, storageError("remove revisions", err)
	}
	return more, storageError("remove history", g.commit(step.batch))
}

// scrubbing is one step.
type scrubbing struct {
	batch   *pebble.Batch
	history *pebble.Iterator
	first   revision // the first that this step goes through
	key     []byte
}

// revision removes what the change of a revision has superseded, and the change itself if it was a deletion.
func (c *scrubbing) revision(revisionKey, change []byte) error {
	at, err := parseRevisionKey(revisionKey)
	if err != nil {
		return err
	}
	kind, key, err := parseChange(change)
	if err != nil {
		return err
	}
	c.key = appendHistoryKey(c.key[:0], key, at)
	own := c.key
	if kind == changeDelete {
		if err := c.batch.Delete(own, nil); err != nil {
			return storageError("remove history", err)
		}
	}
	prefix := own[:len(own)-revisionSize]
	for valid := c.history.SeekGE(own); valid && bytes.HasPrefix(c.history.Key(), prefix); valid = c.history.Next() {
		if bytes.Equal(c.history.Key(), own) {
			continue
		}
		_, older, err := parseHistoryKey(nil, c.history.Key())
		if err != nil {
			return err
		}
		if err := c.batch.Delete(c.history.Key(), nil); err != nil {
			return storageError("remove history", err)
		}
		if !older.less(c.first) {
			// That one's own change was gone through in this step too, and so were the versions before it.
			return nil
		}
	}
	return storageError("read history", c.history.Error())
}
