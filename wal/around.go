package wal

import (
	"errors"
	"io"
	"sync"
)

// Bypass is a File that can be read around its system's page cache.
type Bypass interface {
	// Around returns a reader of what is in the file. Who reads much, once, from front to back, has it faster and pushes nothing out of memory. It reads best
	// into memory of a page or more, at offsets that are multiples of one; it is one goroutine's, and closed before the file is.
	Around() ReadCloserAt
	// Worth tells whether it is worth it for so many bytes.
	Worth(bytes int) bool
	// Meanwhile calls read, which reads the file, and may return before that has ended. What it returns waits for the end.
	Meanwhile(read func()) (wait func())
	// Memory returns so many bytes that are good to read much into, of no particular content. They are not the collector's: free gives them back.
	Memory(n int) (b []byte, free func())
}

// memory is what is read into. It is used again, and given back with release, when nothing refers to it any more.
type memory struct {
	bytes []byte
	free  func()
}

// room makes the memory n bytes long, of no particular content, for the file to be read into.
func (m *memory) room(f File, n int64) []byte {
	if int64(cap(m.bytes)) < n {
		m.release()
		if b, ok := f.(Bypass); ok {
			m.bytes, m.free = b.Memory(int(n))
		} else {
			m.bytes = make([]byte, n)
		}
	}
	m.bytes = m.bytes[:n]
	return m.bytes
}

func (m *memory) release() {
	if m.free != nil {
		m.free()
	}
	*m = memory{}
}

// ReadCloserAt reads until it is closed.
type ReadCloserAt interface {
	io.ReaderAt
	io.Closer
}

// Around returns a reader of the file that goes around the page cache if the file can do that.
func Around(f File) ReadCloserAt {
	if b, ok := f.(Bypass); ok {
		return b.Around()
	}
	return within{f}
}

// within reads a file as it always is read.
type within struct{ io.ReaderAt }

// Close implements io.Closer: the file is its owner's.
func (within) Close() error { return nil }

// readOnce is ReadAt for what nobody reads again soon. What the log writes goes around the page cache, so that a read through it would have to bring everything in first.
func readOnce(f File, b []byte, off int64) (int, error) {
	if p, ok := f.(Bypass); !ok || !p.Worth(len(b)) {
		return f.ReadAt(b, off)
	}
	around := Around(f)
	n, err := around.ReadAt(b, off)
	return n, errors.Join(err, around.Close())
}

// muchToRead is from how many bytes on it is worth going around the page cache for them.
const muchToRead = 64 << 10

// aroundBytes is how much is read around the page cache at a time: little enough that the system queues it in no time.
const aroundBytes = 1 << 20

// BlocksReader reads a file under the page cache, in whole blocks.
type BlocksReader interface {
	// ReadBlocks reads b, whose length and address are multiples of BlockSize, as off is; less of it only where the file ends, which is no error. ErrBlocks says that
	// the disk does not take such reads.
	ReadBlocks(b []byte, off int64) (int, error)
}

// BlockReader is what an FS needs to make a Bypass of its files: it reads any part of a file in blocks. It is one goroutine's.
type BlockReader struct {
	blocks BlocksReader
	cached io.ReaderAt // for what cannot be read so
	bounce []byte      // aligned, for what is not
	atOnce int
}

// NewBlockReader returns one that reads from cached where blocks refuses. What is not aligned comes in bounce, whose length and address are multiples of BlockSize; nil lets it
// make one when it first needs it. Where there is much to read it reads so many pieces at once, each on a goroutine of its own.
func NewBlockReader(blocks BlocksReader, cached io.ReaderAt, bounce []byte, atOnce int) *BlockReader {
	return &BlockReader{blocks: blocks, cached: cached, bounce: bounce, atOnce: atOnce}
}

// ReadAt implements io.ReaderAt.
func (r *BlockReader) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		if rest, at := b[n:], off+int64(n); r.atOnce > 1 && at&(BlockSize-1) == 0 && len(rest) >= 2*aroundBytes && isAligned(rest) {
			k, err = r.pieces(rest, at)
		} else {
			k, err = r.piece(rest, at)
		}
		n += k
	}
	return n, err
}

// pieces reads the first parts of b at once, and says how much of them is there without a gap.
func (r *BlockReader) pieces(b []byte, off int64) (n int, err error) {
	var wait sync.WaitGroup
	count := min(r.atOnce, len(b)/aroundBytes)
	got, failed := make([]int, count), make([]error, count)
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
func (r *BlockReader) piece(b []byte, off int64) (int, error) {
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
	n, err := r.blocks.ReadBlocks(whole, off-int64(skip))
	if errors.Is(err, ErrBlocks) {
		return r.cached.ReadAt(b, off)
	}
	if &whole[0] != &b[0] {
		n = copy(b, whole[min(skip, n):n])
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}
