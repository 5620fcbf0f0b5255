package wal

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"
)

// MemFS is a file system in memory that can crash, fail, fill up and rot, for tests and simulations. It is deterministic: what happens
// depends on the calls and on the randomness that Crash is given. Files may be huge and empty: pages of zeroes take no memory.
//
// What a crash leaves:
//   - Of a file's content, all that was there at its last Sync, in units of sectors of 512 bytes. Each sector that was written since is
//     what it was then, or what any one of the writes made it, independently of the others: writes are lost, torn and reordered.
//   - Of a file's size, that of its last Sync, or any one it had since.
//   - Of a directory's names, those of its last SyncDir, and of the creations, removals and renames since then the first few, as a
//     journalling file system has it. A rename is atomic. Directories themselves are durable at once.
//
// After a failed Sync, the writes that it was to make durable are not written by a later, successful one either, although they are read back
// until the crash: that is what Linux does.
//
// It is safe for concurrent use.
type MemFS struct {
	mu       sync.Mutex
	boot     int // counts the crashes; handles of an earlier boot are dead
	dirs     map[string]*memDir
	locks    map[string]int
	fault    func(Op) Fault
	ops      int
	used     int64
	born     int64 // how many files there were ever
	capacity int64
}

// memDir is a directory: its names now, and those that are durable, with what has happened since.
type memDir struct {
	names   map[string]*memFile
	durable map[string]*memFile
	changes []change
}

// change is a directory operation that is not durable: the name gets the file, or none; from, if any, loses it.
type change struct {
	name, from string
	file       *memFile
}

// OpKind is a kind of file system operation.
type OpKind uint8

// The operations that a fault can hit.
const (
	OpCreate OpKind = iota + 1
	OpOpen
	OpRemove
	OpRename
	OpSyncDir
	OpRead
	OpWrite
	OpTruncate
	OpSync
)

// Op is an operation that is about to happen.
type Op struct {
	// N counts the operations of the file system, from 1 on.
	N    int
	Kind OpKind
	Name string
	// Offset and Len are those of a read or a write.
	Offset int64
	Len    int
}

// Fault is what goes wrong with an operation; the zero Fault is nothing.
type Fault struct {
	// Err is returned, and the operation has no effect, but that a write stores its first Short bytes.
	Err   error
	Short int
	// Lost makes a write seem to succeed without any effect.
	Lost bool
	// Divert, not 0, makes a write go to that many bytes after the place it was meant for.
	Divert int64
}

// NewMemFS returns an empty file system without a limit.
func NewMemFS() *MemFS {
	return &MemFS{dirs: map[string]*memDir{}, locks: map[string]int{}}
}

// SetFault makes f decide on every operation from now on; nil ends it. f is called with the file system locked, so it must not use it.
func (m *MemFS) SetFault(f func(Op) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// SetCapacity bounds the bytes that all files together take, in pages of 4 KiB; 0 is no bound. What is beyond it stays.
func (m *MemFS) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Used returns the bytes that all files together take.
func (m *MemFS) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Ops returns how many operations there were.
func (m *MemFS) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// begin counts an operation and asks for its fault. mu is held.
func (m *MemFS) begin(op Op) Fault {
	m.ops++
	if m.fault == nil {
		return Fault{}
	}
	op.N = m.ops
	return m.fault(op)
}

func (m *MemFS) simple(kind OpKind, name string) error {
	return m.begin(Op{Kind: kind, Name: name}).Err
}

// MkdirAll implements FS.
func (m *MemFS) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = path.Clean(dir)
	if m.dirs[dir] == nil {
		m.dirs[dir] = &memDir{names: map[string]*memFile{}, durable: map[string]*memFile{}}
	}
	return nil
}

// dir returns the directory of a file name, and the name in it.
func (m *MemFS) dir(op, name string) (*memDir, string, error) {
	dir, base := path.Split(path.Clean(name))
	d := m.dirs[path.Clean(dir)]
	if d == nil {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return d, base, nil
}

// List implements FS.
func (m *MemFS) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dirs[path.Clean(dir)]
	if d == nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	names := make([]string, 0, len(d.names))
	for name := range d.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Create implements FS.
func (m *MemFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.simple(OpCreate, name); err != nil {
		return nil, err
	}
	d, base, err := m.dir("create", name)
	if err != nil {
		return nil, err
	}
	if d.names[base] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	m.born++
	f := &memFile{fs: m, id: m.born}
	d.change(change{name: base, file: f})
	return &memHandle{file: f, name: name, boot: m.boot}, nil
}

// Open implements FS.
func (m *MemFS) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.simple(OpOpen, name); err != nil {
		return nil, err
	}
	d, base, err := m.dir("open", name)
	if err != nil {
		return nil, err
	}
	f := d.names[base]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memHandle{file: f, name: name, boot: m.boot}, nil
}

// Remove implements FS. The room is free once the removal is durable.
func (m *MemFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.simple(OpRemove, name); err != nil {
		return err
	}
	d, base, err := m.dir("remove", name)
	if err != nil {
		return err
	}
	if d.names[base] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	d.change(change{name: base})
	return nil
}

// Rename implements FS, within one directory.
func (m *MemFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.simple(OpRename, from); err != nil {
		return err
	}
	d, base, err := m.dir("rename", from)
	if err != nil {
		return err
	}
	if path.Dir(path.Clean(from)) != path.Dir(path.Clean(to)) {
		return fmt.Errorf("rename %s to %s: not in one directory", from, to)
	}
	f := d.names[base]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	d.change(change{name: path.Base(to), from: base, file: f})
	return nil
}

// SyncDir implements FS.
func (m *MemFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.simple(OpSyncDir, dir); err != nil {
		return err
	}
	d := m.dirs[path.Clean(dir)]
	if d == nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: fs.ErrNotExist}
	}
	m.commit(d, len(d.changes))
	return nil
}

// Identity implements Identifier. A Clone is the same disk at another time, not a copy of its files.
func (m *MemFS) Identity(name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.dir("identity", name)
	if err != nil {
		return "", err
	}
	f := d.names[base]
	if f == nil {
		return "", &fs.PathError{Op: "identity", Path: name, Err: fs.ErrNotExist}
	}
	return fmt.Sprintf("file %d", f.id), nil
}

// Lock implements FS.
func (m *MemFS) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if boot, ok := m.locks[name]; ok && boot == m.boot {
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	m.locks[name] = m.boot
	return &memLock{fs: m, name: name, boot: m.boot}, nil
}

type memLock struct {
	fs   *MemFS
	name string
	boot int
}

// Close lets go of the lock.
func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if boot, ok := l.fs.locks[l.name]; ok && boot == l.boot {
		delete(l.fs.locks, l.name)
	}
	return nil
}

// Free implements FS.
func (m *MemFS) Free(string) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return 1 << 50, nil
	}
	return uint64(max(m.capacity-m.used, 0)), nil
}

// apply changes a set of names.
func (c *change) apply(names map[string]*memFile) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.file == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.file
	}
}

// change applies a change to the names as they are now; it is durable later.
func (d *memDir) change(c change) {
	d.changes = append(d.changes, c)
	c.apply(d.names)
}

// commit makes the first n changes durable. What no name leads to any more is gone.
func (m *MemFS) commit(d *memDir, n int) {
	for i := range d.changes[:n] {
		d.changes[i].apply(d.durable)
	}
	d.changes = slices.Delete(d.changes, 0, n)
	m.recount()
}

// recount adds up what the files take that some name leads to, now or after a crash.
func (m *MemFS) recount() {
	seen := map[*memFile]bool{}
	m.used = 0
	count := func(f *memFile) {
		if f != nil && !seen[f] {
			seen[f] = true
			m.used += f.allocated
		}
	}
	for _, d := range m.dirs {
		for _, f := range d.names {
			count(f)
		}
		for _, f := range d.durable {
			count(f)
		}
		for i := range d.changes {
			count(d.changes[i].file)
		}
	}
}
