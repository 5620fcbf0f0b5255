package sim

import (
	"fmt"
	"strings"
	"time"
)

// partitionFaults cut links. A cut has an effect when a message meets it; that is what counts, for every message.
func partitionFaults() []*fault {
	return []*fault{
		{name: "split", every: 1500 * time.Millisecond, strike: func(w *World, s *strike) bool {
			side := s.Uint64()
			return w.partition(s, "split", func(from, to *host) bool { return side>>from.id&1 != side>>to.id&1 })
		}},
		{name: "isolate", every: 1500 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 2))
			return h != nil && w.partition(s, "isolate", func(from, to *host) bool { return from == h || to == h })
		}},
		{name: "one-way", every: 1500 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 2))
			deaf := s.chance(1, 2)
			return h != nil && w.partition(s, "one-way", func(from, to *host) bool { return deaf && to == h || !deaf && from == h })
		}},
		{name: "ring", every: 2 * time.Second, strike: func(w *World, s *strike) bool {
			n := len(w.hosts)
			return n > 3 && w.partition(s, "ring", func(from, to *host) bool {
				d := (int(from.id) - int(to.id) + n) % n
				return d != 1 && d != n-1
			})
		}},
		{name: "bridge", every: 2 * time.Second, strike: func(w *World, s *strike) bool {
			// Two halves that see each other only through one host (partial connectivity: Cloudflare, November 2020).
			bridge := s.host(w)
			side := s.Uint64()
			return w.partition(s, "bridge", func(from, to *host) bool {
				return from != bridge && to != bridge && side>>from.id&1 != side>>to.id&1
			})
		}},
		{name: "flap", every: time.Second, strike: flap},
		{name: leaderLeft, every: 1500 * time.Millisecond, strike: leaveLeader},
	}
}

const leaderLeft = "leader left behind"

// leaveLeader cuts a leader off at the moment at which many ask it: its log grows, and what is in it conflicts with what the others commit meanwhile,
// and perhaps compact before it is back.
func leaveLeader(w *World, s *strike) bool {
	g := w.groups[s.IntN(len(w.groups))]
	m := g.leader()
	if m == nil || !w.partition(s, leaderLeft, func(from, to *host) bool { return from == m.host || to == m.host }) {
		return false
	}
	g.crowd(m, 5+s.IntN(60))
	if s.chance(1, 2) {
		w.admins[g.id-1].changeAt(m) // Behind all that stands a configuration that nobody else will ever have.
	}
	return true
}

// partition cuts the links that are apart, for a while.
func (w *World) partition(s *strike, name string, apart func(from, to *host) bool) bool {
	if w.regime.OneCut && !w.network.whole() {
		return false
	}
	// Some last longer than anybody's patience: what a group has to do then is to find a leader who reaches a majority.
	lasts := pick(s, s.between(50*time.Millisecond, 2*time.Second), s.between(50*time.Millisecond, 2*time.Second), s.between(3*time.Second, 7*time.Second))
	return w.partitionFor(name, lasts, apart)
}

// partitionFor cuts the links that are apart for so long.
func (w *World) partitionFor(name string, lasts time.Duration, apart func(from, to *host) bool) bool {
	cuts := w.cutLinks(name, apart)
	if len(cuts) == 0 {
		return false
	}
	w.during(lasts, func() {
		w.say(noteFault, "%s ends", name)
		for _, c := range cuts {
			w.network.mend(name, c[0], c[1])
		}
	})
	return true
}

// cutLinks cuts the links that are apart.
func (w *World) cutLinks(name string, apart func(from, to *host) bool) (cuts [][2]*host) {
	var told strings.Builder
	for _, from := range w.hosts {
		for _, to := range w.hosts {
			if from != to && apart(from, to) {
				cuts = append(cuts, [2]*host{from, to})
				fmt.Fprintf(&told, " %s>%s", from.address, to.address)
			}
		}
	}
	if len(cuts) == 0 {
		return nil
	}
	w.say(noteFault, "%s:%s", name, told.String())
	for _, c := range cuts {
		w.network.cut(name, c[0], c[1])
	}
	return cuts
}

// flap cuts and mends one link, in both directions, many times.
func flap(w *World, s *strike) bool {
	if len(w.hosts) < 2 || w.regime.OneCut && !w.network.whole() {
		return false
	}
	a, b := s.host(w), s.host(w)
	if a == b {
		return false
	}
	w.say(noteFault, "flap: n%d-n%d", a.id, b.id)
	left := 4 + s.IntN(20)
	var turn func(cut bool)
	turn = func(cut bool) {
		if cut {
			w.network.cut("flap", a, b)
			w.network.cut("flap", b, a)
		} else {
			w.network.mend("flap", a, b)
			w.network.mend("flap", b, a)
		}
		if left--; left > 0 || cut {
			w.during(s.around(40*time.Millisecond), func() { turn(!cut) })
		}
	}
	turn(true)
	return true
}
