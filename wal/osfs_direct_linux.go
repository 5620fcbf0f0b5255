package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directBlock is what offset, length and address of a direct write are multiples of: enough for every file system and disk.
	directBlock = 4 << 10
	// directBytes is how much is written at a time, and directLeast how much is worth not being copied for it.
	directBytes, directLeast = 1 << 20, 64 << 10
)

// directWriter writes a streamed file around the page cache (O_DIRECT). The log is never read from the cache by the one who writes it, so the cache
// would only cost: a page for every 4 KiB, a copy into it, and another one when zeroes were there before. The disk writes whole blocks: the last one
// is kept, to be written again with what follows, as the page cache would.
type directWriter struct {
	mu   sync.Mutex
	file *os.File // opened anew, for direct writes
	size int64    // of the file: a write that would make it longer than asked goes through the cache
	end  int64    // what is after it does not matter
	buf  []byte   // aligned, of directBytes
	tail []byte   // what the block that has end in it holds before end
	at   int64    // of tail in the file, -1 if tail is not known

	// soon says that a sync follows the next write, so that it may be durable by itself; behind that something was written which is not durable yet.
	soon, behind bool
}

// Stream implements Streamer.
func (f *osFile) Stream(from int64) {
	size, err := f.Size()
	if err != nil {
		return // the next write finds out
	}
	d := f.direct.Load()
	if d == nil {
		d = &directWriter{}
		// The name may have changed since; the descriptor has not.
		if d.file, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|syscall.O_DIRECT, 0); err != nil {
			return
		}
	}
	d.mu.Lock()
	d.size, d.end, d.at, d.behind = size, from, -1, true
	d.mu.Unlock()
	f.direct.Store(d)
}

// StreamDone implements Streamer.
func (f *osFile) StreamDone() error { return f.direct.Swap(nil).close() }

// SyncSoon implements Streamer.
func (f *osFile) SyncSoon() {
	if d := f.direct.Load(); d != nil {
		d.mu.Lock()
		d.soon = true
		d.mu.Unlock()
	}
}

// Reserve implements Streamer.
func (f *osFile) Reserve(size int64) {
	d := f.direct.Load()
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Where that fails the writes make the file longer, and find out why.
	if size > d.size && unix.Fallocate(int(f.Fd()), 0, d.size, size-d.size) == nil {
		d.size, d.behind = size, true
	}
}

// Sync is fdatasync, unless all that was written is durable. Times of access and change are not worth a journal commit.
func (f *osFile) Sync() error {
	d := f.direct.Load()
	if d == nil {
		return f.fdatasync()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.behind {
		return nil
	}
	err := f.fdatasync()
	d.behind = err != nil
	return err
}

func (d *directWriter) close() error {
	if d == nil {
		return nil
	}
	return d.file.Close()
}

// write writes b at off if it can, and tells so; else nothing has happened.
func (d *directWriter) write(f *os.File, b []byte, off int64) (done bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	soon := d.soon
	d.soon = false
	end := off + int64(len(b))
	if off > d.size || end < d.end || roundUp(end) > max(d.size, end) {
		d.size, d.at, d.behind = max(d.size, end), -1, true
		return false, nil
	}
	if d.buf == nil {
		d.buf, d.tail = aligned(directBytes), make([]byte, directBlock)
	}
	// A write that is durable by itself says nothing of those before it, and a file that grows has more to it than its blocks.
	soon = soon && !d.behind && end <= d.size && int(off&(directBlock-1))+len(b) <= directBytes
	for len(b) > 0 {
		n, err := d.piece(f, b, off, soon)
		if err != nil {
			d.at, d.behind = -1, true
			return true, err
		}
		b, off = b[n:], off+int64(n)
	}
	d.size, d.end = max(d.size, end), end
	return true, nil
}

// piece writes the first part of b, and says how much.
func (d *directWriter) piece(f *os.File, b []byte, off int64, durably bool) (n int, err error) {
	start := off &^ (directBlock - 1)
	before := int(off - start)
	if before == 0 && len(b) >= directLeast && !durably && isAligned(b) {
		n = min(len(b), directBytes) &^ (directBlock - 1)
		d.at = -1
		return n, d.put(b[:n], off, false)
	}
	if before > 0 {
		if d.at != start {
			k, err := f.ReadAt(d.tail[:before], start)
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			clear(d.tail[k:before])
		}
		copy(d.buf, d.tail[:before])
	}
	n = copy(d.buf[before:], b)
	used := before + n
	padded := int(roundUp(int64(used)))
	clear(d.buf[used:padded])
	if err := d.put(d.buf[:padded], start, durably); err != nil {
		return 0, err
	}
	last := used &^ (directBlock - 1)
	copy(d.tail, d.buf[last:used])
	d.at = start + int64(last)
	return n, nil
}

// put writes whole blocks, asynchronously if the file does not become longer by it: else the system would wait all the same.
func (d *directWriter) put(b []byte, off int64, durably bool) error {
	if off+int64(len(b)) <= d.size {
		if w := takeAsync(); w != nil {
			defer w.release()
			if taken, err := w.write(d.file, b, off, durably); taken {
				d.behind = d.behind || !durably
				return err
			}
		}
	}
	d.behind = true
	_, err := d.file.WriteAt(b, off)
	return err
}

func roundUp(n int64) int64 { return (n + directBlock - 1) &^ (directBlock - 1) }

// aligned makes a slice of n bytes whose address is a multiple of directBlock.
func aligned(n int) []byte {
	b := make([]byte, n+directBlock)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (directBlock - 1)
	return b[skip:][:n:n]
}

func isAligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&(directBlock-1) == 0
}
