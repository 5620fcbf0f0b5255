package sim

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/balsa-raft/balsa/wal"
)

// errBroken is what a disk says that was made to fail.
var errBroken = errors.New("input/output error")

// opKinds of a disk, for faults that wait for one.
const (
	opSync   = "sync"
	opWrites = "write"
	opReads  = "read"
)

// Where a host keeps its log and its snapshots.
const (
	logDir      = "wal"
	snapshotDir = "snap"
	// originalFile tells the log from a copy of it.
	originalFile = logDir + "/ORIGINAL"
)

// disk is a host's stable storage: a file system that forgets, when the power goes, what was not synced, behind a layer that can end the process at
// any operation, fail, and lie.
type disk struct {
	*sectors
	host *host
	// crashIn is how many more changing operations the process gets to do; 0 for any number.
	crashIn int
	// killed says that the process alone ends then, and not the machine, restored that it is because of a snapshot that it took over.
	killed, restored bool
	// trap ends the process at the next operation of a kind, with a loss of power of a kind.
	trap trap
	// failing counts down to the operation of a kind that fails; lying to the write that goes astray.
	failing map[string]*countdown
	lying   *countdown
	// guilty says that the disk was made to fail, so that a process that stops or does not start is right to.
	guilty bool
	// liar says that the disk acknowledges what it does not do: see Lie.
	liar bool
	// astray are writes that the disk took and did not do, which nothing after them has made known yet.
	astray []*strayWrite
	// writes is how it takes direct writes, and scratch what they are gathered in: see direct.go.
	writes  string
	scratch []byte
	bounce  []byte // for what is read around the cache
	// cut says that the power goes in the middle of the sync that is running.
	cut bool
	// newer is a segment that a newer version of the program has written, for which a start is refused.
	newer *sectorFile
	// backup says that what is on it was put back from an old backup.
	backup bool
	// rotten is what was damaged on purpose: see damage.go.
	rotten []*damage
}

// countdown is a fault that waits for its moment.
type countdown struct {
	fault string
	left  int
	rng   *stream
}

// trap is a crash that waits for its moment.
type trap struct {
	fault string
	kind  string // of the operation; "" is none
	loss  lossKind
	loop  *loop // what follows, nil for nothing
}

func newDisk(h *host) *disk {
	return &disk{sectors: newSectors(), host: h, failing: map[string]*countdown{}, writes: h.world.regime.writes(int(h.id))}
}

// operation counts a changing operation, before it is done.
func (d *disk) operation(what, name string) {
	if begins := d.host.world.conditions.operation; begins != nil {
		begins(d.host, what, name)
	}
	if d.crashIn > 0 {
		if d.crashIn--; d.crashIn == 0 {
			panic(crashing{fault: d.crashFault(), at: what + " " + name, alone: d.killed})
		}
	}
}

// crashFault names the fault that ends the process at an operation.
func (d *disk) crashFault() string {
	switch {
	case d.host.loop != nil:
		return crashLoop
	case d.restored:
		return restoredCrash
	case d.killed:
		return killInIO
	}
	return crashInIO
}

// fails tells whether an operation is the one that has to fail.
func (d *disk) fails(kind, name string) error {
	c := d.failing[kind]
	if c == nil {
		return nil
	}
	if c.left--; c.left > 0 {
		return nil
	}
	delete(d.failing, kind)
	d.guilty = true
	d.host.world.counts.effective(c.fault)
	d.host.note(noteFault, "%s: %s of %s fails", c.fault, kind, name)
	return fmt.Errorf("%s %s: %w", kind, name, errBroken)
}

// springs ends the process if an operation is the one that it had to get to.
func (d *disk) springs(kind, name string) {
	if d.trap.kind != kind {
		return
	}
	t := d.trap
	d.trap = trap{}
	panic(crashing{fault: t.fault, at: kind + " " + name, loss: t.loss, loop: t.loop})
}

// crash is the process ending: with the power, so that what was not synced is lost or some of it, or alone.
func (d *disk) crash(power bool, kind lossKind) loss {
	d.crashIn, d.restored, d.trap, d.guilty = 0, false, trap{}, false
	clear(d.failing)
	d.lying = nil
	if !power {
		return loss{}
	}
	d.forgive()
	if d.host.world.steering != nil {
		d.sectors.forget()
		return loss{}
	}
	if fate := d.host.world.conditions.fate; fate != nil {
		return d.sectors.crashAs(fate(d.host))
	}
	l := d.sectors.crash(d.host.losses.Rand, kind)
	if l.any {
		d.host.world.counts.effective("unsynced loss")
	}
	return l
}

// heal ends what was planned for the disk; what is damaged stays so.
func (d *disk) heal() {
	d.crashIn, d.restored, d.trap, d.lying, d.capacity = 0, false, trap{}, nil, 0
	clear(d.failing)
	d.forgive()
}

// segments lists the files of the log, the oldest first; snapshots those of complete snapshots.
func (d *disk) segments() []string {
	return d.sorted(func(name string) bool { return strings.HasSuffix(name, ".wal") })
}

func (d *disk) snapshots() []string {
	return d.sorted(func(name string) bool { return strings.HasSuffix(name, ".snap") })
}

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
		return &diskFile{openFile: f.(*openFile), disk: d, name: name}, nil
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
	if err := d.fails(opSync, dir); err != nil {
		return err
	}
	if d.liar {
		return nil
	}
	return d.sectors.SyncDir(dir)
}

// Free implements wal.FS.
func (d *disk) Free(dir string) (uint64, error) {
	free, err := d.sectors.Free(dir)
	if d.capacity > 0 && free < uint64(d.host.world.regime.Segment) {
		d.host.world.counts.effective(fullDisk)
	}
	return free, err
}

// Lock implements wal.FS. A process that crashed holds no locks.
func (d *disk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// diskFile is an open file.
type diskFile struct {
	*openFile
	disk *disk
	name string
	// direct writes the file around the page cache while it is streamed. asked is what it was asked to write, and appending where that begins, -1 if it only
	// makes room.
	direct    *wal.BlockWriter
	asked     span
	appending int64
}

// ReadAt implements wal.File.
func (f *diskFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.disk.fails(opReads, f.name); err != nil {
		return 0, err
	}
	f.disk.seen(f.sectorFile, offset, int64(len(p)), false)
	return f.openFile.ReadAt(p, offset)
}

// WriteAt implements wal.File.
func (f *diskFile) WriteAt(p []byte, offset int64) (int, error) {
	switch done, err := f.writeStreamed(p, offset); {
	case err != nil:
		return 0, err
	case done:
		return len(p), nil
	}
	f.disk.operation("write", f.name)
	if err := f.disk.fails(opWrites, f.name); err != nil {
		return 0, err
	}
	n, err := f.openFile.WriteAt(p, offset)
	if errors.Is(err, wal.ErrNoSpace) {
		f.disk.host.world.counts.effective(fullDisk)
	}
	if err != nil {
		return n, err
	}
	if f.direct != nil {
		f.direct.Cached(offset + int64(n))
	}
	f.disk.overwritten(f.sectorFile, offset, int64(len(p)))
	f.disk.rewritten(f.sectorFile, offset, int64(len(p)))
	if !zero(p) {
		if len(p) > sectorSize {
			f.disk.springs(opWrites, f.name)
		}
		f.disk.strays(f, p, offset)
	}
	return n, nil
}

// Truncate implements wal.File.
func (f *diskFile) Truncate(size int64) error {
	f.direct = nil
	f.disk.operation("truncate", f.name)
	return f.openFile.Truncate(size)
}

// Sync implements wal.File.
func (f *diskFile) Sync() error {
	if f.direct != nil {
		return f.direct.Sync(f.sync)
	}
	return f.sync()
}

func (f *diskFile) sync() error {
	f.disk.operation("sync", f.name)
	f.disk.cutShort(f.name)
	f.springsPartly()
	if err := f.disk.fails(opSync, f.name); err != nil {
		f.syncFailed()
		return err
	}
	if f.disk.liar {
		return nil
	}
	proof := f.first
	if err := f.openFile.Sync(); err != nil {
		return err
	}
	f.disk.synced(f.sectorFile, proof)
	return nil
}

// springsPartly ends the process in the middle of a sync, if that is the one that has to be done in part.
func (f *diskFile) springsPartly() {
	t := &f.disk.trap
	if t.kind == opSync && (t.loss == lossReordered && len(f.disk.dirtyWrites()) > 1 || t.loss != lossReordered && len(f.dirty) > 1) {
		f.disk.springs(opSync, f.name)
	}
}
