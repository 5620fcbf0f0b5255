package kv

import (
	"bytes"
	"errors"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// versions goes through the versions of all keys in a range: keys in ascending order, and the versions of each from the newest to the oldest.
// It merges the latest records with the history.
//
//	for v.nextKey() {
//		for v.nextVersion() { ... }
//	}
//	err := v.close()
type versions struct {
	latest, history *pebble.Iterator

	key       []byte // the current key
	hasLatest bool   // the latest iterator is at the current key
	stage     stage

	// Where the history iterator is, if it is anywhere. It can be at a later key than the current one, never at an earlier one.
	hasHistory bool
	historyKey []byte
	historyAt  revision

	// The current version, valid until the next move. An empty encoding is a tombstone.
	at      revision
	encoded []byte

	scratch []byte
	err     error
}

// stage says which version of the current key the iterator is at.
type stage int

const (
	beforeVersions stage = iota
	atLatest
	inHistory
)

// newVersions makes an iterator over the keys of the range, which the caller closes.
func newVersions(from pebble.Reader, keys keyRange) (*versions, error) {
	latest, err := from.NewIter(keys.latestBounds())
	if err != nil {
		return nil, storageError("read", err)
	}
	history, err := from.NewIter(keys.historyBounds())
	if err != nil {
		return nil, errors.Join(storageError("read", err), latest.Close())
	}
	v := &versions{latest: latest, history: history}
	latest.First()
	history.First()
	v.loadHistory()
	return v, nil
}

// loadHistory decodes the key that the history iterator is at.
func (v *versions) loadHistory() {
	v.hasHistory = false
	if v.err != nil || !v.history.Valid() {
		return
	}
	v.historyKey, v.historyAt, v.err = parseHistoryKey(v.historyKey[:0], v.history.Key())
	v.hasHistory = v.err == nil
}

// historyIsHere tells whether the history iterator is at the current key.
func (v *versions) historyIsHere() bool { return v.hasHistory && bytes.Equal(v.historyKey, v.key) }

// nextKey goes to the next key that has any version.
func (v *versions) nextKey() bool {
	v.leaveKey()
	latest := v.latest.Valid()
	if v.err != nil || (!latest && !v.hasHistory) {
		return false
	}
	order := -1
	switch {
	case !latest:
		order = 1
	case v.hasHistory:
		order = bytes.Compare(v.latest.Key()[1:], v.historyKey)
	}
	v.hasLatest = order <= 0
	if v.hasLatest {
		v.key = append(v.key[:0], v.latest.Key()[1:]...)
	} else {
		v.key = append(v.key[:0], v.historyKey...)
	}
	return true
}

// leaveKey passes what has not been seen of the current key. Few versions are stepped over, many are jumped over.
func (v *versions) leaveKey() {
	if v.hasLatest {
		v.latest.Next()
	}
	v.hasLatest, v.stage = false, beforeVersions
	const steps = 4
	for range steps {
		if len(v.key) == 0 || !v.historyIsHere() {
			return
		}
		v.history.Next()
		v.loadHistory()
	}
	if v.historyIsHere() {
		v.scratch = appendHistoryEnd(v.scratch[:0], v.key)
		v.history.SeekGE(v.scratch)
		v.loadHistory()
	}
}

// nextVersion goes to the next older version of the current key.
func (v *versions) nextVersion() bool {
	switch {
	case v.err != nil:
		return false
	case v.stage == beforeVersions && v.hasLatest:
		return v.takeLatest()
	case v.stage == inHistory && v.historyIsHere():
		v.history.Next()
		v.loadHistory()
	}
	return v.takeHistory()
}

// seekVersion goes to the newest version of the current key at or before a revision. It is called right after nextKey.
func (v *versions) seekVersion(main int64) bool {
	if v.err != nil {
		return false
	}
	if v.hasLatest {
		if !v.takeLatest() {
			return false
		}
		if v.at.main <= main {
			return true
		}
	}
	if v.historyIsHere() && v.historyAt.main > main {
		v.scratch = appendHistoryKey(v.scratch[:0], v.key, revision{main, math.MaxUint32})
		v.history.SeekGE(v.scratch)
		v.loadHistory()
	}
	return v.takeHistory()
}

func (v *versions) takeLatest() bool {
	v.stage = atLatest
	v.encoded = v.latest.Value()
	var r record
	if r, v.err = parseRecord(v.encoded); v.err != nil {
		return false
	}
	v.at = r.changed
	return true
}

func (v *versions) takeHistory() bool {
	v.stage = inHistory
	if v.err != nil || !v.historyIsHere() {
		return false
	}
	v.at, v.encoded = v.historyAt, v.history.Value()
	return true
}

// close returns the first error there was.
func (v *versions) close() error {
	return errors.Join(v.err, storageError("read", errors.Join(v.latest.Close(), v.history.Close())))
}

// keyRange is a range of keys. A nil end stands for the key itself alone.
type keyRange struct {
	start, end []byte
	toTheEnd   bool
}

// keyRangeOf understands etcd's range ends: none is the one key, and a zero byte is everything from the key on.
func keyRangeOf(key, end []byte) keyRange {
	switch {
	case len(end) == 0:
		return keyRange{start: key}
	case len(end) == 1 && end[0] == 0:
		return keyRange{start: key, toTheEnd: true}
	}
	return keyRange{start: key, end: end}
}

// allKeys is the range of all keys there can be.
var allKeys = keyRange{toTheEnd: true}

// isPoint tells whether the range is one key.
func (k keyRange) isPoint() bool { return k.end == nil && !k.toTheEnd }

func (k keyRange) contains(key string) bool {
	switch {
	case k.toTheEnd:
		return key >= string(k.start)
	case k.end == nil:
		return key == string(k.start)
	}
	return key >= string(k.start) && key < string(k.end)
}

// isEmpty tells whether no key can be in the range.
func (k keyRange) isEmpty() bool { return k.end != nil && bytes.Compare(k.start, k.end) >= 0 }

func (k keyRange) latestBounds() *pebble.IterOptions {
	o := &pebble.IterOptions{LowerBound: append([]byte{prefixLatest}, k.start...)}
	switch {
	case k.toTheEnd:
		o.UpperBound = []byte{prefixLatest + 1}
	case k.end == nil:
		o.UpperBound = append(append([]byte{prefixLatest}, k.start...), 0)
	default:
		o.UpperBound = append([]byte{prefixLatest}, k.end...)
	}
	return o
}

func (k keyRange) historyBounds() *pebble.IterOptions {
	o := &pebble.IterOptions{LowerBound: appendHistoryBound(nil, k.start)}
	switch {
	case k.toTheEnd:
		o.UpperBound = []byte{prefixHistory + 1}
	case k.end == nil:
		o.UpperBound = appendHistoryEnd(nil, k.start)
	default:
		o.UpperBound = appendHistoryBound(nil, k.end)
	}
	return o
}
