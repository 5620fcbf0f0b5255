package sim

import "time"

// clientFaults are what clients do to the groups. Requests of unknown outcome and clients that crash are part of every workload.
func clientFaults() []*fault {
	return []*fault{{name: overload, every: 1500 * time.Millisecond, strike: crowd}}
}

const overload = "overload"

// maxGuests bounds how many clients a crowd has.
const maxGuests = 200

// crowd has many clients ask at once at one member, far more than the leader may hold uncommitted. Each asks once. It has an effect when one of them is
// told that there is too much: what is refused may not happen, the others are answered.
func crowd(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 2))
	if h == nil {
		return false
	}
	g := w.groups[s.IntN(len(w.groups))]
	m := h.members[g.id-1]
	if m.running == nil {
		return false
	}
	many := 20 + s.IntN(maxGuests-20)
	h.note(noteFault, "overload: %d clients ask group %d at once", many, g.id)
	g.crowd(m, many)
	return true
}

// crowd has so many clients ask at a member.
func (g *group) crowd(m *member, many int) {
	w := g.world
	for i := range many {
		if i == len(g.guests) {
			c := newClient(w, g)
			c.guest = true
			g.guests = append(g.guests, c)
		}
		if m.running == nil {
			break // It has crashed meanwhile.
		}
		if c := g.guests[i]; !c.busy {
			c.ask(m, c.source.Next())
		}
	}
}
