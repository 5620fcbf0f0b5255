package kv

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Everything is in one ordered key space. The first byte of a key says what it is; docs/formats/kv.md is the grammar.
//
//	'h' escaped(key) ^main ^sub   a version of a key that is not its latest: a record, or nothing for a tombstone
//	'l' key                       the latest version of a key that exists: a record
//	'm' name                      a setting
//	'r' main sub                  which key a revision changed, and how
//	's'                           the state: applied index, revision, compacted revision
//
// Reading a key at the latest revision is one lookup. A read in the past seeks the key's history: main and sub are stored inverted, so that
// the newest version comes first, and the first one at or below the wanted revision is the answer.
const (
	prefixHistory  = 'h'
	prefixLatest   = 'l'
	prefixSetting  = 'm'
	prefixRevision = 'r'
	prefixState    = 's'
)

// stateKey holds the encoded state.
var stateKey = []byte{prefixState}

// revision orders all changes: main is the revision of the command, sub counts the changes that the command made.
type revision struct {
	main int64
	sub  uint32
}

func (r revision) less(other revision) bool {
	return r.main < other.main || (r.main == other.main && r.sub < other.sub)
}

// revisionSize is the length of an encoded revision.
const revisionSize = 12

// Escaping keeps the order of keys and makes every one of them end: a zero byte becomes 00 ff, and 00 01 ends the key.
const (
	escape         = 0x00
	escapedZero    = 0xff
	escapedEnd     = 0x01
	escapedPastEnd = 0x02
)

func appendEscaped(b, key []byte) []byte {
	for {
		i := bytes.IndexByte(key, escape)
		if i < 0 {
			return append(b, key...)
		}
		b = append(append(b, key[:i]...), escape, escapedZero)
		key = key[i+1:]
	}
}

// appendHistoryPrefix appends what all versions of the key in the history begin with.
func appendHistoryPrefix(b, key []byte) []byte {
	return append(appendEscaped(append(b, prefixHistory), key), escape, escapedEnd)
}

// appendHistoryEnd appends the first possible key after all versions of the key in the history.
func appendHistoryEnd(b, key []byte) []byte {
	return append(appendEscaped(append(b, prefixHistory), key), escape, escapedPastEnd)
}

func appendHistoryKey(b, key []byte, at revision) []byte {
	return appendHistoryRevision(appendHistoryPrefix(b, key), at)
}

// appendHistoryRevision completes what appendHistoryPrefix has begun.
func appendHistoryRevision(b []byte, at revision) []byte {
	b = binary.BigEndian.AppendUint64(b, ^uint64(at.main))
	return binary.BigEndian.AppendUint32(b, ^at.sub)
}

// appendHistoryBound appends the lower bound of the history of all keys at or after key.
func appendHistoryBound(b, key []byte) []byte {
	return appendEscaped(append(b, prefixHistory), key)
}

// parseHistoryKey returns the key, appended to buffer, and the revision of an encoded history key.
func parseHistoryKey(buffer, encoded []byte) (key []byte, at revision, err error) {
	rest := encoded[1:]
	for {
		i := bytes.IndexByte(rest, escape)
		if i < 0 || i+1 == len(rest) {
			return nil, revision{}, fmt.Errorf("%w: history key %x has no end", ErrCorrupt, encoded)
		}
		buffer = append(buffer, rest[:i]...)
		mark := rest[i+1]
		rest = rest[i+2:]
		switch {
		case mark == escapedZero:
			buffer = append(buffer, escape)
		case mark == escapedEnd && len(rest) == revisionSize:
			at = revision{main: int64(^binary.BigEndian.Uint64(rest)), sub: ^binary.BigEndian.Uint32(rest[8:])}
			return buffer, at, nil
		default:
			return nil, revision{}, fmt.Errorf("%w: history key %x is malformed", ErrCorrupt, encoded)
		}
	}
}

func appendRevisionKey(b []byte, at revision) []byte {
	b = binary.BigEndian.AppendUint64(append(b, prefixRevision), uint64(at.main))
	return binary.BigEndian.AppendUint32(b, at.sub)
}

func parseRevisionKey(encoded []byte) (revision, error) {
	if len(encoded) != 1+revisionSize {
		return revision{}, fmt.Errorf("%w: revision key %x is malformed", ErrCorrupt, encoded)
	}
	return revision{main: int64(binary.BigEndian.Uint64(encoded[1:])), sub: binary.BigEndian.Uint32(encoded[9:])}, nil
}

// changeKind is the first byte of what is stored under a revision; the changed key follows.
type changeKind byte

const (
	changePut    changeKind = 1
	changeDelete changeKind = 2
)

func parseChange(value []byte) (changeKind, []byte, error) {
	if len(value) < 2 || (changeKind(value[0]) != changePut && changeKind(value[0]) != changeDelete) {
		return 0, nil, fmt.Errorf("%w: change %x is malformed", ErrCorrupt, value)
	}
	return changeKind(value[0]), value[1:], nil
}
