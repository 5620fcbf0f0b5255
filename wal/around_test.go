package wal

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// blocksOf is content that is read in blocks, and counts the reads; the one of a number fails.
type blocksOf struct {
	content []byte
	fails   int
	err     error
	made    int
}

func (f *blocksOf) ReadBlocks(b []byte, off int64) (int, error) {
	if len(b)%BlockSize != 0 || off%BlockSize != 0 || !isAligned(b) {
		return 0, errors.New("this is no read of whole blocks")
	}
	if f.made++; f.made-1 == f.fails && f.err != nil {
		return 0, f.err
	}
	n, err := bytes.NewReader(f.content).ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// TestAnyPartOfAFileIsReadInBlocks: wherever it begins and ends, whether the memory is aligned or not, and where the disk refuses some of the reads.
func TestAnyPartOfAFileIsReadInBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 40*BlockSize+77)
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	for range 2000 {
		f := &blocksOf{content: content, fails: rng.IntN(6)}
		if rng.IntN(2) == 0 {
			f.err = ErrBlocks
		}
		r := NewBlockReader(f, bytes.NewReader(content), aligned((1+rng.IntN(4))*BlockSize), 1)
		off := rng.IntN(len(content) + BlockSize)
		if rng.IntN(3) == 0 {
			off &^= BlockSize - 1
		}
		skip := rng.IntN(2) * rng.IntN(BlockSize)
		b := aligned(48 * BlockSize)[skip:][:rng.IntN(44*BlockSize)]
		n, err := r.ReadAt(b, int64(off))
		want := content[min(off, len(content)):min(off+len(b), len(content))]
		if !bytes.Equal(b[:n], want) || (err == io.EOF) != (n < len(b)) || err != nil && err != io.EOF {
			t.Fatalf("%d bytes at %d of %d, into memory at %d of a block: %d, %v", len(b), off, len(content), skip, n, err)
		}
	}
}

// TestAReadInBlocksThatFailsSaysHowMuchIsThere: what comes before it is there, and nothing is read another way.
func TestAReadInBlocksThatFailsSaysHowMuchIsThere(t *testing.T) {
	broken := errors.New("input/output error")
	content := bytes.Repeat([]byte("0123456789abcdef"), 2*BlockSize)
	f := &blocksOf{content: content, fails: 3, err: broken}
	r := NewBlockReader(f, nil, aligned(BlockSize), 1)
	b := make([]byte, 6*BlockSize)
	n, err := r.ReadAt(b[:len(b)-1], 100)
	if !errors.Is(err, broken) || n != 3*BlockSize-100 || !bytes.Equal(b[:n], content[100:][:n]) {
		t.Fatalf("%d bytes, %v", n, err)
	}
}
