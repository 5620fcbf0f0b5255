package kv

import "unsafe"

// recent remembers the latest records of the keys that were changed lately, so that the next change of such a key need not look them up in the database. It is the
// applier's, which is the only one that changes records: what it holds is what the database has.
//
// It has two halves. When the young one is full it becomes the old one, and what was in the old one is forgotten: what is still being changed is in
// the young one by then. Keys and values lie in one piece of memory per half, so that they are no work for the garbage collector.
type recent struct{ young, old recentHalf }

type recentHalf struct {
	records map[string]record // a record that does not exist is a deletion
	memory  []byte
}

// recentBytes is how much of keys and values a half holds.
const recentBytes = 512 << 10

// get returns what is known of a key. The record is valid until the next put.
func (r *recent) get(key []byte) (record, bool) {
	if found, known := r.young.records[string(key)]; known {
		return found, true
	}
	found, known := r.old.records[string(key)]
	return found, known
}

// put takes note of a key's record, whose memory stays the caller's. Large ones are left to the database.
func (r *recent) put(key string, found record) {
	size := len(key) + len(found.value)
	if size > recentBytes/16 {
		delete(r.young.records, key)
		delete(r.old.records, key)
		return
	}
	if len(r.young.memory)+size > recentBytes {
		r.young, r.old = r.old, r.young
		clear(r.young.records)
		r.young.memory = r.young.memory[:0]
	}
	if r.young.records == nil {
		r.young = recentHalf{records: make(map[string]record), memory: make([]byte, 0, recentBytes)}
	}
	// The memory never moves, since it is never filled beyond its capacity.
	start := len(r.young.memory)
	r.young.memory = append(append(r.young.memory, key...), found.value...)
	copied := r.young.memory[start:]
	found.value = copied[len(key):]
	r.young.records[unsafe.String(unsafe.SliceData(copied), len(key))] = found
}
