package sim

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/balsa-raft/balsa/wal"
)

// How a host's disk takes the writes of a file that is streamed. The log's own account of blocks, tails and what is durable (wal.BlockWriter) runs as in
// production; the disk is what differs from one machine to the next.
const (
	// writesCached is a file system without direct writes, writesRefused one that says so at the first one only, as a disk of larger blocks does.
	writesCached  = "cached"
	writesRefused = "refused"
	// writesDirect is one with direct writes, each followed by an fsync; writesDurable one that makes a write durable by itself, too.
	writesDirect  = "direct"
	writesDurable = "durable"
)

// What is counted of such writes, and of syncs that the power's end cuts short.
const (
	directWrites  = "direct write"
	durableWrites = "durable write"
	refusedWrites = "direct write refused"
	failedDurably = "durable write fails"
	cutSync       = "sync cut short"
	directReads   = "direct read"
	refusedReads  = "direct read refused"
	otherReads    = "direct read past the cache"
)

// drawWrites draws the kinds of disks; hosts have them in turn.
func drawWrites(s *stream) []string {
	all := []string{writesDurable, writesDirect, writesCached, writesRefused}
	switch s.IntN(3) {
	case 0:
		return nil // all through the page cache
	case 1:
		return all[:1]
	}
	s.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// writes is the kind of the disk of the host with an id.
func (r *Regime) writes(id int) string {
	if len(r.Writes) == 0 {
		return writesCached
	}
	return r.Writes[(id-1)%len(r.Writes)]
}

// shown are the counts that have to show something in time in a world with such disks, and with one of such faults; of nothing named any will do.
var shown = []struct {
	count         string
	disks, faults []string
}{
	{directWrites, []string{writesDirect, writesDurable}, nil},
	{durableWrites, []string{writesDurable}, nil},
	{refusedWrites, []string{writesRefused}, nil},
	{failedDurably, []string{writesDurable}, []string{"write error", "fsync error"}},
	{cutSync, nil, []string{"crash", "power loss"}},
	{directReads, []string{writesDirect, writesDurable}, nil},
	{refusedReads, []string{writesRefused}, nil},
	{otherReads, []string{writesDirect, writesDurable}, []string{lostWrite}},
}

// Shows lists what is counted of a world beside its faults, and has to show something in time as they have.
func (r *Regime) Shows() []string {
	var names []string
	for _, s := range shown {
		disk, struck := s.disks == nil, s.faults == nil
		for id := 1; id <= r.Members && !disk; id++ {
			disk = slices.Contains(s.disks, r.writes(id))
		}
		for i := range r.Faults {
			struck = struck || slices.Contains(s.faults, r.Faults[i].Name)
		}
		if disk && struck {
			names = append(names, s.count)
		}
	}
	return names
}

// directBytes is how much a simulated disk is given at a time: little, so that a write of the log is now and then more than one.
const directBytes = 4 * wal.BlockSize

// Stream implements wal.Streamer.
func (f *diskFile) Stream(from int64) {
	if f.disk.writes == writesCached {
		return
	}
	if f.direct == nil {
		if f.disk.scratch == nil {
			f.disk.scratch = make([]byte, directBytes)
		}
		// What is gathered there is written before the call ends, and there is one call at a time.
		f.direct = wal.NewBlockWriter(directFile{f}, f.disk.scratch)
	}
	f.direct.Begin(f.size, from)
}

// span is a part of a file.
type span struct{ from, to int64 }

// StreamDone implements wal.Streamer.
func (f *diskFile) StreamDone() error {
	f.direct = nil
	return nil
}

// SyncSoon implements wal.Streamer.
func (f *diskFile) SyncSoon() {
	if f.direct != nil {
		f.direct.SyncSoon()
	}
}

// Reserve implements wal.Streamer: room on the disk is made at once, if there is any, and holds zeroes.
func (f *diskFile) Reserve(size int64) {
	if f.direct == nil || f.disk.writes == writesRefused {
		return
	}
	f.direct.Reserve(size, func(off, n int64) error {
		f.disk.operation("reserve", f.name)
		if !f.openFile.disk.room(n) {
			f.disk.host.world.counts.effective(fullDisk)
			return wal.ErrNoSpace
		}
		f.sized()
		f.resize(off + n)
		return nil
	})
}

// writeStreamed is WriteAt of a streamed file, if that goes around the page cache.
func (f *diskFile) writeStreamed(p []byte, offset int64) (done bool, err error) {
	if f.direct == nil {
		return false, nil
	}
	f.asked, f.appending = span{offset, offset + int64(len(p))}, -1
	if !zero(p) {
		f.appending = offset
	}
	return f.direct.Write(p, offset)
}

// directFile is a file under the page cache: what is written to it is on its way to the platter, in the drive's cache, until the file is synced.
type directFile struct{ *diskFile }

// WriteBlocks implements wal.Blocks.
func (f directFile) WriteBlocks(p []byte, offset int64, _ bool) error {
	if f.disk.writes == writesRefused {
		f.disk.host.world.counts.effective(refusedWrites)
		return wal.ErrBlocks
	}
	f.disk.operation("write around the cache", f.name)
	if err := f.disk.fails(opWrites, f.name); err != nil {
		f.writeSome(p, offset)
		return err
	}
	if err := f.put(p, offset); err != nil {
		return err
	}
	f.disk.host.world.counts.effective(directWrites)
	f.torn()
	f.stray(p, offset)
	return nil
}

// WriteDurably implements wal.Blocks. The write is begun, and ends when it is on the platter; the power may go, and the disk fail, in between.
func (f directFile) WriteDurably(p []byte, offset int64) (taken bool, err error) {
	d := f.disk
	if d.writes != writesDurable {
		return false, nil
	}
	d.operation("write durably", f.name)
	for _, kind := range []string{opWrites, opSync} {
		if d.cut {
			break // The power goes before the disk says anything.
		}
		if err := d.fails(kind, f.name); err != nil {
			d.host.world.counts.effective(failedDurably)
			f.writeSome(p, offset)
			return true, err
		}
	}
	if err := f.put(p, offset); err != nil {
		return true, err
	}
	d.cutShort(f.name)
	d.operation("wait for a durable write", f.name)
	f.torn()
	f.springsPartly()
	f.stray(p, offset)
	if d.liar {
		return true, nil
	}
	d.host.world.counts.effective(durableWrites)
	proof := f.first
	f.settleRange(offset, offset+int64(len(p)))
	d.synced(f.sectorFile, proof)
	return true, nil
}

// Around implements wal.Bypass.
func (f *diskFile) Around() wal.ReadCloserAt {
	if f.disk.writes == writesCached {
		return around{f}
	}
	if f.disk.bounce == nil {
		f.disk.bounce = make([]byte, directBytes)
	}
	r := &aroundReader{file: f}
	// What is read there is copied before the call ends, and there is one call at a time.
	r.blocks = wal.NewBlockReader(r, f.openFile, f.disk.bounce, 1)
	return around{r}
}

// Worth implements wal.Bypass: a simulated segment is small.
func (f *diskFile) Worth(bytes int) bool { return bytes >= wal.BlockSize }

// Meanwhile implements wal.Bypass: a simulated disk is asked for one thing after the other.
func (f *diskFile) Meanwhile(read func()) (wait func()) {
	read()
	return func() {}
}

// Memory implements wal.Bypass.
func (f *diskFile) Memory(n int) (b []byte, free func()) { return make([]byte, n), func() {} }

// around reads a file until it is closed, and has nothing to close.
type around struct{ io.ReaderAt }

// Close implements io.Closer.
func (around) Close() error { return nil }

// aroundReader reads a file around the page cache, by production's way to do so with blocks.
type aroundReader struct {
	file          *diskFile
	blocks        *wal.BlockReader
	refused, past bool // of one read: it was not taken, or had something else than the cache has
}

// ReadAt implements io.ReaderAt. A read fails, and is counted, as a whole: of how many blocks at a time it consists depends on where in memory they come to.
func (r *aroundReader) ReadAt(p []byte, offset int64) (int, error) {
	f := r.file
	d := f.disk
	if err := d.fails(opReads, f.name); err != nil {
		return 0, err
	}
	d.seen(f.sectorFile, offset, int64(len(p)), d.writes != writesRefused)
	r.refused, r.past = false, false
	n, err := r.blocks.ReadAt(p, offset)
	counts := &d.host.world.counts
	switch {
	case r.refused:
		counts.effective(refusedReads)
	case r.past:
		counts.effective(otherReads)
		fallthrough
	default:
		counts.effective(directReads)
	}
	return n, err
}

// ReadBlocks implements wal.BlocksReader. What the cache has not written yet it writes before; what it takes for clean is what the platter has.
func (r *aroundReader) ReadBlocks(p []byte, offset int64) (int, error) {
	f := r.file
	if f.disk.writes == writesRefused {
		r.refused = true
		return 0, wal.ErrBlocks
	}
	n, err := f.openFile.ReadAt(p, offset)
	if len(f.beneath) > 0 {
		for at := offset &^ (sectorSize - 1); at < offset+int64(n); at += sectorSize {
			if was := f.beneath[at/sectorSize]; was != nil {
				r.past = r.past || string(was) != string(f.sector(at/sectorSize))
				copy(p[at-offset:n], was)
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// put writes whole blocks, as far as there is room for them.
func (f directFile) put(p []byte, offset int64) error {
	if grow := offset + int64(len(p)) - f.size; grow > 0 {
		if room := f.openFile.disk.left(grow); room < grow {
			f.disk.host.world.counts.effective(fullDisk)
			if n := (int64(len(p)) - grow + room) / wal.BlockSize * wal.BlockSize; n > 0 {
				f.place(p[:n], offset, f.appending) // The disk is full in the middle of it.
			}
			return fmt.Errorf("write %d bytes: %w", len(p), wal.ErrNoSpace)
		}
	}
	f.place(p, offset, f.appending)
	// What was before it in its first block is what it was, damaged or not.
	from, to := max(offset, f.asked.from), min(offset+int64(len(p)), f.asked.to)
	f.disk.overwritten(f.sectorFile, from, to-from)
	return nil
}

// writeSome is what is left of a write that failed: some of its sectors, and not only until the cache is dropped.
func (f directFile) writeSome(p []byte, offset int64) {
	for at := int64(0); at < int64(len(p)) && offset+at < f.size; at += sectorSize {
		if f.disk.host.losses.chance(1, 2) {
			f.place(p[at:min(at+sectorSize, int64(len(p)))], offset+at, -1)
		}
	}
}

// torn ends the process in the middle of a write, if that is the one that has to be torn: it has to be of more than one sector.
func (f directFile) torn() {
	if f.disk.trap.kind == opWrites && f.appending >= 0 && f.sectorsOf(f.openFile.disk.writes) > 1 {
		f.disk.springs(opWrites, f.name)
	}
}

// stray lets the write go astray, if it is the one that has to.
func (f directFile) stray(p []byte, offset int64) {
	f.disk.rewritten(f.sectorFile, offset, int64(len(p)))
	if f.appending >= 0 {
		f.disk.strays(f.diskFile, p, offset)
	}
}

// cutSync lets the power go while the disk is at work: what was about to be durable is on the platter in part, or not, and nobody is told either way. Where
// the process ends with its own operation, that is in the middle of something by itself.
func (h *host) cutSync() {
	if !h.syncing || h.engine == nil || h.world.steering != nil || h.world.conditions.fate != nil || !h.losses.chance(1, 2) {
		return
	}
	h.disk.cut = true
	defer func() {
		h.disk.cut = false
		switch p := recover().(type) {
		case nil:
		case crashing:
			h.world.counts.effective(cutSync)
		default:
			panic(p)
		}
	}()
	h.engine.EndSync()
}

// cutShort ends the process in the middle of a sync, if the power goes now.
func (d *disk) cutShort(name string) {
	if d.cut {
		panic(crashing{fault: cutSync, at: "sync " + name})
	}
}
