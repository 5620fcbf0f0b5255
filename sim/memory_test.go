package sim_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// TestALongWorldStaysSmall lives through faults until the checkers have begun to forget, and then for as long again. They forget a lot at a time, so the size
// goes up and down; but its peaks must not grow with the time that has passed.
func TestALongWorldStaysSmall(t *testing.T) {
	const window = 16_384 // what the checkers remember at least; they forget when it is twice as much
	regime := sim.Draw(77, sim.Options{Members: 3, Groups: 1, Clients: 8, Duration: time.Hour, Faults: []string{"crash", "isolate", "pause", "drop"}, Workload: "registers"})
	regime.Think, regime.Patience, regime.Delay, regime.Disk, regime.Apply = 2*time.Millisecond, 300*time.Millisecond, 200*time.Microsecond, 100*time.Microsecond, 20*time.Microsecond
	regime.Changes, regime.Transfers, regime.Padding, regime.Ballast = 0, 0, 0, 0
	regime.Hasty, regime.Loyal, regime.Unnoticed = false, false, false
	regime.Core = sim.Regime{}.Core
	w := sim.NewWorld(77, sim.Options{Regime: &regime})
	var sizes []uint64
	// Often enough for each half to meet the peaks: of a few samples the highest is a matter of luck.
	for committed := 3*window + window/8; committed <= 7*window; committed += window / 8 {
		for w.Report().Committed < committed {
			for until := w.Now() + 200*time.Millisecond; w.Now() < until; {
				if !w.Step() {
					t.Fatalf("the world ended at %v: %v", w.Now(), w.Report().Failure)
				}
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		sizes = append(sizes, m.HeapAlloc)
	}
	r := w.Report()
	t.Logf("heap: %d KB; %v, %d events, %d operations, %d entries committed", kilobytes(sizes), w.Now(), r.Events, r.Asked, r.Committed)
	half := len(sizes) / 2
	if grown := int64(slices.Max(sizes[half:])) - int64(slices.Max(sizes[:half])); grown > 1<<20 {
		t.Errorf("the heap has grown by %d KB: %d KB", grown>>10, kilobytes(sizes))
	}
	runtime.KeepAlive(w)
}

func kilobytes(sizes []uint64) []uint64 {
	var list []uint64
	for _, s := range sizes {
		list = append(list, s>>10)
	}
	return list
}
