package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// staleFS is a file system whose page cache has what the platter, which is read around it, has not: as after an fsync that failed. What is written comes to both.
type staleFS struct {
	*MemFS
	platter map[string][]byte
}

type staleFile struct {
	File
	fs   *staleFS
	name string
}

func (s *staleFS) Open(name string) (File, error) {
	f, err := s.MemFS.Open(name)
	if err != nil || s.platter[name] == nil {
		return f, err
	}
	return &staleFile{File: f, fs: s, name: name}, nil
}

func (f *staleFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	b := f.fs.platter[f.name]
	if grow := off + int64(n) - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[off:], p[:n])
	f.fs.platter[f.name] = b
	return n, err
}

type platterReader struct{ *bytes.Reader }

func (platterReader) Close() error { return nil }

// Around implements Bypass.
func (f *staleFile) Around() ReadCloserAt {
	return platterReader{bytes.NewReader(f.fs.platter[f.name])}
}

// Worth implements Bypass.
func (f *staleFile) Worth(int) bool { return true }

// Meanwhile implements Bypass.
func (f *staleFile) Meanwhile(read func()) (wait func()) {
	read()
	return func() {}
}

// Memory implements Bypass.
func (f *staleFile) Memory(n int) (b []byte, free func()) { return make([]byte, n), func() {} }

func contentOf(t *testing.T, fsys FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

// fiveSynced is a log with five entries that are synced, and the name of their segment.
func fiveSynced(t *testing.T) (*MemFS, Options, *Log, string) {
	t.Helper()
	fsys := NewMemFS()
	o := testOptions(fsys)
	l := mustOpen(t, o)
	mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 5, "before")})
	mustSync(t, l)
	return fsys, o, l, segmentName(l.dir, l.segments[len(l.segments)-1].number)
}

// TestWhatOnlyThePageCacheHasIsFoundAndMadeDurable: it is clean there after a failed fsync, and comes to the disk with whatever is written to its page next. A process that read around
// the cache and did not know of it would leave it to the next one, behind its back.
func TestWhatOnlyThePageCacheHasIsFoundAndMadeDurable(t *testing.T) {
	fsys, o, l, name := fiveSynced(t)
	platter := contentOf(t, fsys, name)
	mustAppend(t, l, Batch{Group: 1, Entries: run(1, 6, 6, "its fsync fails")})
	mustSync(t, l)
	fsys.Kill()

	stale := &staleFS{MemFS: fsys, platter: map[string][]byte{name: platter}}
	o.FS = stale
	l = mustOpen(t, o)
	if state, _ := l.State(1); state.LastIndex != 6 {
		t.Fatalf("the log ends at %d", state.LastIndex)
	}
	l.Close()
	if !bytes.Contains(stale.platter[name], []byte("its fsync fails")) {
		t.Error("the disk does not have what the process begins with")
	}
}

// TestWhatTheDiskHasLostBeneathThePageCacheIsFoundAtOnce: the drive took a write, said that it was durable, and never did it, and the page cache still has it. A process that
// believed the cache would stop when it reads the entry around it, and the next ones with it, until the machine loses its power; one that knows gets it from the leader.
func TestWhatTheDiskHasLostBeneathThePageCacheIsFoundAtOnce(t *testing.T) {
	fsys, o, l, name := fiveSynced(t)
	mustAppend(t, l, Batch{Group: 1, Entries: run(1, 6, 6, "its write is lost")})
	mustSync(t, l)
	mustAppend(t, l, Batch{Group: 1, Entries: run(1, 7, 7, "says that all before it was synced")})
	mustSync(t, l)
	fsys.Kill()

	platter := contentOf(t, fsys, name)
	from := bytes.Index(platter, []byte("its write is lost"))
	clear(platter[from : from+len("its write")])
	stale := &staleFS{MemFS: fsys, platter: map[string][]byte{name: platter}}
	o.FS = stale
	l = mustOpen(t, o)
	defer l.Close()
	state, _ := l.State(1)
	if want := []raft.IndexRange{{From: 6, To: 6}}; !slices.Equal(state.Faulty, want) || state.LastIndex != 7 {
		t.Fatalf("the log ends at %d, and misses %v, where the disk has lost %v", state.LastIndex, state.Faulty, want)
	}
}

// TestASegmentThatEndsWithinItsBeginningIsRefused, however much of it is missing: what is not there is not read from the disk either.
func TestASegmentThatEndsWithinItsBeginningIsRefused(t *testing.T) {
	fsys, o, _, name := fiveSynced(t)
	fsys.Kill()

	b := contentOf(t, fsys, name)
	binary.LittleEndian.PutUint64(b[40:], maxMissing) // the length of the checkpoint that it begins with, twice
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	o.FS = &staleFS{MemFS: fsys, platter: map[string][]byte{name: b}}
	if _, err := Open(o); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("it is opened: %v", err)
	}
}
