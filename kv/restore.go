package kv

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Restore implements engine.StateMachine. It builds a database beside the one in use, and replaces it in one step: a crash, a damaged snapshot or any other
// failure leaves the old one as it was. When it returns, the new state is durable. Reads that are under way end on the old state.
func (s *Store) Restore(r io.Reader) error {
	if s.closing.Load() {
		return ErrClosed
	}
	s.scrub.step.Lock()
	defer s.scrub.step.Unlock()
	files, old := s.options.FS, s.current.Load()
	// Every attempt has a name of its own, since after a failure it is open which database a start would find.
	s.newest++
	name := fmt.Sprintf(databasePattern, s.newest)
	path := files.PathJoin(s.dir, name)
	g, err := s.buildGeneration(path, r)
	if err != nil {
		return errors.Join(err, files.RemoveAll(path))
	}
	if err := writePointer(files, s.dir, name); err != nil {
		// It is open which one a later start finds, so neither may be used until a restore succeeds or the store is opened again.
		g.release()
		return s.fail(errors.Join(err, g.closeErr))
	}
	s.writing.mu.Lock()
	s.current.Store(g)
	s.failure.Store(nil)
	s.apply.reset(s)
	s.writing.mu.Unlock()
	s.scrub.kick()
	s.retire(old)
	return nil
}

// retire closes a generation when its last reader is done, and removes its files.
func (s *Store) retire(old *generation) {
	s.retired.Add(1)
	go func() {
		defer s.retired.Done()
		<-old.closed
		if err := errors.Join(old.closeErr, s.options.FS.RemoveAll(old.path)); err != nil {
			s.options.Logger.Warn("a replaced database was not removed; the next start does it", "path", old.path, "error", err)
		}
	}()
	old.release()
}

// buildGeneration makes a database of a snapshot. It is durable when it returns.
func (s *Store) buildGeneration(path string, r io.Reader) (*generation, error) {
	files := s.options.FS
	if err := files.RemoveAll(path); err != nil {
		return nil, storageError("remove "+path, err)
	}
	g, err := openGeneration(path, &s.options, false)
	if err != nil {
		return nil, err
	}
	if err := g.ingest(files, s.options.pebble(), r); err != nil {
		g.release()
		return nil, errors.Join(err, g.closeErr)
	}
	return g, nil
}

// tableBytes is about the size of the tables that a snapshot is turned into.
const tableBytes = 64 << 20

// ingest turns a snapshot into tables, which the database takes over in one step.
func (g *generation) ingest(files vfs.FS, options *pebble.Options, r io.Reader) error {
	blocks, err := newBlockReader(r)
	if err != nil {
		return err
	}
	options.EnsureDefaults()
	tables := tableWriter{files: files, dir: g.path, options: options.MakeWriterOptions(6, g.db.TableFormat())}
	defer tables.abandon()
	hasState := false
	for {
		key, value, err := blocks.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = checkSnapshotKey(key)
		}
		if err == nil && key[0] == prefixState {
			_, err = parseState(value)
			hasState = true
		}
		if err == nil {
			err = tables.add(key, value)
		}
		if err != nil {
			return err
		}
	}
	if !hasState {
		return fmt.Errorf("%w: a snapshot has no state record", ErrCorrupt)
	}
	if err := tables.finish(); err != nil {
		return err
	}
	if err := g.db.Ingest(context.Background(), tables.paths); err != nil {
		return storageError("take over a snapshot", err)
	}
	st, err := stateFrom(g.db)
	if err != nil {
		return storageError("read the restored state", err)
	}
	g.publish(st)
	if err := g.lookUpDurable(); err != nil {
		return err
	}
	if g.durable != st.applied {
		panic("kv: tables that were taken over are not durable")
	}
	return nil
}

// tableWriter writes ascending pairs to tables.
type tableWriter struct {
	files   vfs.FS
	dir     string
	options sstable.WriterOptions

	table *sstable.Writer
	size  int
	paths []string
}

func (w *tableWriter) add(key, value []byte) error {
	if w.table == nil {
		path := w.files.PathJoin(w.dir, fmt.Sprintf("restore-%06d.sst", len(w.paths)))
		f, err := w.files.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return storageError("create "+path, err)
		}
		w.paths = append(w.paths, path)
		w.table, w.size = sstable.NewWriter(objstorageprovider.NewFileWritable(f), w.options), 0
	}
	if err := w.table.Set(key, value); err != nil {
		// Keys that do not ascend are the only reason that is not the disk's.
		return fmt.Errorf("%w: a snapshot does not become a table: %w", ErrCorrupt, err)
	}
	if w.size += len(key) + len(value); w.size < tableBytes {
		return nil
	}
	return w.finish()
}

// finish ends the current table and syncs it.
func (w *tableWriter) finish() error {
	if w.table == nil {
		return nil
	}
	err := w.table.Close()
	w.table = nil
	return storageError("write a table", err)
}

// abandon closes a table that was not finished, because something else failed.
func (w *tableWriter) abandon() {
	if w.table != nil {
		// The error that matters is the one that led here.
		_ = w.table.Close()
		w.table = nil
	}
}
