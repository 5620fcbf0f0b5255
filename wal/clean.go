package wal

import (
	"errors"
	"hash/crc32"

	"github.com/balsa-raft/balsa/raft"
)

// cleaner moves live entries out of the oldest segment that has any: it reads the segment from the front, and appends again those of its
// entries that the index still has there. Guarded by Log.house.
type cleaner struct {
	number uint32
	off    int64
	buf    []byte
	found  []found
	batch  []raft.Entry
}

// found is an entry in the old segment.
type found struct {
	group raft.GroupID
	entry raft.Entry
	at    position
}

// ignoreFull lets work wait for room that is only useful, not needed.
func ignoreFull(err error) error {
	if errors.Is(err, ErrFull) {
		return nil
	}
	return err
}

// victim returns the segment to clean, nil if dead bytes are within their bound: as many as live ones, and slack segments. mu is held.
func (l *Log) victim(slack int64) *segment {
	var victim *segment
	var total, live int64
	for _, s := range l.segments[:len(l.segments)-1] {
		if victim == nil && s.live == 0 {
			continue // dead already, and gone with the next Sync
		}
		if victim == nil {
			victim = s
		}
		total += s.end - s.data
		live += s.due()
	}
	a := l.current
	total += l.end() - a.data
	live += a.due()
	if victim == nil || victim.stuck || total <= 2*live+slack*l.options.SegmentBytes {
		return nil
	}
	return victim
}

// clean does one step of cleaning, if there is need. house is held.
func (l *Log) clean(slack int64, holdsWriter bool) (bool, error) {
	l.mu.RLock()
	seg := l.victim(slack)
	l.mu.RUnlock()
	if seg == nil {
		return false, nil
	}
	c := &l.cleaner
	if c.number != seg.number {
		c.number, c.off = seg.number, seg.data
	}
	if err := l.collect(seg); err != nil {
		return false, l.poison("read of "+segmentName(l.dir, seg.number), err)
	}
	if !holdsWriter {
		l.writer.Lock()
		defer l.writer.Unlock()
		if err := l.failed(); err != nil {
			return false, err
		}
	}
	if err := l.copyForward(); err != nil {
		c.number = 0 // begin anew: what was moved stays moved
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.off >= seg.end && seg.live > 0 {
		seg.stuck = true
		l.logger.Warn("an old segment has entries that cannot be read; it stays until their groups compact",
			"segment", segmentName(l.dir, seg.number), "bytes", seg.live)
	}
	return true, nil
}

// collect reads the next piece of the segment and finds the entries in it.
func (l *Log) collect(seg *segment) error {
	c := &l.cleaner
	c.found = c.found[:0]
	if err := c.read(seg, prepareBytes); err != nil {
		return err
	}
	for n := int64(0); ; {
		var h header
		if c.off+headerSize > seg.end {
			c.off = seg.end
			return nil
		}
		if n+headerSize > int64(len(c.buf)) {
			return nil
		}
		if !h.parse(c.buf[n:], seg.salt, c.off) {
			n, c.off = n+align, c.off+align // damaged: look for the next one
			continue
		}
		if n+h.size() > int64(len(c.buf)) {
			if n > 0 || c.off+h.size() > seg.end {
				if n == 0 {
					c.off = seg.end
				}
				return nil
			}
			if err := c.read(seg, h.size()); err != nil {
				return err
			}
			continue
		}
		data := c.buf[n+headerSize:][:h.length:h.length]
		if h.typ == frameEntry && crc32.Checksum(data, castagnoli) == h.sum {
			c.found = append(c.found, found{
				group: h.group, at: position{segment: seg.number, offset: uint32(c.off / align), length: h.length},
				entry: raft.Entry{Term: h.term, Index: h.index, Kind: h.kind, Sum: h.sum, Data: data},
			})
		}
		n, c.off = n+h.size(), c.off+h.size()
	}
}

// read fills the buffer from the cleaner's place on.
func (c *cleaner) read(seg *segment, n int64) error {
	n = min(n, seg.end-c.off)
	if int64(cap(c.buf)) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	return readFull(seg.file, c.buf, c.off)
}

// copyForward appends those that are live, in runs of one group. The writer is held.
func (l *Log) copyForward() error {
	c := &l.cleaner
	defer func() {
		clear(c.found)
		clear(c.batch)
	}()
	for k := 0; k < len(c.found); {
		g := l.groups[c.found[k].group]
		c.batch = c.batch[:0]
		var need int64
		for ; k < len(c.found); k++ {
			f := &c.found[k]
			if !l.isLive(f) {
				if len(c.batch) == 0 {
					k++
				}
				break
			}
			if n := len(c.batch); n > 0 && (f.group != g.id || f.entry.Index != c.batch[n-1].Index+1) {
				break
			}
			c.batch = append(c.batch, f.entry)
			need += f.at.frame()
		}
		if len(c.batch) == 0 {
			continue
		}
		if err := l.copyBatch(g, need); err != nil {
			return err
		}
	}
	return nil
}

// isLive tells whether the index still has the entry there. Only the writer changes the index.
func (l *Log) isLive(f *found) bool {
	g := l.groups[f.group]
	return g != nil && g.pos.base < f.entry.Index && f.entry.Index <= g.pos.last && g.pos.get(f.entry.Index) == f.at
}

func (l *Log) copyBatch(g *group, need int64) error {
	entries := l.cleaner.batch
	runs := 1
	for i := 1; i < len(entries); i++ {
		if entries[i].Term != entries[i-1].Term {
			runs++
		}
	}
	if err := l.makeRoom(need+2*frameSize(descriptorBound+20*runs), true); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	d := &l.descriptor
	*d = descriptor{sequence: l.sequence, previous: g.sequence, flags: hasCopies, runs: d.runs[:0]}
	from := l.end()
	if err := l.write(g, d, entries); err != nil {
		return err
	}
	a := l.current
	a.copied += need
	a.framing += l.end() - from - need
	return nil
}
