package sim

import (
	"slices"
	"time"
)

// fault is one way in which the world misbehaves. It strikes again and again, at random times, until the faults end.
type fault struct {
	name string
	// every is the mean time between two strikes, of which a run draws one that is up to twice as long or short.
	every time.Duration
	// strike does it, and reports whether there was anything to strike at. What it breaks for a while it plans to mend. It draws from the strike's
	// own stream, and from no other.
	strike func(w *World, s *strike) bool
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
func drawFaults(seed uint64, o Options) []FaultRate {
	rates := []FaultRate{}
	for _, f := range allFaults() {
		drawn := newStream(seed, "regime fault "+f.name)
		in := drawn.IntN(3) == 0
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

// startFaults plans the first strike of each fault of the regime.
func (w *World) startFaults() {
	known := map[string]*fault{}
	for _, f := range allFaults() {
		known[f.name] = f
	}
	for _, name := range w.options.Faults {
		if known[name] == nil {
			w.fail("options", "there is no fault %q", name)
		}
	}
	for _, rate := range w.regime.Faults {
		f := known[rate.Name]
		if f == nil {
			w.fail("options", "there is no fault %q", rate.Name)
			return
		}
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
			w.strikes = append(w.strikes, Strike{Fault: f.name, Number: number, At: w.now})
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
