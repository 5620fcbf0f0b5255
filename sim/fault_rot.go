package sim

import "time"

// rotFaults take from a disk what it had made durable, within the fault budget (see budget.go). It has to be noticed: entries that are lost come from the
// leader again, and until then the member does not vote; where a vote or the beginning of the log may be lost, the member does not start. They have
// an effect when a process reads what is damaged.
func rotFaults() []*fault {
	return []*fault{
		{name: "rot in the log", every: time.Second, strike: rotLog(false, func(s *strike, to int64) int64 {
			if s.chance(1, 2) { // in what was written a moment ago, and may have to be read back
				return to - 1 - s.Int64N(min(to, 8*sectorSize))
			}
			return s.Int64N(to)
		})},
		{name: "rot in metadata", every: 2 * time.Second, strike: rotLog(true, func(s *strike, to int64) int64 { return s.Int64N(min(to, 4*sectorSize)) })},
		{name: "rot in a snapshot", every: 2 * time.Second, strike: rotSnapshot},
		stray(lostWrite), stray(misdirectedWrite),
	}
}

// rotLog flips bits of one sector of the log, somewhere below the proven sync point.
func rotLog(metadata bool, place func(s *strike, to int64) int64) func(w *World, s *strike) bool {
	return func(w *World, s *strike) bool {
		h := s.victim(w, s.chance(1, 3))
		if h == nil || !w.mayHurt(h) {
			return false
		}
		name, to := h.disk.durablePlace(s.stream)
		if !metadata && s.chance(1, 2) {
			name, to = h.disk.newestPlace()
		}
		if f := h.disk.files[originalFile]; metadata && f != nil && s.chance(1, 4) {
			name, to = originalFile, f.size
		}
		return to > 0 && h.rot(s, name, place(s, to), to)
	}
}

// rotSnapshot flips bits of a snapshot.
func rotSnapshot(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 3))
	if h == nil || !w.mayHurt(h) {
		return false
	}
	names := h.disk.snapshots()
	if len(names) == 0 {
		return false
	}
	name := names[s.IntN(len(names))]
	size := h.disk.files[name].size
	at := s.Int64N(size)
	if s.chance(1, 2) {
		at = size - 1 - s.Int64N(min(size, 80)) // the trailer
	}
	return h.rot(s, name, at, size)
}

// rot flips bits at a place: one, or some of those that follow it in the same sector and below a limit.
func (h *host) rot(s *strike, name string, at, limit int64) bool {
	f := h.disk.files[name]
	n := at / sectorSize
	if f.dirty[n] != nil || f.beneath[n] != nil {
		return false
	}
	to := at + 1
	if s.chance(1, 2) {
		to = at + 1 + s.Int64N((n+1)*sectorSize-at)
	}
	to = min(to, limit)
	f.solid(to)
	for i := at; i < to; i++ {
		f.now[i] ^= byte(1 + s.IntN(255))
	}
	h.disk.hurt(s.fault, f, at, to)
	h.note(noteFault, "%s: %d bytes of %s at %d", s.fault, to-at, name, at)
	h.scrub()
	return true
}

// stray makes a disk take a write and not do it, or do it elsewhere. It is one only when another write followed it and was synced: see disk.synced.
func stray(name string) *fault {
	return &fault{name: name, every: time.Second, strike: func(w *World, s *strike) bool {
		h := s.victim(w, s.chance(1, 3))
		if h == nil || h.disk.lying != nil || len(h.disk.astray) > 0 || !w.mayHurt(h) {
			return false
		}
		h.disk.lying = &countdown{fault: name, left: 1 + s.IntN(4), rng: s.stream}
		return true
	}}
}
