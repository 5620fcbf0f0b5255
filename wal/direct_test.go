package wal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

// blockFile is a file of which direct writes are made to fail. What is written reaches content; what is durable of it the tests ask BlockWriter.
type blockFile struct {
	content []byte
	durably bool // it has writes that are durable by themselves
	// fails has the write of a number, from 0 on, fail: after half of it, or before anything of it if whole is set.
	fails int
	err   error
	whole bool
	made  int
}

func (f *blockFile) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(f.content).ReadAt(b, off)
}

func (f *blockFile) WriteAt(b []byte, off int64) {
	if grow := int(off) + len(b) - len(f.content); grow > 0 {
		f.content = append(f.content, make([]byte, grow)...)
	}
	copy(f.content[off:], b)
}

func (f *blockFile) WriteBlocks(b []byte, off int64, _ bool) error {
	if len(b)%BlockSize != 0 || off%BlockSize != 0 {
		return errors.New("this is no write of whole blocks")
	}
	if f.made++; f.made-1 == f.fails && f.err != nil {
		if !f.whole {
			f.WriteAt(b[:len(b)/2], off)
		}
		return f.err
	}
	f.WriteAt(b, off)
	return nil
}

func (f *blockFile) WriteDurably(b []byte, off int64) (bool, error) {
	if !f.durably {
		return false, nil
	}
	return true, f.WriteBlocks(b, off, false)
}

// TestADiskThatRefusesBlocksIsWrittenThroughTheCache: a disk may say at any write that it does not take such, at the first or in the middle of a large one. All of it
// is written through the cache then, and so is what follows, until the file is streamed anew; and it is durable only with a sync.
func TestADiskThatRefusesBlocksIsWrittenThroughTheCache(t *testing.T) {
	for fails := range 12 {
		for _, durably := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(uint64(fails), 0))
			f := &blockFile{content: make([]byte, 64*BlockSize), durably: durably, fails: fails, err: ErrBlocks, whole: true}
			d := NewBlockWriter(f, aligned(2*BlockSize))
			d.Begin(int64(len(f.content)), 0)
			if err := d.Sync(func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			var want []byte
			refused := false
			for len(want) < 48*BlockSize {
				b := make([]byte, 1+rng.IntN(5*BlockSize))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				d.SyncSoon()
				done, err := d.Write(b, int64(len(want)))
				if err != nil {
					t.Fatal(err)
				}
				if refused = refused || !done; refused && done {
					t.Fatal("a disk that had refused was asked again")
				}
				if !done {
					f.WriteAt(b, int64(len(want)))
				}
				want = append(want, b...)
				synced := false
				if err := d.Sync(func() error { synced = true; return nil }); err != nil {
					t.Fatal(err)
				}
				if !done && !synced {
					t.Fatal("a write through the cache was taken for durable")
				}
			}
			if !refused {
				t.Fatalf("there were only %d direct writes", f.made)
			}
			if !bytes.Equal(f.content[:len(want)], want) {
				t.Fatalf("refused at write %d: the file is not what was written to it", fails)
			}
			f.fails = -1
			d.Begin(int64(len(f.content)), int64(len(want)))
			if done, err := d.Write([]byte("more"), int64(len(want))); !done || err != nil {
				t.Errorf("a file that is streamed anew is not: %v, %v", done, err)
			}
			if want = append(want, "more"...); !bytes.Equal(f.content[:len(want)], want) {
				t.Error("what was streamed anew is not what was written")
			}
		}
	}
}

// TestAFailedWriteIsToldAndIsNotDurable: the disk fails in the middle of a direct write, of one piece of several, or says so when it completes one that was to be durable.
// The error is the one it gave; a sync is needed from then on; and what is written next reads its first block anew, since nobody knows what it holds.
func TestAFailedWriteIsToldAndIsNotDurable(t *testing.T) {
	for _, durably := range []bool{false, true} {
		for _, bytesWritten := range []int{100, BlockSize, 5 * BlockSize} {
			f := &blockFile{content: make([]byte, 64*BlockSize), durably: durably, fails: -1, err: syscall.EIO}
			d := NewBlockWriter(f, aligned(2*BlockSize))
			d.Begin(int64(len(f.content)), 0)
			write := func(n int, off int64) error {
				d.SyncSoon()
				done, err := d.Write(bytes.Repeat([]byte("abc"), n)[:n], off)
				if !done {
					t.Fatal("it was not written around the cache")
				}
				return err
			}
			if err := errors.Join(write(1000, 0), d.Sync(func() error { return nil }), write(1000, 1000), d.Sync(func() error { return nil })); err != nil {
				t.Fatal(err)
			}
			f.fails = f.made
			if err := write(bytesWritten, 2000); !errors.Is(err, syscall.EIO) {
				t.Errorf("a write of %d bytes that failed was told to have ended with: %v", bytesWritten, err)
			}
			failed := errors.New("the sync failed, too")
			for range 2 {
				if err := d.Sync(func() error { return failed }); !errors.Is(err, failed) {
					t.Error("after a write that failed, what is on the disk is taken for durable")
				}
			}
			// Somebody else changes what was before it, as a disk that did something else would.
			f.content[1999] = '!'
			before := slices.Clone(f.content[:2000])
			if err := write(50, 2000); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.content[:2000], before) {
				t.Error("the block of a write that failed is written again as it was before, and not as the disk has it")
			}
		}
	}
}

// TestAWriteThatWasNotMadeAsAWholeIsMadeAgain: a write that was to be durable ends early, as one on a full disk does. The one that follows tells why.
func TestAWriteThatWasNotMadeAsAWholeIsMadeAgain(t *testing.T) {
	f := &earlyFile{blockFile{content: make([]byte, 8*BlockSize), fails: -1}}
	d := NewBlockWriter(f, nil)
	d.Begin(int64(len(f.content)), 0)
	if err := d.Sync(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("abc"), 3000)
	d.SyncSoon()
	if done, err := d.Write(want, 0); !done || err != nil {
		t.Fatal(done, err)
	}
	synced := false
	if err := d.Sync(func() error { synced = true; return nil }); err != nil || !synced {
		t.Errorf("it is taken for durable: %v", err)
	}
	if !bytes.Equal(f.content[:len(want)], want) {
		t.Error("it is not there")
	}
	f.fails, f.err = f.made, syscall.ENOSPC
	d.SyncSoon()
	if _, err := d.Write(want, int64(len(want))); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("why it ended early is not told: %v", err)
	}
}

// earlyFile is a file whose durable writes end after a part of them.
type earlyFile struct{ blockFile }

func (f *earlyFile) WriteDurably(b []byte, off int64) (bool, error) {
	f.WriteAt(b[:len(b)/2], off)
	return false, nil
}

// TestAWriteThroughTheCacheThatFailedMakesNoRoom: on a full disk a file cannot be made longer through the cache either. What the writer has to know is how long it is, or
// it would later write a block beyond its end, where nobody has made room, and fail at a batch that was taken.
func TestAWriteThroughTheCacheThatFailedMakesNoRoom(t *testing.T) {
	f := &blockFile{content: make([]byte, BlockSize+100), fails: -1}
	d := NewBlockWriter(f, aligned(2*BlockSize))
	d.Begin(int64(len(f.content)), 0)
	if done, err := d.Write(make([]byte, 2*BlockSize), BlockSize+100); done || err != nil {
		t.Fatalf("a file is made longer by a piece of a block: %v, %v", done, err)
	}
	// That failed. What follows fits into the file as it is, and its last block does not.
	if done, err := d.Write([]byte("entry"), BlockSize); done || err != nil || len(f.content) > BlockSize+100 {
		t.Errorf("a block is written beyond the end: %v, %v, %d bytes", done, err, len(f.content))
	}
	// One that succeeds makes it longer.
	d.Cached(2 * BlockSize)
	if done, err := d.Write([]byte("entry"), BlockSize+5); !done || err != nil {
		t.Errorf("a block of the file is not written: %v, %v", done, err)
	}
}
