package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/balsa-raft/balsa/raft"
)

// span is a run of frames that stand one after the other in one segment.
type span struct {
	seg      *segment
	off      int64
	length   int64
	entries  int
	bytes    []byte
	buffered bool // copied from the write buffer; else the segment is pinned, and the frames are to be read
	joined   bool // its bytes follow those of the span before, with what is between them in the file
}

// follows tells whether to read s in one go with the span before it, for which so much is read already, and so much of that is between spans. What is between
// stays in memory for as long as the entries do.
func (s *span) follows(before *span, length, between int64) bool {
	gap := s.off - before.off - before.length
	return s.seg == before.seg && gap >= 0 && between+gap <= length/2
}

// Entries returns the entries from index from up to and including to, as many of them as the log has and as weigh at most maxBytes by
// Entry.Size, but at least one. It sees what was appended, synced or not, and verifies every frame it reads. Entries that follow a
// damaged one are left out; ErrFaulty comes when the first is damaged itself. ErrCompacted, ErrNotFound. It may be called at any time,
// waits for reads of the disk only, and holds up nobody. The data of the entries is one allocation, and the caller's.
func (l *Log) Entries(id raft.GroupID, from, to raft.Index, maxBytes uint64) ([]raft.Entry, error) {
	r, err := l.reading(id, from, to, maxBytes)
	if err != nil {
		return nil, err
	}
	return r.entries()
}

// reading is a run of entries that was found, and is to be read: entries has to be called, once.
type reading struct {
	log   *Log
	id    raft.GroupID
	from  raft.Index
	count int
	spans []span
}

func (l *Log) reading(id raft.GroupID, from, to raft.Index, maxBytes uint64) (*reading, error) {
	if err := l.failed(); err != nil {
		return nil, err
	}
	spans, n, err := l.locate(id, from, to, maxBytes)
	if err != nil {
		return nil, err
	}
	return &reading{log: l, id: id, from: from, count: n, spans: spans}, nil
}

// entries reads and checks them.
func (r *reading) entries() ([]raft.Entry, error) {
	defer unpin(r.spans)
	entries := make([]raft.Entry, 0, r.count)
	for k := range r.spans {
		s := &r.spans[k]
		err := read(r.spans[k:])
		for i := 0; err == nil && i < s.entries; i++ {
			var e raft.Entry
			if e, err = s.take(r.id, r.from+raft.Index(len(entries))); err == nil {
				entries = append(entries, e)
			}
		}
		if err != nil && len(entries) > 0 {
			return entries, nil // The next call begins with what is damaged, and says so.
		}
		if err != nil {
			return nil, fmt.Errorf("wal: group %d, entry %d, in %s at offset %d: %w", r.id, r.from, segmentName(r.log.dir, s.seg.number), s.off, err)
		}
	}
	return entries, nil
}

// locate finds the frames of the entries, copies those that are still in the write buffer, and pins the segments of the others.
func (l *Log) locate(id raft.GroupID, from, to raft.Index, maxBytes uint64) ([]span, int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g := l.groups[id]
	switch {
	case g == nil:
		return nil, 0, fmt.Errorf("%w: there is no group %d", ErrNotFound, id)
	case from <= g.pos.base:
		return nil, 0, fmt.Errorf("%w: group %d begins after %d, entry %d is asked for", ErrCompacted, id, g.pos.base, from)
	case from > g.pos.last || to < from:
		return nil, 0, fmt.Errorf("%w: group %d ends at %d, entries from %d to %d are asked for", ErrNotFound, id, g.pos.last, from, to)
	}
	var spans []span
	var weight uint64
	var bytes int64
	n, active := 0, l.current
	for i := from; i <= min(to, g.pos.last); i++ {
		p := g.pos.get(i)
		weight += uint64(p.length) + raft.EntryOverhead
		if p.hole() || n > 0 && weight > maxBytes {
			break
		}
		// The frames before Log.flushed are in the file, those after it in the buffer: no span has both.
		if k := len(spans) - 1; k < 0 || spans[k].seg.number != p.segment || spans[k].off+spans[k].length != p.at() ||
			p.segment == active.number && p.at() == l.flushed {
			spans = append(spans, span{seg: l.segment(p.segment), off: p.at()})
		}
		s := &spans[len(spans)-1]
		s.length += p.frame()
		s.entries++
		bytes += p.frame()
		n++
	}
	if n == 0 {
		return nil, 0, fmt.Errorf("%w: group %d, entry %d", ErrFaulty, id, from)
	}
	var length, between int64 // of what is read in one go
	for k := range spans {
		s := &spans[k]
		s.buffered = s.seg == active && s.off >= l.flushed
		if k > 0 && !s.buffered && s.follows(&spans[k-1], length, between) {
			s.joined = true
			gap := s.off - spans[k-1].off - spans[k-1].length
			length, between, bytes = length+gap+s.length, between+gap, bytes+gap
		} else {
			length, between = s.length, 0
		}
	}
	const page = 4 << 10 // Large memory begins with one. What lies within its page as it lies in the file is read without a copy.
	skip := spans[0].off % page
	if bytes < muchToRead {
		skip = 0
	}
	room := make([]byte, skip+bytes)[skip:]
	for k := range spans {
		s := &spans[k]
		if s.joined {
			room = room[s.off-spans[k-1].off-spans[k-1].length:]
		}
		s.bytes, room = room[:s.length], room[s.length:]
		if s.buffered {
			copy(s.bytes, l.buf[s.off-l.flushed:])
		} else {
			s.seg.pins.Add(1)
		}
	}
	return spans, n, nil
}

func unpin(spans []span) {
	for k := range spans {
		if !spans[k].buffered {
			spans[k].seg.pins.Add(-1)
		}
	}
}

// read gets the frames of the first span, and of those that are joined to it, from the file. Where that fails, the joined ones are on their own, since what cannot be
// read may be in a later one.
func read(spans []span) error {
	s := &spans[0]
	if s.buffered || s.joined {
		return nil
	}
	n := 1
	for n < len(spans) && spans[n].joined {
		n++
	}
	length := spans[n-1].off + spans[n-1].length - s.off
	k, err := readOnce(s.seg.file, s.bytes[:length], s.off)
	if k == int(length) {
		return nil
	}
	if n > 1 {
		for i := range spans[1:n] {
			spans[1+i].joined = false
		}
		return read(spans)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the file ends within it", ErrFaulty)
	}
	return err
}

var (
	errFrame  = fmt.Errorf("%w: its frame's header is damaged", ErrFaulty)
	errFrames = fmt.Errorf("%w: another frame is in its place", ErrFaulty)
	errData   = fmt.Errorf("%w: its data does not have its checksum", ErrFaulty)
)

// take checks the first frame of what is left of the span and returns its entry.
func (s *span) take(id raft.GroupID, index raft.Index) (raft.Entry, error) {
	var h header
	if !h.parse(s.bytes, s.seg.salt, s.off) {
		return raft.Entry{}, errFrame
	}
	if h.typ != frameEntry || h.group != id || h.index != index || h.size() > int64(len(s.bytes)) {
		return raft.Entry{}, errFrames
	}
	data := s.bytes[headerSize:][:h.length:h.length]
	if crc32.Checksum(data, castagnoli) != h.sum {
		return raft.Entry{}, errData
	}
	s.bytes, s.off = s.bytes[h.size():], s.off+h.size()
	return raft.Entry{Term: h.term, Index: index, Kind: h.kind, Sum: h.sum, Data: data}, nil
}
