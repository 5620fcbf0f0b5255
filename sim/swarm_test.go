package sim_test

import (
	"flag"
	"testing"
	"time"

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

// TestProgressIsDemandedWhileFaultsLast runs worlds that are half cut off most of the time, or whose leaders' disks are stuck, and makes sure that the rule of
// check_progress.go applies in them before the faults end.
func TestProgressIsDemandedWhileFaultsLast(t *testing.T) {
	for _, faults := range [][]string{{"bridge"}, {"one-way"}, {"ring"}, {"stuck disk"}} {
		armed := 0
		for seed := uint64(60_000); seed < 60_012; seed++ {
			regime := sim.Draw(seed, sim.Options{Members: 5, Groups: 1, Duration: 20 * time.Second, Faults: faults})
			regime.Changes, regime.Transfers = 0, 0
			regime.Core.DisablePreVote, regime.Core.DisableCheckQuorum, regime.Core.QuiesceAfter = false, false, 0
			w := sim.NewWorld(seed, sim.Options{Regime: &regime})
			for w.Now() < regime.Duration && w.Step() {
			}
			r := w.Report()
			if r.Failure != nil {
				t.Errorf("seed %d, %v: %v", seed, faults, r.Failure)
			}
			armed += r.Armed
		}
		t.Logf("%v: progress was demanded %d times", faults, armed)
		if armed == 0 {
			t.Errorf("%v: progress was never demanded", faults)
		}
	}
}
