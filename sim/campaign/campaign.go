package campaign

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// Options say what a campaign is to run.
type Options struct {
	// First is the first seed, Seeds how many there are; 0 is as many as the time allows.
	First, Seeds uint64
	// For is how long to go on, by the wall clock; 0 is until all seeds have run.
	For time.Duration
	// Workers is how many worlds run at once: at least one.
	Workers int
	// World is what each world is like.
	World sim.Options
	// All goes on after a failure; otherwise the first one ends the campaign.
	All bool
	// ShrinkRuns and ShrinkFor bound how long a failure is shrunk; no runs means that it is not.
	ShrinkRuns int
	ShrinkFor  time.Duration
	// Progress, if set, is told every Every what there is so far, from a goroutine of its own, and never twice at once.
	Progress func(Result)
	Every    time.Duration
	// Shrinking, if set, is told when a failure begins to be shrunk, and whenever a smaller run was found.
	Shrinking func(*sim.Shrinking)
}

// Result is what came of a campaign, or what there is so far.
type Result struct {
	// Worlds is how many have ended, Took how long that was by the wall clock, Simulated how much virtual time they lived through.
	Worlds          uint64
	Took, Simulated time.Duration
	// Events is how many things happened, Operations what clients did, Committed what groups committed.
	Events, Operations, Committed uint64
	// Recovery is the longest time that a world's groups took to be live again.
	Recovery time.Duration
	// Faults counts, by name, what was done to the worlds.
	Faults []Fault
	// Failures are the runs that failed, by seed; of each property the first is shrunk.
	Failures []Failure
	// Interrupted says that the campaign was ended from outside.
	Interrupted bool
}

// Fault is what one fault did in a campaign.
type Fault struct {
	Name string
	// Worlds is how many were to have the fault: 0 for what is counted but drawn by no name. Exposed is how long they were exposed to it, or had what is counted, in virtual time.
	Worlds, Injected, Effective uint64
	Exposed                     time.Duration
}

// Enough is how long worlds have to have been exposed to a fault for it to have to show. The rarest has an effect every two minutes or so.
const Enough = 20 * time.Minute

// Idle tells whether the fault should have done something by now, and has not: then either it is broken, or nothing is there for it to break.
func (f *Fault) Idle() bool {
	return f.Exposed >= Enough && (f.Effective == 0 || f.Worlds > 0 && f.Injected == 0)
}

// Failure is a world in which a property failed.
type Failure struct {
	// Report is what was found, and Options what it was found with; Shrunk is the smallest run that fails alike, if it was looked for.
	Report  sim.Report
	Options sim.Options
	Shrunk  *sim.Shrinking
}

// Run runs a campaign until its seeds or its time are over, a property failed, or ctx ends it. Then failures are shrunk.
func Run(ctx context.Context, o Options) Result {
	c := &campaign{options: o, next: o.First, began: time.Now(), faults: map[string]*Fault{}}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.For > 0 {
		end := time.AfterFunc(o.For, cancel)
		defer end.Stop()
	}
	c.cancel = cancel
	var workers, reporter sync.WaitGroup
	for range max(o.Workers, 1) {
		workers.Go(func() { c.work(inner) })
	}
	over := make(chan struct{})
	if o.Progress != nil {
		reporter.Go(func() { c.report(over) })
	}
	workers.Wait()
	close(over)
	reporter.Wait()
	r := c.result()
	r.Interrupted = ctx.Err() != nil
	c.shrink(ctx, r.Failures)
	return r
}

// campaign is a campaign under way.
type campaign struct {
	options Options
	began   time.Time
	cancel  func()

	mu     sync.Mutex
	next   uint64 // the next seed
	sum    Result
	faults map[string]*Fault
}

// seed hands out the next seed; false if there is none.
func (c *campaign) seed() (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.options.Seeds > 0 && c.next-c.options.First >= c.options.Seeds {
		return 0, false
	}
	c.next++
	return c.next - 1, true
}

func (c *campaign) work(ctx context.Context) {
	world := c.options.World
	world.Stop = func() bool { return ctx.Err() != nil }
	for ctx.Err() == nil {
		seed, ok := c.seed()
		if !ok {
			return
		}
		report := sim.Run(seed, world)
		if !report.Stopped {
			c.add(report)
		}
	}
}

// add adds up.
func (c *campaign) add(r sim.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.sum
	s.Worlds++
	s.Simulated += r.Time
	s.Events += r.Events
	s.Operations += uint64(r.Asked)
	s.Committed += uint64(r.Committed)
	s.Recovery = max(s.Recovery, r.Recovery)
	for _, f := range r.Regime.Faults {
		fault := c.fault(f.Name)
		fault.Worlds++
		fault.Exposed += min(r.Regime.Duration, r.Time)
	}
	for _, name := range r.Regime.Shows() {
		c.fault(name).Exposed += min(r.Regime.Duration, r.Time)
	}
	for _, count := range r.Faults {
		f := c.fault(count.Name)
		f.Injected += count.Injected
		f.Effective += count.Effective
	}
	if r.Failure == nil {
		return
	}
	s.Failures = append(s.Failures, Failure{Report: r, Options: c.options.World})
	if !c.options.All {
		c.cancel()
	}
}

func (c *campaign) fault(name string) *Fault {
	f := c.faults[name]
	if f == nil {
		f = &Fault{Name: name}
		c.faults[name] = f
	}
	return f
}

// result is what there is so far.
func (c *campaign) result() Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.sum
	r.Took = time.Since(c.began)
	for _, f := range c.faults {
		r.Faults = append(r.Faults, *f)
	}
	slices.SortFunc(r.Faults, func(a, b Fault) int { return cmp.Compare(a.Name, b.Name) })
	r.Failures = slices.Clone(r.Failures)
	slices.SortFunc(r.Failures, func(a, b Failure) int { return cmp.Compare(a.Report.Seed, b.Report.Seed) })
	return r
}

func (c *campaign) report(over <-chan struct{}) {
	ticker := time.NewTicker(max(c.options.Every, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
			c.options.Progress(c.result())
		}
	}
}

// shrink makes the first failure of each property small.
func (c *campaign) shrink(ctx context.Context, failures []Failure) {
	done := map[string]bool{}
	for i := range failures {
		f := &failures[i]
		property := f.Report.Failure.Checker
		if c.options.ShrinkRuns == 0 || done[property] {
			continue
		}
		done[property] = true
		until := time.Now().Add(c.options.ShrinkFor)
		s := &sim.Shrinking{Seed: f.Report.Seed, Options: f.Options, Report: f.Report}
		s.Done = func() bool {
			return s.Tried >= c.options.ShrinkRuns || ctx.Err() != nil || c.options.ShrinkFor > 0 && time.Now().After(until)
		}
		if c.options.Shrinking != nil {
			s.Step = func(string) { c.options.Shrinking(s) }
			c.options.Shrinking(s)
		}
		s.Options.Stop = func() bool { return ctx.Err() != nil }
		s.Shrink()
		s.Options.Stop = nil
		f.Shrunk = s
	}
}
