package kvsim

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/wal"
)

// files gives Pebble a simulated volume as its file system. Pebble's own goroutines use it beside the caller's, so it has a lock; and a crash is not a
// stop but an image, taken at some operation, of what the power would have left: Pebble goes on with the volume, which nobody looks at any more.
type files struct {
	mu     sync.Mutex
	volume sim.Volume
	dirs   map[string]bool
	// left counts down to the operation after which the image is taken, if it is above 0; chance is what is lost then. at is that operation.
	left   int
	chance *rand.Rand
	image  *files
	at     string
	// sum is a hash of all operations that were counted.
	sum uint64
}

var _ vfs.FS = (*files)(nil)

func newFiles() *files {
	return &files{volume: sim.NewVolume(), dirs: map[string]bool{".": true, "/": true}}
}

// arm has an image taken after some more operations.
func (f *files) arm(operations int, chance *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.chance = operations, chance
}

// disarm ends that, and tells whether it has happened, and at which operation.
func (f *files) disarm() (at string, happened bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = 0
	return f.at, f.image != nil
}

// crashed returns what the crash has left: the image that was taken, or one of now.
func (f *files) crashed(chance *rand.Rand) *files {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = 0
	if f.image == nil {
		f.take(chance)
	}
	return f.image
}

// take makes the image. mu is held.
func (f *files) take(chance *rand.Rand) {
	f.image = newFiles()
	f.image.sum = f.sum
	f.image.volume = f.volume.Image(chance)
	for dir := range f.dirs { // The order does not matter.
		f.image.dirs[dir] = true
	}
}

// operation counts an operation that changes something, after it was done. mu is held. Removals do not count: Pebble removes files when it comes to it.
func (f *files) operation(what, name string, size int) {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%x %s %s %d", f.sum, what, name, size)
	f.sum = hash.Sum64()
	if f.left == 0 {
		return
	}
	if f.left--; f.left == 0 {
		f.at = what + " " + name
		f.take(f.chance)
	}
}

// Create implements vfs.FS.
func (f *files) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.volume.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	inner, err := f.volume.Create(name)
	if err != nil {
		return nil, err
	}
	f.operation("create", name, 0)
	return &file{File: inner, files: f, name: name}, nil
}

// Link implements vfs.FS: it is not supported, and Pebble copies then.
func (f *files) Link(from, to string) error {
	return &os.LinkError{Op: "link", Old: from, New: to, Err: errors.ErrUnsupported}
}

// Open implements vfs.FS.
func (f *files) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	inner, err := f.volume.Open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: inner, files: f, name: name}, nil
}

// OpenReadWrite implements vfs.FS.
func (f *files) OpenReadWrite(name string, category vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	opened, err := f.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Create(name, category)
	}
	return opened, err
}

// OpenDir implements vfs.FS.
func (f *files) OpenDir(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isDir(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &file{files: f, name: name, dir: true}, nil
}

func (f *files) isDir(name string) bool { return f.dirs[path.Clean(name)] }

// Remove implements vfs.FS.
func (f *files) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDir(name) {
		delete(f.dirs, path.Clean(name))
		return nil
	}
	if strings.HasPrefix(path.Base(name), "marker.") {
		return f.volume.Remove(name) // The caller's goroutine does this one.
	}
	return f.discard(name)
}

// discard removes a file that is not needed any more. Pebble's goroutine and the store's do that when they come to it, so the chance of an image must not see
// whether it has happened: as a change of names that is not durable it would change which others are lost. mu is held.
func (f *files) discard(name string) error {
	if _, err := f.volume.Open(name); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	f.volume.Discard(name)
	return nil
}

// RemoveAll implements vfs.FS.
func (f *files) RemoveAll(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = path.Clean(name)
	for _, other := range f.volume.Names() {
		if other == name || strings.HasPrefix(other, name+"/") {
			if err := f.discard(other); err != nil {
				return err
			}
		}
	}
	for dir := range f.dirs {
		if dir == name || strings.HasPrefix(dir, name+"/") {
			delete(f.dirs, dir)
		}
	}
	return nil
}

// Rename implements vfs.FS.
func (f *files) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.volume.Rename(from, to)
	f.operation("rename", from, 0)
	return err
}

// ReuseForWrite implements vfs.FS.
func (f *files) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.Remove(from); err != nil {
		return nil, err
	}
	return f.Create(to, category)
}

// MkdirAll implements vfs.FS.
func (f *files) MkdirAll(dir string, _ os.FileMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for dir = path.Clean(dir); !f.dirs[dir]; dir = path.Dir(dir) {
		f.dirs[dir] = true
	}
	return nil
}

// Lock implements vfs.FS.
func (f *files) Lock(name string) (io.Closer, error) { return f.volume.Lock(name) }

// List implements vfs.FS.
func (f *files) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = path.Clean(dir)
	if !f.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	names, err := f.volume.List(dir)
	for other := range f.dirs {
		if other != dir && path.Dir(other) == dir {
			names = append(names, path.Base(other))
		}
	}
	slices.Sort(names)
	return names, err
}

// Stat implements vfs.FS.
func (f *files) Stat(name string) (vfs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDir(name) {
		return info{name: path.Base(name), dir: true}, nil
	}
	inner, err := f.volume.Open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	size, err := inner.Size()
	return info{name: path.Base(name), size: size}, err
}

// PathBase implements vfs.FS.
func (*files) PathBase(name string) string { return path.Base(name) }

// PathJoin implements vfs.FS.
func (*files) PathJoin(elements ...string) string { return path.Join(elements...) }

// PathDir implements vfs.FS.
func (*files) PathDir(name string) string { return path.Dir(name) }

// GetDiskUsage implements vfs.FS.
func (*files) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41, UsedBytes: 1 << 40}, nil
}

// Unwrap implements vfs.FS.
func (*files) Unwrap() vfs.FS { return nil }

// file is an open file or directory.
type file struct {
	wal.File // nil for a directory
	files    *files
	name     string
	dir      bool
	read     int64 // where Read goes on
	end      int64 // where Write goes on
}

// Read implements vfs.File.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.read)
	f.read += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	return f.File.ReadAt(p, offset)
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.end)
	f.end += int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, offset int64) (int, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	n, err := f.File.WriteAt(p, offset)
	f.files.operation("write", f.name, len(p))
	return n, err
}

// Preallocate implements vfs.File.
func (*file) Preallocate(int64, int64) error { return nil }

// Stat implements vfs.File.
func (f *file) Stat() (vfs.FileInfo, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if f.dir {
		return info{name: path.Base(f.name), dir: true}, nil
	}
	size, err := f.Size()
	return info{name: path.Base(f.name), size: size}, err
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	var err error
	if f.dir {
		err = f.files.volume.SyncDir(f.name)
	} else {
		err = f.File.Sync()
	}
	f.files.operation("sync", f.name, 0)
	return err
}

// SyncTo implements vfs.File.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

// SyncData implements vfs.File.
func (f *file) SyncData() error { return f.Sync() }

// Prefetch implements vfs.File.
func (*file) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (*file) Fd() uintptr { return vfs.InvalidFd }

// Close implements vfs.File.
func (*file) Close() error { return nil }

// info describes a file.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string         { return i.name }
func (i info) Size() int64          { return i.size }
func (i info) IsDir() bool          { return i.dir }
func (info) ModTime() time.Time     { return time.Time{} }
func (info) Sys() any               { return nil }
func (info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
func (i info) Mode() (m os.FileMode) {
	if i.dir {
		m = os.ModeDir
	}
	return m | 0o600
}
