package sim

import (
	"testing"
	"time"

	"github.com/balsa-raft/balsa/engine"
	layer "github.com/balsa-raft/balsa/session"
)

// twice is a session layer that answers a retry as it should, and has the machine carry it out again.
type twice struct {
	*layer.Machine
	seen map[string]bool
}

func (m *twice) Apply(entries []engine.Entry) []engine.Result {
	results := m.Machine.Apply(entries)
	for _, e := range entries {
		const head = 1 + 8 + 8 // kind, session, number
		key := string(e.Data[:head])
		if e.Data[0] != sessionOpens && m.seen[key] {
			m.Inner().Apply([]engine.Entry{{Index: e.Index, Term: e.Term, Data: e.Data[head:]}})
		}
		m.seen[key] = true
	}
	return results
}

// retriesTwice is the workload with that layer.
type retriesTwice struct{ sessions }

func (retriesTwice) Machine(Place) (engine.StateMachine, error) {
	return &twice{Machine: layer.NewMachine(&registerMachine{}, sessionLimit), seen: map[string]bool{}}, nil
}

func (retriesTwice) Read(m engine.StateMachine, query []byte) []byte {
	return m.(*twice).Inner().(*registerMachine).read(query)
}

// TestARetryThatHappensTwiceIsFound makes sure that the workload with sessions can fail.
func TestARetryThatHappensTwiceIsFound(t *testing.T) {
	var found *Failure
	seeds := 0
	for seed := uint64(1); seed <= 100 && found == nil; seed++ {
		found = Run(seed, Options{Application: retriesTwice{}, Duration: 3 * time.Second}).Failure
		seeds++
	}
	if found == nil {
		t.Fatal("retries happen twice, and 100 worlds have not seen it")
	}
	t.Logf("after %d worlds: %v", seeds, found)
	if found.Checker != "answers" && found.Checker != "linearizability" && found.Checker != "state machine equality" {
		t.Errorf("it was taken for something else: %v", found)
	}
}
