package kv

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// finder looks up the latest records of the keys that a batch of commands changes. Pebble's Get does not ask the filters of the lowest level, which holds most of what
// there is: to find that a key is new it reads a block there, from the disk if the database is large. An iterator may be told to ask them, but to make one costs
// as much as some lookups, so the first few of a batch do without. It shows the database as it was when it was made: whoever writes to it resets the finder.
type finder struct {
	db    *pebble.DB
	asked int
	it    *pebble.Iterator
	key   []byte
}

// findersGets is how many lookups of a batch are Pebble's.
const findersGets = 4

// point visits the latest record of a key, if it exists.
func (f *finder) point(key []byte, visit visitor) error {
	f.key = append(append(f.key[:0], prefixLatest), key...)
	if f.asked++; f.asked <= findersGets {
		r, c, err := getLatest(f.db, key)
		if err != nil || c == nil {
			return err
		}
		return errors.Join(visit(key, &r), c.Close())
	}
	if f.it == nil {
		var err error
		if f.it, err = f.db.NewIter(&pebble.IterOptions{UseL6Filters: true}); err != nil {
			return storageError("read a key", err)
		}
	}
	if !f.it.SeekPrefixGE(f.key) {
		return storageError("read a key", f.it.Error())
	}
	r, err := parseRecord(f.it.Value())
	if err != nil {
		return err
	}
	return visit(key, &r)
}

// reset lets go of the state of the database that the finder shows.
func (f *finder) reset() error {
	it := f.it
	f.it, f.asked = nil, 0
	if it == nil {
		return nil
	}
	return storageError("read a key", it.Close())
}
