package sim

import "time"

// processFaults end and stop processes. What a crash loses is the disk's to say.
func processFaults() []*fault {
	return []*fault{
		{name: "crash", every: time.Second, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 2))
			if h == nil {
				return false
			}
			w.crashed("crash", h)
			return true
		}},
		{name: crashInIO, every: 500 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 3))
			if h == nil {
				return false
			}
			h.disk.crashIn, h.disk.killed, h.disk.restored = 1+s.IntN(12), false, false
			return true
		}},
		{name: killInIO, every: 500 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 3))
			if h == nil {
				return false
			}
			h.disk.crashIn, h.disk.killed, h.disk.restored = 1+s.IntN(12), true, false
			return true
		}},
		{name: crashLoop, every: 1500 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 3))
			if h == nil || h.loop != nil {
				return false
			}
			h.loop = &loop{stream: s.stream, left: 1 + s.IntN(4)}
			h.end(crashLoop, h.loop.chance(1, 2), lossRandom)
			return true
		}},
		{name: "power loss", every: 4 * time.Second, strike: func(w *World, s *strike) bool {
			w.say(noteFault, "power loss: all processes end")
			for _, h := range w.hosts {
				if h.engine != nil {
					w.crashed("power loss", h)
				}
			}
			return true
		}},
		{name: "slow member", every: 2 * time.Second, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 2))
			if h == nil || h.sluggish > 1 {
				return false
			}
			h.sluggish = pick(s, 3, 10, 30)
			h.note(noteFault, "slow member: everything takes %d times as long", h.sluggish)
			w.during(s.between(100*time.Millisecond, 3*time.Second), func() { h.sluggish = 1 })
			return true
		}},
		{name: stalledMachine, every: time.Second, strike: func(w *World, s *strike) bool {
			// Applying is off the turn: a state machine that stalls holds up those who wait for its answers, and nothing else.
			h := s.victim(w, s.chance(1, 3))
			if h == nil || h.stalled > w.now {
				return false
			}
			h.stalled = w.now + s.between(50*time.Millisecond, 3*time.Second)
			h.note(noteFault, "stalled machine: nothing is applied until %v", h.stalled)
			if s.chance(1, 3) {
				// It has not yet applied what it has, and misses what comes: perhaps it needs a snapshot that takes the place of both.
				w.partition(s, stalledMachine, func(from, to *host) bool { return from == h || to == h })
			}
			return true
		}},
		{name: "pause", every: 700 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 2))
			if h == nil {
				return false
			}
			// The second kind is about as long as an election takes: others may lead when it ends, and the process has not heard of it.
			h.pause(pick(s, s.between(time.Millisecond, 100*time.Millisecond), s.between(100*time.Millisecond, 400*time.Millisecond),
				s.between(100*time.Millisecond, 3*time.Second)))
			return true
		}},
	}
}

// The names of these faults.
const (
	crashInIO      = "crash in I/O"
	killInIO       = "kill in I/O"
	crashLoop      = "crash loop"
	stalledMachine = "stalled machine"
)

// loop is a machine that ends again and again a moment after it has started: at an operation on a file, so that what the starts before it wrote, read and
// took for good is what the next one finds, or after it had the time to say something to others.
type loop struct {
	*stream
	left int
	// busy says that it always ends at an operation that comes after it is up.
	busy bool
}

// hurry starts a process that ends again and again after a short while, and draws where it ends next, if that is an operation on a file.
func (h *host) hurry() {
	l := h.loop
	if l.left--; l.left < 0 || h.world.healing {
		h.loop = nil
		return
	}
	if h.restart(l.around(10 * time.Millisecond)); !l.busy && l.chance(1, 2) {
		h.disk.crashIn, h.disk.killed = 1+l.IntN(10), l.chance(1, 2)
	}
}

// again ends a process that has just started, if it is to and no operation on a file does it.
func (h *host) again() {
	l, life := h.loop, h.life
	if l == nil || h.disk.crashIn > 0 {
		return
	}
	if l.busy || l.chance(1, 2) {
		// At one of the first writes that it makes of its own: the log ends then where its first words do.
		h.disk.crashIn, h.disk.killed = 1+l.IntN(12), l.chance(2, 3)
		return
	}
	h.world.after(l.around(pick(l, h.world.regime.Delay, 4*h.world.regime.Delay, h.world.regime.Disk+h.world.regime.Delay, 50*time.Millisecond, 300*time.Millisecond)), func() {
		if h.life == life && h.engine != nil && !h.world.healing {
			h.world.counts.effective(crashLoop)
			h.end(crashLoop, l.chance(1, 2), lossRandom)
		}
	})
}

// crashed crashes a host, and counts it as effective when the process was in the middle of something.
func (w *World) crashed(name string, h *host) {
	if h.syncing || h.planned != [4]bool{} {
		w.counts.effective(name)
	}
	h.crash(name)
}
