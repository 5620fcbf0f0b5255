package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// trials runs an election experiment a few times and returns the downtimes in order.
func trials(t *testing.T, e sim.Election, n int) []time.Duration {
	t.Helper()
	var all []time.Duration
	for seed := range uint64(n) {
		r, err := e.Run(seed)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r.Downtime)
	}
	slices.Sort(all)
	return all
}

func election(low, high time.Duration, extensions bool) sim.Election {
	return sim.Election{TimeoutMin: low * time.Millisecond, TimeoutMax: high * time.Millisecond, Extensions: extensions, Timing: sim.PaperTiming, Limit: 2 * time.Minute}
}

// TestElectionsAreAsThePaperSays runs a sample of figure 16 and checks the claims of its text (§9.3).
func TestElectionsAreAsThePaperSays(t *testing.T) {
	median := func(all []time.Duration) time.Duration { return all[len(all)/2] }
	never := trials(t, election(150, 150, false), 20)
	little := trials(t, election(150, 155, false), 150)
	much := trials(t, election(150, 200, false), 150)
	for _, claim := range []struct {
		text  string
		holds bool
	}{
		{"without randomness elections take long, because votes are split again and again", median(never) > 2*time.Second},
		{"adding just 5 ms of randomness helps significantly", median(little) < 500*time.Millisecond},
		{"more randomness improves the worst case", much[len(much)-1] < little[len(little)-1]},
		{"the smallest possible downtime is about half of the minimum election timeout", little[0] > 75*time.Millisecond && little[0] < 110*time.Millisecond},
	} {
		if !claim.holds {
			t.Errorf("not so: %s (medians %v, %v, %v, longest %v and %v)", claim.text, median(never), median(little), median(much), little[len(little)-1], much[len(much)-1])
		}
	}
	// With pre-vote a member that cannot win raises no term and gives its vote to one that can.
	if with := trials(t, election(150, 150, true), 20); median(with) > 300*time.Millisecond {
		t.Errorf("with pre-vote and no randomness the median is %v", median(with))
	}
}

// TestElectionsRepeat wants the same downtimes of the same seeds, down to the nanosecond.
func TestElectionsRepeat(t *testing.T) {
	for _, extensions := range []bool{false, true} {
		first := fmt.Sprint(trials(t, election(150, 155, extensions), 10))
		if second := fmt.Sprint(trials(t, election(150, 155, extensions), 10)); first != second {
			t.Errorf("first %s, then %s", first, second)
		}
	}
}
