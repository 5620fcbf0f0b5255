package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// TestPoison: after a write or an fsync failed, every call fails for good, although the disk works again; and what a later fsync seems to have
// made durable is not taken for durable.
func TestPoison(t *testing.T) {
	for _, kind := range []OpKind{OpWrite, OpSync} {
		fsys := NewMemFS()
		l := mustOpen(t, testOptions(fsys))
		synced := Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 2, "synced")}
		mustAppend(t, l, synced)
		mustSync(t, l)
		mustAppend(t, l, Batch{Group: 1, HardState: hard(2, 2), Entries: run(2, 3, 4, "lost")})
		fsys.SetFault(func(op Op) Fault {
			if op.Kind == kind {
				return Fault{Err: errInjected, Short: 7}
			}
			return Fault{}
		})
		first := l.Sync()
		if !errors.Is(first, ErrPoisoned) || !errors.Is(first, errInjected) {
			t.Fatalf("a failed %d gives %v", kind, first)
		}
		fsys.SetFault(nil)
		_, prepare := l.Prepare()
		_, read := l.Entries(1, 1, 1, 1)
		for _, err := range []error{l.Append([]Batch{synced}), l.Sync(), prepare, read, l.Close()} {
			if !errors.Is(err, ErrPoisoned) || !errors.Is(err, errInjected) {
				t.Errorf("after a failed %d a call gives %v", kind, err)
			}
		}
		if err := l.Append(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close a call gives %v", err)
		}
		fsys.Crash(nil)
		m := model{}
		m.apply(synced)
		mustEqual(t, m, mustOpen(t, testOptions(fsys)))
	}
}

// TestFullDisk fills the disk: entries are refused without effect, term, vote and truncation still go through, reads too; and when there is
// room again, so do entries.
func TestFullDisk(t *testing.T) {
	for _, prepared := range []bool{false, true} {
		for _, capacity := range []int64{44 << 10, 56 << 10, 65 << 10, 104 << 10, 304 << 10} {
			fullDisk(t, prepared, capacity)
		}
	}
}

func fullDisk(t *testing.T, prepared bool, capacity int64) {
	t.Helper()
	fsys := NewMemFS()
	o := testOptions(fsys)
	l := mustOpen(t, o)
	m := model{}
	prepare := func() {
		for prepared {
			did, err := l.Prepare()
			if err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			if !did {
				return
			}
		}
	}
	try := func(b Batch) error {
		err := l.Append([]Batch{b})
		if err == nil {
			m.apply(b)
		} else if !errors.Is(err, ErrFull) || errors.Is(err, ErrPoisoned) {
			t.Fatal(err)
		}
		mustSync(t, l)
		prepare()
		return err
	}
	must := func(b Batch) {
		t.Helper()
		if err := try(b); err != nil {
			t.Fatalf("capacity %d, %d used: %v", capacity, fsys.Used(), err)
		}
	}
	fsys.SetCapacity(capacity)
	must(Batch{Group: 1, HardState: hard(1, 1)})
	refused := 0
	for index := raft.Index(1); refused < 5; {
		switch err := try(Batch{Group: 1, Entries: run(1, index, index, string(make([]byte, 700)))}); {
		case err == nil:
			index++
		case !l.Full():
			t.Fatal("entries are refused, but the log does not say that it is full")
		default:
			refused++
			must(Batch{Group: 1, HardState: hard(raft.Term(refused+1), 2)})
			mustEqual(t, m, l)
		}
		if index > 1000 {
			t.Fatal("the disk does not fill up")
		}
	}
	// Another fills the disk to the last byte.
	fsys.SetCapacity(1)
	for vote := range raft.MemberID(8) {
		must(Batch{Group: 1, HardState: hard(10+raft.Term(vote), vote)})
	}
	mustEqual(t, m, l)
	// A restart on a full disk.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	mustEqual(t, m, l)
	must(Batch{Group: 1, HardState: hard(30, 1)})
	last := m[1].last()
	must(Batch{Group: 1, Compact: &raft.SnapshotMeta{Index: last, Term: 1, Configuration: configuration(1)}})
	prepare()
	fsys.SetCapacity(capacity)
	must(Batch{Group: 1, Entries: run(30, last+1, last+1, string(make([]byte, 700)))})
	if l.Full() {
		t.Error("there is room again, but the log says that it is full")
	}
	mustEqual(t, m, l)
	fsys.Crash(nil)
	mustEqual(t, m, mustOpen(t, o))
}

// TestFullEnds: a writer that refuses to propose while the log is full learns from Prepare that there is room.
func TestFullEnds(t *testing.T) {
	fsys := NewMemFS()
	fsys.SetCapacity(8 << 10)
	l := mustOpen(t, testOptions(fsys))
	err := l.Append([]Batch{{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 1, string(make([]byte, 9000)))}})
	if !errors.Is(err, ErrFull) || !l.Full() {
		t.Fatalf("%v, full: %t", err, l.Full())
	}
	if _, ok := l.State(1); ok {
		t.Error("a refused batch left a group behind")
	}
	fsys.SetCapacity(0)
	for range 100 {
		if _, err := l.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	if l.Full() {
		t.Error("still full")
	}
}

// TestBadFiles: what is in the directory and cannot be used is named, with what to do about it.
func TestBadFiles(t *testing.T) {
	name := segmentName("log", 1)
	header := func(change func(h *segmentHeader, b []byte)) func(*testing.T, *MemFS) {
		return func(t *testing.T, fsys *MemFS) {
			f, err := fsys.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, segmentStart)
			if _, err := f.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			h, err := parseSegmentHeader(b, "")
			if err != nil {
				t.Fatal(err)
			}
			change(&h, b)
			if _, err := f.WriteAt(b, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, c := range map[string]struct {
		damage func(*testing.T, *MemFS)
		text   string
	}{
		"foreign file": {func(t *testing.T, m *MemFS) { mustCreate(t, m, "log/0000000000000009.wal", "hello, world") }, "0000000000000009.wal: it does not begin like a segment"},
		"other name":   {func(t *testing.T, m *MemFS) { mustRename(t, m, name, segmentName("log", 7)) }, "its header says that it is 0000000000000001.wal"},
		"missing":      {func(t *testing.T, m *MemFS) { mustRemove(t, m, segmentName("log", 2)) }, "0000000000000002.wal is missing"},
		"empty":        {func(t *testing.T, m *MemFS) { mustTruncate(t, m, name, 0) }, "it does not begin like a segment"},
		"truncated head": {func(t *testing.T, m *MemFS) {
			mustRemove(t, m, name)
			mustRemove(t, m, segmentName("log", 2))
			mustTruncate(t, m, segmentName("log", 3), 900)
		}, "3.wal: wal: corrupt: of the 1 groups that it begins with, 1 are damaged"},
		"both headers": {func(t *testing.T, m *MemFS) { rot(t, m, name, 20); rot(t, m, name, 20+headerCopy) }, "both copies of the segment's header are damaged"},
		"new version": {header(func(h *segmentHeader, b []byte) {
			for _, at := range []int{0, headerCopy} {
				h.put(b[at:])
				b[at+8] = 9
				resum(b[at:])
			}
		}), "its format is version 9, this program knows 1"},
		"other log": {header(func(h *segmentHeader, b []byte) { h.incarnation++; h.put(b); h.put(b[headerCopy:]) }), "is of another log than"},
	} {
		fsys := NewMemFS()
		l := mustOpen(t, testOptions(fsys))
		for k := range raft.Index(4) {
			mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1+k, 1+k, string(make([]byte, 15000)))})
			mustSync(t, l)
		}
		fsys.Kill()
		c.damage(t, fsys)
		_, err := Open(testOptions(fsys))
		if err == nil || !contains(err.Error(), c.text) || !contains(err.Error(), "log/") {
			t.Errorf("%s: %v", what, err)
		}
		// Nothing stays open or locked.
		if _, err := Open(testOptions(fsys)); errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTruncatedSegment: a segment that is not the last and lacks its end makes entries faulty, and no more.
func TestTruncatedSegment(t *testing.T) {
	fsys := NewMemFS()
	l := mustOpen(t, testOptions(fsys))
	m := model{}
	for k := range raft.Index(4) {
		b := Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1+2*k, 2+2*k, string(make([]byte, 7000)))}
		mustAppend(t, l, b)
		mustSync(t, l)
		m.apply(b)
	}
	fsys.Kill()
	mustTruncate(t, fsys, segmentName("log", 1), 12000)
	l = mustOpen(t, testOptions(fsys))
	if faulty, err := m.diff(l); err != nil || faulty != 1 {
		t.Errorf("%d faulty entries: %v", faulty, err)
	}
}

// TestOtherFiles: what is not the log's is left alone.
func TestOtherFiles(t *testing.T) {
	fsys := NewMemFS()
	l := mustOpen(t, testOptions(fsys))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, fsys, "log/README", "hello")
	mustCreate(t, fsys, "log/other.spare", "hello")
	l = mustOpen(t, testOptions(fsys))
	if _, err := Open(testOptions(fsys)); !errors.Is(err, ErrLocked) {
		t.Errorf("a second open gives %v", err)
	}
	for _, name := range []string{"log/README", "log/other.spare"} {
		if _, err := fsys.Open(name); err != nil {
			t.Error(err)
		}
	}
	if l.Incarnation() != testOptions(fsys).Incarnation {
		t.Error("the incarnation changed")
	}
}

// TestInvalidBatches: a batch that does not fit the log is refused, and so is all that came with it.
func TestInvalidBatches(t *testing.T) {
	l := mustOpen(t, testOptions(NewMemFS()))
	m := model{}
	for _, b := range []Batch{
		{Group: 1, HardState: hard(5, 1), Entries: run(3, 1, 10, "a")},
		{Group: 1, Compact: &raft.SnapshotMeta{Index: 4, Term: 3, Configuration: configuration(1)}},
	} {
		mustAppend(t, l, b)
		m.apply(b)
	}
	bad := configEntry(5, 11, 1)
	bad.Data = []byte{77}
	good := Batch{Group: 2, HardState: hard(1, 1), Entries: run(1, 1, 1, "b")}
	for what, b := range map[string]Batch{
		"gap":                       {Group: 1, Entries: run(5, 12, 12, "x")},
		"compacted":                 {Group: 1, Entries: run(5, 4, 5, "x")},
		"term goes back":            {Group: 1, Entries: run(2, 11, 11, "x")},
		"term 0":                    {Group: 3, HardState: hard(1, 1), Entries: run(0, 1, 1, "x")},
		"beyond the current term":   {Group: 1, Entries: run(6, 11, 11, "x")},
		"not consecutive":           {Group: 1, Entries: append(run(5, 11, 11, "x"), run(5, 13, 13, "x")...)},
		"hard state goes back":      {Group: 1, HardState: hard(4, 1)},
		"second vote":               {Group: 1, HardState: hard(5, 2)},
		"compaction beyond the end": {Group: 1, Compact: &raft.SnapshotMeta{Index: 11, Term: 3}},
		"older snapshot":            {Group: 1, Snapshot: &raft.SnapshotMeta{Index: 3, Term: 3}},
		"both":                      {Group: 1, Snapshot: &raft.SnapshotMeta{Index: 20, Term: 3}, Compact: &raft.SnapshotMeta{Index: 5, Term: 3}},
		"removal with more":         {Group: 1, Remove: true, HardState: hard(6, 0)},
		"no configuration":          {Group: 1, Entries: []raft.Entry{bad}},
	} {
		if err := l.Append([]Batch{good, b}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
		mustEqual(t, m, l)
	}
	mustAppend(t, l, good)
}

func mustCreate(t *testing.T, m *MemFS, name, content string) {
	t.Helper()
	f, err := m.Create(name)
	if err == nil {
		_, err = f.WriteAt([]byte(content), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func mustRename(t *testing.T, m *MemFS, from, to string) {
	t.Helper()
	if err := errors.Join(m.Rename(from, to), ignoreExist(m.Remove(segmentName("log", 2))), ignoreExist(m.Remove(segmentName("log", 3))),
		ignoreExist(m.Remove(segmentName("log", 4)))); err != nil {
		t.Fatal(err)
	}
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func mustRemove(t *testing.T, m *MemFS, name string) {
	t.Helper()
	if err := m.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func mustTruncate(t *testing.T, m *MemFS, name string, size int64) {
	t.Helper()
	if err := m.truncateFile(name, size); err != nil {
		t.Fatal(err)
	}
}

func rot(t *testing.T, m *MemFS, name string, off int64) {
	t.Helper()
	if err := m.Rot(name, off, 0x10); err != nil {
		t.Fatal(err)
	}
}

func contains(s, part string) bool { return strings.Contains(s, part) }

// resum makes the checksum of a segment header right again.
func resum(b []byte) { binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli)) }

// TestARestartDoesNotTrustThePageCache: after an fsync failed, Linux keeps what it could not write in the page cache, as clean, and a later fsync
// succeeds without writing it. A process that is started anew reads it there; once its log is open, that has to be as durable as the rest.
func TestARestartDoesNotTrustThePageCache(t *testing.T) {
	fsys := NewMemFS()
	l := mustOpen(t, testOptions(fsys))
	mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 2, "synced")})
	mustSync(t, l)
	mustAppend(t, l, Batch{Group: 1, HardState: hard(2, 2), Entries: run(2, 3, 4, "only in the page cache")})
	fsys.SetFault(func(op Op) Fault {
		if op.Kind == OpSync {
			return Fault{Err: errInjected}
		}
		return Fault{}
	})
	if err := l.Sync(); !errors.Is(err, ErrPoisoned) {
		t.Fatalf("a failed fsync gives %v", err)
	}
	fsys.SetFault(nil)
	fsys.Kill()
	l = mustOpen(t, testOptions(fsys))
	seen, _ := l.State(1)
	if seen.LastIndex != 4 {
		t.Fatalf("the page cache gives a log up to %d, so that this test shows nothing", seen.LastIndex)
	}
	mustAppend(t, l, Batch{Group: 1, Entries: run(2, 5, 5, "acknowledged")})
	mustSync(t, l)
	fsys.Crash(nil)
	l = mustOpen(t, testOptions(fsys))
	if state, _ := l.State(1); state.LastIndex != 5 || state.HardState != *hard(2, 2) || len(state.Faulty) > 0 {
		t.Errorf("after the power was gone the log has %+v", state)
	}
}
