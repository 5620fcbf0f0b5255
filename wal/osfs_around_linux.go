package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// readsAtOnce is how many pieces are read at the same time where there are many: a disk that is asked for one thing after the other is idle in between.
const readsAtOnce = 4

// aroundReader reads a file around the page cache (O_DIRECT). What is read once costs a page, a copy and a place in the cache for every 4 KiB otherwise, reading
// ahead keeps the disk from the log, and what the cache has need not be what the disk has.
type aroundReader struct {
	*BlockReader
	io.Closer
}

// directReader reads a file that was opened anew for it.
type directReader struct{ *os.File }

// Around implements Bypass.
func (f *osFile) Around() ReadCloserAt {
	// The name may have changed since; the descriptor has not.
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return within{f}
	}
	return aroundReader{NewBlockReader(directReader{direct}, f.File, nil, readsAtOnce), direct}
}

// Worth implements Bypass.
func (f *osFile) Worth(bytes int) bool { return bytes >= muchToRead }

// Meanwhile implements Bypass.
func (f *osFile) Meanwhile(read func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		read()
	}()
	return func() { <-done }
}

// ReadBlocks implements BlocksReader.
func (r directReader) ReadBlocks(b []byte, off int64) (int, error) {
	n, err := r.read(b, off)
	switch {
	case errors.Is(err, syscall.EINVAL):
		err = ErrBlocks // this disk wants larger blocks
	case err == io.EOF:
		err = nil
	}
	return n, err
}

func (r directReader) read(b []byte, off int64) (int, error) {
	if w := takeAsync(); w != nil {
		defer w.release()
		// Memory that was never used has no pages yet. Here the scheduler can interrupt their making, in the system call it could not.
		for i := 0; i < len(b); i += BlockSize {
			b[i] = 0
		}
		if n, taken, err := w.read(r.File, b, off); taken {
			return n, err
		}
	}
	return r.File.ReadAt(b, off)
}
