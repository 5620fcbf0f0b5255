package sim

import "fmt"

// checkBounds sees that what a host holds stays within the limits that it was given, whatever happens: in memory, on its way to others, and on disk. It
// looks now and then, between two events. And in the end, when nobody waits for anything any more, nothing may be left of what was waited for: the proof of
// liveness waits for that.
//
// The limits say where something stops to grow, so what may be there is a little more: a last entry, a last message. The log's files have their slack,
// which docs/formats/wal.md speaks of.
type checkBounds struct{ group *group }

// alive is about how much of a member's log was live within the last looks: the segments of what has died since are given up one after the other.
func (c *checkBounds) alive(m *member, now uint64) uint64 {
	was := m.live
	if h := m.host; h.sluggish == 1 && !h.paused {
		was -= was / 8
	}
	m.live = max(was, now)
	return m.live
}

// entryMost is about how large a single entry is, with all that is around it.
func (g *group) entryMost() uint64 { return uint64(g.world.regime.Padding) + 8<<10 }

// look judges a member; "" if all is within bounds.
func (c *checkBounds) look(m *member) string {
	if m.running == nil {
		return ""
	}
	limits, most := m.host.config(), c.group.entryMost()
	u, load := m.running.Core().Usage(), m.running.Load()
	log := m.host.log
	switch {
	case over(u.Removable, limits.MaxCachedBytes, 8<<20, most):
		return fmt.Sprintf("%v keeps %d bytes of entries for followers, and may keep %d", m, u.Removable, limits.MaxCachedBytes)
	case over(u.Inflight, limits.MaxInflightBytes, 16<<20, most):
		return fmt.Sprintf("%v has %d bytes on their way to a follower, and may have %d", m, u.Inflight, limits.MaxInflightBytes)
	case limits.MaxInflightMessages > 0 && u.InflightMessages > limits.MaxInflightMessages+1:
		return fmt.Sprintf("%v has %d messages on their way to a follower, and may have %d", m, u.InflightMessages, limits.MaxInflightMessages)
	case load.PendingBytes < 0 || load.PendingBytes > 64<<20:
		return fmt.Sprintf("%v has requests of %d bytes that are not answered", m, load.PendingBytes)
	case load.InboxBytes > 128<<20:
		return fmt.Sprintf("%v has an inbox of %d bytes", m, load.InboxBytes)
	case log != nil && len(m.group.world.groups) == 1 && log.Size() > c.logMost(c.alive(m, log.Bytes(m.group.id))):
		return fmt.Sprintf("the log of %v takes %d bytes on disk, of which %d are live", m, log.Size(), log.Bytes(m.group.id))
	}
	return ""
}

// over tells whether something is larger than a limit, or its default, and what may be on top.
func over(is, limit, byDefault, top uint64) bool {
	if limit == 0 {
		limit = byDefault
	}
	return is > limit+top
}

// logMost is how large the files of a log may be that has so many live bytes: as many dead ones as live ones, what frames small entries, which may be twice
// as much as they are, and some segments.
func (c *checkBounds) logMost(live uint64) uint64 {
	segment := max(uint64(c.group.world.regime.Segment), 64<<10)
	return 6*live + 12*segment + 4*c.group.entryMost()
}

// left tells what is still held for requests that have all ended, "" if nothing.
func (c *checkBounds) left() string {
	conf, _ := c.group.configuration()
	for i := range conf.Members {
		m := c.group.members[conf.Members[i].ID-1]
		if m.running == nil {
			continue
		}
		if l := m.running.Load(); l.PendingBytes != 0 || l.Calls != 0 || l.Reads != 0 {
			return fmt.Sprintf("all requests have ended, and %v still holds %d of them, %d reads, %d bytes", m, l.Calls, l.Reads, l.PendingBytes)
		}
	}
	return ""
}

// turnsMost is how many turns a host may take within a look more than there were causes: deliveries, timers, and what its disk and its machines have finished. What is asked and
// what is done in the background leads to some, seldom to more than a hundred.
const turnsMost = 1000

// lookAtTurns sees that a host rests when there is nothing to do. One that gives itself work in every turn stays within every other bound, and takes a processor for nothing.
func (w *World) lookAtTurns(h *host) {
	if h.turns > h.causes+turnsMost {
		w.fail("bounds", "n%d has taken %d turns within %v, for which there were %d causes", h.id, h.turns, lookEvery, h.causes)
	}
	h.turns, h.causes = 0, 0
}
