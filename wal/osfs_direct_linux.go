package wal

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// directFile is a file that is opened a second time, for direct writes (O_DIRECT).
type directFile struct {
	*BlockWriter
	file   *os.File
	cached *os.File
}

// Stream implements Streamer.
func (f *osFile) Stream(from int64) {
	size, err := f.Size()
	if err != nil {
		return // the next write finds out
	}
	d := f.direct.Load()
	if d == nil {
		d = &directFile{cached: f.File}
		// The name may have changed since; the descriptor has not.
		if d.file, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|syscall.O_DIRECT, 0); err != nil {
			return
		}
		d.BlockWriter = NewBlockWriter(d, nil)
	}
	d.Begin(size, from)
	f.direct.Store(d)
}

// StreamDone implements Streamer.
func (f *osFile) StreamDone() error { return f.direct.Swap(nil).close() }

// SyncSoon implements Streamer.
func (f *osFile) SyncSoon() {
	if d := f.direct.Load(); d != nil {
		d.SyncSoon()
	}
}

// Reserve implements Streamer.
func (f *osFile) Reserve(size int64) {
	if d := f.direct.Load(); d != nil {
		d.Reserve(size, func(off, n int64) error { return unix.Fallocate(int(f.Fd()), 0, off, n) })
	}
}

// Sync is fdatasync, unless all that was written is durable. Times of access and change are not worth a journal commit.
func (f *osFile) Sync() error {
	if d := f.direct.Load(); d != nil {
		return d.Sync(f.fdatasync)
	}
	return f.fdatasync()
}

func (d *directFile) close() error {
	if d == nil {
		return nil
	}
	return d.file.Close()
}

// ReadAt implements Blocks.
func (d *directFile) ReadAt(b []byte, off int64) (int, error) { return d.cached.ReadAt(b, off) }

// WriteBlocks implements Blocks, asynchronously if the file does not become longer by it: else the system would wait all the same.
func (d *directFile) WriteBlocks(b []byte, off int64, grows bool) error {
	if !grows {
		if taken, err := d.writeAsync(b, off, false); taken {
			return err
		}
	}
	_, err := d.file.WriteAt(b, off)
	return refused(err)
}

// WriteDurably implements Blocks, asynchronously.
func (d *directFile) WriteDurably(b []byte, off int64) (taken bool, err error) {
	return d.writeAsync(b, off, true)
}

func (d *directFile) writeAsync(b []byte, off int64, durably bool) (taken bool, err error) {
	w := takeAsync()
	if w == nil {
		return false, nil
	}
	defer w.release()
	taken, err = w.write(d.file, b, off, durably)
	return taken, refused(err)
}

// refused makes ErrBlocks of the system's way to say so: a disk of larger blocks, or a file system without direct writes that says so only now.
func refused(err error) error {
	if errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("%w: %w", ErrBlocks, err)
	}
	return err
}
