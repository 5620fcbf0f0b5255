package sim

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"

	"github.com/balsa-raft/balsa/wal"
)

// sectorSize is what a disk writes at once: a write is never torn within a sector.
const sectorSize = 512

// sectors is a file system in memory that knows what is on the platter and what is only in the page cache. A process sees the cache. When the power
// goes, what was synced stays, and of the rest any subset of sectors, and of the changes to names any prefix, as a journaling file system does.
type sectors struct {
	files map[string]*sectorFile // as a process sees it
	names []rename               // changes of names that are not durable, in order
	// capacity bounds the bytes of all files; 0 is no bound. What is beyond it stays.
	capacity int64
	// born numbers the files, so that a copy of a file is told from it.
	born uint64
	// writes numbers the writes, so that it can be told which of them a loss of power reordered or tore.
	writes uint64
}

// rename is a change of a directory: name was old and is now new; nil is no file.
type rename struct {
	name     string
	old, new *sectorFile
	// with says that the next change belongs to this one: both or none.
	with bool
}

// sectorFile is a file's content: now is what a process sees, dirty what the platter has in the sectors that were written since the last sync.
type sectorFile struct {
	// now may end before the file does: what is between its end and size is zero, and no memory is spent on it. Room that is reserved is large.
	now     []byte
	size    int64
	dirty   map[int64]*dirtySector // by sector number
	oldSize int64                  // -1 while the size did not change since the last sync
	// beneath is what the platter has under sectors that the cache takes for clean: an fsync failed, or the disk lied. They are read as they
	// should be until the cache is dropped; only being written again brings them to the platter.
	beneath map[int64][]byte
	// proven is how far an appended file is known to be durable from what was written and synced after it, and first where the appending since the
	// last sync began, -1 if nothing was.
	proven, first int64
	id            uint64
	spare         []dirtySector // made at once, for dirty
}

// dirtySector is a sector that was written since the last sync: what the platter has, and the last write.
type dirtySector struct {
	was   []byte
	write uint64
}

func newSectors() *sectors { return &sectors{files: map[string]*sectorFile{}} }

func newSectorFile() *sectorFile {
	return &sectorFile{dirty: map[int64]*dirtySector{}, beneath: map[int64][]byte{}, oldSize: -1, first: -1}
}

// clone copies all that a process sees, as durable. The files are the same ones, seen at another time.
func (s *sectors) clone() *sectors {
	c := newSectors()
	c.born = s.born
	for name, f := range s.files {
		g := newSectorFile()
		g.now, g.size, g.id = slices.Clone(f.now), f.size, f.id
		c.files[name] = g
	}
	return c
}

// copied is a copy of all files, as a backup has them: they are other files with the same content.
func (s *sectors) copied() *sectors {
	c := s.clone()
	for _, name := range c.sorted(nil) {
		c.born++
		c.files[name].id = c.born
	}
	return c
}

// Identity implements wal.Identifier.
func (s *sectors) Identity(name string) (string, error) {
	f := s.files[name]
	if f == nil {
		return "", &fs.PathError{Op: "identity", Path: name, Err: fs.ErrNotExist}
	}
	return fmt.Sprintf("file %d", f.id), nil
}

// sorted returns the names of the files that accept likes, in order.
func (s *sectors) sorted(accept func(name string) bool) []string {
	var names []string
	for name := range s.files {
		if accept == nil || accept(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func (s *sectors) set(name string, f *sectorFile, with bool) {
	s.names = append(s.names, rename{name: name, old: s.files[name], new: f, with: with})
	s.put(name, f)
}

func (s *sectors) put(name string, f *sectorFile) {
	if f == nil {
		delete(s.files, name)
	} else {
		s.files[name] = f
	}
}

// used is how many bytes all files take.
func (s *sectors) used() int64 {
	var n int64
	for _, f := range s.files {
		n += f.size
	}
	return n
}

// room tells whether a file may grow by n bytes.
func (s *sectors) room(n int64) bool { return s.capacity == 0 || n <= 0 || s.used()+n <= s.capacity }

// left is how much of n more bytes there is room for.
func (s *sectors) left(n int64) int64 {
	if s.capacity == 0 {
		return n
	}
	return max(0, min(n, s.capacity-s.used()))
}

// MkdirAll implements wal.FS. Directories exist by themselves.
func (s *sectors) MkdirAll(string) error { return nil }

// List implements wal.FS.
func (s *sectors) List(dir string) ([]string, error) {
	names := s.sorted(func(name string) bool { return path.Dir(name) == path.Clean(dir) })
	for i := range names {
		names[i] = path.Base(names[i])
	}
	return names, nil
}

// Create implements wal.FS.
func (s *sectors) Create(name string) (wal.File, error) {
	if s.files[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := newSectorFile()
	s.born++
	f.id = s.born
	s.set(name, f, false)
	return &openFile{sectorFile: f, disk: s}, nil
}

// Open implements wal.FS.
func (s *sectors) Open(name string) (wal.File, error) {
	if f := s.files[name]; f != nil {
		return &openFile{sectorFile: f, disk: s}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Remove implements wal.FS.
func (s *sectors) Remove(name string) error {
	if s.files[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	s.set(name, nil, false)
	return nil
}

// Rename implements wal.FS.
func (s *sectors) Rename(from, to string) error {
	f := s.files[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	s.set(to, f, true)
	s.set(from, nil, false)
	return nil
}

// SyncDir implements wal.FS.
func (s *sectors) SyncDir(dir string) error {
	s.names = slices.DeleteFunc(s.names, func(r rename) bool { return path.Dir(r.name) == path.Clean(dir) })
	return nil
}

// Free implements wal.FS.
func (s *sectors) Free(string) (uint64, error) {
	if s.capacity == 0 {
		return 1 << 40, nil
	}
	return uint64(max(s.capacity-s.used(), 0)), nil
}

// openFile is a file that a process has open.
type openFile struct {
	*sectorFile
	disk *sectors
}

func (f *sectorFile) resize(size int64) {
	f.now = f.now[:min(size, int64(len(f.now)))]
	f.size = size
}

// solid makes room in memory for the file up to a place before its end.
func (f *sectorFile) solid(to int64) {
	if n := int(to) - len(f.now); n > 0 {
		f.now = append(f.now, make([]byte, n)...)
	}
}

// put changes what a process sees, as far as the file goes, without a record of it.
func (f *sectorFile) put(offset int64, p []byte) {
	p = p[:max(0, min(int64(len(p)), f.size-offset))]
	if len(p) == 0 {
		return
	}
	f.solid(offset)
	n := copy(f.now[offset:], p)
	f.now = append(f.now, p[n:]...)
}

// ReadAt implements wal.File.
func (f *sectorFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), f.size-offset))
	clear(p[copy(p[:n], f.now[min(offset, int64(len(f.now))):]):n])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements wal.File.
func (f *openFile) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("write at %d", offset)
	}
	end := offset + int64(len(p))
	if grow := end - f.size; grow > 0 {
		if !f.disk.room(grow) {
			return 0, fmt.Errorf("write %d bytes: %w", len(p), wal.ErrNoSpace)
		}
		f.sized()
		f.resize(end)
	}
	f.disk.writes++
	blank := zero(p)
	if blank && offset >= int64(len(f.now)) && !f.remembers(offset, end) {
		return len(p), nil // as it is already, in the cache and on the platter
	}
	f.remember(offset, end, f.disk.writes)
	if f.first < 0 && !blank {
		f.first = offset
	}
	f.put(offset, p)
	return len(p), nil
}

// place is a write around the page cache, of whole sectors: what has to be there already stays as it is, whatever becomes of the write, since a sector is
// never torn. From first on it is new; -1 says that none of it is.
func (f *openFile) place(p []byte, offset, first int64) {
	end := offset + int64(len(p))
	if end > f.size {
		f.sized()
		f.resize(end)
	}
	f.disk.writes++
	if f.first < 0 {
		f.first = first
	}
	f.solid(end)
	for at := offset; at < end; at += sectorSize {
		b, n := p[at-offset:min(at+sectorSize, end)-offset], at/sectorSize
		if f.dirty[n] == nil && f.beneath[n] == nil && string(b) == string(f.now[at:at+int64(len(b))]) {
			continue
		}
		f.remember(at, at+int64(len(b)), f.disk.writes)
		copy(f.now[at:], b)
	}
}

// sectorsOf counts the unsynced sectors whose last write was this one.
func (f *sectorFile) sectorsOf(write uint64) int {
	n := 0
	for _, d := range f.dirty {
		if d.write == write {
			n++
		}
	}
	return n
}

// settleRange is what a write does that is durable by itself: these sectors are on the platter. What was appended since the last sync proves what is before
// it if nothing else is left.
func (f *sectorFile) settleRange(from, to int64) {
	for n := from / sectorSize; n*sectorSize < to; n++ {
		delete(f.dirty, n)
	}
	if len(f.dirty) == 0 && f.oldSize < 0 {
		f.settle()
	}
}

// zero tells whether there is nothing in b: room that is made for later, or a place that is cleared.
func zero(b []byte) bool {
	for len(b) > sectorSize {
		if string(b[:sectorSize]) != string(zeroSector[:]) {
			return false
		}
		b = b[sectorSize:]
	}
	return string(b) == string(zeroSector[:len(b)])
}

// remembers tells whether the platter may have something else than a process sees anywhere in a range.
func (f *sectorFile) remembers(from, to int64) bool {
	if len(f.dirty)+len(f.beneath) == 0 {
		return false
	}
	for n := from / sectorSize; n*sectorSize < to; n++ {
		if f.dirty[n] != nil || f.beneath[n] != nil {
			return true
		}
	}
	return false
}

// remember keeps what the platter has in the sectors of a range that is about to change.
func (f *sectorFile) remember(from, to int64, write uint64) {
	for n := from / sectorSize; n*sectorSize < to; n++ {
		if known := f.dirty[n]; known != nil {
			known.write = write
			continue
		}
		was := f.beneath[n]
		delete(f.beneath, n)
		if was == nil {
			was = f.sector(n)
		}
		if len(f.spare) == 0 {
			f.spare = make([]dirtySector, 16)
		}
		d := &f.spare[0]
		f.spare = f.spare[1:]
		*d = dirtySector{was: was, write: write}
		f.dirty[n] = d
	}
}

// forgo keeps what the platter has from a place on, which is about to be cut off.
func (f *sectorFile) forgo(from int64, write uint64) {
	f.remember(from, int64(len(f.now)), write)
	// Behind it everything is zero; only where the platter may have something else there is something to keep.
	for _, n := range numbers(f.beneath) {
		if n*sectorSize >= from && n*sectorSize < f.size {
			f.remember(n*sectorSize, (n+1)*sectorSize, write)
		}
	}
}

// sector copies a sector as a process sees it; what is past the end is zero. Nobody writes to the copy.
func (f *sectorFile) sector(n int64) []byte {
	from := min(n*sectorSize, int64(len(f.now)))
	now := f.now[from:min(from+sectorSize, int64(len(f.now)))]
	if string(now) == string(zeroSector[:len(now)]) {
		return zeroSector[:]
	}
	b := make([]byte, sectorSize)
	copy(b, now)
	return b
}

// zeroSector is what most sectors have before they are written to.
var zeroSector [sectorSize]byte

// sized remembers the size of the last sync.
func (f *sectorFile) sized() {
	if f.oldSize < 0 {
		f.oldSize = f.size
	}
}

// Size implements wal.File.
func (f *sectorFile) Size() (int64, error) { return f.size, nil }

// Truncate implements wal.File.
func (f *openFile) Truncate(size int64) error {
	if !f.disk.room(size - f.size) {
		return fmt.Errorf("grow to %d bytes: %w", size, wal.ErrNoSpace)
	}
	f.sized()
	f.disk.writes++
	f.forgo(size, f.disk.writes)
	f.resize(size)
	f.proven = min(f.proven, size)
	return nil
}

// Sync implements wal.File.
func (f *sectorFile) Sync() error {
	f.settle()
	return nil
}

// settle is what a sync does: everything is on the platter, and so are the beginnings of what was appended since, which prove what is before them.
func (f *sectorFile) settle() {
	clear(f.dirty)
	f.oldSize = -1
	if f.first >= 0 {
		f.proven, f.first = f.first, -1
	}
}

// syncFailed is what Linux does when an fsync fails: the pages are clean from then on, whatever the platter has.
func (f *sectorFile) syncFailed() {
	for n, d := range f.dirty {
		f.beneath[n] = d.was
	}
	clear(f.dirty)
	f.first = -1
}

// numbers returns the keys of a map of sectors, in order.
func numbers[T any](m map[int64]T) []int64 {
	list := make([]int64, 0, len(m))
	for n := range m {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// drop is the page cache being dropped: what was synced, or so it seemed, is read from the platter from now on. It reports whether that changed
// anything.
func (f *sectorFile) drop() bool {
	changed := false
	for _, n := range numbers(f.beneath) {
		if string(f.sector(n)) != string(f.beneath[n]) {
			changed = true
			f.put(n*sectorSize, f.beneath[n])
		}
	}
	clear(f.beneath)
	return changed
}

// Close implements wal.File.
func (f *sectorFile) Close() error { return nil }
