package sim

import (
	"maps"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// checkReturn sees that a process comes back with what the one before it had on its disk, and with nothing else. That somebody had such an entry once is not enough: what is
// left of a write that was torn lies where a later one may end, and what an earlier process had must not come back behind what a later one wrote.
type checkReturn struct {
	nothing
	group *group
	// gone are the entries that a member's process removed from its log, or that lie behind what its disk lost: on the disk they may be there still.
	gone map[*member]map[place]bool
}

func (c *checkReturn) truncated(m *member, from raft.Index) {
	if c.gone[m] == nil {
		c.gone[m] = map[place]bool{}
	}
	for i := from; i <= m.log.last(); i++ {
		c.gone[m][place{index: i, term: m.log.term(i)}] = true
	}
}

func (c *checkReturn) compacted(m *member) {
	maps.DeleteFunc(c.gone[m], func(p place, _ bool) bool { return p.index <= m.log.base })
}

func (c *checkReturn) recovered(m *member, was *shadow) {
	gone := c.gone[m]
	delete(c.gone, m)
	if m.ended > 0 && m.term > m.ended {
		m.world.fail("recovery", "%v comes back in term %d, and the process before it had not gone beyond term %d", m, m.term, m.ended)
	}
	for i := max(m.log.base, was.base) + 1; i <= m.log.last(); i++ {
		r, _ := m.log.at(i)
		if had, ok := was.at(i); ok && had == r || gone[place{index: i, term: r.term}] {
			continue
		}
		m.world.fail("recovery", "%v comes back with entry %d@%d, which the process before it did not have", m, i, r.term)
		return
	}
	if !m.running.Core().Faulty() {
		return
	}
	// The log ends before what the disk lost, for now. A snapshot that stands for all of that has the rest in it again.
	if gone == nil {
		gone = map[place]bool{}
	}
	for i := m.log.last() + 1; i <= was.last(); i++ {
		gone[place{index: i, term: was.term(i)}] = true
	}
	c.gone[m] = gone
}

// readBackEvery is how often a log is read back, of one host at a time, and readBackBytes how much of it.
const (
	readBackEvery = 200 * time.Millisecond
	readBackBytes = 32 << 10
)

// startReadingBack begins to read logs back: what a log is asked for is what it was given, also what nobody happens to need. A log whose index has gone astray would else be noticed
// only when a follower falls so far behind, or a process ends, before the group compacts.
func (w *World) startReadingBack() {
	drawn := w.stream("read back")
	var again func()
	again = func() {
		h := w.hosts[drawn.IntN(len(w.hosts))]
		for _, m := range h.members {
			if last := m.log.last(); last > m.log.base {
				m.readBack(m.log.base+1+raft.Index(drawn.Uint64N(uint64(last-m.log.base))), readBackBytes)
			}
		}
		w.after(readBackEvery, again)
	}
	w.after(readBackEvery, again)
}

// readBack compares what the log has of a member, from an index on, with what was put there, as far as that is durable: the rest may not have reached the log.
func (m *member) readBack(from raft.Index, most uint64) {
	h := m.host
	if m.running == nil || h.log == nil || h.disk.guilty || h.disk.failing[opReads] != nil || m.world.regime.Beyond || h.disk.hurtNow() {
		return
	}
	if state, _ := h.log.State(m.group.id); state.Snapshot.Index > m.log.base {
		return // It is shorter already than the core knows or, after a snapshot, another one.
	}
	for last := min(m.running.Core().Status().Durable, m.log.last()); from <= last; {
		entries, err := h.log.Entries(m.group.id, from, last, min(most, readBackBytes))
		if err != nil {
			m.world.fail("reading back", "%v has entries from %d to %d in its log, which does not have them: %v", m, from, last, err)
			return
		}
		for i := range entries {
			e := &entries[i]
			if r, _ := m.log.at(e.Index); r.term != e.Term || r.sum != e.Sum {
				m.world.fail("reading back", "%v has entry %d@%d, and its log gives another one there, of term %d", m, e.Index, r.term, e.Term)
				return
			}
			from, most = e.Index+1, most-min(most, e.Size())
		}
		if most == 0 {
			return
		}
	}
}
