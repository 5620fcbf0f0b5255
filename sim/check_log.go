package sim

import (
	"maps"

	"github.com/balsa-raft/balsa/raft"
)

// place is where an entry stands: by Log Matching it says everything about the entry and all before it.
type place struct {
	index raft.Index
	term  raft.Term
}

// entryFact is what is known of the entry at a place.
type entryFact struct {
	sum  uint32
	prev raft.Term // term of the entry before it
	by   raft.MemberID
}

// checkLog is Log Matching of figure 3: if two logs contain an entry with the same index and term, the logs are identical in all entries
// up through it (§5.3). It is kept by induction: entries at the same place are equal, and so are the places before them. And it is Leader
// Append-Only: a leader never overwrites or deletes entries in its log.
type checkLog struct {
	nothing
	group *group
	seen  map[place]entryFact
	// forgotten is the index up to which places are no longer known, newest the highest of all.
	forgotten, newest raft.Index
}

// seenMost bounds how many places are remembered.
const seenMost = 1 << 15

func (c *checkLog) appended(m *member, from raft.Index) {
	for i := from; i <= m.log.last(); i++ {
		r, _ := m.log.at(i)
		c.see(m, place{index: i, term: r.term}, entryFact{sum: r.sum, prev: m.log.term(i - 1), by: m.host.id})
	}
}

func (c *checkLog) see(m *member, p place, f entryFact) {
	known, ok := c.seen[p]
	switch {
	case !ok && p.index > c.forgotten:
		c.note(p, f)
	case !ok:
	case known.sum != f.sum:
		m.world.fail("Log Matching", "%v and n%d have different entries at %d@%d", m, known.by, p.index, p.term)
	case known.prev != f.prev:
		m.world.fail("Log Matching", "before %d@%d, %v has an entry of term %d, and n%d one of term %d", p.index, p.term, m, f.prev, known.by, known.prev)
	}
}

// note remembers a place, and forgets what is far behind when there are many.
func (c *checkLog) note(p place, f entryFact) {
	c.seen[p] = f
	c.newest = max(c.newest, p.index)
	if len(c.seen) > seenMost && c.newest > seenMost/2 {
		c.forgotten = max(c.forgotten, c.newest-seenMost/2)
		maps.DeleteFunc(c.seen, func(p place, _ entryFact) bool { return p.index <= c.forgotten })
	}
}

func (c *checkLog) truncated(m *member, from raft.Index) {
	core := m.running.Core()
	if m.role == raft.Leader && core.Role() == raft.Leader && m.term == core.Term() {
		m.world.fail("Leader Append-Only", "%v leads term %d and removes its entries from %d on", m, m.term, from)
	}
	if from <= m.commit {
		m.world.fail("State Machine Safety", "%v removes entry %d, but has taken all up to %d for committed", m, from, m.commit)
	}
}

// recovered: what comes back from the disk is what was once in the log.
func (c *checkLog) recovered(m *member, _ *shadow) {
	for i := m.log.base + 1; i <= m.log.last(); i++ {
		r, _ := m.log.at(i)
		p := place{index: i, term: r.term}
		if _, ok := c.seen[p]; !ok && i > c.forgotten {
			m.world.fail("recovery", "%v has entry %d@%d after its start, which nobody ever had", m, i, r.term)
			return
		}
		c.see(m, p, entryFact{sum: r.sum, prev: m.log.term(i - 1), by: m.host.id})
	}
}
