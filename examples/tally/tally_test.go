package tally

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/sim"
)

var votes = sim.Workload{Command: func(rng *rand.Rand) []byte { return []byte([]string{"ann", "bob", "cem"}[rng.IntN(3)]) }}

// TestATallyWithoutTheBug is what the test of a machine of one's own looks like.
func TestATallyWithoutTheBug(t *testing.T) {
	sim.Check(t, sim.Options{Seeds: 20}, func() balsa.StateMachine { return New(true) }, votes)
}

// TestTheBugIsFound has the simulator look for the bug, and fails if it does not find it.
func TestTheBugIsFound(t *testing.T) {
	var found finder
	sim.Check(&found, sim.Options{Seeds: 20}, func() balsa.StateMachine { return New(false) }, votes)
	if !strings.Contains(found.text, "answers:") && !strings.Contains(found.text, "state machine equality:") {
		t.Errorf("the bug was not found: %q", found.text)
	}
	for _, want := range []string{"seed ", "what happened last:", "repeat with sim.Options{First: "} {
		if !strings.Contains(found.text, want) {
			t.Errorf("the report lacks %q:\n%s", want, found.text)
		}
	}
	t.Log(found.text)
}

// finder takes what Check has to say.
type finder struct{ text string }

func (f *finder) Helper() {}

func (f *finder) Errorf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) }
