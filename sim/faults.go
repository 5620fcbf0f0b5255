package sim

import (
	"slices"
	"time"
)

// faultKind is what a fault strikes at.
type faultKind string

// The kinds of faults.
const (
	messages   faultKind = "messages"
	partitions faultKind = "partitions"
	processes  faultKind = "processes"
	disks      faultKind = "disks"
	clocks     faultKind = "clocks"
	frames     faultKind = "frames"
	requests   faultKind = "requests"
	versions   faultKind = "versions"
	identities faultKind = "identities"
	changes    faultKind = "changes"
	moments    faultKind = "moments"
	snapshots  faultKind = "snapshots"
)

// fault is one way in which the world misbehaves. It strikes again and again, at random times, until the faults end.
type fault struct {
	name string
	kind faultKind
	// every is the mean time between two strikes, of which a run draws one that is up to twice as long or short.
	every time.Duration
	// strike does it, and reports whether there was anything to strike at. What it breaks for a while it plans to mend. It draws from the strike's
	// own stream, and from no other.
	strike func(w *World, s *strike) bool
	// beyond says that it belongs to runs beyond the fault budget alone.
	beyond bool
	// heal ends what the network's and the hosts' own heal does not.
	heal func(w *World)
}

// strike is one time that a fault strikes: its number, from 1 on, and randomness of its own, so that it does the same whether or not the
// strikes before it took place.
type strike struct {
	*stream
	fault  string
	number int
}

// Strike names one strike of a fault: when it was, and its number, which Options.Strikes knows.
type Strike struct {
	Fault  string
	Number int
	At     time.Duration
}

// maxStrikes bounds how many strikes are remembered, the first ones: a world of days must not take more memory than one of seconds.
const maxStrikes = 20_000

// allFaults lists the faults, one file for each kind.
func allFaults() []*fault {
	var list []*fault
	for _, of := range []struct {
		kind   faultKind
		faults []*fault
	}{
		{messages, messageFaults()}, {partitions, partitionFaults()}, {processes, processFaults()}, {processes, powerLossFaults()},
		{disks, diskFaults()}, {disks, ioFaults()}, {disks, rotFaults()}, {clocks, timeFaults()}, {frames, bytesFaults()}, {requests, clientFaults()},
		{versions, versionFaults()}, {identities, identityFaults()}, {changes, changeFaults()}, {snapshots, snapshotFaults()}, {moments, momentFaults()},
	} {
		for _, f := range of.faults {
			f.kind = of.kind
			list = append(list, f)
		}
	}
	return list
}

// FaultNames lists the names that Options.Faults knows.
func FaultNames() []string {
	var names []string
	for _, f := range allFaults() {
		names = append(names, f.name)
	}
	return names
}

// drawFaults draws which faults strike in a run: not all, so that runs differ in kind and not only in order.
func drawFaults(seed uint64, o *Options, p *Profile) []FaultRate {
	rates := []FaultRate{}
	// Some runs have few faults, so that there is time for each to do its work, and some have many.
	share := pick(newStream(seed, "regime how many faults"), 4, 2, 1)
	var few []int
	if p.few > 0 {
		drawn := newStream(seed, "regime which few faults")
		few = drawn.Perm(len(allFaults()))[:1+drawn.IntN(p.few)]
	}
	for i, f := range allFaults() {
		drawn := newStream(seed, "regime fault "+f.name)
		in := drawn.chance(p.of(f, share), 400)
		if p.few > 0 {
			in = slices.Contains(few, i)
		}
		in = in && (!f.beyond || p.Name == beyondBudget)
		if o.Faults != nil {
			in = slices.Contains(o.Faults, f.name)
		}
		// How often differs from run to run, too.
		every := f.every * time.Duration(1+drawn.IntN(4)) / 2
		if in {
			rates = append(rates, FaultRate{Name: f.name, Every: every})
		}
	}
	return rates
}

// of is the chance in four hundred that a fault strikes in a world of a profile, where those that it does not name have a share of theirs.
func (p *Profile) of(f *fault, share int) int {
	if odds, named := p.named[f.name]; named {
		return 4 * odds
	}
	if odds, named := p.odds[f.kind]; named {
		return 4 * odds
	}
	return 4 * p.others / share
}

// startFaults plans the first strike of each fault of the regime.
func (w *World) startFaults() {
	known := map[string]*fault{}
	for _, f := range allFaults() {
		known[f.name] = f
	}
	for _, rate := range w.regime.Faults {
		f := known[rate.Name]
		w.faults = append(w.faults, f)
		w.strikeAgain(f, rate.Every, w.stream("strikes of "+f.name), 1)
	}
}

// strikeAgain plans the strike of a number. When it comes follows from those before it, whether they took place or not.
func (w *World) strikeAgain(f *fault, every time.Duration, times *stream, number int) {
	w.after(times.around(every), func() {
		if w.healing {
			return
		}
		if kept, chosen := w.options.Strikes[f.name]; !chosen || slices.Contains(kept, number) {
			if len(w.strikes) < maxStrikes {
				w.strikes = append(w.strikes, Strike{Fault: f.name, Number: number, At: w.now})
			}
			s := &strike{stream: w.stream("strike of "+f.name, uint64(number)), fault: f.name, number: number}
			if f.strike(w, s) {
				w.counts.injected(f.name)
			}
		}
		w.strikeAgain(f, every, times, number+1)
	})
}

// during does something now and undoes it after a while, unless the faults end before: then heal has done so.
func (w *World) during(d time.Duration, undo func()) {
	w.after(d, func() {
		if !w.healing {
			undo()
		}
	})
}

// host picks any host, whether or not a process runs on it.
func (s *strike) host(w *World) *host { return w.hosts[s.IntN(len(w.hosts))] }

// victim picks a host whose process runs; leader says that a leader is preferred. Nil if no process runs.
func (s *strike) victim(w *World, leader bool) *host {
	up := w.running()
	if len(up) == 0 {
		return nil
	}
	if leader {
		if m := w.groups[s.IntN(len(w.groups))].leader(); m != nil {
			return m.host
		}
	}
	return up[s.IntN(len(up))]
}
