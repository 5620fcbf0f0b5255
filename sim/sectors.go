package sim

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"sort"

	"github.com/balsa-raft/balsa/wal"
)

// sectorSize is what a disk writes at once: a write is never torn within a sector.
const sectorSize = 512

// sectors is a file system in memory that knows what is on the platter and what is only in the cache: a crash keeps what was synced, and of the
// rest any subset of sectors, and of the changes to names any prefix, as a journaling file system does.
type sectors struct {
	files map[string]*sectorFile // as a process sees it
	names []rename               // changes of names that are not durable, in order
}

// rename is a change of a directory: name was old and is now new; nil is no file.
type rename struct {
	name     string
	old, new *sectorFile
	// with says that the next change belongs to this one: both or none.
	with bool
}

// sectorFile is a file's content: now is what a process sees, old what the platter had in the sectors that were written since the last sync.
type sectorFile struct {
	now     []byte
	old     map[int64][]byte // by sector number
	oldSize int64            // -1 while the size did not change since the last sync
}

func newSectors() *sectors { return &sectors{files: map[string]*sectorFile{}} }

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

// MkdirAll implements wal.FS. Directories exist by themselves.
func (s *sectors) MkdirAll(string) error { return nil }

// List implements wal.FS.
func (s *sectors) List(dir string) ([]string, error) {
	var names []string
	for name := range s.files {
		if path.Dir(name) == path.Clean(dir) {
			names = append(names, path.Base(name))
		}
	}
	sort.Strings(names)
	return names, nil
}

// Create implements wal.FS.
func (s *sectors) Create(name string) (wal.File, error) {
	if s.files[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &sectorFile{old: map[int64][]byte{}, oldSize: -1}
	s.set(name, f, false)
	return f, nil
}

// Open implements wal.FS.
func (s *sectors) Open(name string) (wal.File, error) {
	if f := s.files[name]; f != nil {
		return f, nil
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
func (s *sectors) Free(string) (uint64, error) { return 1 << 40, nil }

// crash forgets what was not synced, or some of it. It reports whether anything was lost.
func (s *sectors) crash(rng *rand.Rand) bool {
	lost := false
	keep := 0
	if len(s.names) > 0 {
		keep = rng.IntN(len(s.names) + 1)
	}
	for keep > 0 && keep < len(s.names) && s.names[keep-1].with {
		keep++
	}
	for i := len(s.names) - 1; i >= keep; i-- {
		s.put(s.names[i].name, s.names[i].old)
		lost = true
	}
	s.names = nil
	names := make([]string, 0, len(s.files))
	for name := range s.files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		lost = s.files[name].crash(rng) || lost
	}
	return lost
}

// crash puts back, for some of the sectors that were written since the last sync, what was there before. All, none, or a mixture.
func (f *sectorFile) crash(rng *rand.Rand) bool {
	numbers := make([]int64, 0, len(f.old))
	for n := range f.old {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	lost := false
	chance := pick(rng, 0, 1, 2, 4)
	if f.oldSize >= 0 && rng.IntN(4) < chance {
		f.resize(f.oldSize)
		lost = true
	}
	for _, n := range numbers {
		if rng.IntN(4) < chance {
			copy(f.now[min(n*sectorSize, int64(len(f.now))):], f.old[n])
			lost = true
		}
	}
	f.settle()
	return lost
}

func (f *sectorFile) settle() {
	clear(f.old)
	f.oldSize = -1
}

func (f *sectorFile) resize(size int64) {
	if size <= int64(len(f.now)) {
		clear(f.now[size:])
		f.now = f.now[:size]
		return
	}
	f.now = append(f.now, make([]byte, size-int64(len(f.now)))...)
}

// ReadAt implements wal.File.
func (f *sectorFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= int64(len(f.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.now[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements wal.File.
func (f *sectorFile) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("write at %d", offset)
	}
	end := offset + int64(len(p))
	if end > int64(len(f.now)) {
		f.sized()
		f.resize(end)
	}
	f.remember(offset, end)
	copy(f.now[offset:], p)
	return len(p), nil
}

// remember keeps what the platter has in the sectors of a range that is about to change.
func (f *sectorFile) remember(from, to int64) {
	for n := from / sectorSize; n*sectorSize < to; n++ {
		if _, known := f.old[n]; !known {
			was := make([]byte, sectorSize)
			copy(was, f.now[min(n*sectorSize, int64(len(f.now))):])
			f.old[n] = was
		}
	}
}

// sized remembers the size of the last sync.
func (f *sectorFile) sized() {
	if f.oldSize < 0 {
		f.oldSize = int64(len(f.now))
	}
}

// Size implements wal.File.
func (f *sectorFile) Size() (int64, error) { return int64(len(f.now)), nil }

// Truncate implements wal.File.
func (f *sectorFile) Truncate(size int64) error {
	f.sized()
	f.remember(size, int64(len(f.now)))
	f.resize(size)
	return nil
}

// Sync implements wal.File.
func (f *sectorFile) Sync() error {
	f.settle()
	return nil
}

// Close implements wal.File.
func (f *sectorFile) Close() error { return nil }
