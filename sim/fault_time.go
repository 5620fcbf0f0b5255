package sim

import "time"

// timeFaults make clocks wrong. Monotonic clocks never go back, but they drift, and a virtual machine's may leap ahead. With leases only
// the drift that their bound allows is fair.
func timeFaults() []*fault {
	return []*fault{
		{name: "drift", every: time.Second, strike: func(w *World, s *strike) bool {
			h := s.host(w)
			was := h.clock.local(w.now)
			h.clock.rate = 1 + (s.Float64()-0.5)/12.5 // up to 4% either way
			if !w.regime.Core.LeaseReads {
				h.clock.rate = 0.5 + 1.5*s.Float64()
			}
			h.clock.offset += was - h.clock.local(w.now)
			h.note(noteFault, "drift: its clock runs at %.3f", h.clock.rate)
			w.counts.effective("drift")
			return true
		}, heal: func(w *World) {
			for _, h := range w.hosts {
				was := h.clock.local(w.now)
				h.clock.rate = 1
				h.clock.offset += was - h.clock.local(w.now)
			}
		}},
		{name: "clock leap", every: time.Second, strike: func(w *World, s *strike) bool {
			h := s.host(w)
			if w.regime.Core.LeaseReads {
				return false
			}
			leap := pick(s, 10*time.Millisecond, 200*time.Millisecond, time.Minute)
			h.clock.offset += leap
			h.note(noteFault, "clock leap: its clock goes ahead by %v", leap)
			w.counts.effective("clock leap")
			return true
		}},
	}
}
