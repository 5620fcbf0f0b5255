package sim_test

import (
	"flag"
	"testing"

	"github.com/balsa-raft/balsa/sim"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "run this seed alone, and tell its story")
	seedsFlag   = flag.Uint64("seeds", 520, "how many seeds TestSwarm runs")
	profileFlag = flag.String("profile", "", "the kind of run")
	timeFlag    = flag.Duration("duration", 0, "how long the faults last, where a test drew from the seed with that")
	storyFlag   = flag.Int("story", 5000, "how many lines of the story -seed tells, if the run fails")
	firstFlag   = flag.Uint64("first", 1, "the first seed of TestSwarm")
)

// TestSwarm runs many worlds, each with its own deployment, limits, faults and clients.
func TestSwarm(t *testing.T) {
	if *seedFlag != 0 {
		r := sim.Run(*seedFlag, sim.Options{Codec: wireCodec{}, Story: *storyFlag, Duration: *timeFlag, Profile: *profileFlag})
		t.Log(r.String())
		if r.Failure != nil {
			t.Fail()
		}
		return
	}
	for seed := *firstFlag; seed < *firstFlag+*seedsFlag; seed++ {
		r := sim.Run(seed, sim.Options{Codec: wireCodec{}, Profile: *profileFlag})
		if r.Failure != nil {
			t.Errorf("seed %d failed: %v\n%s\nrepeat with: go test ./sim -run TestSwarm -seed=%d -v", seed, r.Failure, r.Regime, seed)
		}
	}
}
