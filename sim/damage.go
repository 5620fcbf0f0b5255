package sim

import (
	"bytes"
	"path"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// damage is what the medium lost of a host that it had made durable: a place in a file, or a whole disk. It is open until it is known what it took, and
// that the group has it again.
type damage struct {
	fault string
	// file and the range are what is damaged, until it is written over; nil for a whole disk.
	file     *sectorFile
	from, to int64
	met      bool // the process has read it
	at       time.Duration
	life     uint64       // of the process that ran when it was struck
	marks    []raft.Index // by group: how much was committed
	ends     []raft.Index // by group: where the log ended
}

// strayWrite is a write that the disk acknowledged and did not do where it was asked to.
type strayWrite struct {
	fault  string
	file   *sectorFile
	was    map[int64][]byte // the sectors that were meant, and what the platter has there
	end    int64
	sums   bool // the file has a checksum over all of it: its loss is known without anything after it
	synced bool
	victim func() *damage // what the write did elsewhere, once it is sealed
	// looks, if it is not 0, says that the process ends alone thereafter, see endOver, and how often it is looked whether it may.
	looks int
}

// hurt notes a damage.
func (d *disk) hurt(fault string, f *sectorFile, from, to int64) *damage {
	w := d.host.world
	hurt := &damage{fault: fault, file: f, from: from, to: to, at: w.now, life: d.host.life}
	for _, g := range w.groups {
		hurt.marks = append(hurt.marks, raft.Index(len(g.committed)))
	}
	for _, m := range d.host.members {
		hurt.ends = append(hurt.ends, m.log.last())
	}
	d.rotten = append(d.rotten, hurt)
	return hurt
}

// seen counts the damage that a read meets; one around the page cache meets what that hides, too.
func (d *disk) seen(f *sectorFile, offset, n int64, around bool) {
	for _, r := range d.rotten {
		if r.file == f && !r.met && offset < r.to && r.from < offset+n && (around || !f.hidden(r.from, r.to)) {
			r.met = true
			d.host.world.counts.effective(r.fault)
			d.host.note(noteFault, "%s: the process reads what is damaged", r.fault)
		}
	}
}

// hidden tells whether a process still finds in its cache what the platter has lost of a range.
func (f *sectorFile) hidden(from, to int64) bool {
	for n := from / sectorSize; n*sectorSize < to; n++ {
		if f.beneath[n] != nil {
			return true
		}
	}
	return false
}

// overwritten ends damage that was written over as a whole.
func (d *disk) overwritten(f *sectorFile, offset, n int64) {
	d.rotten = slices.DeleteFunc(d.rotten, func(r *damage) bool {
		return r.file == f && offset <= r.from && r.to <= offset+n
	})
}

// strays makes a write go astray, if it is the one that has to. The process is none the wiser: its cache has what it wrote.
func (d *disk) strays(f *diskFile, p []byte, offset int64) {
	c := d.lying
	if c == nil {
		return
	}
	from, end := offset, offset+int64(len(bytes.TrimRight(p, "\x00"))) // What follows begins there, where zeroes fill a block or are room for later.
	again := end % sectorSize
	if f.direct != nil {
		from, again = max(from, f.asked.from), end%wal.BlockSize
	}
	// What follows brings the last sector, or block, to the platter once more: a write has to be of more, if such a one comes before long.
	if c.left--; c.left > 0 || c.left > -50 && end-again < from+sectorSize {
		return
	}
	d.lying = nil
	s := &strayWrite{fault: c.fault, file: f.sectorFile, end: end, was: map[int64][]byte{}, sums: path.Dir(f.name) == snapshotDir}
	for n := offset / sectorSize; n*sectorSize < s.end; n++ {
		if known := f.dirty[n]; known != nil { // The others have what they had.
			s.was[n] = known.was
		}
	}
	s.looks = pick(c.rng, 0, 1, 100)
	if c.fault == misdirectedWrite {
		s.victim = d.misdirect(c.rng, f.sectorFile, p)
	}
	d.astray = append(d.astray, s)
	d.host.note(noteFault, "%s: %d bytes to %s at %d", c.fault, len(p), f.name, offset)
}

// rewritten notes that a write brought sectors to the platter that one before it was to have brought there.
func (d *disk) rewritten(f *sectorFile, offset, n int64) {
	for _, s := range d.astray {
		if s.file == f {
			for k := offset / sectorSize; k*sectorSize < offset+n; k++ {
				delete(s.was, k)
			}
		}
	}
}

// misdirect picks where the write goes instead: into a part of the log that is proven to be durable.
func (d *disk) misdirect(rng *stream, meant *sectorFile, p []byte) func() *damage {
	name, to := d.durablePlace(rng)
	if to < sectorSize {
		return nil
	}
	f := d.files[name]
	first := rng.Int64N(to / sectorSize)
	p = slices.Clone(p) // The buffer that it is in is used again.
	return func() *damage {
		// Not beyond that place: a log whose end is written over, with all that proved it, is a log that was taken back, and nobody can tell.
		n := min(int64(len(p)), to-first*sectorSize, f.size-first*sectorSize)
		if n <= 0 || d.files[name] != f {
			return nil
		}
		for k := first; k*sectorSize < first*sectorSize+n; k++ {
			if f.dirty[k] != nil || f == meant && f.first >= 0 && k*sectorSize >= f.first {
				return nil
			}
		}
		f.put(first*sectorSize, p[:n])
		return d.hurt(misdirectedWrite, f, first*sectorSize, first*sectorSize+n)
	}
}

// synced looks which stray writes are beyond excuse: what was written after them is durable, and says that they were, too. Until then a loss of power
// finds them done: of a write that nothing followed nobody can tell that it was ever made, and no log could promise to notice.
func (d *disk) synced(f *sectorFile, proof int64) {
	kept := d.astray[:0]
	for _, s := range d.astray {
		switch {
		case s.file != f:
			kept = append(kept, s)
		case s.sums:
			d.seal(s)
		case !s.synced:
			s.synced = true
			kept = append(kept, s)
		case proof < s.end && proof >= 0:
			// Written over, as a recycled file is.
		case proof < 0:
			kept = append(kept, s)
		default:
			d.seal(s)
		}
	}
	clear(d.astray[len(kept):])
	d.astray = kept
}

// seal makes a stray write one.
func (d *disk) seal(s *strayWrite) {
	if !d.host.world.mayHurt(d.host) {
		return
	}
	f := s.file
	first, last := int64(-1), int64(-1)
	for _, n := range numbers(s.was) {
		if f.dirty[n] != nil || n*sectorSize+sectorSize > s.end && !s.sums || n*sectorSize >= f.size || string(s.was[n]) == string(f.sector(n)) {
			continue // The write after it brought this sector to the platter, or there is nothing to lose.
		}
		f.beneath[n] = s.was[n]
		if last = n; first < 0 {
			first = n
		}
	}
	if first < 0 {
		return
	}
	d.hurt(s.fault, f, first*sectorSize, (last+1)*sectorSize)
	if s.victim != nil {
		s.victim()
	}
	d.host.note(noteFault, "%s: the disk has lost it for good", s.fault)
	if s.looks == 0 {
		d.host.scrub()
	} else {
		d.host.endOver(f, s.looks)
	}
}

// endOver ends the process alone, on top of what the page cache has of a file and the platter does not: at the last of so many looks, or before, when that file is not the one any more
// that the log is written to. What the next process reads of it comes from both, each in its place.
func (h *host) endOver(f *sectorFile, looks int) {
	life := h.life
	h.world.during(20*time.Millisecond, func() {
		newest, _ := h.disk.newestPlace()
		switch {
		case h.life != life || h.engine == nil:
		case looks > 1 && h.disk.files[newest] == f:
			h.endOver(f, looks-1)
			return
		default:
			h.end("it ends on top of a write that was lost", false, lossRandom)
		}
		h.scrub()
	})
}

// forgive has the disk do what it had put off.
func (d *disk) forgive() { d.astray = nil }

// durablePlace picks a file of the log, and returns up to where it is durable and known to be; 0 if nowhere.
func (d *disk) durablePlace(rng *stream) (name string, to int64) {
	segments := d.segments()
	if len(segments) == 0 {
		return "", 0
	}
	k := rng.IntN(len(segments))
	f := d.files[segments[k]]
	if to = f.size; k == len(segments)-1 {
		to = f.proven
	}
	return segments[k], to
}

// newestPlace is where the log was written last, as far as that is known to be durable.
func (d *disk) newestPlace() (name string, to int64) {
	segments := d.segments()
	if len(segments) == 0 {
		return "", 0
	}
	name = segments[len(segments)-1]
	return name, d.files[name].proven
}
