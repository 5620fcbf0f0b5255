package sim_test

import (
	"runtime"
	"testing"

	"github.com/balsa-raft/balsa/sim"
)

// TestTheSameSeedGivesTheSameTrace runs worlds twice in one process, on one processor and on two: every event has to be the same, which
// it is if the hashes are.
func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	for seed := uint64(1000); seed < 1020; seed++ {
		options := sim.Options{Codec: wireCodec{}}
		was := runtime.GOMAXPROCS(1)
		a := sim.Run(seed, options)
		runtime.GOMAXPROCS(2)
		b := sim.Run(seed, options)
		runtime.GOMAXPROCS(was)
		if a.Hash != b.Hash || a.Events != b.Events || a.Asked != b.Asked {
			t.Fatalf("seed %d: trace %016x of %d events, then %016x of %d events: repeat with Options.Tell to find where they part", seed, a.Hash, a.Events, b.Hash, b.Events)
		}
	}
}

// TestSeedsDiffer keeps the hash honest.
func TestSeedsDiffer(t *testing.T) {
	seen := map[uint64]uint64{}
	for seed := uint64(1); seed <= 10; seed++ {
		hash := sim.Run(seed, sim.Options{Members: 3, Groups: 1}).Hash
		if other, twice := seen[hash]; twice {
			t.Errorf("seeds %d and %d have the same trace", seed, other)
		}
		seen[hash] = seed
	}
}
