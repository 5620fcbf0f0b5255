package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/balsa-raft/balsa/raft"
)

// What a batch consists of.
const (
	hasHard     = 1 << 0 // term and vote
	hasBase     = 1 << 1 // the log begins after Base; what comes later stays
	hasSnapshot = 1 << 2 // with hasBase: what comes later goes, too
	hasRemove   = 1 << 3 // the group is gone
	hasEntries  = 1 << 4
	hasCopies   = 1 << 5 // with hasEntries: they are in the log already, and moved here from an older segment
	knownFlags  = 1<<6 - 1
)

// descriptor says all about a batch but the data of its entries. It is written before and after them, so that one damaged frame never
// makes a batch unknown, and above all no vote.
//
//	descriptor = length(u32, of the whole batch, in units of 8 bytes) flags(u8) sequence previous [hard] [base] [entries]
//	hard       = term vote
//	base       = index term configuration-index size configuration(size bytes)
//	entries    = first-index run-count run*
//	run        = count term                       ; numbers without a width are uvarints
type descriptor struct {
	length   int64
	flags    uint8
	sequence uint64 // of the batch, in the whole log
	previous uint64 // sequence of the group's batch before this one, 0 if this is its first
	hard     raft.HardState
	base     raft.SnapshotMeta
	first    raft.Index
	count    int
	runs     []termCount
}

// termCount is a run of entries of one term.
type termCount struct {
	count uint64
	term  raft.Term
}

func (d *descriptor) has(flag uint8) bool { return d.flags&flag != 0 }

func (d *descriptor) encode(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(d.length/align))
	b = append(b, d.flags)
	b = binary.AppendUvarint(b, d.sequence)
	b = binary.AppendUvarint(b, d.previous)
	if d.has(hasHard) {
		b = binary.AppendUvarint(b, uint64(d.hard.Term))
		b = binary.AppendUvarint(b, uint64(d.hard.Vote))
	}
	if d.has(hasBase) {
		b = appendBase(b, &d.base)
	}
	if d.has(hasEntries) {
		b = binary.AppendUvarint(b, uint64(d.first))
		b = appendRuns(b, d.runs)
	}
	return b
}

// setLength fills in the length of a batch in its encoded descriptor.
func setLength(encoded []byte, length int64) {
	binary.LittleEndian.PutUint32(encoded, uint32(length/align))
}

// decode reads what encode wrote; runs are read into those of d. It does not alias b.
func (d *descriptor) decode(b []byte) error {
	if len(b) < 5 {
		return errShort
	}
	*d = descriptor{length: int64(binary.LittleEndian.Uint32(b)) * align, flags: b[4], runs: d.runs[:0]}
	if d.flags&^knownFlags != 0 {
		return fmt.Errorf("unknown flags %#x in a batch", d.flags)
	}
	r := reader{rest: b[5:]}
	d.sequence, d.previous = r.uvarint(), r.uvarint()
	if d.has(hasHard) {
		d.hard = raft.HardState{Term: raft.Term(r.uvarint()), Vote: raft.MemberID(r.uvarint())}
	}
	if d.has(hasBase) {
		d.base = r.base()
	}
	if d.has(hasEntries) {
		d.first = raft.Index(r.uvarint())
		var n uint64
		d.runs, n = r.runs(d.runs)
		if uint64(d.first)+n < uint64(d.first) || d.first == 0 {
			return errRange
		}
		d.count = int(n)
	}
	return r.end()
}

// checkpoint is all about a group but its entries, as of where a segment begins.
//
//	checkpoint = sequence term vote base last-index run-count run*
type checkpoint struct {
	group    raft.GroupID
	sequence uint64 // of the group's last batch
	hard     raft.HardState
	base     raft.SnapshotMeta
	last     raft.Index
	runs     []termCount // of (base, last]
}

func (c *checkpoint) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, c.sequence)
	b = binary.AppendUvarint(b, uint64(c.hard.Term))
	b = binary.AppendUvarint(b, uint64(c.hard.Vote))
	b = appendBase(b, &c.base)
	b = binary.AppendUvarint(b, uint64(c.last))
	return appendRuns(b, c.runs)
}

func (c *checkpoint) decode(group raft.GroupID, b []byte) error {
	r := reader{rest: b}
	*c = checkpoint{group: group, sequence: r.uvarint()}
	c.hard = raft.HardState{Term: raft.Term(r.uvarint()), Vote: raft.MemberID(r.uvarint())}
	c.base = r.base()
	c.last = raft.Index(r.uvarint())
	var n uint64
	c.runs, n = r.runs(nil)
	if err := r.end(); err != nil {
		return err
	}
	if c.last < c.base.Index || uint64(c.last-c.base.Index) != n {
		return errRange
	}
	return nil
}

// maxRange bounds the entries of one group, so that a few bytes never ask for much memory.
const maxRange = 1 << 31

var (
	errShort = errors.New("it ends too early")
	errRange = errors.New("its indexes are out of range")
)

func appendBase(b []byte, m *raft.SnapshotMeta) []byte {
	b = binary.AppendUvarint(b, uint64(m.Index))
	b = binary.AppendUvarint(b, uint64(m.Term))
	b = binary.AppendUvarint(b, uint64(m.ConfigurationIndex))
	conf := m.Configuration.Encode(nil)
	b = binary.AppendUvarint(b, uint64(len(conf)))
	return append(b, conf...)
}

func appendRuns(b []byte, runs []termCount) []byte {
	b = binary.AppendUvarint(b, uint64(len(runs)))
	for _, run := range runs {
		b = binary.AppendUvarint(b, run.count)
		b = binary.AppendUvarint(b, uint64(run.term))
	}
	return b
}

// reader takes fields from the front of rest and keeps the first error.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail(fmt.Errorf("%d bytes are left over", len(r.rest)))
	}
	return r.err
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) base() raft.SnapshotMeta {
	m := raft.SnapshotMeta{Index: raft.Index(r.uvarint()), Term: raft.Term(r.uvarint()), ConfigurationIndex: raft.Index(r.uvarint())}
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail(errShort)
		return m
	}
	conf, err := raft.DecodeConfiguration(r.rest[:n])
	if err != nil {
		r.fail(err)
		return m
	}
	r.rest = r.rest[n:]
	m.Configuration = conf
	return m
}

// runs reads runs into buf and returns them and how many entries they are.
func (r *reader) runs(buf []termCount) (runs []termCount, entries uint64) {
	runs = buf
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail(errShort)
		return runs, 0
	}
	for range n {
		run := termCount{count: r.uvarint(), term: raft.Term(r.uvarint())}
		if run.count == 0 || run.count > maxRange || run.term == 0 {
			r.fail(errRange)
			return runs, 0
		}
		if entries += run.count; entries > maxRange {
			r.fail(errRange)
			return runs, 0
		}
		runs = append(runs, run)
	}
	return runs, entries
}
