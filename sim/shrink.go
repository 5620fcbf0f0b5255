package sim

import (
	"slices"
	"time"
)

// Shrinking is the search for the smallest run that fails in the same way as one that was found. It takes away, one after the other and as long as
// something helps, time, faults, single strikes, members, groups, clients, and then what else the seed drew; a change stays if the same property still fails. What it
// finds is a local minimum: nothing that it knows how to take away can be taken away.
type Shrinking struct {
	// Seed and Options are the run that failed, and then the smallest found so far; Report is what came of it.
	Seed    uint64
	Options Options
	Report  Report
	// Tried counts the runs so far.
	Tried int
	// Done, if set, is asked before every run whether it is enough.
	Done func() bool
	// Step, if set, is told whenever a smaller run was found.
	Step func(what string)

	property string
}

// Shrink looks for the smallest run. The report has to be that of the seed and options, and has to have failed.
func (s *Shrinking) Shrink() {
	s.property = s.Report.Failure.Checker
	regime := s.Report.Regime
	s.Options.Regime = &regime
	for {
		before := s.Tried
		if !s.round() || s.Tried == before || s.enough() {
			return
		}
	}
}

// round tries everything once, what takes away most first, and tells whether anything helped.
func (s *Shrinking) round() bool {
	// Fewer members make another run of it: they are tried while there is most for them to fail by.
	helped := s.deployment()
	helped = s.time() || helped
	helped = s.faults() || helped
	helped = s.clients() || helped
	helped = s.strikes() || helped
	helped = s.drawn() || helped
	return helped
}

func (s *Shrinking) enough() bool { return s.Done != nil && s.Done() }

// try runs with other options, and keeps them if the same property fails.
func (s *Shrinking) try(what string, change func(o *Options, r *Regime)) bool {
	return s.trySeed(s.Seed, what, change)
}

func (s *Shrinking) trySeed(seed uint64, what string, change func(o *Options, r *Regime)) bool {
	if s.enough() {
		return false
	}
	o, r := s.Options, *s.Options.Regime
	r.Faults = slices.Clone(r.Faults)
	o.Regime, o.Without = &r, slices.Clone(o.Without)
	strikes := make(map[string][]int, len(o.Strikes))
	for name, kept := range o.Strikes {
		strikes[name] = kept
	}
	o.Strikes = strikes
	change(&o, &r)
	s.Tried++
	report := Run(seed, o)
	if report.Failure == nil || report.Failure.Checker != s.property {
		return false
	}
	s.Seed, s.Options, s.Report = seed, o, report
	if s.Step != nil {
		s.Step(what)
	}
	return true
}

// time makes the phase with faults shorter: to where the failure was, which changes nothing before it, and then to half and three quarters.
func (s *Shrinking) time() bool {
	helped := false
	if end := s.Report.Failure.At + time.Millisecond; end < s.Options.Regime.Duration {
		helped = s.try("the time after it", func(_ *Options, r *Regime) { r.Duration = end })
	}
	for s.halve() {
		helped = true
	}
	return helped
}

func (s *Shrinking) halve() bool {
	for _, quarters := range []time.Duration{1, 2, 3} {
		to := (s.Options.Regime.Duration * quarters / 4).Round(time.Millisecond)
		if to > 0 && to < s.Options.Regime.Duration && s.try("time", func(_ *Options, r *Regime) { r.Duration = to }) {
			return true
		}
	}
	return false
}

// faults takes away whole faults.
func (s *Shrinking) faults() bool {
	was := s.Options.Regime.Faults
	return s.subset("faults", len(was), func(keep []int) func(*Options, *Regime) {
		return func(_ *Options, r *Regime) {
			r.Faults = r.Faults[:0]
			for _, i := range keep {
				r.Faults = append(r.Faults, was[i])
			}
		}
	})
}

// strikes takes away single strikes of the faults that are left.
func (s *Shrinking) strikes() bool {
	all := s.Report.Strikes
	if len(all) >= maxStrikes {
		return false // Those that are not remembered would be taken away, too.
	}
	helped := s.subset("strikes", len(all), func(keep []int) func(*Options, *Regime) {
		return func(o *Options, r *Regime) {
			kept := make(map[string][]int, len(r.Faults))
			for _, f := range r.Faults {
				kept[f.Name] = []int{}
			}
			for _, i := range keep {
				kept[all[i].Fault] = append(kept[all[i].Fault], all[i].Number)
			}
			o.Strikes = kept
		}
	})
	// A fault of which no strike is left is none; to leave it out changes nothing.
	s.try("faults", func(o *Options, r *Regime) {
		r.Faults = slices.DeleteFunc(r.Faults, func(f FaultRate) bool {
			kept, chosen := o.Strikes[f.Name]
			return chosen && len(kept) == 0
		})
		for name := range o.Strikes {
			if len(o.Strikes[name]) == 0 {
				delete(o.Strikes, name)
			}
		}
	})
	return helped
}

// clients takes away clients, all at first.
func (s *Shrinking) clients() bool {
	r := s.Options.Regime
	var active []int
	for id := 1; id <= r.Clients*r.Groups; id++ {
		if !slices.Contains(s.Options.Without, id) {
			active = append(active, id)
		}
	}
	without := s.Options.Without
	return s.subset("clients", len(active), func(keep []int) func(*Options, *Regime) {
		return func(o *Options, _ *Regime) {
			o.Without = slices.Clone(without)
			for i, id := range active {
				if !slices.Contains(keep, i) {
					o.Without = append(o.Without, id)
				}
			}
		}
	})
}

// seeds is how many seeds shrinking tries where a change leaves nothing of the run as it was.
const seeds = 10

// deployment takes away groups and members. The runs have nothing in common then, so other seeds are as good.
func (s *Shrinking) deployment() bool {
	helped := false
	if s.Options.Regime.Groups > 1 {
		helped = s.try("groups", func(o *Options, r *Regime) { r.Groups = 1 })
	}
	for members := 1; members < s.Options.Regime.Members; members++ {
		for i := range uint64(seeds) {
			if s.trySeed(s.Seed+i, "members", func(o *Options, r *Regime) {
				r.Members = members
				o.Strikes = nil
			}) {
				return true
			}
		}
	}
	return helped
}

// drawn sets what else the seed drew to what is plain.
func (s *Shrinking) drawn() bool {
	helped := false
	for _, plain := range []struct {
		what   string
		is     func(r *Regime) bool
		change func(r *Regime)
	}{
		{"the workload", func(r *Regime) bool { return r.Workload == "registers" || s.Options.Application != nil }, func(r *Regime) { r.Workload = "registers" }},
		{"membership changes", func(r *Regime) bool { return r.Changes == 0 }, func(r *Regime) { r.Changes = 0 }},
		{"transfers", func(r *Regime) bool { return r.Transfers == 0 }, func(r *Regime) { r.Transfers = 0 }},
		{"ballast", func(r *Regime) bool { return r.Ballast == 0 }, func(r *Regime) { r.Ballast = 0 }},
		{"sizes", func(r *Regime) bool { return r.Even == 0 }, func(r *Regime) { r.Even = 0 }},
		{"padding", func(r *Regime) bool { return r.Padding == 0 }, func(r *Regime) { r.Padding = 0 }},
		{"durable machines", func(r *Regime) bool { return !r.Durable }, func(r *Regime) { r.Durable = false }},
		{"compaction", func(r *Regime) bool { return r.CompactBytes >= 1<<20 && r.CompactEntries == 0 }, func(r *Regime) { r.CompactBytes, r.CompactEntries = 1<<20, 0 }},
		{"direct writes", func(r *Regime) bool { return len(r.Writes) == 0 }, func(r *Regime) { r.Writes = nil }},
		{"lease reads", func(r *Regime) bool { return !r.Core.LeaseReads }, func(r *Regime) { r.Core.LeaseReads = false }},
		{"quiescence", func(r *Regime) bool { return r.Core.QuiesceAfter == 0 }, func(r *Regime) { r.Core.QuiesceAfter = 0 }},
		{"commits told late", func(r *Regime) bool { return r.Core.CommitDelay == 0 }, func(r *Regime) { r.Core.CommitDelay = 0 }},
		{"small limits", func(r *Regime) bool { return r.Core.MaxMessageBytes == 1<<20 && r.Core.MaxInflightMessages == 256 }, func(r *Regime) {
			r.Core.MaxMessageBytes, r.Core.MaxInflightMessages, r.Core.MaxInflightBytes = 1<<20, 256, 16<<20
			r.Core.MaxUncommittedBytes, r.Core.MaxCachedBytes = 64<<20, 8<<20
		}},
		{"operations", func(r *Regime) bool { return r.Think >= 100*time.Millisecond }, func(r *Regime) { r.Think = 100 * time.Millisecond }},
	} {
		if !plain.is(s.Options.Regime) && s.try(plain.what, func(_ *Options, r *Regime) { plain.change(r) }) {
			helped = true
		}
	}
	return helped
}

// subset finds a small part of n things that is enough (delta debugging, after Zeller and Hildebrandt): none, then ever smaller pieces left out.
func (s *Shrinking) subset(what string, n int, with func(keep []int) func(*Options, *Regime)) bool {
	if n == 0 {
		return false
	}
	if s.try(what, with(nil)) {
		return true
	}
	keep := make([]int, n)
	for i := range keep {
		keep[i] = i
	}
	helped := false
	for piece := (n + 1) / 2; n > 1; piece = (piece + 1) / 2 {
		for from := 0; from < len(keep) && len(keep) > 1; {
			rest := slices.Delete(slices.Clone(keep), from, min(from+piece, len(keep)))
			if len(rest) > 0 && s.try(what, with(rest)) {
				keep, helped = rest, true
			} else {
				from += piece
			}
		}
		if piece == 1 {
			break
		}
	}
	return helped
}
