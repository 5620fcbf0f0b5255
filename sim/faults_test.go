package sim_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// TestAFullDiskRefusesWritesServesReadsAndRecovers has no other fault: every process goes on, and in the end takes writes again, which every run has to show.
func TestAFullDiskRefusesWritesServesReadsAndRecovers(t *testing.T) {
	counts := map[string]uint64{}
	for seed := uint64(60_000); seed < 60_030; seed++ {
		r := sim.Run(seed, sim.Options{Members: 3, Duration: 4 * time.Second, Faults: []string{"full disk"}})
		if r.Failure != nil {
			t.Fatalf("seed %d: %v", seed, r.Failure)
		}
		for _, f := range r.Faults {
			counts[f.Name] += f.Effective
		}
	}
	for _, name := range []string{"full disk", "read on a full disk", "refused by a full disk"} {
		if counts[name] == 0 {
			t.Errorf("%s: never; %v", name, counts)
		}
	}
}

// TestABrokenBudgetHaltsAndIsNeverWrong loses more than a majority can do without: runs halt, or live on with all that was acknowledged.
func TestABrokenBudgetHaltsAndIsNeverWrong(t *testing.T) {
	halted := 0
	for seed := uint64(61_000); seed < 61_060; seed++ {
		r := sim.Run(seed, sim.Options{Profile: "beyond", Duration: 4 * time.Second})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		if r.Halted != "" {
			halted++
		}
	}
	if halted == 0 {
		t.Error("no run lost so much that it had to halt")
	}
}

// TestEveryFaultStrikes runs short worlds until every fault that there is was injected and had an effect, which is what makes it worth something that
// they all end well.
func TestEveryFaultStrikes(t *testing.T) {
	injected, effective := map[string]uint64{}, map[string]uint64{}
	shown := map[string]bool{} // what is counted beside faults, and has to show something as well
	for seed := uint64(50_000); seed < 50_500; seed++ {
		o := sim.Options{Codec: wireCodec{}, Duration: 3 * time.Second}
		if seed%5 == 0 {
			o.Profile = "beyond"
		}
		r := sim.Run(seed, o)
		if r.Failure != nil {
			t.Errorf("seed %d failed: %v\n%s", seed, r.Failure, r.Regime)
		}
		for _, name := range r.Regime.Shows() {
			shown[name] = true
		}
		for _, f := range r.Faults {
			injected[f.Name] += f.Injected
			effective[f.Name] += f.Effective
		}
	}
	// What has an effect seldom gets more time.
	missing := func() bool {
		never := func(name string) bool { return effective[name] == 0 }
		return slices.ContainsFunc(sim.FaultNames(), never) || slices.ContainsFunc(slices.Collect(maps.Keys(shown)), never)
	}
	for seed := uint64(51_000); seed < 54_000 && missing(); seed++ {
		for _, f := range sim.Run(seed, sim.Options{Codec: wireCodec{}, Duration: 3 * time.Second}).Faults {
			injected[f.Name] += f.Injected
			effective[f.Name] += f.Effective
		}
	}
	for _, name := range sim.FaultNames() {
		t.Logf("%-20s %7d injected, %7d effective", name, injected[name], effective[name])
		if injected[name] == 0 || effective[name] == 0 {
			t.Errorf("%s was injected %d times and had an effect %d times", name, injected[name], effective[name])
		}
	}
	for name := range shown {
		if t.Logf("%-20s %7d", name, effective[name]); effective[name] == 0 {
			t.Errorf("%s: never", name)
		}
	}
	if len(shown) < 8 {
		t.Errorf("no world has to show anything but %v", shown)
	}
}
