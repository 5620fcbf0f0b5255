package sim

import (
	"io"

	"github.com/balsa-raft/balsa/wal"
)

// disk is a host's stable storage: a file system that forgets at a crash what was not synced, behind a layer that can crash
// the process at any operation.
type disk struct {
	*sectors
	host *host
	// crashIn is how many more changing operations the process gets to do; 0 for any number.
	crashIn int
	// guilty says that the disk was made to fail, so that a process that stops or does not start is right to.
	guilty bool
}

func newDisk(h *host) *disk { return &disk{sectors: newSectors(), host: h} }

// operation counts a changing operation, before it is done.
func (d *disk) operation(what, name string) {
	if d.crashIn == 0 {
		return
	}
	d.crashIn--
	if d.crashIn == 0 {
		panic(crashing{at: what + " " + name})
	}
}

// crash loses what was not synced.
func (d *disk) crash() {
	d.crashIn = 0
	d.guilty = false
	if d.host.world.steering != nil {
		d.sectors.forget()
		return
	}
	if d.sectors.crash(d.host.losses.Rand) {
		d.host.world.counts.effective("unsynced loss")
	}
}

func (d *disk) heal() { d.crashIn = 0 }

// Create implements wal.FS.
func (d *disk) Create(name string) (wal.File, error) {
	d.operation("create", name)
	return d.wrap(name)(d.sectors.Create(name))
}

// Open implements wal.FS.
func (d *disk) Open(name string) (wal.File, error) { return d.wrap(name)(d.sectors.Open(name)) }

func (d *disk) wrap(name string) func(wal.File, error) (wal.File, error) {
	return func(f wal.File, err error) (wal.File, error) {
		if err != nil {
			return nil, err
		}
		return &diskFile{File: f, disk: d, name: name}, nil
	}
}

// Remove implements wal.FS.
func (d *disk) Remove(name string) error {
	d.operation("remove", name)
	return d.sectors.Remove(name)
}

// Rename implements wal.FS.
func (d *disk) Rename(from, to string) error {
	d.operation("rename", from)
	return d.sectors.Rename(from, to)
}

// SyncDir implements wal.FS.
func (d *disk) SyncDir(dir string) error {
	d.operation("sync the directory", dir)
	return d.sectors.SyncDir(dir)
}

// Lock implements wal.FS. A process that crashed holds no locks.
func (d *disk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// diskFile is an open file.
type diskFile struct {
	wal.File
	disk *disk
	name string
}

// WriteAt implements wal.File.
func (f *diskFile) WriteAt(p []byte, offset int64) (int, error) {
	f.disk.operation("write", f.name)
	return f.File.WriteAt(p, offset)
}

// Truncate implements wal.File.
func (f *diskFile) Truncate(size int64) error {
	f.disk.operation("truncate", f.name)
	return f.File.Truncate(size)
}

// Sync implements wal.File.
func (f *diskFile) Sync() error {
	f.disk.operation("sync", f.name)
	return f.File.Sync()
}
