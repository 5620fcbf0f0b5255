package sim_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/balsa-raft/balsa/sim"
)

// register is the model of one register: its state is its value, 0 at first.
var register = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		value, op, known := state.(uint64), input.(sim.RegisterOperation), output.(bool)
		writes := op.Write != 0 && (!op.Compare || value == op.Expect)
		if known && (op.Before != value || op.Wrote != writes && op.Write != 0) {
			return false, state
		}
		if writes {
			return true, op.Write
		}
		return true, state
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// TestPorcupineAgrees has histories judged a second time, by a checker that knows nothing of logs and indexes.
func TestPorcupineAgrees(t *testing.T) {
	judged := 0
	for seed := uint64(2000); seed < 2030; seed++ {
		r := sim.Run(seed, sim.Options{Duration: 2 * time.Second, Workload: "registers", Operations: true})
		if r.Failure != nil {
			t.Fatalf("seed %d: %v", seed, r.Failure)
		}
		for key, history := range byRegister(r.Operations) {
			if unknown(history) > 6 {
				continue // It would take for ever to judge this way; the simulator's own checker sees those, too.
			}
			if !porcupine.CheckOperations(register, history) {
				t.Errorf("seed %d: the history of %s is not linearizable", seed, key)
			}
			judged++
		}
	}
	if judged < 50 {
		t.Errorf("only %d histories could be judged", judged)
	}
}

func unknown(history []porcupine.Operation) (n int) {
	for i := range history {
		if history[i].Return == math.MaxInt64 {
			n++
		}
	}
	return n
}

// TestPorcupineWouldNotice makes sure that the model can fail: a read that is told an old value.
func TestPorcupineWouldNotice(t *testing.T) {
	var r sim.Report
	broken := 0
	for seed := uint64(2001); broken == 0 && seed < 2030; seed++ { // not every world has reads
		r = sim.Run(seed, sim.Options{Members: 3, Duration: 2 * time.Second, Faults: []string{}, Workload: "registers", Operations: true})
		for i := range r.Operations {
			op := &r.Operations[i]
			if read, ok := op.Register(); ok && op.ID == 0 && op.Outcome == sim.OutcomeDone && read.Before != 0 {
				op.Answer[0] ^= 1
				broken++
				break
			}
		}
	}
	illegal := 0
	for _, history := range byRegister(r.Operations) {
		if !porcupine.CheckOperations(register, history) {
			illegal++
		}
	}
	if broken != 1 || illegal != 1 {
		t.Errorf("%d reads were falsified, %d histories found illegal", broken, illegal)
	}
}

// byRegister makes porcupine's histories: what was refused is left out, what is unknown never ends.
func byRegister(operations []sim.Operation) map[string][]porcupine.Operation {
	histories := map[string][]porcupine.Operation{}
	for i := range operations {
		op := &operations[i]
		known := op.Outcome == sim.OutcomeDone
		r, alone := op.Register()
		if !alone || op.Outcome == sim.OutcomeRefused || !known && op.ID == 0 {
			continue
		}
		key := fmt.Sprintf("g%d r%d", op.Group, r.Register)
		end := int64(op.Return)
		if !known {
			end = math.MaxInt64
		}
		histories[key] = append(histories[key], porcupine.Operation{ClientId: op.Client, Input: r, Output: known, Call: int64(op.Call), Return: end})
	}
	return histories
}
