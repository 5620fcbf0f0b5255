package sim

import "time"

// diskFaults slow disks down. Slow is a bad day; stuck is longer than any election timeout, so that leadership has to move.
func diskFaults() []*fault {
	slowed := func(name string, every time.Duration, factor func(w *World, s *strike) int) *fault {
		return &fault{name: name, every: every, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 2))
			if h == nil || h.slow > 1 {
				return false
			}
			h.slow = factor(w, s)
			h.note(noteFault, "%s: fsync takes %d times as long", name, h.slow)
			if h.syncing {
				w.counts.effective(name)
			}
			w.during(s.between(100*time.Millisecond, 2*time.Second), func() { h.slow = 1 })
			return true
		}}
	}
	return []*fault{
		slowed("slow disk", time.Second, func(w *World, s *strike) int { return pick(s, 3, 10, 30) }),
		slowed("stuck disk", 3*time.Second, func(w *World, s *strike) int { return int(4 * time.Second / w.regime.Disk) }),
	}
}
