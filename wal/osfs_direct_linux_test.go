package wal

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// TestAStreamedFileReadsAsItWasWritten writes a file as the log does (filled with zeroes, then from front to back in pieces of all sizes, over
// again when it is recycled, now and then before the end), and compares it with a copy in memory.
func TestAStreamedFileReadsAsItWasWritten(t *testing.T) {
	const size = 3<<20 + 1000 // not a multiple of a block
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 0))
		name := filepath.Join(t.TempDir(), "file")
		f, err := OSFS().Create(name)
		if err != nil {
			t.Fatal(err)
		}
		stream(f, 0)
		if err := fill(f, 0, size); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		write := func(off, n int) {
			b := want[off : off+n]
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			if n, err := f.WriteAt(b, int64(off)); err != nil || n != len(b) {
				t.Fatalf("write of %d bytes at %d: %d, %v", len(b), off, n, err)
			}
		}
		for life := range 3 {
			end := 0
			stream(f, 0)
			for end < size {
				n := 1 + rng.IntN([]int{100, 5000, 100_000, 2_500_000}[rng.IntN(4)])
				n = min(n, size-end)
				durable := rng.IntN(2) == 0
				if durable {
					f.(Streamer).SyncSoon()
				}
				write(end, n)
				end += n
				if durable {
					if err := f.Sync(); err != nil {
						t.Fatal(err)
					}
				}
				if back := rng.IntN(end); rng.IntN(5) == 0 {
					write(back, min(rng.IntN(9000), end-back))
				}
				if rng.IntN(8) == 0 {
					if err := f.Sync(); err != nil {
						t.Fatal(err)
					}
				}
				from := rng.IntN(end)
				got := make([]byte, min(end-from, 20_000))
				if _, err := f.ReadAt(got, int64(from)); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want[from:from+len(got)]) {
					t.Fatalf("seed %d, life %d: what is read at %d is not what was written", seed, life, from)
				}
			}
			if life == 1 { // The log goes on in a file that it has opened again.
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				if f, err = OSFS().Open(name); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, size)
			if err := readFull(f, got, 0); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("seed %d, life %d: the file is not what was written to it: %v", seed, life, err)
			}
			if n, err := f.Size(); n != size || err != nil {
				t.Fatalf("the file has %d bytes, %d were written: %v", n, size, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAStreamGoesOnWithinABlock opens a file anew and goes on within its last block, as the log does after a restart.
func TestAStreamGoesOnWithinABlock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	f, err := OSFS().Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(f, 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("abcdefg "), 9000)
	for end := 0; end < len(want); end += 8 * 100 {
		if _, err := f.WriteAt(want[end:min(end+8*100, len(want))], int64(end)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if f, err = OSFS().Open(name); err != nil {
			t.Fatal(err)
		}
		stream(f, int64(min(end+8*100, len(want))))
	}
	got := make([]byte, len(want))
	if err := readFull(f, got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the file is not what was written to it: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestASyncIsLeftOutOnlyWhereAllIsDurable holds the file to its account of what is durable: a write that is durable by itself makes a sync superfluous, and
// any other one since the last sync does not, whichever way it took.
func TestASyncIsLeftOutOnlyWhereAllIsDurable(t *testing.T) {
	file, err := OSFS().Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	f := file.(*osFile)
	f.Stream(0)
	d := f.direct.Load()
	if d == nil { // Without direct writes there is no account: every sync is one.
		if _, err := f.WriteAt([]byte{1}, 0); err != nil || f.Sync() != nil {
			t.Fatal("a file without direct writes is not written", err)
		}
		return
	}
	async := takeAsync()
	if async != nil {
		async.release()
	}
	end := int64(0)
	write := func(n int, soon bool) {
		t.Helper()
		if soon {
			f.SyncSoon()
		}
		if _, err := f.WriteAt(make([]byte, n), end); err != nil {
			t.Fatal(err)
		}
		end += int64(n)
	}
	check := func(what string, behind bool) {
		t.Helper()
		if d.behind != behind {
			t.Errorf("%s: a sync is needed: %v, want %v", what, d.behind, behind)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if d.behind {
			t.Errorf("%s: a sync left something behind", what)
		}
	}
	check("a new file", true)
	write(1<<20, true)
	check("a write that made the file longer", true)
	end = 0
	f.Stream(0)
	check("a file that is streamed anew", true)
	write(100, true)
	check("a write that is durable by itself, where the system has such", async == nil)
	write(100, false)
	write(100, true)
	check("a write before it that was not", true)
	if _, err := f.WriteAt([]byte{1}, 10); err != nil {
		t.Fatal(err)
	}
	check("a write into the middle", true)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestASegmentThatIsFullGivesUpWhatStreamingTook: a log of a thousand segments does not keep a thousand buffers.
func TestASegmentThatIsFullGivesUpWhatStreamingTook(t *testing.T) {
	l := mustOpen(t, Options{FS: OSFS(), Dir: t.TempDir(), SegmentBytes: 16 << 10, Incarnation: 1})
	appendEntries := func(first raft.Index) {
		var entries []raft.Entry
		for i := first; i < first+20; i++ {
			data := make([]byte, 500)
			entries = append(entries, raft.Entry{Term: 1, Index: i, Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data})
		}
		batch := Batch{Group: 1, HardState: &raft.HardState{Term: 1}, Entries: entries}
		if err := l.Append([]Batch{batch}); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	for first := raft.Index(1); first < 200; first += 20 {
		appendEntries(first)
	}
	if len(l.segments) < 5 {
		t.Fatalf("the log has %d segments", len(l.segments))
	}
	for _, s := range l.segments[:len(l.segments)-1] {
		if s.file.(*osFile).direct.Load() != nil {
			t.Errorf("segment %d still has a buffer", s.number)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAFileReadsAroundTheCacheAsWithinIt compares the two at all kinds of places and lengths, with memory that is aligned and that is not, while some of what was
// written is in the page cache alone.
func TestAFileReadsAroundTheCacheAsWithinIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	f, err := OSFS().Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	around := Around(f)
	defer around.Close()
	want := make([]byte, 5<<20+777)
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	if _, err := f.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	memory := aligned(6 << 20)
	for range 200 {
		off := rng.IntN(len(want) + 10_000)
		n := rng.IntN([]int{1, 100, 10_000, 600_000, 5 << 20}[rng.IntN(5)] + 1)
		switch rng.IntN(4) {
		case 0:
			off = off &^ (BlockSize - 1)
		case 1:
			patch := min(off, len(want)-1)
			want[patch]++
			if _, err := f.WriteAt(want[patch:patch+1], int64(patch)); err != nil {
				t.Fatal(err)
			}
		}
		b := memory[rng.IntN(2)*rng.IntN(5000):][:n]
		got, err := around.ReadAt(b, int64(off))
		most := want[min(off, len(want)):]
		most = most[:min(n, len(most))]
		if got != len(most) || !bytes.Equal(b[:got], most) || (err == io.EOF) != (got < n) || err != nil && err != io.EOF {
			t.Fatalf("%d bytes at %d of %d: %d, %v, equal: %v", n, off, len(want), got, err, bytes.Equal(b[:min(got, len(most))], most[:min(got, len(most))]))
		}
	}
}

// TestACompletionTellsWhatBecameOfTheWrite reads the results that the kernel gives.
func TestACompletionTellsWhatBecameOfTheWrite(t *testing.T) {
	for _, c := range []struct {
		result int64
		done   int
		err    error
	}{
		{8192, 8192, nil},
		{-int64(syscall.EIO), 0, syscall.EIO},
		{-int64(syscall.ENOSPC), 0, ErrNoSpace},
		{-int64(syscall.EINVAL), 0, ErrBlocks},
		{4096, 4096, nil},
		{0, 0, nil},
	} {
		done, err := outcome(c.result)
		if err = noSpace(refused(err)); done != c.done || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("a result of %d: %v, %v; want %v, %v", c.result, done, err, c.done, c.err)
		}
	}
}

// TestAnAsynchronousWriteThatFailsSaysSo has the kernel fail in the middle of writes that it has taken: it cannot read what is to be written. Nothing of that may
// come out as a write that is done, and the writer has to be good for the next one.
func TestAnAsynchronousWriteThatFailsSaysSo(t *testing.T) {
	file, err := OSFS().Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := fill(file, 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	f := file.(*osFile)
	f.Stream(0)
	d := f.direct.Load()
	w := takeAsync()
	if d == nil || w == nil {
		t.Skip("this system has no direct or no asynchronous writes")
	}
	defer w.release()
	memory, err := syscall.Mmap(-1, 0, 4*BlockSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(memory)
	for _, readable := range []int{0, BlockSize, 3 * BlockSize} {
		if err := syscall.Mprotect(memory[:readable+BlockSize], syscall.PROT_READ); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mprotect(memory[readable:], syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		taken, err := w.write(d.file, memory, 0, true)
		if t.Logf("%d bytes can be read: taken %v, %v", readable, taken, err); taken && err == nil {
			t.Errorf("a write of which %d bytes can be read is told to be done", readable)
		}
		good := aligned(BlockSize)
		copy(good, "good")
		if taken, err := w.write(d.file, good, 8*BlockSize, true); !taken || err != nil {
			t.Fatalf("the next write: %v, %v", taken, err)
		}
	}
}

// TestADiskThatIsFullInTheMiddleOfADirectWrite fills a file system of 256 KiB by a log that is written around the page cache, as far as that file system lets it: the log
// refuses entries, keeps what it has, and goes on when there is room. The file system is one of its own, for which the test needs a name space of its own.
func TestADiskThatIsFullInTheMiddleOfADirectWrite(t *testing.T) {
	const child = "BALSA_TEST_SMALL_FILE_SYSTEM"
	if os.Getenv(child) == "" {
		test := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		test.Env = append(os.Environ(), child+"=1")
		test.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := test.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			t.Errorf("%v", err)
		case err != nil:
			t.Skipf("no name space of its own: %v", err)
		}
		t.Logf("%s", out)
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no file system of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	f, err := OSFS().Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	stream(f, 0)
	t.Logf("direct writes: %v", f.(*osFile).direct.Load() != nil)
	first := bytes.Repeat([]byte("first "), 1000)
	if _, err := f.WriteAt(first, 0); err != nil {
		t.Fatal(err)
	}
	n, err := f.WriteAt(make([]byte, 1<<20), int64(len(first)))
	if !errors.Is(err, ErrNoSpace) {
		t.Fatalf("a write of more than there is room for: %d, %v", n, err)
	}
	got := make([]byte, len(first))
	if err := readFull(f, got, 0); err != nil || !bytes.Equal(got, first) {
		t.Errorf("what was there before is not there any more: %v", err)
	}
	if _, err := f.WriteAt([]byte("second"), int64(len(first))); err != nil {
		t.Errorf("there is room in what the file has: %v", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Error(err)
	}

	options := Options{FS: OSFS(), Dir: filepath.Join(dir, "log"), SegmentBytes: 100 << 10, ReserveBytes: 8 << 10, Incarnation: 1}
	if err := OSFS().Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, options)
	index, refusals := raft.Index(0), 0
	appendOne := func() error {
		data := bytes.Repeat([]byte{byte(index)}, 3000)
		e := raft.Entry{Term: 1, Index: index + 1, Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data}
		err := l.Append([]Batch{{Group: 1, HardState: &raft.HardState{Term: 1}, Entries: []raft.Entry{e}}})
		if err == nil {
			if err = l.Sync(); err == nil {
				index++
			}
		}
		return err
	}
	prepare := func() {
		for did := true; did; {
			if did, err = l.Prepare(); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		}
	}
	for refusals == 0 {
		prepare()
		switch err := appendOne(); {
		case errors.Is(err, ErrFull):
			refusals++
		case err != nil:
			t.Fatal(err)
		}
		if index > 200 {
			t.Fatal("a log of more than there is room for")
		}
	}
	full := index
	if err := l.Append([]Batch{{Group: 1, HardState: &raft.HardState{Term: 2}}}); err != nil {
		t.Errorf("a term on a full disk, for which a reserve is kept: %v", err)
	}
	if err := l.Sync(); err != nil {
		t.Error(err)
	}
	if entries, err := l.Entries(1, 1, full, 1<<20); err != nil || len(entries) != int(full) {
		t.Errorf("%d entries of %d are read on a full disk: %v", len(entries), full, err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size=2m"); err != nil {
		t.Fatal(err)
	}
	for index < full+20 {
		prepare()
		data := bytes.Repeat([]byte{byte(index)}, 3000)
		e := raft.Entry{Term: 2, Index: index + 1, Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data}
		if err := errors.Join(l.Append([]Batch{{Group: 1, HardState: &raft.HardState{Term: 2}, Entries: []raft.Entry{e}}}), l.Sync()); err != nil {
			t.Fatalf("there is room again: %v", err)
		}
		index++
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, options)
	entries, err := l.Entries(1, 1, index, 1<<20)
	if err != nil || len(entries) != int(index) {
		t.Fatalf("%d entries of %d are there after a restart: %v", len(entries), index, err)
	}
	for i := range entries {
		if entries[i].Data[0] != byte(i) || len(entries[i].Data) != 3000 {
			t.Fatalf("entry %d is not what was appended", i+1)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
