package wal

import (
	"errors"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// scanned reads parts of a scan, at most so many, and checks that their entries, which run made, follow each other from index from on. It returns the index of the next.
func scanned(t *testing.T, s *Scan, from raft.Index, parts int, data string) (raft.Index, error) {
	t.Helper()
	for range parts {
		entries, err := s.Next()
		for _, e := range entries {
			if !equalEntries(e, run(1, from, from, data)[0]) {
				t.Fatalf("entry %d is %+v", from, e)
			}
			from++
		}
		if err != nil || len(entries) == 0 {
			return from, err
		}
	}
	return from, nil
}

func pins(l *Log) (n int32) {
	for _, s := range l.segments {
		n += s.pins.Load()
	}
	return n
}

// TestAScanReadsAllInParts: over segments, and what is in the write buffer; what was found before a compaction is still read, and after it that it was compacted.
func TestAScanReadsAllInParts(t *testing.T) {
	for _, fsys := range []FS{NewMemFS(), OSFS()} {
		o := testOptions(fsys)
		if _, ok := fsys.(*MemFS); !ok {
			o.Dir = t.TempDir()
		}
		l := mustOpen(t, o)
		const n, each = 1000, 20
		data := strings.Repeat("entry", 40)
		for i := raft.Index(1); i <= n; i += 10 {
			mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, i, i+9, data)})
			if i < n-20 {
				mustSync(t, l)
			}
		}
		part := each * run(1, n, n, data)[0].Size()
		s := l.Scan(1, 1, n, part)
		if next, err := scanned(t, s, 1, n/each, data); err != nil || next != n+1 {
			t.Fatalf("read up to %d: %v", next, err)
		}
		if entries, err := s.Next(); len(entries) > 0 || err != nil {
			t.Fatalf("at the end: %v, %v", entries, err)
		}
		s.Close()

		s = l.Scan(1, 1, n, part)
		next, err := scanned(t, s, 1, 3, data)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, Batch{Group: 1, Compact: &raft.SnapshotMeta{Index: n - 10, Term: 1}})
		if next, err = scanned(t, s, next, n, data); !errors.Is(err, ErrCompacted) || next != 1+(3+partsAhead)*each {
			t.Fatalf("read up to %d after a compaction: %v", next, err)
		}
		if _, err := s.Next(); !errors.Is(err, ErrCompacted) {
			t.Fatalf("asked again: %v", err)
		}
		s.Close()

		mustSync(t, l)
		s = l.Scan(1, n-9, n, part/each) // one at a time
		if _, err := s.Next(); err != nil || len(s.ahead) != partsAhead {
			t.Fatalf("nothing is read ahead: %v", err)
		}
		if s.Close(); pins(l) > 0 {
			t.Fatal("segments are still in use")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAScanStopsBeforeWhatIsDamaged, though what follows was begun; and goes on when it was repaired.
func TestAScanStopsBeforeWhatIsDamaged(t *testing.T) {
	fsys := NewMemFS()
	l := mustOpen(t, testOptions(fsys))
	const n = 50
	mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, n, "entry")})
	mustSync(t, l)
	part := 10 * run(1, n, n, "entry")[0].Size()
	for i := raft.Index(1); i <= n; i++ {
		s := l.Scan(1, 1, n, part)
		flip := func() {
			if err := fsys.Rot(segmentName("log", 1), l.groups[1].pos.get(i).at()+headerSize, 1); err != nil {
				t.Fatal(err)
			}
		}
		flip()
		next, err := scanned(t, s, 1, n, "entry")
		if !errors.Is(err, ErrFaulty) || next != i {
			t.Fatalf("entry %d is damaged: read up to %d, %v", i, next, err)
		}
		flip()
		if next, err = scanned(t, s, next, n, "entry"); err != nil || next != n+1 {
			t.Fatalf("entry %d was damaged: read up to %d, %v", i, next, err)
		}
		if s.Close(); pins(l) > 0 {
			t.Fatal("segments are still in use")
		}
	}
}
