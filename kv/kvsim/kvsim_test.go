package kvsim

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone, and tell its story")
	seedsFlag = flag.Uint64("seeds", 20, "how many seeds TestStoreInTheSimulator runs")
	firstFlag = flag.Uint64("first", 1, "the first seed of TestStoreInTheSimulator")
)

func run(seed uint64, crashPoints bool) sim.Report {
	return sim.Run(seed, sim.Options{Application: Application{CrashPoints: crashPoints}, Duration: 3 * time.Second})
}

// TestStoreInTheSimulator has the store live through worlds with every fault that there is.
func TestStoreInTheSimulator(t *testing.T) {
	first, seeds := *firstFlag, *seedsFlag
	if *seedFlag != 0 {
		first, seeds = *seedFlag, 1
	}
	for _, crashPoints := range []bool{false, true} {
		judged, crashes := 0, uint64(0)
		for seed := first; seed < first+seeds; seed++ {
			r := run(seed, crashPoints)
			if r.Failure != nil {
				t.Errorf("crash points %v, seed %d: %v\n%s\nrepeat with: go test ./kv/kvsim -run StoreInTheSimulator -seed=%d", crashPoints, seed, r.Failure, r.Regime, seed)
			}
			if *seedFlag != 0 {
				t.Log(r.String())
			}
			judged += r.Judged
			for _, f := range r.Faults {
				if f.Name == "crash in I/O" {
					crashes += f.Effective
				}
			}
		}
		t.Logf("crash points %v: %d answers judged, %d crashes in I/O", crashPoints, judged, crashes)
		if judged == 0 {
			t.Error("no answer was judged")
		}
	}
}

// TestTheSameSeedGivesTheSameTrace: nothing that a world sees depends on when Pebble's goroutines run. Where processes end in the middle of what they do, every
// single operation on files has to be the same, too.
func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	first, seeds := uint64(100), uint64(6)
	if *seedFlag != 0 {
		first, seeds = *seedFlag, 1
	}
	for _, crashPoints := range []bool{false, true} {
		for seed := first; seed < first+seeds; seed++ {
			var one sim.Report
			var operations []uint64
			for _, processors := range []int{1, 2, 8} {
				watched := []uint64{}
				was := runtime.GOMAXPROCS(processors)
				rest := busy(min(processors-1, 2))
				r := sim.Run(seed, sim.Options{Application: Application{CrashPoints: crashPoints, watched: &watched}, Duration: 3 * time.Second})
				rest()
				runtime.GOMAXPROCS(was)
				if processors == 1 {
					one, operations = r, watched
					continue
				}
				if one.Hash != r.Hash || one.Events != r.Events {
					t.Errorf("crash points %v, seed %d: trace %016x of %d events, and with %d processors %016x of %d", crashPoints, seed, one.Hash, one.Events, processors, r.Hash, r.Events)
				}
				if crashPoints && !slices.Equal(operations, watched) {
					t.Errorf("seed %d: with %d processors the operations on files are others", seed, processors)
				}
			}
		}
	}
}

// busy has goroutines that want a processor all the time, so that those of Pebble get theirs at other times, until they are sent to rest.
func busy(goroutines int) (rest func()) {
	var stop atomic.Bool
	var wait sync.WaitGroup
	for range goroutines {
		wait.Go(func() {
			for n := uint64(1); !stop.Load(); n++ {
				n *= n
			}
		})
	}
	return func() {
		stop.Store(true)
		wait.Wait()
	}
}

// TestWhenAFileIsRemovedDoesNotMatter: what a crash leaves of the other files is the same, whether Pebble had come to removing an old one or not.
func TestWhenAFileIsRemovedDoesNotMatter(t *testing.T) {
	for seed := range uint64(100) {
		var left [2]string
		for removed := range 2 {
			f := newFiles()
			old, err := f.Create("db/OPTIONS-000001", vfs.WriteCategoryUnspecified)
			if err == nil {
				_, err = old.Write(make([]byte, 1000))
			}
			if err = errors.Join(err, old.Sync(), f.volume.SyncDir("db")); err != nil {
				t.Fatal(err)
			}
			if removed == 1 {
				if err := f.Remove("db/OPTIONS-000001"); err != nil {
					t.Fatal(err)
				}
			}
			table, err := f.Create("db/000002.sst", vfs.WriteCategoryUnspecified)
			if err == nil {
				_, err = table.Write(bytes.Repeat([]byte("table"), 1000))
			}
			if err != nil {
				t.Fatal(err)
			}
			image := f.crashed(rand.New(rand.NewPCG(seed, 1)))
			if content, err := image.volume.Open("db/000002.sst"); err == nil {
				b := make([]byte, 5000)
				n, _ := content.ReadAt(b, 0)
				left[removed] = "there: " + string(b[:n])
			}
		}
		if left[0] != left[1] {
			t.Fatalf("seed %d: of the table %d bytes are left, and %d if an old file had been removed, or others", seed, len(left[0]), len(left[1]))
		}
	}
}

// wrong is the store with a mistake.
type wrong struct {
	Application
	mistake string
}

func (w wrong) Machine(at sim.Place) (engine.StateMachine, error) {
	if before, ok := at.Previous.(*wrongMachine); ok {
		at.Previous = before.machine
	}
	m, err := w.Application.Machine(at)
	if err != nil {
		return nil, err
	}
	return &wrongMachine{machine: m.(*machine), mistake: w.mistake, number: uint64(at.Host)}, nil
}

func (w wrong) Read(m engine.StateMachine, query []byte) []byte {
	return w.Application.Read(m.(*wrongMachine).machine, query)
}

type wrongMachine struct {
	*machine
	mistake string
	number  uint64
}

// DurableIndex believes what Flush claims.
func (m *wrongMachine) DurableIndex() raft.Index { return m.durable }

// Flush may claim what it has not done.
func (m *wrongMachine) Flush() error {
	if m.mistake != "does not flush" {
		return m.machine.Flush()
	}
	m.durable = m.store.AppliedIndex()
	return nil
}

// Apply may leave something out.
func (m *wrongMachine) Apply(entries []engine.Entry) []engine.Result {
	if m.mistake == "leaves one out" && m.number == 2 && entries[0].Index%50 == 0 {
		entries[0].Data = entries[0].Data[:0]
	}
	return m.machine.Apply(entries)
}

// TestAWrongStoreIsFound makes sure that worlds with the store can fail.
func TestAWrongStoreIsFound(t *testing.T) {
	for mistake, property := range map[string]string{"does not flush": "recovery", "leaves one out": "state machine equality"} {
		var found *sim.Failure
		for seed := uint64(1); seed <= 60 && found == nil; seed++ {
			found = sim.Run(seed, sim.Options{Application: wrong{mistake: mistake}, Members: 3, Duration: 3 * time.Second}).Failure
		}
		if found == nil || found.Checker != property && found.Checker != "answers" {
			t.Errorf("a store that %s: %v", mistake, found)
		}
	}
}
