package kv

import (
	"context"
	"errors"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// view is what a read sees: a database that does not change meanwhile, and on top of it what commands have changed and it does not have yet.
type view struct {
	from  pebble.Reader
	state state
	// pending are those changes; nil where nothing is written.
	pending *pending
	// find looks up single keys, where many are looked up; nil elsewhere.
	find *finder
}

// revision is the one that the reader is at: a command that has changed something sees its own revision.
func (v *view) revision() int64 {
	if v.pending != nil && v.pending.running > 0 {
		return v.state.revision + 1
	}
	return v.state.revision
}

// visitor is given each key of a scan. What it is given is only valid until it returns.
type visitor func(key []byte, r *record) error

// checkEvery is how many keys a scan passes between two looks at the context.
const checkEvery = 1024

// scan visits the keys of the range that exist at a revision, in order. Revision 0 or below is the current one, with the running command's changes.
func (v *view) scan(ctx context.Context, keys keyRange, at int64, visit visitor) error {
	switch {
	case keys.isEmpty():
		return nil
	case at <= 0 || at == v.revision():
		if keys.isPoint() {
			return v.point(keys.start, visit)
		}
		if v.pending == nil || len(v.pending.changes) == 0 {
			return v.scanLatest(ctx, keys, visit)
		}
		return v.scanPending(ctx, keys, visit)
	case at == v.state.revision:
		// The state before the running command is what the database has.
		return v.scanLatest(ctx, keys, visit)
	}
	return v.scanHistory(ctx, keys, at, visit)
}

// point visits one key as it is now.
func (v *view) point(key []byte, visit visitor) error {
	r, known := v.pending.get(key)
	if !known && v.find != nil {
		return v.find.point(key, visit)
	}
	if !known {
		var closer closer
		var err error
		if r, closer, err = getLatest(v.from, key); err != nil || closer == nil {
			return err
		}
		return errors.Join(visit(key, &r), closer.Close())
	}
	if !r.exists() {
		return nil
	}
	return visit(key, &r)
}

// getLatest looks up the latest record of a key. A nil closer says that there is none; the record is valid until the closer is closed.
func getLatest(from pebble.Reader, key []byte) (record, closer, error) {
	var buffer [128]byte
	encoded, c, err := from.Get(append(append(buffer[:0], prefixLatest), key...))
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return record{}, nil, nil
		}
		return record{}, nil, storageError("read a key", err)
	}
	r, err := parseRecord(encoded)
	if err != nil {
		return r, nil, errors.Join(err, c.Close())
	}
	return r, c, nil
}

type closer interface{ Close() error }

func (v *view) scanLatest(ctx context.Context, keys keyRange, visit visitor) (err error) {
	it, err := v.from.NewIter(keys.latestBounds())
	if err != nil {
		return storageError("read", err)
	}
	defer func() { err = errors.Join(err, storageError("read", it.Close())) }()
	n := 0
	for valid := it.First(); valid; valid = it.Next() {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r, err := parseRecord(it.Value())
		if err != nil {
			return err
		}
		if err := visit(it.Key()[1:], &r); err != nil {
			return err
		}
	}
	return nil
}

// scanPending merges the database with the running command's changes.
func (v *view) scanPending(ctx context.Context, keys keyRange, visit visitor) error {
	var changed []string
	for i := range v.pending.changes {
		if key := v.pending.changes[i].key; keys.contains(key) {
			changed = append(changed, key)
		}
	}
	sort.Strings(changed)
	visitChanged := func() error {
		key := changed[0]
		changed = changed[1:]
		if r := v.pending.changes[v.pending.index[key]].record; r.exists() {
			return visit([]byte(key), &r)
		}
		return nil
	}
	err := v.scanLatest(ctx, keys, func(key []byte, r *record) error {
		for len(changed) > 0 && changed[0] < string(key) {
			if err := visitChanged(); err != nil {
				return err
			}
		}
		if len(changed) > 0 && changed[0] == string(key) {
			return visitChanged()
		}
		return visit(key, r)
	})
	for err == nil && len(changed) > 0 {
		err = visitChanged()
	}
	return err
}

func (v *view) scanHistory(ctx context.Context, keys keyRange, at int64, visit visitor) (err error) {
	it, err := newVersions(v.from, keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.close()) }()
	n := 0
	for it.nextKey() {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !it.seekVersion(at) || len(it.encoded) == 0 {
			continue
		}
		r, err := parseRecord(it.encoded)
		if err != nil {
			return err
		}
		if err := visit(it.key, &r); err != nil {
			return err
		}
	}
	return nil
}

// pinned is a view of a database that others go on writing to.
type pinned struct {
	view
	generation *generation
	snapshot   *pebble.Snapshot
}

// pin takes the state as of now. The caller closes it.
func (s *Store) pin() (*pinned, error) {
	g, err := s.read()
	if err != nil {
		return nil, err
	}
	snapshot := g.db.NewSnapshot()
	st, err := stateFrom(snapshot)
	if errors.Is(err, pebble.ErrNotFound) {
		st, err = initialState, nil
	}
	if err != nil {
		err = errors.Join(storageError("read the state record", err), snapshot.Close())
		g.release()
		return nil, s.fail(err)
	}
	return &pinned{view: view{from: snapshot, state: st}, generation: g, snapshot: snapshot}, nil
}

// close may be called more than once.
func (p *pinned) close() error {
	if p.snapshot == nil {
		return nil
	}
	err := p.snapshot.Close()
	p.snapshot = nil
	p.generation.release()
	return err
}
