package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// aroundBytes is how much is read around the page cache at a time: little enough that the system queues it in no time.
const aroundBytes = 1 << 20

// aroundReader reads a file around the page cache (O_DIRECT). What is read once costs a page, a copy and a place in the cache for every 4 KiB otherwise, reading
// ahead keeps the disk from the log, and what the cache has need not be what the disk has.
type aroundReader struct {
	file   *os.File // the owner's, for what cannot be read so
	direct *os.File // opened anew
	bounce []byte   // aligned, for what is not
}

// Around implements Bypass.
func (f *osFile) Around() ReadCloserAt {
	// The name may have changed since; the descriptor has not.
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return within{f}
	}
	return &aroundReader{file: f.File, direct: direct}
}

// Close implements io.Closer.
func (r *aroundReader) Close() error { return r.direct.Close() }

// ReadAt implements io.ReaderAt.
func (r *aroundReader) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		if rest, at := b[n:], off+int64(n); at&(BlockSize-1) == 0 && len(rest) >= 2*aroundBytes && isAligned(rest) {
			k, err = r.pieces(rest, at)
		} else {
			k, err = r.piece(rest, at)
		}
		n += k
	}
	return n, err
}

// atOnce is how many pieces are read at the same time where there are many: a disk that is asked for one thing after the other is idle in between.
const atOnce = 4

// pieces reads the first parts of b at once, and says how much of them is there without a gap.
func (r *aroundReader) pieces(b []byte, off int64) (n int, err error) {
	var wait sync.WaitGroup
	var got [atOnce]int
	var failed [atOnce]error
	count := min(atOnce, len(b)/aroundBytes)
	for i := range count {
		from := i * aroundBytes
		wait.Go(func() { got[i], failed[i] = r.piece(b[from:from+aroundBytes], off+int64(from)) })
	}
	wait.Wait()
	for i := range count {
		if n += got[i]; failed[i] != nil || got[i] < aroundBytes {
			return n, failed[i]
		}
	}
	return n, nil
}

// piece reads the first part of b, and says how much. Whole blocks into aligned memory come from the disk where they belong.
func (r *aroundReader) piece(b []byte, off int64) (int, error) {
	skip := int(off & (BlockSize - 1))
	whole := b[:min(len(b), aroundBytes)&^(BlockSize-1)]
	if skip > 0 || len(whole) == 0 || !isAligned(b) {
		if head := BlockSize - skip; skip > 0 && len(b) >= head+directLeast && isAligned(b[head:]) {
			b = b[:head] // and the rest comes to where it belongs
		}
		if r.bounce == nil {
			r.bounce = aligned(256 << 10)
		}
		whole = r.bounce[:min(int64(len(r.bounce)), roundUp(int64(skip+len(b))))]
	}
	n, err := r.blocks(whole, off-int64(skip))
	if errors.Is(err, syscall.EINVAL) {
		return r.file.ReadAt(b, off) // this disk wants larger blocks
	}
	if &whole[0] != &b[0] {
		n = copy(b, whole[min(skip, n):n])
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// blocks reads whole blocks, fewer only where the file ends.
func (r *aroundReader) blocks(b []byte, off int64) (int, error) {
	if w := takeAsync(); w != nil {
		defer w.release()
		// Memory that was never used has no pages yet. Here the scheduler can interrupt their making, in the system call it could not.
		for i := 0; i < len(b); i += BlockSize {
			b[i] = 0
		}
		if n, taken, err := w.read(r.direct, b, off); taken {
			return n, err
		}
	}
	n, err := r.direct.ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}
