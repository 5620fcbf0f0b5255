package sim

import "time"

// The names of faults that other files speak of.
const (
	tornWrite        = "torn write"
	partialSync      = "partial fsync"
	reorderedWrites  = "reordered writes"
	lostWrite        = "lost write"
	misdirectedWrite = "misdirected write"
	fullDisk         = "full disk"
)

// powerLossFaults cut the power of one machine at a moment at which the disk is at work, so that what was not synced is there in part: only an
// unacknowledged tail may be lost. Each has an effect when sectors were kept and lost the way its name says.
func powerLossFaults() []*fault {
	trapped := func(name, kind string, loss lossKind) *fault {
		return &fault{name: name, every: 700 * time.Millisecond, strike: func(w *World, s *strike) bool {
			h := s.victim(w, s.chance(1, 3))
			if h == nil || h.disk.trap.kind != "" {
				return false
			}
			h.disk.trap = trap{fault: name, kind: kind, loss: loss}
			if s.chance(3, 4) {
				// What was left of it is found, and found again before all of it is written over.
				h.disk.trap.loop = &loop{stream: s.stream, left: 1 + s.IntN(8), busy: s.chance(1, 2)}
			}
			return true
		}}
	}
	return []*fault{
		trapped(tornWrite, opWrites, lossTorn),
		trapped(partialSync, opSync, lossPartial),
		trapped(reorderedWrites, opSync, lossReordered),
	}
}
