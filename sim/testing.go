package sim

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/balsa-raft/balsa/engine"
)

// TB is what Check needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// tellLines is how much of a failing run's story Check tells.
const tellLines = 60

// Check puts a state machine of one's own under everything that a deployment may meet: crashes, power losses, partitions, lost and repeated messages, slow
// disks, wrong clocks, changes of members, snapshots that are installed in the middle of all that. newMachine makes a fresh machine, as it is before
// its first command; workload says what clients ask. Options.Seeds worlds are run, each drawn from a seed of its own. A world fails when
//
//   - two machines that have applied the same differ: in the bytes that their snapshots have, or in Hash, if they are a Hasher;
//   - a machine that was restored from a snapshot differs from the one that wrote it;
//   - an answer is not that of a fresh machine which is asked alone, one command at a time, in the order of the log;
//   - what clients see is not linearizable, or something that was acknowledged is lost, or happens twice;
//   - anything else goes wrong that the package's comment names, a panic among it.
//
// The first failing seed is told with its story, and how to repeat it. A machine that keeps its state on a disk of its own needs to be told where
// that is, and to crash: make it an Application, and run worlds with it by Options.Application.
func Check(t TB, o Options, newMachine func() engine.StateMachine, workload Workload) {
	t.Helper()
	if err := workload.check(); err != nil {
		t.Errorf("sim.Check: %v", err)
		return
	}
	if err := roundTrip(newMachine); err != nil {
		t.Errorf("sim.Check: a fresh machine: %v", err)
		return
	}
	o.Application = own{make: newMachine, work: workload}
	if o.Seeds == 0 {
		o.Seeds = 100
	}
	first := max(o.First, 1)
	for seed := first; seed < first+uint64(o.Seeds); seed++ {
		r := runGuarded(seed, o)
		if r.Failure == nil {
			continue
		}
		story := r.Failure.Story
		story = story[max(0, len(story)-tellLines):]
		t.Errorf("seed %d: %s: %s\n\nwhat happened last:\n%s\n\nthe world: %s\nrepeat with sim.Options{First: %d, Seeds: 1}; with Tell set, it tells all from the beginning. "+
			"What does not fail every time depends on something other than the commands: the order of a map, a clock, chance",
			seed, r.Failure.Checker, r.Failure.Text, strings.Join(story, "\n"), r.Regime, seed)
		return
	}
}

func (w *Workload) check() error {
	switch {
	case w.Command == nil:
		return fmt.Errorf("the workload needs a Command")
	case (w.Query == nil) != (w.Read == nil):
		return fmt.Errorf("the workload needs Query and Read, or neither")
	}
	return nil
}

// runGuarded is Run for machines that may panic when they are asked alone.
func runGuarded(seed uint64, o Options) (r Report) {
	if o.Story == 0 {
		o.Story = 400
	}
	w := NewWorld(seed, o)
	defer func() {
		if p := recover(); p != nil {
			w.fail("no panic", "a machine that is asked alone: %v\n%s", p, debug.Stack())
			r = w.Report()
		}
	}()
	for w.Step() {
	}
	return w.Report()
}

// roundTrip sees that a fresh machine can be saved and restored.
func roundTrip(newMachine func() engine.StateMachine) error {
	a, b := newMachine(), newMachine()
	if _, durable := a.(engine.DurableStateMachine); durable {
		return fmt.Errorf("it keeps its state itself (it is a DurableStateMachine): write an Application for it, and use Options.Application")
	}
	if err := transplant(a, b); err != nil {
		return err
	}
	before, err := stateHash(a)
	if err != nil {
		return err
	}
	after, err := stateHash(b)
	if err == nil && before != after {
		err = fmt.Errorf("its state is %016x, and %016x after a snapshot and its restoration%s", before, after, describeStates(b, a))
	}
	return err
}

// transplant restores one machine from a snapshot of another.
func transplant(from, to engine.StateMachine) error {
	body, err := snapshotOf(from)
	if err != nil {
		return err
	}
	if err := to.Restore(bytes.NewReader(body)); err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	return nil
}

// snapshotOf is all that a machine's snapshot has.
func snapshotOf(m engine.StateMachine) ([]byte, error) {
	snapshot, err := m.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err)
	}
	var body bytes.Buffer
	_, err = snapshot.WriteTo(&body)
	if closeErr := snapshot.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("write a snapshot: %w", err)
	}
	return body.Bytes(), nil
}

// describeStates shows by their snapshots how a machine's state differs from the one that it should have: all of it if it is small, else what follows the
// first byte that differs. It says nothing of what cannot be captured.
func describeStates(has, want engine.StateMachine) string {
	a, errA := snapshotOf(has)
	b, errB := snapshotOf(want)
	if errA != nil || errB != nil {
		return ""
	}
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	switch {
	case bytes.Equal(a, b):
		return fmt.Sprintf("; the snapshots of both are %d bytes, and equal", len(a))
	case len(clipped(a)) == len(a) && len(clipped(b)) == len(b):
		return fmt.Sprintf("; its snapshot is %s, and should be %s", describeBytes(a), describeBytes(b))
	}
	return fmt.Sprintf("; its snapshot of %d bytes should have %d, and from byte %d on has %s in the place of %s", len(a), len(b), at, describeBytes(a[at:]), describeBytes(b[at:]))
}
