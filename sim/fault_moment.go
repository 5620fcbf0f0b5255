package sim

import (
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// momentFaults strike when it matters. Most of what goes wrong in Raft takes two things at nearly the same moment: a leader that was just elected is gone before
// anybody has its first entry; one that has just handed over its leadership does not hear of what follows; one side of a network is mended in the moment in which
// another breaks. Faults that strike at random times meet such moments too seldom.
func momentFaults() []*fault {
	return []*fault{
		{name: turmoil, every: 600 * time.Millisecond, strike: beginTurmoil},
		{name: "cut of a new leader", every: 250 * time.Millisecond, strike: ambushed(func(w *World, s *strike, leader *host) { w.cutOff(s, leader) })},
		{name: "crash of a new leader", every: 400 * time.Millisecond, strike: ambushed(func(w *World, s *strike, leader *host) {
			leader.crash(s.fault)
			if s.chance(1, 2) {
				leader.restart(s.between(time.Millisecond, 50*time.Millisecond))
			}
		})},
		{name: shortReigns, every: 1500 * time.Millisecond, strike: beginShortReigns},
		{name: rivalry, every: 900 * time.Millisecond, strike: beginRivalry},
		{name: echo, every: 600 * time.Millisecond, strike: beginEcho},
		{name: "cut in a transfer", every: 500 * time.Millisecond, strike: cutInTransfer},
	}
}

const (
	turmoil     = "turmoil"
	shortReigns = "short reigns"
	rivalry     = "rivalry"
	echo        = "echo"
)

// ambush is what a fault has in store for the next member that is elected: what happens once that has sent so many messages since, of none on.
type ambush struct {
	fault    string
	messages int
	what     func(leader *host)
	// leader is who was elected, and sent what it has sent.
	leader *member
	sent   int
}

// messagesOfReign draws after how many of its messages a new leader is struck: before, while or after its first entry reaches the others.
func messagesOfReign(s *strike) int { return pick(s, s.IntN(4), s.IntN(16)) }

// ambushed waits for the next election.
func ambushed(what func(w *World, s *strike, leader *host)) func(w *World, s *strike) bool {
	return func(w *World, s *strike) bool {
		if len(w.hosts) < 2 || w.ambush != nil {
			return false
		}
		w.ambush = &ambush{fault: s.fault, messages: messagesOfReign(s), what: func(leader *host) { what(w, s, leader) }}
		return true
	}
}

// reigns notes that a member was elected. If a fault waits for one, it is this one now, whoever it was before.
func (m *member) reigns() {
	if a := m.world.ambush; a != nil {
		a.leader, a.sent = m, 0
		a.due(m.world)
	}
}

// spoke counts the messages of a leader that is to be struck.
func (m *member) spoke() {
	if a := m.world.ambush; a != nil && a.leader == m {
		a.sent++
		a.due(m.world)
	}
}

// due strikes when the time has come, before anything else happens. That has an effect if the member still leads; if not, another may.
func (a *ambush) due(w *World) {
	if a.sent != a.messages {
		return
	}
	m := a.leader
	w.during(0, func() {
		if w.ambush != a || a.leader != m || m.running == nil || m.running.Core().Role() != raft.Leader {
			return
		}
		w.ambush = nil
		w.counts.effective(a.fault)
		a.what(m.host)
	})
}

// beginShortReigns lets no leader last, for a while: each is cut off after some messages, and comes back when the next one is. Such is the succession of
// leaders in figure 8 of the paper.
func beginShortReigns(w *World, s *strike) bool {
	if len(w.hosts) < 3 || w.ambush != nil {
		return false
	}
	until := w.now + s.between(500*time.Millisecond, 3*time.Second)
	var cuts [][2]*host
	mend := func() {
		for _, c := range cuts {
			w.network.mend(shortReigns, c[0], c[1])
		}
		cuts = nil
	}
	var next func()
	next = func() {
		w.ambush = &ambush{fault: shortReigns, messages: messagesOfReign(s), what: func(leader *host) {
			mend()
			if w.now > until {
				return
			}
			cuts = w.cutLinks(shortReigns, func(from, to *host) bool { return from == leader || to == leader })
			next()
		}}
	}
	next()
	w.during(until-w.now+300*time.Millisecond, func() {
		mend()
		if w.ambush != nil && w.ambush.fault == shortReigns {
			w.ambush = nil
		}
	})
	return true
}

// cutOff cuts a host off from all others, or in one direction only, for about as long as elections take.
func (w *World) cutOff(s *strike, h *host) {
	w.partitionFor(s.fault, s.between(50*time.Millisecond, 700*time.Millisecond), direction(s, h))
}

// direction draws in which direction a host is cut off: mostly in both.
func direction(s *strike, h *host) func(from, to *host) bool {
	way := s.IntN(6)
	return func(from, to *host) bool { return from == h && way != 0 || to == h && way != 1 }
}

// cutInTransfer has a leader hand over its leadership, and cuts off the old or the new one while that goes on. It has an effect if the handover is under way, or
// done, when it strikes.
func cutInTransfer(w *World, s *strike) bool {
	g := w.groups[s.IntN(len(w.groups))]
	leader := g.leader()
	if leader == nil || leader.host.paused {
		return false
	}
	conf := leader.running.Core().Configuration()
	to := conf.Members[s.IntN(len(conf.Members))].ID
	if to == leader.host.id || !conf.IsVoter(to) {
		return false
	}
	g.admin.tell("asks n%d to have n%d lead", leader.host.id, to)
	leader.host.guard(func() { leader.running.TransferLeadershipAsync(to, func(error) {}) })
	w.during(s.between(0, 6*w.regime.Delay+2*w.regime.Disk), func() {
		was, next := leader.host, w.hosts[to-1]
		if leader.running == nil {
			return
		}
		if m := next.members[g.id-1].running; leader.running.Core().Status().TransferTarget == to || m != nil && m.Core().Role() == raft.Leader {
			w.counts.effective(s.fault)
		}
		if s.chance(1, 4) {
			was = next
		}
		w.cutOff(s, was)
	})
	return true
}

// beginTurmoil breaks and mends several things in the same moment, and others in the next: who was cut off is not any more, and somebody else is; a process
// stands still while its host is unreachable; one starts anew at the moment at which links change. Each state lasts about as long as a heartbeat or an election.
func beginTurmoil(w *World, s *strike) bool {
	if len(w.hosts) < 2 || w.troubled || w.regime.OneCut && !w.network.whole() {
		return false
	}
	w.troubled = true
	left := 3 + s.IntN(5)
	mend := func() {}
	var turn func()
	turn = func() {
		mend()
		if left--; left < 0 {
			w.troubled = false
			w.say(noteFault, "turmoil ends")
			return
		}
		w.counts.effective(turmoil)
		mend = w.redraw(s)
		w.during(pick(s, s.between(10*time.Millisecond, 100*time.Millisecond), s.between(100*time.Millisecond, 400*time.Millisecond)), turn)
	}
	turn()
	return true
}

// redraw draws the next state of a turmoil, and returns what ends it.
func (w *World) redraw(s *strike) (mend func()) {
	h := s.victim(w, s.chance(1, 2))
	if h == nil {
		return func() {}
	}
	apart := direction(s, h)
	if s.chance(1, 5) {
		h, apart = nil, func(_, _ *host) bool { return false }
	}
	cuts := w.cutLinks(turmoil, apart)
	for range 1 + s.IntN(2) {
		switch other := s.host(w); {
		case s.chance(1, 2) || other.engine == nil:
		case other != h:
			other.crash(turmoil)
			other.restart(s.between(time.Millisecond, 40*time.Millisecond))
		default:
			other.pause(s.between(10*time.Millisecond, 300*time.Millisecond))
		}
	}
	return func() {
		for _, c := range cuts {
			w.network.mend(turmoil, c[0], c[1])
		}
	}
}

// beginRivalry takes the leader from one member alone, for about as long as that waits for it, while the others hear both; and then, in one moment, from all, while some of the
// others start anew or stand still. Whoever was taken from it first has waited long enough by then, and asks those who heard the leader a moment ago; clients who ask
// the old leader are still there, and others wait for a new one. It has an effect when the second step comes and the leader still leads.
func beginRivalry(w *World, s *strike) bool {
	g := w.groups[s.IntN(len(w.groups))]
	leader := g.leader()
	if leader == nil || len(w.hosts) < 3 || w.regime.OneCut && !w.network.whole() {
		return false
	}
	was, rival := leader.host, s.host(w)
	if rival == was || rival.engine == nil {
		return false
	}
	cuts := w.cutLinks(rivalry, func(from, to *host) bool { return from == was && to == rival || from == rival && to == was })
	mend := func() {
		for _, c := range cuts {
			w.network.mend(rivalry, c[0], c[1])
		}
	}
	w.during(s.between(150*time.Millisecond, 400*time.Millisecond), func() {
		if leader.running == nil || leader.running.Core().Role() != raft.Leader {
			mend()
			return
		}
		w.counts.effective(rivalry)
		if s.chance(2, 3) {
			cuts = append(cuts, w.cutLinks(rivalry, func(from, to *host) bool {
				return (from == was || to == was) && from != rival && to != rival
			})...)
		}
		for _, other := range w.hosts {
			switch {
			case other == was || other == rival || other.engine == nil:
			case s.chance(2, 3):
				other.end(rivalry, s.chance(1, 2), lossRandom)
				other.restart(s.between(time.Millisecond, 20*time.Millisecond))
			case s.chance(1, 4):
				other.pause(s.between(10*time.Millisecond, 100*time.Millisecond))
			}
		}
		if m := rival.members[g.id-1]; m.running != nil {
			g.crowd(m, 1+s.IntN(6))
		}
		w.during(s.between(100*time.Millisecond, 500*time.Millisecond), mend)
	})
	return true
}

// beginEcho has a leader whose answers are lost end, start again at once, and hear again what it was sent just before: by those who have had no answer yet. It has an effect when
// it hears something.
func beginEcho(w *World, s *strike) bool {
	g := w.groups[s.IntN(len(w.groups))]
	leader := g.leader()
	if leader == nil || len(w.hosts) < 2 || w.regime.OneCut && !w.network.whole() {
		return false
	}
	h, only := leader.host, (*host)(nil)
	if s.chance(1, 2) {
		only = s.host(w)
	}
	cuts := w.cutLinks(echo, func(from, to *host) bool { return from == h && (only == nil || to == only) })
	if len(cuts) == 0 {
		return false
	}
	w.during(s.between(0, 3*w.regime.Delay+w.regime.Disk+10*time.Millisecond), func() {
		for _, c := range cuts {
			w.network.mend(echo, c[0], c[1])
		}
		if h.engine == nil {
			return
		}
		var again []*parcel
		for _, from := range w.hosts {
			if from != h {
				again = append(again, w.network.link(from, h).recent()...)
			}
		}
		h.end(echo, s.chance(1, 3), lossRandom)
		after := s.between(time.Millisecond, 10*time.Millisecond)
		h.restart(after)
		w.during(after+s.around(w.regime.Delay), func() {
			if h.engine == nil {
				return
			}
			w.say(noteFault, "echo: n%d hears again what it was sent before it ended, %d messages", h.id, len(again))
			for _, p := range again {
				w.counts.effective(echo)
				h.plan(0, func() { w.network.deliver(p) })
			}
		})
	})
	return true
}
