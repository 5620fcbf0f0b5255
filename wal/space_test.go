package wal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// TestBoundedSpace: an idle group and a few slow ones do not keep old segments; the disk that the log takes stays within a multiple of what is
// live, with Prepare and without it.
func TestBoundedSpace(t *testing.T) {
	for _, prepared := range []bool{false, true} {
		fsys := NewMemFS()
		o := testOptions(fsys)
		l := mustOpen(t, o)
		m := model{}
		rng := rand.New(rand.NewPCG(1, 1))
		do := func(b Batch) {
			mustAppend(t, l, b)
			m.apply(b)
			mustSync(t, l)
		}
		conf := configuration(1, 2, 3)
		do(Batch{Group: 100, Snapshot: &raft.SnapshotMeta{Configuration: conf}, HardState: hard(3, 2), Entries: append(run(3, 1, 5, "idle"), configEntry(3, 6, 1, 2))})
		var most uint64
		for round := range raft.Index(1500) {
			id := raft.GroupID(1 + rng.IntN(3))
			last := raft.Index(0)
			if g := m[id]; g != nil {
				last = g.last()
			}
			do(Batch{Group: id, HardState: hard(1, 1), Entries: run(1, last+1, last+1, string(make([]byte, 300+rng.IntN(300))))})
			if g := m[id]; len(g.entries) > 10 && id != 3 || len(g.entries) > 40 {
				do(Batch{Group: id, Compact: &raft.SnapshotMeta{Index: g.last() - 2, Term: 1, Configuration: conf}})
			}
			for did := prepared; did; {
				var err error
				if did, err = l.Prepare(); err != nil {
					t.Fatal(err)
				}
			}
			if round%100 == 0 {
				mustEqual(t, m, l)
				checkAccounts(t, l)
			}
			most = max(most, l.Size())
		}
		live := 60 * 700
		if bound := uint64(2*live + (inlineSlack+4)*int(o.SegmentBytes)); most > bound {
			t.Errorf("prepared %t: the log took %d bytes, %d is the bound", prepared, most, bound)
		}
		if used := uint64(fsys.Used()); used > most+16*memPage {
			t.Errorf("prepared %t: the files take %d bytes, the log says %d", prepared, used, most)
		}
		if first := l.segments[0].number; first < 20 {
			t.Errorf("prepared %t: segment %d is still there, now that %d is written", prepared, first, l.current.number)
		}
		fsys.Crash(nil)
		mustEqual(t, m, mustOpen(t, o))
	}
}

// TestRecycledSalt: a recycled file is full of old frames, and none of them is ever read as a frame of the new segment, wherever it ends.
func TestRecycledSalt(t *testing.T) {
	fsys := NewMemFS()
	o := testOptions(fsys)
	o.SegmentBytes, o.ReserveBytes = 4<<10, 2<<10
	l := mustOpen(t, o)
	m := model{}
	rng := rand.New(rand.NewPCG(3, 3))
	recycled := 0
	for i := raft.Index(1); i < 400; i++ {
		b := Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, i, i, "the same size")}
		mustAppend(t, l, b)
		mustSync(t, l)
		m.apply(b)
		if i%7 == 0 {
			b := Batch{Group: 1, Compact: &raft.SnapshotMeta{Index: i, Term: 1, Configuration: configuration(1)}}
			mustAppend(t, l, b)
			mustSync(t, l)
			m.apply(b)
		}
		if i%5 == 0 {
			fsys.Crash(rng)
			l = mustOpen(t, o)
			mustEqual(t, m, l)
		}
		if b := contentAfterEnd(t, l); b > 0 {
			recycled++
		}
	}
	if recycled < 50 {
		t.Errorf("only %d times was the active segment a recycled one", recycled)
	}
}

// contentAfterEnd counts bytes that are not zero after the end of the active segment.
func contentAfterEnd(t *testing.T, l *Log) int {
	t.Helper()
	b := make([]byte, max(l.current.filled-l.flushed, 0))
	if err := readFull(l.current.file, b, l.flushed); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range b {
		if c != 0 {
			n++
		}
	}
	return n
}

// TestFrameInData: data that is a copy of the log's own frames, at every alignment, is not taken for frames, not even right after damage.
func TestFrameInData(t *testing.T) {
	fsys := NewMemFS()
	o := testOptions(fsys)
	o.SegmentBytes = 256 << 10
	l := mustOpen(t, o)
	m := model{}
	do := func(b Batch) {
		mustAppend(t, l, b)
		mustSync(t, l)
		m.apply(b)
	}
	do(Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 3, "victim")})
	whole := make([]byte, l.flushed)
	if err := readFull(l.current.file, whole, 0); err != nil {
		t.Fatal(err)
	}
	for shift := range 8 {
		do(Batch{Group: 2, HardState: hard(1, 1), Entries: []raft.Entry{entry(1, raft.Index(shift+1), string(whole[shift:]))}})
	}
	at := l.groups[2].pos.get(3).at()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Rot(segmentName("log", 1), at+4, 1); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	if faulty, err := m.diff(l); err != nil || faulty != 1 {
		t.Errorf("%d faulty entries: %v", faulty, err)
	}
}

// TestManyGroups: one Sync covers all groups, and a roll carries the state of all of them.
func TestManyGroups(t *testing.T) {
	fsys := NewMemFS()
	o := testOptions(fsys)
	o.SegmentBytes = 1 << 20
	l := mustOpen(t, o)
	m := model{}
	const groups = 3000
	var batches []Batch
	for id := range raft.GroupID(groups) {
		b := Batch{Group: id, HardState: hard(raft.Term(id+1), raft.MemberID(id)), Snapshot: &raft.SnapshotMeta{Configuration: configuration(1, 2)},
			Entries: run(raft.Term(id+1), 1, 1+raft.Index(id%3), "x")}
		batches = append(batches, b)
		m.apply(b)
	}
	before := l.Syncs()
	mustAppend(t, l, batches...)
	mustSync(t, l)
	if n := l.Syncs() - before; n > 4 {
		t.Errorf("%d syncs for one batch of each group", n)
	}
	for i := raft.Index(1); l.current.number < 5; i++ {
		b := Batch{Group: groups, HardState: hard(1, 1), Entries: run(1, i, i, string(make([]byte, 64<<10)))}
		mustAppend(t, l, b)
		m.apply(b)
		mustSync(t, l)
	}
	mustEqual(t, m, l)
	fsys.Crash(nil)
	mustEqual(t, m, mustOpen(t, o))
}

// TestReaders: anybody reads while the writer writes, truncates, compacts and rolls, and Prepare recycles; what is read is what was written
// at some time.
func TestReaders(t *testing.T) {
	for _, fsys := range []FS{NewMemFS(), OSFS()} {
		o := testOptions(fsys)
		if _, ok := fsys.(*MemFS); !ok {
			o.Dir = t.TempDir()
		}
		l := mustOpen(t, o)
		mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 1, "r")})
		done := make(chan struct{})
		errs := make(chan error, 8)
		var wg sync.WaitGroup
		for reader := range 3 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(7, uint64(reader)))
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := readSome(l, rng); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if _, err := l.Prepare(); err != nil {
						errs <- err
						return
					}
				}
			}
		})
		writeForReaders(t, l)
		close(done)
		wg.Wait()
		select {
		case err := <-errs:
			t.Error(err)
		default:
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func readSome(l *Log, rng *rand.Rand) error {
	s, ok := l.State(1)
	if !ok || s.LastIndex == s.Snapshot.Index {
		return nil
	}
	from := s.Snapshot.Index + 1 + raft.Index(rng.Uint64N(uint64(s.LastIndex-s.Snapshot.Index)))
	entries, err := l.Entries(1, from, s.LastIndex, 4<<10)
	for i, e := range entries {
		if want := run(e.Term, e.Index, e.Index, "r")[0]; e.Index != from+raft.Index(i) || !equalEntries(e, want) {
			return fmt.Errorf("entry %d reads as %+v", want.Index, e)
		}
	}
	// Between State and Entries, the log may have been compacted or truncated.
	return ignore(err, ErrCompacted, ErrNotFound)
}

func writeForReaders(t *testing.T, l *Log) {
	rng := rand.New(rand.NewPCG(8, 8))
	term := raft.Term(1)
	for range 1500 {
		s, _ := l.State(1)
		b := Batch{Group: 1}
		first := s.LastIndex + 1
		switch rng.IntN(12) {
		case 0:
			if s.LastIndex > s.Snapshot.Index+30 {
				b.Compact = &raft.SnapshotMeta{Index: s.LastIndex - 20, Term: 1}
			}
		case 1:
			if s.LastIndex > s.Snapshot.Index+5 {
				first = s.LastIndex - 3
				term++
				b.HardState = hard(term, 1)
			}
		}
		b.Entries = run(term, first, first+raft.Index(rng.IntN(8)), "r")
		if err := l.Append([]Batch{b}); err != nil {
			t.Error(err)
			return
		}
		if rng.IntN(3) == 0 {
			if err := l.Sync(); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// TestCleaningEnds: many groups write one small entry at a time, so that what frames an entry is larger than the entry. Moving them forward frees little
// then, and has to end all the same: cleaning once went on for ever, with what it had just written.
func TestCleaningEnds(t *testing.T) {
	fsys := NewMemFS()
	o := testOptions(fsys)
	l := mustOpen(t, o)
	m := model{}
	const groups = 40
	var conf raft.Configuration
	for id := range raft.MemberID(3) {
		conf.Members = append(conf.Members, raft.Member{ID: id + 1})
	}
	for index := raft.Index(1); index <= 60; index++ {
		for id := range raft.GroupID(groups) {
			b := Batch{Group: id + 1, HardState: hard(1, 1), Entries: run(1, index, index, "small")}
			if index == 1 {
				b.Snapshot = &raft.SnapshotMeta{Configuration: conf}
			}
			mustAppend(t, l, b)
			m.apply(b)
		}
		mustSync(t, l)
		steps := 0
		for did := true; did; steps++ {
			var err error
			if did, err = l.Prepare(); err != nil {
				t.Fatal(err)
			}
			if steps > 3000 {
				t.Fatalf("after %d entries of each group cleaning does not end: %d segments, %d bytes", index, len(l.segments), l.Size())
			}
		}
	}
	mustEqual(t, m, l)
	checkAccounts(t, l)
	fsys.Crash(nil)
	mustEqual(t, m, mustOpen(t, o))
}

// TestASegmentTooManyGoesAPieceAtATime: its name is that of a spare meanwhile, so that a crash leaves a log that opens, and no more files than it needs.
func TestASegmentTooManyGoesAPieceAtATime(t *testing.T) {
	fsys := NewMemFS()
	o := testOptions(fsys)
	o.SegmentBytes, o.ReserveBytes = 4<<20, 1<<20
	l := mustOpen(t, o)
	last := raft.Index(0)
	for range 5 * 4 {
		mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, last+1, last+1, strings.Repeat("x", 1<<20-100))})
		mustSync(t, l)
		last++
	}
	mustAppend(t, l, Batch{Group: 1, Compact: &raft.SnapshotMeta{Index: last, Term: 1}})
	mustSync(t, l)
	cuts := 0
	fsys.SetFault(func(op Op) Fault {
		if op.Kind == OpTruncate {
			cuts++
		}
		return Fault{}
	})
	for len(l.doomed) == 0 || cuts < 2 {
		if did, err := l.Prepare(); !did || err != nil {
			t.Fatalf("after %d cuts there is nothing to do: %v", cuts, err)
		}
	}
	fsys.SetFault(nil)
	fsys.Crash(nil)
	l = mustOpen(t, o)
	if state, ok := l.State(1); !ok || state.Snapshot.Index != last {
		t.Errorf("the log has %+v", state)
	}
	for {
		did, err := l.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		if !did {
			break
		}
	}
	if names, err := fsys.List("log"); err != nil || len(names) > 5 { // the lock, where it began, the segment, two spares
		t.Errorf("in the end there are %q, %v", names, err)
	}
}
