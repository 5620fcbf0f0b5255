package sim

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// Options say what a run is to be like; what is zero is drawn from the seed. With the seed, they fix the run: they are what a replay file holds.
type Options struct {
	// Members is how many members the groups are founded with, Groups how many groups there are, Clients how many clients each group has, Duration how
	// long the faults last, in virtual time.
	Members  int           `json:"members,omitempty"`
	Groups   int           `json:"groups,omitempty"`
	Clients  int           `json:"clients,omitempty"`
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Profile is the kind of run, by its name; "" is swarm. See Profiles.
	Profile string `json:"profile,omitempty"`
	// Faults names the faults that may strike; nil draws some, an empty list is none. See FaultNames.
	Faults []string `json:"faults"`
	// Regime, if set, is all that would be drawn, and what is above does not count. See Draw.
	Regime *Regime `json:"regime,omitempty"`
	// Strikes names, for some faults, the only strikes that take place, by their numbers from 1 on; the others of these faults do not. See Report.Strikes.
	Strikes map[string][]int `json:"strikes,omitempty"`
	// Without names clients that do nothing, by their numbers from 1 on: those of the first group come first.
	Without []int `json:"without_clients,omitempty"`
	// Workload names one of the built-in applications (see WorkloadNames); Application, if set, is one that is not built in, and comes before it.
	Workload    string      `json:"workload,omitempty"`
	Application Application `json:"-"`
	// Operations says that the report keeps every operation; without it, a run of any length takes the same memory.
	Operations bool `json:"-"`
	// Seeds is how many worlds Check runs, 100 by default, and First the first of their seeds.
	Seeds int    `json:"-"`
	First uint64 `json:"-"`
	// Codec, if set, carries every message as bytes, as production does. It may change the messages, but none of the times.
	Codec Codec `json:"-"`
	// Story is how many of the last notes a failure tells: 400 by default.
	Story int `json:"-"`
	// Stop, if set, is asked now and then whether to give up: such a run ends without a failure, and its report says so.
	Stop func() bool `json:"-"`
	// Tell, if set, gets every line of the story as it happens.
	Tell func(line string) `json:"-"`
	// Watch, if set, gets what happens as values, for whoever shows the world; see View. It changes nothing of the run.
	Watch func(*Happening) `json:"-"`
}

// Codec turns messages into bytes and back. The simulator declares what it needs of it; package transport/wire has it.
type Codec interface {
	Encode(group raft.GroupID, m raft.Message) ([]byte, error)
	Decode(b []byte) (raft.GroupID, raft.Message, error)
}

// Report is what came of a run.
type Report struct {
	Seed uint64
	// Hash is that of the whole trace: the same seed and options give the same one, anywhere.
	Hash uint64
	// Regime is what the seed drew.
	Regime Regime
	// Inputs is how many inputs the cores were given (see raft.Core.Inputs): the simulator's measure of work.
	Inputs uint64
	// Events is how many things happened, Time how much virtual time passed, Recovery how much of it from the end of the faults until the
	// groups were live again.
	Events         uint64
	Time, Recovery time.Duration
	// Faults counts, by name and in the order of the names, what was done to the world.
	Faults []FaultCount
	// Strikes are the strikes that took place, the first 20,000 of them.
	Strikes []Strike
	// Operations is what clients did, in the order they began, if Options.Operations asks for it; Asked is how many there were.
	Operations []Operation
	Asked      int
	// Committed is how many entries the groups committed; Judged counts the answers that were compared with the oracle's, and Forgotten those that were
	// not, because their place in the log was too far back.
	Committed, Judged, Forgotten int
	// Armed counts how often a group had to have made progress, because a majority had run undisturbed for ten election timeouts.
	Armed int
	// Failure is nil if all went well, Stopped says that the run was given up before its end.
	Failure *Failure
	// Halted says why the groups did not live again, with which only a run beyond the fault budget may end; "" if they did.
	Halted  string
	Stopped bool
}

// FaultCount tells how often a fault was injected, and how often that changed anything.
type FaultCount struct {
	Name                string
	Injected, Effective uint64
}

// Failure is a property that did not hold.
type Failure struct {
	// Checker names the property, Text says what was found, At when.
	Checker, Text string
	At            time.Duration
	// Story is what happened last, line by line; Words tells what of it matters, as sentences.
	Story, Words []string
}

// Error makes a Failure an error.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s (at %v)", f.Checker, f.Text, f.At) }

// Run lives through the world of a seed and reports. It takes no goroutine, no file and no clock but the caller's own.
func Run(seed uint64, options Options) Report {
	if options.Story == 0 {
		options.Story = 400
	}
	w := NewWorld(seed, options)
	w.guarded(func() {
		for w.Step() {
			if w.events%1024 == 0 && options.Stop != nil && options.Stop() {
				w.stopped = true
				break
			}
		}
	})
	report := w.Report()
	if report.Failure == nil {
		w.letGo()
	}
	return report
}

// letGo ends all processes once their world is over, so that machines with files and memory of their own give them back. After a failure nobody knows what
// state a machine is in, and none is touched.
func (w *World) letGo() {
	for _, g := range w.groups {
		for _, m := range g.members {
			if c, ok := m.previous.(Crasher); ok && m.machine != nil {
				c.Crash()
			}
		}
	}
}

// guarded makes a panic outside of any process a failure too: it is one of the simulator itself.
func (w *World) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			w.fail("no panic", "in the simulator: %v\n%s", p, debug.Stack())
		}
	}()
	f()
}

// tellWords is how many sentences a failure tells.
const tellWords = 60

// Report tells what came of the world so far.
func (w *World) Report() Report {
	r := Report{
		Seed: w.seed, Hash: w.story.hash, Regime: w.regime, Events: w.events, Time: w.now, Faults: w.counts.sorted(), Strikes: w.strikes, Halted: w.halted, Failure: w.failure, Stopped: w.stopped,
	}
	if w.live > 0 {
		r.Recovery = w.live - w.healed
	}
	for _, g := range w.groups {
		r.Operations = append(r.Operations, g.history...)
		for _, m := range g.members {
			r.Inputs += m.fed()
		}
		r.Asked += g.asked
		r.Committed += int(g.size())
		r.Judged += g.answers.judged
		r.Forgotten += g.answers.forgotten
	}
	if w.progress != nil {
		r.Armed = w.progress.armed
	}
	slices.SortStableFunc(r.Operations, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
	if w.failure != nil {
		w.failure.Story, w.failure.Words = w.story.lines(), w.story.words(tellWords)
	}
	return r
}

// String tells a report in a few lines, with the story if it failed.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d events in %v, %d operations, %d entries committed, live again after %v, trace %016x\n  %s\n",
		r.Seed, r.Events, r.Time, r.Asked, r.Committed, r.Recovery, r.Hash, r.Regime)
	for _, c := range r.Faults {
		fmt.Fprintf(&b, "  %-16s %6d injected, %6d effective\n", c.Name, c.Injected, c.Effective)
	}
	if r.Failure != nil {
		for _, line := range r.Failure.Story {
			b.WriteString(line + "\n")
		}
		fmt.Fprintf(&b, "FAILED %v\n", r.Failure)
	}
	return b.String()
}

// counts is how often each fault was injected and had an effect.
type counts map[string]*FaultCount

func (c counts) of(name string) *FaultCount {
	if c[name] == nil {
		c[name] = &FaultCount{Name: name}
	}
	return c[name]
}

func (c counts) injected(name string)  { c.of(name).Injected++ }
func (c counts) effective(name string) { c.of(name).Effective++ }

func (c counts) sorted() []FaultCount {
	list := make([]FaultCount, 0, len(c))
	for _, count := range c {
		list = append(list, *count)
	}
	slices.SortFunc(list, func(a, b FaultCount) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
