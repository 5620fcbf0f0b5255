package sim

import (
	"math/rand/v2"
	"time"
)

// fault is one way in which the world misbehaves. It strikes again and again, at random times, until the faults end.
type fault struct {
	name string
	// every is the mean time between two strikes.
	every time.Duration
	// strike does it, and reports whether there was anything to strike at. What it breaks for a while it plans to mend.
	strike func(w *World) bool
	// heal ends what the network's and the hosts' own heal does not.
	heal func(w *World)
}

// allFaults lists the faults, one file for each kind.
func allFaults() []*fault {
	var list []*fault
	for _, kind := range [][]*fault{messageFaults(), partitionFaults(), processFaults(), diskFaults(), timeFaults()} {
		list = append(list, kind...)
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

// drawFaults draws which faults strike in a run: each with one chance in three, so that runs differ in kind and not only in order.
func drawFaults(rng *rand.Rand, o *Options) []string {
	if o.Faults != nil {
		return o.Faults
	}
	var names []string
	for _, name := range FaultNames() {
		if rng.IntN(3) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// startFaults plans the first strike of each fault of the regime.
func (w *World) startFaults() {
	known := map[string]*fault{}
	for _, f := range allFaults() {
		known[f.name] = f
	}
	for _, name := range w.regime.faults {
		f := known[name]
		if f == nil {
			w.fail("options", "there is no fault %q", name)
			return
		}
		// How often differs from run to run, too.
		f.every = f.every * time.Duration(1+w.rng.IntN(4)) / 2
		w.faults = append(w.faults, f)
		w.strikeAgain(f)
	}
}

func (w *World) strikeAgain(f *fault) {
	w.after(w.around(f.every), func() {
		if w.healing {
			return
		}
		if f.strike(w) {
			w.counts.injected(f.name)
		}
		w.strikeAgain(f)
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

// victim picks a host; leader says that a leader is preferred. Nil if no process runs.
func (w *World) victim(leader bool) *host {
	up := w.running()
	if len(up) == 0 {
		return nil
	}
	if leader {
		if m := w.groups[w.rng.IntN(len(w.groups))].leader(); m != nil {
			return m.host
		}
	}
	return up[w.rng.IntN(len(up))]
}
