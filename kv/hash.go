package kv

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// HashKV returns a hash of the keys and their versions up to a revision, 0 for the current one, and at which revision it was taken and compacted. It is of
// everything that can be read at or after the compacted revision, so it is equal on all members that have compacted up to the same one, however far
// each has come with removing the rest.
func (s *Store) HashKV(rev int64) (hash uint32, hashRevision, compactRevision int64, err error) {
	p, err := s.pin()
	if err != nil {
		return 0, 0, 0, err
	}
	hash, at, err := p.hashKV(rev)
	if err = s.fail(errors.Join(err, p.close())); err != nil {
		return 0, 0, 0, err
	}
	return hash, at, p.state.compacted, nil
}

// Hash returns a hash of all that the store has: keys, versions, settings, the current and the compacted revision.
func (s *Store) Hash() (uint32, error) {
	p, err := s.pin()
	if err != nil {
		return 0, err
	}
	hash, err := p.hash()
	return hash, s.fail(errors.Join(err, p.close()))
}

func (v *view) hashKV(rev int64) (hash uint32, at int64, err error) {
	if err := v.check(rev); err != nil {
		return 0, 0, err
	}
	if at = rev; at <= 0 {
		at = v.state.revision
	}
	err = v.eachVersion(at, func(key []byte, at revision, encoded []byte) error {
		var numbers [20]byte
		binary.LittleEndian.PutUint32(numbers[:], uint32(len(key)))
		binary.LittleEndian.PutUint64(numbers[4:], uint64(at.main))
		binary.LittleEndian.PutUint32(numbers[12:], at.sub)
		binary.LittleEndian.PutUint32(numbers[16:], uint32(len(encoded)))
		hash = crc32.Update(hash, castagnoli, numbers[:])
		hash = crc32.Update(hash, castagnoli, key)
		hash = crc32.Update(hash, castagnoli, encoded)
		return nil
	})
	return hash, at, err
}

// eachVersion visits all that can be read at a revision between the compacted one and at, key by key, the newest version first: all versions down to
// the first one that is not newer than the compacted revision, and that one too unless it is a tombstone. Tombstones have no encoding.
func (v *view) eachVersion(at int64, visit func(key []byte, at revision, encoded []byte) error) (err error) {
	it, err := newVersions(v.from, allKeys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.close()) }()
	for it.nextKey() {
		for found := it.seekVersion(at); found; found = it.nextVersion() {
			last := it.at.main <= v.state.compacted
			if last && len(it.encoded) == 0 {
				break
			}
			if err := visit(it.key, it.at, it.encoded); err != nil {
				return err
			}
			if last {
				break
			}
		}
	}
	return nil
}

func (v *view) hash() (uint32, error) {
	hash, _, err := v.hashKV(0)
	if err != nil {
		return 0, err
	}
	var numbers [16]byte
	binary.LittleEndian.PutUint64(numbers[:], uint64(v.state.revision))
	binary.LittleEndian.PutUint64(numbers[8:], uint64(v.state.compacted))
	hash = crc32.Update(hash, castagnoli, numbers[:])
	it, err := v.from.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixSetting}, UpperBound: []byte{prefixSetting + 1}})
	if err != nil {
		return 0, storageError("read settings", err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		hash = crc32.Update(hash, castagnoli, binary.AppendUvarint(nil, uint64(len(it.Key()))))
		hash = crc32.Update(hash, castagnoli, it.Key())
		hash = crc32.Update(hash, castagnoli, it.Value())
	}
	return hash, storageError("read settings", it.Close())
}
