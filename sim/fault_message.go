package sim

import "time"

// messageFaults strike single messages. Drop, duplicate and reorder count every message; the others every burst.
func messageFaults() []*fault {
	burst := func(name string, set func(n *network, value int)) *fault {
		return &fault{name: name, every: 600 * time.Millisecond, strike: func(w *World, s *strike) bool {
			value := pick(s, 10, 50, 200, 500)
			w.say(noteFault, "%s: %d of 1000 messages", name, value)
			set(w.network, value)
			w.during(s.between(50*time.Millisecond, time.Second), func() { set(w.network, 0) })
			return false // Each message counts.
		}}
	}
	return []*fault{
		burst("drop", func(n *network, value int) { n.drop = value }),
		burst("duplicate", func(n *network, value int) { n.duplicate = value }),
		burst("reorder", func(n *network, value int) { n.reorder = value }),
		{name: "delay", every: time.Second, strike: func(w *World, s *strike) bool {
			w.network.extra = pick(s, 10*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond)
			w.say(noteFault, "delay: messages take %v longer", w.network.extra)
			w.counts.effective("delay")
			w.during(s.between(50*time.Millisecond, time.Second), func() { w.network.extra = 0 })
			return true
		}},
		{name: "lag", every: 700 * time.Millisecond, strike: lag},
		{name: "replay", every: 50 * time.Millisecond, strike: replay},
	}
}

// replay delivers a message again that was sent long ago, whoever runs there now.
func replay(w *World, s *strike) bool {
	from, to := s.host(w), s.host(w)
	l := w.network.link(from, to)
	if len(l.old) == 0 || len(l.cuts) > 0 || to.engine == nil {
		return false
	}
	p := l.old[s.IntN(len(l.old))]
	w.say(noteFault, "replay: n%d hears n%d again: %s", to.id, from.id, describe(p.message))
	w.counts.effective("replay")
	to.plan(0, func() { w.network.deliver(p) })
	return true
}

// lag slows down one direction alone: what goes to a host, or what comes from it, or one link. What a member knows of the others is then of another age
// than what they know of it.
func lag(w *World, s *strike) bool {
	h := s.victim(w, s.chance(2, 3))
	if h == nil || len(w.hosts) < 2 || w.network.lags() {
		return false
	}
	inward, only := s.chance(2, 3), (*host)(nil)
	if s.chance(1, 4) {
		only = s.host(w)
	}
	by := pick(s, s.between(5*time.Millisecond, 40*time.Millisecond), s.between(40*time.Millisecond, 250*time.Millisecond))
	var slowed [][2]*host
	for _, other := range w.hosts {
		if other == h || only != nil && other != only {
			continue
		}
		from, to := h, other
		if inward {
			from, to = other, h
		}
		slowed = append(slowed, [2]*host{from, to})
	}
	if len(slowed) == 0 {
		return false
	}
	direction := "from"
	if inward {
		direction = "to"
	}
	h.note(noteFault, "lag: messages %s it take %v longer, on %d links", direction, by, len(slowed))
	w.counts.effective("lag")
	set := func(lag time.Duration) {
		for _, way := range slowed {
			w.network.link(way[0], way[1]).lag = lag
		}
	}
	set(by)
	w.during(s.between(100*time.Millisecond, 1500*time.Millisecond), func() { set(0) })
	return true
}
