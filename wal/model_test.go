package wal

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestModel runs random batches against the log and a plain model of it, with reopening, crashes, and housekeeping in between.
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runModel(t, seed, 250)
		})
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	fsys := NewMemFS()
	rng := rand.New(rand.NewPCG(seed, 2))
	w := newWorkload(seed, 1+rng.IntN(8), 8<<rng.IntN(9))
	o := testOptions(fsys)
	o.SegmentBytes = 4 << 10 << rng.IntN(4)
	prepares := rng.IntN(3)
	l := mustOpen(t, o)
	synced := []model{w.model.clone()} // the last is synced; what comes after it in pending is not
	var pending []model
	for step := range steps {
		switch k := rng.IntN(40); {
		case k < 24:
			var batches []Batch
			for range 1 + rng.IntN(3) {
				batches = append(batches, w.batch())
				pending = append(pending, w.model.clone())
			}
			mustAppend(t, l, batches...)
		case k < 34:
			mustSync(t, l)
			synced, pending = append(synced[:0], w.model.clone()), nil
		case k < 37:
			for range prepares {
				if _, err := l.Prepare(); err != nil {
					t.Fatal(err)
				}
			}
		case k < 38:
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			synced, pending = append(synced[:0], w.model.clone()), nil
			l = mustOpen(t, o)
		case k < 39:
			fsys.Kill()
			l = mustOpen(t, o)
			w.model = recovered(t, l, append(synced, pending...))
			synced, pending = append(synced[:0], w.model.clone()), nil
		default:
			fsys.Crash(rng)
			l = mustOpen(t, o)
			w.model = recovered(t, l, append(synced, pending...))
			synced, pending = append(synced[:0], w.model.clone()), nil
		}
		if step%10 == 0 || rng.IntN(10) == 0 {
			mustEqual(t, w.model, l)
		}
		checkAccounts(t, l)
	}
	mustEqual(t, w.model, l)
}

// recovered tells which of the states a log may have after a crash it has: what was synced, or with the first few batches after it.
func recovered(t *testing.T, l *Log, states []model) model {
	t.Helper()
	var first error
	for k := len(states) - 1; k >= 0; k-- {
		faulty, err := states[k].diff(l)
		if err == nil && faulty == 0 {
			return states[k].clone()
		}
		if err == nil {
			err = fmt.Errorf("%d faulty entries", faulty)
		}
		first = err
	}
	t.Fatalf("after a crash, the log is none of %d states that it could be; it differs from what was synced: %v", len(states), first)
	return nil
}

// checkAccounts counts anew what the log keeps count of.
func checkAccounts(t *testing.T, l *Log) {
	t.Helper()
	live := map[uint32]int64{}
	for id, g := range l.groups {
		var bytes uint64
		holes := 0
		for i := g.pos.base + 1; i <= g.pos.last; i++ {
			p := g.pos.get(i)
			if p.hole() {
				holes++
				continue
			}
			bytes += uint64(p.frame())
			live[p.segment] += p.frame()
		}
		if bytes != g.bytes || holes != g.holes {
			t.Fatalf("group %d: %d bytes and %d holes, counted as %d and %d", id, bytes, holes, g.bytes, g.holes)
		}
	}
	for _, s := range l.segments {
		if s.live != live[s.number] {
			t.Fatalf("segment %d has %d live bytes, counted as %d", s.number, live[s.number], s.live)
		}
	}
}
