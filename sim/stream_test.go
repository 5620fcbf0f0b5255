package sim_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// TestWhatIsTakenAwayLeavesTheRest takes a fault, strikes and a client out of a run: all that is left stays when and what it was, as far as it does not
// depend on what happened.
func TestWhatIsTakenAwayLeavesTheRest(t *testing.T) {
	for seed := uint64(3000); seed < 3010; seed++ {
		all := sim.Run(seed, sim.Options{Members: 3, Duration: 3 * time.Second, Operations: true, Faults: []string{"crash", "split", "pause"}})
		crashes, splits, pauses := strikesOf(all, "crash"), strikesOf(all, "split"), strikesOf(all, "pause")
		if len(crashes) < 2 && len(pauses) < 2 {
			continue
		}
		less := sim.Run(seed, sim.Options{Members: 3, Duration: 3 * time.Second, Operations: true, Faults: []string{"crash", "pause"}, Strikes: map[string][]int{"pause": {2}}, Without: []int{1}})
		if got := strikesOf(less, "crash"); !slices.Equal(got, crashes) {
			t.Errorf("seed %d: crashes are at %v, and were at %v with the other faults", seed, got, crashes)
		}
		if got := strikesOf(less, "split"); len(got) > 0 || len(pauses) > 1 && !slices.Equal(strikesOf(less, "pause"), pauses[1:2]) {
			t.Errorf("seed %d: splits %v of %v, pauses %v of %v", seed, got, splits, strikesOf(less, "pause"), pauses)
		}
		first := map[int]time.Duration{}
		for _, op := range all.Operations { // those of the proof at the end come after these
			if _, known := first[op.Client]; !known && op.Call < 3*time.Second {
				first[op.Client] = op.Call
			}
		}
		for _, op := range less.Operations {
			if at, known := first[op.Client]; op.Client == 1 || known && at != op.Call {
				t.Errorf("seed %d: client %d begins at %v, and began at %v when there was one more", seed, op.Client, op.Call, at)
			}
			delete(first, op.Client)
		}
	}
}

func strikesOf(r sim.Report, fault string) []sim.Strike {
	return slices.DeleteFunc(slices.Clone(r.Strikes), func(s sim.Strike) bool { return s.Fault != fault })
}

// TestOptionsFixTheRun writes what a seed drew as JSON: read back, it makes the same run.
func TestOptionsFixTheRun(t *testing.T) {
	for seed := uint64(3100); seed < 3105; seed++ {
		was := sim.Run(seed, sim.Options{})
		text, err := json.Marshal(sim.Options{Regime: &was.Regime})
		if err != nil {
			t.Fatal(err)
		}
		var options sim.Options
		if err := json.Unmarshal(text, &options); err != nil {
			t.Fatal(err)
		}
		if is := sim.Run(seed, options); is.Hash != was.Hash {
			t.Errorf("seed %d: trace %016x, but %016x with what it drew written down: %s", seed, was.Hash, is.Hash, text)
		}
	}
}
