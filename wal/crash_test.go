package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// script is a small workload that passes through everything that touches files: a segment that fills up, a roll, recycling,
// truncation, compaction, a snapshot, a removal, a reopening.
func script() []Batch {
	return []Batch{
		{Group: 1, HardState: hard(1, 1), Snapshot: &raft.SnapshotMeta{Configuration: configuration(1, 2, 3)}, Entries: run(1, 1, 3, "a")},
		{Group: 2, HardState: hard(4, 2), Entries: append(run(2, 1, 2, "b"), configEntry(3, 3, 1, 2))},
		{Group: 1, HardState: hard(2, 3), Entries: run(2, 3, 9, string(make([]byte, 400)))},
		{Group: 1, Compact: &raft.SnapshotMeta{Index: 8, Term: 2, Configuration: configuration(1, 2, 3)}},
		{Group: 2, HardState: hard(5, 0)},
		{Group: 1, Entries: run(2, 10, 16, string(make([]byte, 500)))},
		{Group: 3, HardState: hard(1, 1), Entries: run(1, 1, 2, "c")},
		{Group: 1, Compact: &raft.SnapshotMeta{Index: 16, Term: 2, Configuration: configuration(1, 2, 3)}},
		{Group: 2, Snapshot: &raft.SnapshotMeta{Index: 7, Term: 5, Configuration: configuration(2), ConfigurationIndex: 6}, HardState: hard(6, 1), Entries: run(6, 8, 9, "d")},
		{Group: 3, Remove: true},
		{Group: 1, Entries: run(2, 17, 24, string(make([]byte, 600)))},
		{Group: 1, Compact: &raft.SnapshotMeta{Index: 24, Term: 2, Configuration: configuration(1, 2, 3)}},
		{Group: 1, Entries: run(2, 25, 31, string(make([]byte, 600)))},
	}
}

func scriptOptions(fsys FS) Options {
	o := testOptions(fsys)
	o.SegmentBytes, o.ReserveBytes = 6<<10, 2<<10
	return o
}

var errInjected = errors.New("injected")

// play runs the script until the first error. states are those that the log may have after a crash at this point.
func play(fsys *MemFS) (states []model, err error) {
	m := model{}
	states = []model{m.clone()}
	l, err := Open(scriptOptions(fsys))
	if err != nil {
		return states, err
	}
	batches := script()
	for i, b := range batches {
		m.apply(b)
		states = append(states, m.clone())
		if err := l.Append([]Batch{b}); err != nil {
			return states, err
		}
		if i%3 == 1 {
			continue // so that a Sync covers more than one batch
		}
		if err := l.Sync(); err != nil {
			return states, err
		}
		states = []model{m.clone()}
		if _, err := l.Prepare(); err != nil {
			return states, err
		}
		if i == len(batches)/2 {
			if err := l.Close(); err != nil {
				return states, err
			}
			if l, err = Open(scriptOptions(fsys)); err != nil {
				return states, err
			}
		}
	}
	return states, l.Close()
}

// TestCrashAtEveryOperation cuts the power at every operation on files, with many subsets of what was not synced, and looks at what is
// left; and again, while the recovery from that runs.
func TestCrashAtEveryOperation(t *testing.T) {
	counting := NewMemFS()
	if _, err := play(counting); err != nil {
		t.Fatal(err)
	}
	total := counting.Ops()
	if total < 60 {
		t.Fatalf("the script has %d operations", total)
	}
	for n := 1; n <= total+1; n++ {
		fsys := NewMemFS()
		fsys.SetFault(func(op Op) Fault {
			if op.N >= n {
				return Fault{Err: errInjected, Short: op.Len / 2}
			}
			return Fault{}
		})
		states, err := play(fsys)
		if (err == nil) != (n > total) {
			t.Fatalf("operation %d failed, and the log says %v", n, err)
		}
		fsys.SetFault(nil)
		for sample := range 80 {
			crashed := fsys.Clone()
			var rng *rand.Rand
			if sample > 0 {
				rng = rand.New(rand.NewPCG(uint64(n), uint64(sample)))
			}
			crashed.Crash(rng)
			if sample%4 == 3 {
				crashInRecovery(crashed, rng)
			}
			l, err := Open(scriptOptions(crashed))
			if err != nil {
				t.Fatalf("crash at operation %d, sample %d: %v", n, sample, err)
			}
			recovered(t, l, states)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// crashInRecovery lets recovery come to a random operation, and cuts the power again.
func crashInRecovery(fsys *MemFS, rng *rand.Rand) {
	at := fsys.Ops() + 1 + rng.IntN(12)
	fsys.SetFault(func(op Op) Fault {
		if op.N >= at {
			return Fault{Err: errInjected}
		}
		return Fault{}
	})
	if l, err := Open(scriptOptions(fsys)); err == nil {
		_ = l.Close()
	}
	fsys.SetFault(nil)
	fsys.Crash(rng)
}

// TestNoGhosts: what a crash left of unsynced batches is never read again as part of the log, whatever is appended over it.
func TestNoGhosts(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 9))
		fsys := NewMemFS()
		o := testOptions(fsys)
		l := mustOpen(t, o)
		m := model{}
		do := func(sync bool, b ...Batch) {
			mustAppend(t, l, b...)
			for _, b := range b {
				m.apply(b)
			}
			if sync {
				mustSync(t, l)
			}
		}
		do(true, Batch{Group: 1, HardState: hard(9, 1), Entries: run(1, 1, 2, "first")})
		for round := range 4 {
			from := m[1].last()
			do(true, Batch{Group: 1, Entries: run(raft.Term(round+2), from+1, from+1, "kept")})
			states := []model{m.clone()}
			for k := range 5 {
				do(false, Batch{Group: 1, Entries: run(raft.Term(round+2), m[1].last()+1, m[1].last()+1, fmt.Sprintf("lost-%d-%d", round, k)+string(make([]byte, rng.IntN(700))))})
				states = append(states, m.clone())
				if k == 2 {
					if err := l.flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := l.flush(); err != nil {
				t.Fatal(err)
			}
			fsys.Crash(rng)
			l = mustOpen(t, o)
			m = recovered(t, l, states)
		}
	}
}

// TestTornTail cuts and garbles the log at every byte of what was not synced.
func TestTornTail(t *testing.T) {
	fsys := NewMemFS()
	o := testOptions(fsys)
	l := mustOpen(t, o)
	m := model{}
	first := Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 3, "synced")}
	m.apply(first)
	mustAppend(t, l, first)
	mustSync(t, l)
	states := []model{m.clone()}
	from := l.flushed
	for k := range 3 {
		b := Batch{Group: raft.GroupID(k + 1), HardState: hard(2, 2), Entries: run(2, 1, 3, "unsynced")}
		m.apply(b)
		states = append(states, m.clone())
		mustAppend(t, l, b)
	}
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	name, to := segmentName("log", 1), l.flushed
	for at := from; at < to; at++ {
		for _, garble := range []func(f *MemFS) error{
			func(f *MemFS) error { return f.truncateFile(name, at) },
			func(f *MemFS) error { return f.Rot(name, at, 0x40) },
			func(f *MemFS) error { return f.zero(name, at, to) },
		} {
			c := fsys.Clone()
			if err := garble(c); err != nil {
				t.Fatal(err)
			}
			l, err := Open(testOptions(c))
			if err != nil {
				t.Fatalf("at %d: %v", at, err)
			}
			recovered(t, l, states)
			// It goes on from there.
			mustAppend(t, l, Batch{Group: 9, HardState: hard(1, 1), Entries: run(1, 1, 1, "after")})
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			mustOpen(t, testOptions(c))
		}
	}
}

func (m *MemFS) truncateFile(name string, size int64) error {
	f, err := m.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

func (m *MemFS) zero(name string, from, to int64) error {
	f, err := m.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(fill(f, from, to), f.Close())
}
