package sim

import "time"

// ioFaults make a disk fail once: a read, a write, an fsync. The process has to stop and say why, or do without what it did not get, and never to try
// again as if nothing had been; what it starts on afterwards is what really was durable. They have an effect when the operation comes and fails.
func ioFaults() []*fault {
	failing := func(name, kind string, within int) *fault {
		return &fault{name: name, every: 2 * time.Second, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 3))
			if h == nil || h.disk.failing[kind] != nil {
				return false
			}
			h.disk.failing[kind] = &countdown{fault: name, left: 1 + s.IntN(within)}
			return true
		}}
	}
	return []*fault{
		failing("read error", opReads, 4),
		failing("write error", opWrites, 8),
		failing("fsync error", opSync, 8),
		{name: fullDisk, every: 2 * time.Second, strike: fill},
	}
}

// fill leaves a disk with little or no room for a while. The process has to go on: it refuses writes, serves reads, and takes writes again when there is
// room.
func fill(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 2))
	if h == nil || h.disk.capacity > 0 {
		return false
	}
	h.disk.capacity = max(h.disk.used(), 1)
	if s.chance(2, 3) {
		h.disk.capacity += s.Int64N(3 * w.regime.Segment / 2)
	}
	h.note(noteFault, "full disk: there is room for %d bytes", h.disk.capacity-h.disk.used())
	w.during(s.between(100*time.Millisecond, 3*time.Second), func() {
		h.note(noteFault, "full disk: there is room again")
		h.disk.capacity = 0
	})
	return true
}
