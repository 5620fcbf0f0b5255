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
		{name: "crash in I/O", every: 500 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 3))
			if h == nil {
				return false
			}
			h.disk.crashIn = 1 + s.IntN(12)
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

// crashed crashes a host, and counts it as effective when the process was in the middle of something.
func (w *World) crashed(name string, h *host) {
	if h.syncing || h.planned != [4]bool{} {
		w.counts.effective(name)
	}
	h.crash(name)
}
