package wal

import (
	"hash/crc32"
	"slices"

	"github.com/balsa-raft/balsa/raft"
)

// flushBytes is when what was appended is written out before the next Sync.
const flushBytes = 1 << 20

// keepBytes is the largest write buffer that is kept for reuse.
const keepBytes = 4 << 20

// Append adds the batches to the log, each as a whole, in order. What it added is read by Entries and State at once, and is durable once
// the next Sync returns nil. It copies each entry's data once, and does not wait for the disk unless a segment is full or there is more
// than a MiB to write. ErrFull and ErrInvalid come without any effect; any other error has poisoned the log. One caller at a time with
// Sync.
func (l *Log) Append(batches []Batch) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.failed(); err != nil {
		return err
	}
	need, entries, err := l.plan(batches)
	if err != nil || len(batches) == 0 {
		return err
	}
	if err := l.makeRoom(need, entries); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batches {
		if err := l.add(&batches[i]); err != nil {
			return err
		}
	}
	return nil
}

// add encodes one batch into the write buffer and applies it. mu is held.
func (l *Log) add(b *Batch) error {
	g := l.groups[b.Group]
	if g == nil {
		g = newGroup(b.Group, &l.chunks)
		l.groups[b.Group] = g
	}
	l.sequence++
	d := &l.descriptor
	*d = descriptor{sequence: l.sequence, previous: g.sequence, runs: d.runs[:0]}
	g.sequence = l.sequence
	switch {
	case b.Remove:
		d.flags |= hasRemove
		l.install(g, &raft.SnapshotMeta{})
		delete(l.groups, g.id)
	case b.Snapshot != nil:
		d.flags, d.base = d.flags|hasBase|hasSnapshot, *b.Snapshot
		l.install(g, b.Snapshot)
	case b.Compact != nil:
		d.flags, d.base = d.flags|hasBase, *b.Compact
		if b.Compact.Index > g.base.Index {
			l.compact(g, b.Compact)
		}
	}
	if b.HardState != nil {
		d.flags, d.hard = d.flags|hasHard, *b.HardState
		g.hard = *b.HardState
	}
	if len(b.Entries) > 0 {
		l.truncate(g, b.Entries[0].Index)
	}
	return l.write(g, d, b.Entries)
}

// write encodes a batch with these entries, which follow the log of g, or, with hasCopies, are in it.
func (l *Log) write(g *group, d *descriptor, entries []raft.Entry) error {
	if len(entries) > 0 {
		d.flags |= hasEntries
		d.first, d.count = entries[0].Index, len(entries)
		for i := range entries {
			if n := len(d.runs); n > 0 && d.runs[n-1].term == entries[i].Term {
				d.runs[n-1].count++
			} else {
				d.runs = append(d.runs, termCount{count: 1, term: entries[i].Term})
			}
			d.length += frameSize(len(entries[i].Data))
		}
	}
	l.scratch = d.encode(l.scratch[:0])
	d.length += 2 * frameSize(len(l.scratch))
	setLength(l.scratch, d.length)
	bound := header{
		length: uint32(len(l.scratch)), sum: crc32.Checksum(l.scratch, castagnoli), group: g.id, term: g.hard.Term, index: g.last(),
		typ: frameBegin,
	}
	l.frame(&bound, l.scratch)
	for i := range entries {
		if len(l.buf) >= flushBytes {
			if err := l.flushLocked(); err != nil {
				return err
			}
		}
		if err := l.entry(g, &entries[i], d.has(hasCopies)); err != nil {
			return err
		}
	}
	bound.typ, bound.index = frameEnd, g.last()
	l.frame(&bound, l.scratch)
	return nil
}

// entry encodes one entry and notes where it is.
func (l *Log) entry(g *group, e *raft.Entry, isCopy bool) error {
	at := position{segment: l.current.number, offset: uint32(l.end() / align), length: uint32(len(e.Data))}
	l.frame(&header{
		length: at.length, sum: e.Sum, group: g.id, term: e.Term, index: e.Index, typ: frameEntry, kind: e.Kind,
	}, e.Data)
	if isCopy {
		l.vacate(g, g.pos.get(e.Index))
		l.occupy(g, e.Index, at)
		return nil
	}
	g.extend(e.Index, e.Term)
	l.occupy(g, e.Index, at)
	if e.Kind == raft.EntryConfiguration {
		c, err := raft.DecodeConfiguration(e.Data)
		if err != nil {
			panic("wal: a configuration that was checked does not decode: " + err.Error())
		}
		g.addConfiguration(e.Index, c)
	}
	return nil
}

// frame puts one frame into the write buffer: one copy of the payload.
func (l *Log) frame(h *header, payload []byte) {
	off := l.end()
	n, size := len(l.buf), int(h.size())
	l.buf = slices.Grow(l.buf, size)[:n+size]
	b := l.buf[n:]
	h.synced = uint32(l.synced / align)
	h.put(b, l.current.salt, off)
	clear(b[headerSize+copy(b[headerSize:], payload):])
}

// end is where the next frame goes.
func (l *Log) end() int64 { return l.flushed + int64(len(l.buf)) }

// segment returns the segment of that number, which exists. mu is held.
func (l *Log) segment(number uint32) *segment { return l.segments[number-l.segments[0].number] }
