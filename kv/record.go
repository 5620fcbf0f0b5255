package kv

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/balsa-raft/balsa/raft"
)

// record is one version of a key.
type record struct {
	created int64
	changed revision
	version int64
	lease   int64
	value   []byte
}

func (r *record) exists() bool { return r.version != 0 }

// appendHead appends all of the record but its value, which comes next.
func (r *record) appendHead(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.created))
	b = binary.AppendUvarint(b, uint64(r.changed.main))
	b = binary.AppendUvarint(b, uint64(r.changed.sub))
	b = binary.AppendUvarint(b, uint64(r.version))
	return binary.AppendUvarint(b, uint64(r.lease))
}

// parseRecord decodes a record, whose value shares memory with encoded.
func parseRecord(encoded []byte) (record, error) {
	var r record
	var fields [5]uint64
	rest := encoded
	for i := range fields {
		n := 1
		if len(rest) > 0 && rest[0] < 0x80 {
			fields[i] = uint64(rest[0])
		} else if fields[i], n = binary.Uvarint(rest); n <= 0 {
			return r, fmt.Errorf("%w: record %.40x is malformed", ErrCorrupt, encoded)
		}
		rest = rest[n:]
	}
	r = record{
		created: int64(fields[0]), changed: revision{int64(fields[1]), uint32(fields[2])}, version: int64(fields[3]), lease: int64(fields[4]), value: rest,
	}
	if r.version <= 0 || r.created <= 0 || r.changed.main < r.created {
		return r, fmt.Errorf("%w: record %.40x is impossible", ErrCorrupt, encoded)
	}
	return r, nil
}

// keyValue makes etcd's form of the record. It shares memory with key and the record.
func (r *record) keyValue(key []byte) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key: key, CreateRevision: r.created, ModRevision: r.changed.main, Version: r.version, Value: r.value, Lease: r.lease,
	}
}

// state is what the store is about as a whole. It is written with every batch.
type state struct {
	applied   raft.Index
	revision  int64
	compacted int64 // -1 before the first compaction, as in etcd
}

// initialState is that of an empty store.
var initialState = state{revision: 1, compacted: -1}

const stateSize = 24

func (s state) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(s.applied))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.revision))
	return binary.LittleEndian.AppendUint64(b, uint64(s.compacted))
}

func parseState(encoded []byte) (state, error) {
	if len(encoded) != stateSize {
		return state{}, fmt.Errorf("%w: the state record has %d bytes instead of %d", ErrCorrupt, len(encoded), stateSize)
	}
	s := state{
		applied:   raft.Index(binary.LittleEndian.Uint64(encoded)),
		revision:  int64(binary.LittleEndian.Uint64(encoded[8:])),
		compacted: int64(binary.LittleEndian.Uint64(encoded[16:])),
	}
	if s.revision < 1 || s.compacted < -1 || s.compacted > s.revision {
		return state{}, fmt.Errorf("%w: the state record has revision %d, compacted %d", ErrCorrupt, s.revision, s.compacted)
	}
	return s, nil
}

// check refuses a revision that is not there any more, or not yet. Zero and below mean the current one.
func (s state) check(at int64) error {
	switch {
	case at > s.revision:
		return ErrFutureRev
	case at > 0 && at < s.compacted:
		return ErrCompacted
	}
	return nil
}
