package wal

import (
	"bytes"
	"fmt"

	"github.com/balsa-raft/balsa/raft"
)

// recovery rebuilds the state of all groups from the segments, oldest first.
type recovery struct {
	log    *Log
	memory memory // of the segment that is replayed
	ahead  *ahead // nil until a segment is read ahead
	// lost says where bytes were lost that may have been batches of any group, since the last complete checkpoint. The next one makes up for
	// it; without one, a vote may be forgotten.
	lost string
	// parsed and again are decoded into; replay allocates nothing per batch.
	parsed, again descriptor
	entries       []replayed
}

// replayed is an entry of a batch: where it is, and a decoded configuration if it has one.
type replayed struct {
	index raft.Index
	term  raft.Term
	at    position
	conf  *raft.Configuration
}

// segment replays one segment. proven is up to where it is known to have been synced, below zero for the last one: there, its own frames
// say so. The one that comes next, if any, is read meanwhile.
func (r *recovery) segment(seg *segment, h *segmentHeader, proven int64, next *segment, nextProven int64) error {
	m, err := r.load(seg, proven)
	if err != nil {
		return err
	}
	if next != nil {
		r.readAhead(next, nextProven)
	}
	last := proven < 0
	if last {
		proven = r.proof(m, seg.data)
		if _, ok := seg.file.(Bypass); ok {
			// So far the disk has to have it by itself: the cache may still have what the disk has lost, and hide it until somebody needs it.
			if err := readFull(seg.file, m.bytes[:min(proven, int64(len(m.bytes)))], 0); err != nil {
				return err
			}
		}
	}
	if err := r.checkpoint(m, h); err != nil {
		return err
	}
	seg.end = max(proven, seg.data)
	r.log.sequence = max(r.log.sequence, h.sequence)
	off := seg.data
	for off < int64(len(m.bytes)) && (last || off < proven) {
		next, err := r.step(seg, m, off, proven)
		if err != nil {
			return err
		}
		if next < 0 {
			break // a torn tail, or the end
		}
		off = next
	}
	if !last {
		if off < proven {
			r.lose(seg, off, proven)
		}
		return nil
	}
	if off > int64(len(m.bytes)) {
		return fmt.Errorf("%w: it ends at %d, within what it begins with: put back an intact copy of the file, or %s", ErrCorrupt, len(m.bytes), replaceMember)
	}
	seg.end = off
	r.log.flushed, r.log.synced = off, off
	if err := r.renew(seg, m, proven, off); err != nil {
		return err
	}
	return r.cut(seg, m, off)
}

// renew writes again what was read past the proven sync point. An fsync of it may have failed before the process was started anew: then the page cache
// still has it, but as clean, and no later fsync would bring it to the disk (Rebello et al., "Can Applications Recover from fsync
// Failures?", ATC 2020).
func (r *recovery) renew(seg *segment, m *image, proven, end int64) error {
	if end <= proven {
		return nil
	}
	if _, err := seg.file.WriteAt(m.bytes[proven:end], proven); err != nil {
		return fmt.Errorf("write again what may not be durable: %w", err)
	}
	return nil
}

// maxMissing bounds what is made up for at the end of a truncated segment.
const maxMissing = 64 << 20

// load reads a segment into memory, as far as it matters. What is missing at its end reads as zeroes.
func (r *recovery) load(seg *segment, proven int64) (*image, error) {
	n := seg.filled
	if proven >= 0 {
		n = max(proven, seg.data)
		if seg.filled < n {
			r.log.logger.Warn("a segment is truncated", "segment", segmentName(r.log.dir, seg.number), "bytes", seg.filled, "expected", n)
		}
	}
	n = max(n, seg.data)
	if n > seg.filled+maxMissing {
		n = seg.filled // So much is missing that the rest is not worth the memory.
	}
	if r.ahead != nil {
		r.ahead.wait()
		if r.ahead.seg == seg && int64(len(r.ahead.memory.bytes)) == n && r.ahead.err == nil {
			r.memory, r.ahead.memory = r.ahead.memory, r.memory
			return &image{bytes: r.memory.bytes, salt: seg.salt}, nil
		}
	}
	b := r.memory.room(seg.file, n)
	if err := readWhole(seg, b, proven); err != nil {
		return nil, err
	}
	return &image{bytes: b, salt: seg.salt}, nil
}

// end waits until nothing is read any more, so that the files may be closed, and gives back the memory.
func (r *recovery) end() {
	if r.ahead != nil {
		r.ahead.wait()
		r.ahead.memory.release()
	}
	r.memory.release()
}

// ahead is a segment that is read while the one before it is replayed.
type ahead struct {
	seg    *segment
	memory memory
	err    error
	wait   func()
}

// readAhead begins to read a segment up to where it is proven, or the last one as far as it goes. Only files that are read around the page cache are worth it.
func (r *recovery) readAhead(seg *segment, proven int64) {
	file, ok := seg.file.(Bypass)
	if !ok {
		return
	}
	n := seg.filled
	if proven >= 0 {
		n = min(n, max(proven, seg.data))
	}
	a := &ahead{seg: seg}
	if r.ahead != nil {
		a.memory = r.ahead.memory
	}
	b := a.memory.room(seg.file, n)
	r.ahead = a
	a.wait = file.Meanwhile(func() { a.err = readWhole(seg, b, proven) })
}

// readWhole reads a segment from its beginning. Of the last one nobody knows yet how far it was synced.
func readWhole(seg *segment, b []byte, proven int64) error {
	if proven < 0 {
		return readCached(seg.file, b, 0)
	}
	return readFull(seg.file, b, 0)
}

// proof finds how far the segment was synced: the furthest that any of its frames says, whatever is damaged before it. What stood
// before the first batch was synced before the segment got its name.
func (r *recovery) proof(m *image, data int64) int64 {
	proven := data
	var h header
	for off := data; ; {
		at, ok := m.next(off, &h)
		if !ok {
			return proven
		}
		if s := int64(h.synced) * align; s <= at {
			proven = max(proven, s)
		}
		off = at + h.size()
	}
}

// step replays what is at off and returns where the next batch begins, or below zero if the log ends at off.
func (r *recovery) step(seg *segment, m *image, off, proven int64) (int64, error) {
	var h header
	payload, ok, whole := m.frame(off, &h)
	if ok && whole && h.typ == frameMark {
		return off + h.size(), nil
	}
	d := &r.parsed
	if ok && whole && h.typ == frameBegin && r.plausible(m, d, payload, off) {
		complete := r.collect(seg, m, d, off)
		if complete || off < proven {
			if off < proven && off+d.length > proven {
				return 0, fmt.Errorf("%w: the batch at offset %d ends at %d, beyond %d, up to which it was synced", ErrCorrupt, off, off+d.length, proven)
			}
			return off + d.length, r.apply(h.group, d)
		}
		return -1, nil
	}
	if off >= proven {
		return -1, nil
	}
	return r.resync(seg, m, off, proven)
}

// plausible decodes a descriptor and checks that its batch can be where it is.
func (r *recovery) plausible(m *image, d *descriptor, payload []byte, off int64) bool {
	if err := d.decode(payload); err != nil {
		return false
	}
	least := 2*frameSize(len(payload)) + int64(d.count)*headerSize
	return d.length >= least && off+d.length <= int64(len(m.bytes))
}

// collect finds the entries of the batch that begins at off, and tells whether all of the batch is intact.
func (r *recovery) collect(seg *segment, m *image, d *descriptor, off int64) bool {
	r.entries = r.entries[:0]
	end := off + d.length
	batch := image{bytes: m.bytes[:end], salt: m.salt}
	intact, ended, expected := true, false, d.first
	for at := off; at < end; {
		var h header
		payload, ok, whole := batch.frame(at, &h)
		if !ok {
			intact = false
			next, found := batch.next(at+align, &h)
			if !found {
				break
			}
			at = next
			continue
		}
		switch {
		case h.typ == frameEntry:
			if !whole || h.index != expected || !d.covers(&h) {
				intact = false
			}
			expected = h.index + 1
			if whole && d.covers(&h) {
				r.add(seg, &h, at, payload)
			}
		case h.typ == frameEnd && at+h.size() == end && whole:
			ended = r.again.decode(payload) == nil && r.again.sequence == d.sequence
		case h.typ == frameBegin && at == off:
		default:
			intact = false
		}
		at += h.size()
	}
	return intact && ended && len(r.entries) == d.count
}

// covers tells whether the batch has such an entry.
func (d *descriptor) covers(h *header) bool {
	if h.index < d.first {
		return false
	}
	n := uint64(h.index - d.first)
	for _, run := range d.runs {
		if n < run.count {
			return run.term == h.term
		}
		n -= run.count
	}
	return false
}

func (r *recovery) add(seg *segment, h *header, at int64, payload []byte) {
	e := replayed{index: h.index, term: h.term, at: position{segment: seg.number, offset: uint32(at / align), length: h.length}}
	if h.kind == raft.EntryConfiguration {
		c, err := raft.DecodeConfiguration(payload)
		if err != nil {
			return // It was checked when it was appended, so this is damage: the entry stays a hole.
		}
		e.conf = &c
	}
	r.entries = append(r.entries, e)
}

// resync goes on after a batch whose beginning is damaged, below the proven sync point. Its end says the same as its beginning did; where that is
// gone, too, the bytes up to the next good batch are lost.
func (r *recovery) resync(seg *segment, m *image, off, proven int64) (int64, error) {
	for from := off + align; ; {
		var h header
		at, ok := m.next(from, &h)
		if !ok || at >= proven {
			r.lose(seg, off, proven)
			return proven, nil
		}
		from = at + h.size()
		payload, _, whole := m.frame(at, &h)
		switch d := &r.parsed; {
		case !whole || h.typ == frameEntry || h.typ == frameCheckpoint:
		case h.typ == frameBegin || h.typ == frameMark:
			r.lose(seg, off, at)
			return at, nil
		default: // frameEnd
			start := from - d.startFrom(payload)
			if start < off || !r.plausible(m, d, payload, start) {
				continue
			}
			r.lose(seg, off, start)
			r.collect(seg, m, d, start)
			return from, r.apply(h.group, d)
		}
	}
}

// startFrom returns the length of the batch that a descriptor is of.
func (d *descriptor) startFrom(payload []byte) int64 {
	if d.decode(payload) != nil {
		return 0
	}
	return d.length
}

// leastBatch is the least room that a batch takes: no less can be lost. A mark takes less.
const leastBatch = 2 * (headerSize + align)

func (r *recovery) lose(seg *segment, from, to int64) {
	if to-from < leastBatch {
		return
	}
	name := segmentName(r.log.dir, seg.number)
	r.log.logger.Warn("a part of a segment is damaged", "segment", name, "offset", from, "bytes", to-from)
	if r.lost == "" {
		r.lost = fmt.Sprintf("%s at offset %d, %d bytes", name, from, to-from)
	}
}

// checkpoint takes over the state of all groups where a segment begins. Of the oldest segment it is all there is; later on it is what was
// replayed already, unless something was lost.
func (r *recovery) checkpoint(m *image, h *segmentHeader) error {
	l := r.log
	oldest := m.salt == l.segments[0].salt
	found := map[raft.GroupID]*checkpoint{}
	for off := int64(segmentStart); ; {
		var f header
		at, ok := (&image{bytes: m.bytes[:min(h.data(), int64(len(m.bytes)))], salt: m.salt}).next(off, &f)
		if !ok {
			break
		}
		off = at + f.size()
		payload, _, whole := m.frame(at, &f)
		c := &checkpoint{}
		if whole && f.typ == frameCheckpoint && c.decode(f.group, payload) == nil {
			found[f.group] = c
		}
	}
	complete := len(found) == int(h.groups)
	switch {
	case oldest && complete:
		for _, c := range found {
			l.groups[c.group] = newGroup(c.group, &l.chunks)
			l.adopt(l.groups[c.group], c)
		}
	case oldest:
		return fmt.Errorf("%w: of the %d groups that it begins with, %d are damaged: put back an intact copy of the file, or %s",
			ErrCorrupt, h.groups, int(h.groups)-len(found), replaceMember)
	case complete:
		if err := r.compare(found); err != nil {
			return err
		}
		r.lost = ""
	case r.lost != "":
		return fmt.Errorf("%w: %s: and here, %d of %d groups' states are damaged, so that a vote may be forgotten: put back intact copies of the files, or %s",
			ErrCorrupt, r.lost, int(h.groups)-len(found), h.groups, replaceMember)
	}
	return nil
}

// compare holds what was replayed against a checkpoint, and makes good what was lost before it.
func (r *recovery) compare(found map[raft.GroupID]*checkpoint) error {
	l := r.log
	for _, id := range l.sortedGroups() {
		g, c := l.groups[id], found[id]
		if c != nil && g.sequence == c.sequence {
			if g.hard != c.hard || g.base.Index != c.base.Index || g.last() != c.last {
				return fmt.Errorf("%w: group %d does not have the state in it that the segments before it give: put back intact copies of the files, or %s",
					ErrCorrupt, id, replaceMember)
			}
			if r.lost != "" {
				l.adopt(g, c) // Where batches were lost, the terms of their entries were guessed.
			}
			continue
		}
		if r.lost == "" {
			return fmt.Errorf("%w: batches of group %d before it are missing: put back intact copies of the files, or %s", ErrCorrupt, id, replaceMember)
		}
		if c == nil {
			l.install(g, &raft.SnapshotMeta{})
			delete(l.groups, id)
			continue
		}
		l.adopt(g, c)
	}
	for id, c := range found {
		if l.groups[id] != nil {
			continue
		}
		if r.lost == "" {
			return fmt.Errorf("%w: all batches of group %d before it are missing: put back intact copies of the files, or %s", ErrCorrupt, id, replaceMember)
		}
		l.groups[id] = newGroup(id, &l.chunks)
		l.adopt(l.groups[id], c)
	}
	return nil
}

// adopt makes the group what the checkpoint says. An entry stays if it is of the term that the checkpoint has there: there is one entry
// of a term and an index (§5.3, Log Matching). The others are holes.
func (l *Log) adopt(g *group, c *checkpoint) {
	old := *g
	*g = *newGroup(g.id, &l.chunks)
	g.sequence, g.hard, g.base = c.sequence, c.hard, c.base
	g.pos.reset(c.base.Index)
	for _, run := range c.runs {
		from := g.last() + 1
		g.extend(g.last()+raft.Index(run.count), run.term)
		for i := from; i <= g.last(); i++ {
			if i <= old.pos.base {
				i = min(old.pos.base, g.last())
				continue
			}
			if i > old.last() {
				break
			}
			if at := old.pos.get(i); !at.hole() && old.termAt(i) == run.term {
				g.pos.set(i, at)
			}
		}
	}
	l.recount(&old, g)
}

// recount makes the accounts right after a group was replaced.
func (l *Log) recount(old, g *group) {
	for _, at := range old.confs {
		if g.base.Index < at.Index && at.Index <= g.last() && !g.pos.get(at.Index).hole() {
			g.confs = append(g.confs, at)
		}
	}
	held := uint64(0)
	for i := max(old.pos.base+1, g.base.Index+1); i <= min(old.last(), g.last()); i++ {
		if to, missing := g.pos.missing(i); missing {
			i = to
			continue
		}
		if at := g.pos.get(i); !at.hole() {
			held++
			g.bytes += uint64(at.frame())
			l.segment(at.segment).live += at.frame()
		}
	}
	g.holes = int(uint64(g.last()-g.base.Index) - held)
	l.install(old, &raft.SnapshotMeta{})
}

// apply replays one batch: its descriptor, and those of its entries that are good.
func (r *recovery) apply(id raft.GroupID, d *descriptor) error {
	l := r.log
	l.sequence = max(l.sequence, d.sequence)
	g := l.groups[id]
	if g == nil {
		g = newGroup(id, &l.chunks)
		l.groups[id] = g
	}
	if g.sequence != d.previous && r.lost == "" {
		return fmt.Errorf("%w: group %d: batch %d follows batch %d, but %d is the last there is: put back intact copies of the files, or %s",
			ErrCorrupt, id, d.sequence, d.previous, g.sequence, replaceMember)
	}
	if d.has(hasCopies) {
		r.moved(g)
		return nil
	}
	g.sequence = d.sequence
	if d.has(hasRemove) {
		l.install(g, &raft.SnapshotMeta{})
		delete(l.groups, id)
		return nil
	}
	if d.has(hasSnapshot) {
		l.install(g, &d.base)
	} else if d.has(hasBase) && d.base.Index > g.base.Index {
		l.compact(g, &d.base)
	}
	if d.has(hasHard) {
		g.hard = d.hard
	}
	if d.has(hasEntries) {
		return r.replace(g, d)
	}
	return nil
}

// replace replays a batch's entries. Those that are damaged, and those before them that were lost, are holes.
func (r *recovery) replace(g *group, d *descriptor) error {
	l := r.log
	if d.first <= g.base.Index {
		if r.lost == "" {
			return fmt.Errorf("%w: group %d: entries from %d on, but its log begins after %d", ErrCorrupt, g.id, d.first, g.base.Index)
		}
		l.install(g, &raft.SnapshotMeta{Index: d.first - 1}) // The next checkpoint knows.
	}
	l.truncate(g, d.first)
	if gap := d.first - 1 - g.last(); gap > 0 {
		if r.lost == "" || gap > maxRange {
			return fmt.Errorf("%w: group %d: entries from %d on, but its log ends at %d", ErrCorrupt, g.id, d.first, g.last())
		}
		g.holes += int(gap)
		g.extend(d.first-1, max(g.lastTerm(), 1))
	}
	for _, run := range d.runs {
		g.extend(g.last()+raft.Index(run.count), run.term)
	}
	g.holes += d.count
	r.moved(g)
	return nil
}

// moved puts the entries that were collected to where they are now.
func (r *recovery) moved(g *group) {
	l := r.log
	for k := range r.entries {
		e := &r.entries[k]
		if e.index <= g.pos.base || e.index > g.last() || e.term != g.termAt(e.index) {
			continue // A copy of an entry whose replacement was lost.
		}
		l.vacate(g, g.pos.get(e.index))
		l.occupy(g, e.index, e.at)
		if e.conf != nil {
			g.addConfiguration(e.index, *e.conf)
		}
	}
}

// finish tells whether what was recovered may be used.
func (r *recovery) finish() error {
	if r.lost != "" {
		return fmt.Errorf("%w: %s were durable and are damaged: a vote may have been among them, which must not be forgotten: put back an intact copy of the file, or %s",
			ErrCorrupt, r.lost, replaceMember)
	}
	for _, id := range r.log.sortedGroups() {
		for _, f := range r.log.groups[id].faulty() {
			r.log.logger.Warn("entries are damaged on disk; they have to come from the leader again", "group", uint64(id), "from", uint64(f.From), "to", uint64(f.To))
		}
	}
	return nil
}

// cut makes sure that nothing of a torn tail is ever read as a frame again: what comes after it is written over it, in parts.
func (r *recovery) cut(seg *segment, m *image, end int64) error {
	var h header
	cut := false
	for off := end; ; {
		at, ok := m.next(off, &h)
		if !ok {
			break
		}
		if _, err := seg.file.WriteAt(zeroes[:headerSize], at); err != nil {
			return fmt.Errorf("cut the torn tail: %w", err)
		}
		cut, off = true, at+align
	}
	if cut || len(bytes.TrimLeft(m.bytes[end:min(end+headerSize, int64(len(m.bytes)))], "\x00")) > 0 {
		r.log.logger.Info("the log's end was not synced and is cut", "segment", segmentName(r.log.dir, seg.number), "offset", end)
	}
	if !cut {
		return nil
	}
	return seg.file.Sync()
}
