package wal

import (
	"errors"
	"fmt"
	"path"

	"github.com/balsa-raft/balsa/raft"
)

// growBytes is the step in which the active segment gets its blocks where nobody prepared them.
const growBytes = 1 << 20

// makeRoom sees to it that need bytes can be appended to the active segment without the disk saying no, and that after entries there still
// is a spare segment: the reserve, from which term, vote and truncations are written when the disk is full. ErrFull comes without any effect
// that is seen. The writer is held.
//
// One Append goes into one segment, so that a batch is never in two; a segment can grow beyond SegmentBytes for it.
func (l *Log) makeRoom(need int64, entries bool) error {
	need += frameSize(0) // for the mark that Close leaves
	for tidied := false; !l.fits(need); tidied = true {
		if err := l.rollFor(need, entries); err != nil {
			if entries || !errors.Is(err, ErrFull) {
				return err
			}
			break // No spare is left; what room the active segment has is for this.
		}
		if !tidied {
			if err := l.tidy(); err != nil {
				return err
			}
		}
	}
	if entries {
		if err := l.ensureSpares(1); err != nil {
			return err
		}
	}
	err := l.grow(need)
	if errors.Is(err, ErrFull) && !entries {
		if err = l.rollFor(need, false); err == nil {
			err = l.grow(need)
		}
	}
	if err == nil && entries {
		l.full.Store(false)
	}
	return err
}

// fits tells whether need bytes belong into the active segment: an empty one takes anything.
func (l *Log) fits(need int64) bool {
	a := l.current
	limit := max(l.options.SegmentBytes, a.data+l.options.SegmentBytes/2)
	return l.end()+need <= limit || l.end() == a.data
}

// grow gives the active segment the blocks for need more bytes.
func (l *Log) grow(need int64) error {
	a := l.current
	to := l.end() + need
	if to <= a.filled {
		return nil
	}
	filled, err := l.fillUp(a.file, a.filled, to)
	if err != nil {
		return l.noRoom("grow "+segmentName(l.dir, a.number), err)
	}
	l.mu.Lock()
	a.filled = filled
	l.mu.Unlock()
	return nil
}

// fillUp fills a file with zeroes up to at least to, in large steps if there is room for them.
func (l *Log) fillUp(f File, from, to int64) (filled int64, err error) {
	generous := min(max(to, from+growBytes), max(to, l.options.SegmentBytes))
	if err = fill(f, from, generous); err == nil {
		return generous, nil
	}
	if errors.Is(err, ErrNoSpace) && generous > to {
		err = fill(f, from, to)
	}
	return to, err
}

// noRoom makes ErrFull of a lack of room, and poisons the log for everything else.
func (l *Log) noRoom(operation string, err error) error {
	if !errors.Is(err, ErrNoSpace) {
		return l.poison(operation, err)
	}
	if l.full.CompareAndSwap(false, true) {
		l.logger.Warn("disk is full: entries are refused until there is room", "operation", operation, "error", err)
	}
	return fmt.Errorf("%w: %s: %w", ErrFull, operation, err)
}

// rollFor goes on in a new segment, if the spares allow.
func (l *Log) rollFor(need int64, entries bool) error {
	want := 1
	if entries {
		want = 2
	}
	if err := l.ensureSpares(want); err != nil {
		return err
	}
	return l.roll(need)
}

// ensureSpares makes spares until there are want of them. Prepare mostly has made them before.
func (l *Log) ensureSpares(want int) error {
	for {
		l.mu.RLock()
		have := len(l.spares)
		l.mu.RUnlock()
		if have >= want {
			return nil
		}
		if l.house.TryLock() {
			recycled, err := l.recycle()
			if s := l.filling; !recycled && err == nil && s != nil && s.filled >= l.options.ReserveBytes {
				l.filling = nil
				l.addSpare(s)
				recycled = true
			}
			l.house.Unlock()
			if err != nil {
				return err
			}
			if recycled {
				continue
			}
		}
		s, err := l.createSpare()
		if err == nil {
			if err = fill(s.file, 0, l.options.ReserveBytes); err != nil {
				err = errors.Join(err, s.file.Close(), l.fs.Remove(s.name))
			}
		}
		if err != nil {
			return l.noRoom("make a segment in "+l.dir, err)
		}
		s.filled = l.options.ReserveBytes
		l.addSpare(s)
	}
}

// createSpare makes an empty file, if there is room for a reserve.
func (l *Log) createSpare() (*spare, error) {
	free, err := l.fs.Free(l.dir)
	if err != nil {
		return nil, err
	}
	if free < uint64(l.options.ReserveBytes) {
		return nil, fmt.Errorf("%w: %d bytes are free, a reserve of %d is kept", ErrNoSpace, free, l.options.ReserveBytes)
	}
	l.mu.Lock()
	l.spareID++
	s := &spare{name: l.spareName(l.spareID)}
	l.mu.Unlock()
	if s.file, err = l.fs.Create(s.name); err != nil {
		return nil, err
	}
	stream(s.file, 0)
	return s, nil
}

func (l *Log) addSpare(s *spare) {
	l.mu.Lock()
	l.spares = append(l.spares, s)
	l.mu.Unlock()
}

func (l *Log) popSpare() *spare {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.spares)
	if n == 0 {
		return nil
	}
	// The one with the most blocks: the others may wait to be filled.
	best := 0
	for k, s := range l.spares {
		if s.filled > l.spares[best].filled {
			best = k
		}
	}
	s := l.spares[best]
	l.spares = append(l.spares[:best], l.spares[best+1:]...)
	return s
}

// roll ends the active segment and begins the next. What was appended is durable then, and the new segment is, under its name, before any
// batch is written to it. It begins with the state of all groups, so that no idle group needs an old segment for its vote.
func (l *Log) roll(need int64) error {
	if err := l.sync(); err != nil {
		return err
	}
	s := l.popSpare()
	if s == nil {
		panic("wal: no spare segment where one was ensured")
	}
	old := l.current
	number := old.number + 1
	head := l.segmentHead(number, l.flushed)
	if to := int64(len(head)) + need; to > s.filled {
		filled, err := l.fillUp(s.file, s.filled, to)
		if err != nil {
			l.addSpare(s)
			return l.noRoom("grow "+s.name, err)
		}
		s.filled = filled
	}
	seg, err := l.beginSegment(s, number, head)
	if err != nil {
		return err
	}
	if err := streamDone(old.file); err != nil {
		l.addSpare(s) // for Close
		return l.poison("close "+segmentName(l.dir, old.number)+" for writing", err)
	}
	l.mu.Lock()
	old.end = l.flushed
	l.segments, l.current = append(l.segments, seg), seg
	l.flushed, l.synced = seg.data, seg.data
	l.reclaim()
	l.pending.Store(true) // a spare is gone, and an old segment may be worth cleaning
	l.mu.Unlock()
	return nil
}

// beginSegment makes a segment of a spare file. If it fails, which poisons the log, the file is a spare again: Close closes it.
func (l *Log) beginSegment(s *spare, number uint32, head []byte) (seg *segment, err error) {
	defer func() {
		if err != nil {
			l.addSpare(s)
		}
	}()
	name := segmentName(l.dir, number)
	stream(s.file, 0)
	if _, err := s.file.WriteAt(head, 0); err != nil {
		return nil, l.poison("write to "+s.name, err)
	}
	if err := s.file.Sync(); err != nil {
		return nil, l.poison("fsync of "+s.name, err)
	}
	l.syncs.Add(1)
	if err := l.fs.Rename(s.name, name); err != nil {
		return nil, l.poison("rename "+s.name+" to "+name, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return nil, l.poison("fsync of "+l.dir, err)
	}
	data := int64(len(head))
	return &segment{number: number, salt: saltOf(l.incarnation, uint64(number)), file: s.file, data: data, end: data, filled: max(s.filled, data)}, nil
}

// segmentHead encodes what a segment begins with: its header and a checkpoint of all groups, both twice, a copy of its own sector each.
func (l *Log) segmentHead(number uint32, previousEnd int64) []byte {
	salt := saltOf(l.incarnation, uint64(number))
	b := make([]byte, segmentStart)
	ids := l.sortedGroups()
	// The frames of the second copy stand elsewhere, so they have other sums; both copies have the same length.
	for range 2 {
		for _, id := range ids {
			b = l.groups[id].appendCheckpoint(b, salt)
		}
	}
	h := segmentHeader{
		groups: uint32(len(ids)), incarnation: l.incarnation, number: uint64(number), previousEnd: previousEnd,
		checkpoint: int64(len(b)-segmentStart) / 2, sequence: l.sequence,
	}
	h.put(b)
	h.put(b[headerCopy:])
	return b
}

func (g *group) appendCheckpoint(b []byte, salt uint64) []byte {
	c := checkpoint{group: g.id, sequence: g.sequence, hard: g.hard, base: g.base, last: g.last(), runs: g.runs()}
	payload := c.encode(nil)
	h := header{length: uint32(len(payload)), sum: raft.Sum(payload), group: g.id, term: g.hard.Term, index: c.last, typ: frameCheckpoint}
	off := int64(len(b))
	b = append(b, make([]byte, h.size())...)
	h.put(b[off:], salt, off)
	copy(b[off+headerSize:], payload)
	return b
}

// recycle takes the oldest segment out of the log, if nothing needs it, and makes a spare of it, or a file to be removed. Its new name is durable before
// anything else happens to it, one segment after the other, so that the numbers of those that are there never have a gap. house is held.
func (l *Log) recycle() (bool, error) {
	l.mu.Lock()
	seg := l.segments[0]
	if seg.number >= l.needed || seg.pins.Load() > 0 {
		l.mu.Unlock()
		return false, nil
	}
	l.segments = l.segments[1:]
	l.spareID++
	s := &spare{name: l.spareName(l.spareID), file: seg.file, filled: min(seg.filled, l.options.SegmentBytes)}
	keep := len(l.spares) < 2
	l.mu.Unlock()
	old := segmentName(l.dir, seg.number)
	if err := errors.Join(l.fs.Rename(old, s.name), l.fs.SyncDir(l.dir)); err != nil {
		l.addSpare(s) // for Close
		return false, l.poison("rename "+old+" to "+path.Base(s.name), err)
	}
	if !keep {
		l.doomed = append(l.doomed, s)
		return true, nil
	}
	if seg.filled > s.filled {
		if err := s.file.Truncate(s.filled); err != nil {
			l.addSpare(s) // for Close
			return false, l.poison("truncate "+s.name, err)
		}
	}
	l.addSpare(s)
	return true, nil
}

// shrink removes a spare file that is one too many, a piece at a time: a file system may take a tenth of a second to free a whole segment, and no fsync ends
// meanwhile. One that a crash leaves half removed is a spare still. house is held.
func (l *Log) shrink() (bool, error) {
	if len(l.doomed) == 0 {
		return false, nil
	}
	s := l.doomed[0]
	if s.filled > prepareBytes {
		s.filled -= prepareBytes
		if err := s.file.Truncate(s.filled); err != nil {
			return false, l.poison("truncate "+s.name, err)
		}
		return true, nil
	}
	l.doomed = l.doomed[1:]
	if err := errors.Join(s.file.Close(), l.fs.Remove(s.name)); err != nil {
		return false, l.poison("remove "+s.name, err)
	}
	return true, nil
}
