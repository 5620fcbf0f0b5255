package wal

import (
	"errors"
	"io"
	"sync"
	"unsafe"
)

const (
	// BlockSize is what offset, length and address of a direct write are multiples of: enough for every file system and disk.
	BlockSize = 4 << 10
	// directBytes is how much is written at a time, and directLeast how much is worth not being copied for it.
	directBytes, directLeast = 1 << 20, 64 << 10
)

// Blocks is a file as its disk has it, under the page cache: it is written in whole blocks. What is written to it so, or through the cache, both see.
type Blocks interface {
	// ReaderAt reads what was written, whichever way it took.
	io.ReaderAt
	// WriteBlocks writes b, whose length and address are multiples of BlockSize, as off is; grows says that the file becomes longer by it. ErrBlocks says that the
	// disk does not take such writes: nothing has happened. After any other error some of b may be written.
	WriteBlocks(b []byte, off int64, grows bool) error
	// WriteDurably is WriteBlocks, and b is durable when it returns nil: b alone, and nothing that was written before. False says that there are no such
	// writes here, or that this one was not made as a whole: WriteBlocks has to make it.
	WriteDurably(b []byte, off int64) (taken bool, err error)
}

// ErrBlocks says that a disk does not take direct writes of blocks of BlockSize.
var ErrBlocks = errors.New("wal: the disk does not take direct writes")

// BlockWriter is what an FS needs to make a Streamer of its files: it writes a streamed file around the page cache. The log is never read from the cache by the
// one who writes it, so the cache would only cost: a page for every 4 KiB, a copy into it, and another one when zeroes were there before. The disk writes
// whole blocks: the last one is kept, to be written again with what follows, as the page cache would.
//
// It also knows whether all that was written is durable, so that a sync can be left out. It is safe for concurrent use.
type BlockWriter struct {
	mu    sync.Mutex
	file  Blocks
	size  int64  // of the file: a write that would make it longer than asked goes through the cache
	end   int64  // what is after it does not matter
	buf   []byte // aligned, of some blocks; nil while nothing is written, if it is shared
	tail  []byte // what the block that has end in it holds before end
	at    int64  // of tail in the file, -1 if tail is not known
	never bool   // the disk has refused

	// soon says that a sync follows the next write, so that it may be durable by itself; behind that something was written which is not durable yet.
	soon, behind bool
}

// NewBlockWriter returns one for a file, for Begin to be called. It gathers what it writes in buf, whose length and address are multiples of BlockSize; nil lets it
// share one of a MiB with others for as long as each writes.
func NewBlockWriter(file Blocks, buf []byte) *BlockWriter { return &BlockWriter{file: file, buf: buf} }

// Begin is Streamer.Stream, of a file of this size.
func (d *BlockWriter) Begin(size, from int64) {
	d.mu.Lock()
	d.size, d.end, d.at, d.behind, d.never = size, from, -1, true, false
	d.mu.Unlock()
}

// SyncSoon is Streamer.SyncSoon.
func (d *BlockWriter) SyncSoon() {
	d.mu.Lock()
	d.soon = true
	d.mu.Unlock()
}

// Reserve is Streamer.Reserve. It calls allocate for room for n bytes from off on, where the file ends; where that fails the writes make the file longer, and find
// out why.
func (d *BlockWriter) Reserve(size int64, allocate func(off, n int64) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if size > d.size && allocate(d.size, size-d.size) == nil {
		d.size, d.behind = size, true
	}
}

// Sync calls sync, which makes durable what was written whichever way it took, unless all that was written is durable.
func (d *BlockWriter) Sync(sync func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.behind {
		return nil
	}
	err := sync()
	d.behind = err != nil
	return err
}

// Write writes b at off if it can. False says that it has to go through the page cache, by who called, who then calls Cached; it does not matter then what Write has done.
func (d *BlockWriter) Write(b []byte, off int64) (done bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	soon := d.soon
	d.soon = false
	end := off + int64(len(b))
	if d.never || off > d.size || end < d.end || roundUp(end) > max(d.size, end) {
		d.cached()
		return false, nil
	}
	if d.buf == nil {
		d.buf = gathering.take()
		defer func() {
			gathering.put(d.buf)
			d.buf = nil
		}()
	}
	if d.tail == nil {
		d.tail = make([]byte, BlockSize)
	}
	// A write that is durable by itself says nothing of those before it, and a file that grows has more to it than its blocks.
	soon = soon && !d.behind && end <= d.size && int(off&(BlockSize-1))+len(b) <= len(d.buf)
	for len(b) > 0 {
		n, err := d.piece(b, off, soon)
		switch {
		case errors.Is(err, ErrBlocks):
			d.never = true
			d.cached()
			return false, nil
		case err != nil:
			d.at, d.behind = -1, true
			return true, err
		}
		b, off = b[n:], off+int64(n)
	}
	d.size, d.end = max(d.size, end), end
	return true, nil
}

// cached notes that a write goes through the page cache.
func (d *BlockWriter) cached() { d.at, d.behind = -1, true }

// Cached tells of a write up to end that went through the page cache and succeeded. One that failed, on a full disk, did not make the file longer: if it were taken to
// have, the next write of blocks would be, where nobody has made room for it.
func (d *BlockWriter) Cached(end int64) {
	d.mu.Lock()
	d.size = max(d.size, end)
	d.mu.Unlock()
}

// piece writes the first part of b, and says how much.
func (d *BlockWriter) piece(b []byte, off int64, durably bool) (n int, err error) {
	start := off &^ (BlockSize - 1)
	before := int(off - start)
	if before == 0 && len(b) >= min(directLeast, len(d.buf)) && !durably && isAligned(b) {
		n = min(len(b), len(d.buf)) &^ (BlockSize - 1)
		d.at = -1
		return n, d.put(b[:n], off, false)
	}
	if before > 0 {
		if d.at != start {
			k, err := d.file.ReadAt(d.tail[:before], start)
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
	last := used &^ (BlockSize - 1)
	copy(d.tail, d.buf[last:used])
	d.at = start + int64(last)
	return n, nil
}

// put writes whole blocks.
func (d *BlockWriter) put(b []byte, off int64, durably bool) error {
	if durably {
		if taken, err := d.file.WriteDurably(b, off); taken {
			return err
		}
	}
	d.behind = true
	return d.file.WriteBlocks(b, off, off+int64(len(b)) > d.size)
}

func roundUp(n int64) int64 { return (n + BlockSize - 1) &^ (BlockSize - 1) }

// gathering is the memory that writes are gathered in. A log has several files that are written now and then, and one that is written all the time: mostly there is one
// writer at a time, and each with memory of its own would keep a MiB of it for each file.
var gathering buffers

// buffers are pieces of aligned memory of directBytes that are used again, as many as were once needed at the same time, and no more than maxBuffers.
type buffers struct {
	mu   sync.Mutex
	idle [][]byte
}

const maxBuffers = 4

func (p *buffers) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		b := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return b
	}
	return aligned(directBytes)
}

func (p *buffers) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxBuffers {
		p.idle = append(p.idle, b)
	}
}

// aligned makes a slice of n bytes whose address is a multiple of BlockSize.
func aligned(n int) []byte {
	b := make([]byte, n+BlockSize)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (BlockSize - 1)
	return b[skip:][:n:n]
}

func isAligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&(BlockSize-1) == 0
}
