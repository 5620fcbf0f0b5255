package sim

import (
	"fmt"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// record is what the checkers remember of an entry.
type record struct {
	term raft.Term
	sum  uint32
}

// shadow is a member's log as it was last seen: the records of (base, last].
type shadow struct {
	base     raft.Index
	baseTerm raft.Term
	records  []record
	// entries are those of the records, in a world that is watched; else nil.
	entries []raft.Entry
}

// add puts an entry at the end.
func (s *shadow) add(e *raft.Entry, watched bool) {
	s.records = append(s.records, record{term: e.Term, sum: raft.Sum(e.Data)})
	if watched {
		s.entries = append(s.entries, *e)
	}
}

// begin removes the entries up to base.
func (s *shadow) begin(base raft.Index) {
	n := base - s.base
	s.baseTerm = s.term(base)
	s.records = s.records[n:]
	if s.entries != nil {
		s.entries = s.entries[n:]
	}
	s.base = base
}

// end removes the entries after last.
func (s *shadow) end(last raft.Index) {
	n := last - s.base
	s.records = s.records[:n]
	if s.entries != nil {
		s.entries = s.entries[:n:n]
	}
}

func (s *shadow) last() raft.Index { return s.base + raft.Index(len(s.records)) }

// at returns the record at index i, if it is in (base, last].
func (s *shadow) at(i raft.Index) (record, bool) {
	if i <= s.base || i > s.last() {
		return record{}, false
	}
	return s.records[i-s.base-1], true
}

// term is the term at index i, also at base.
func (s *shadow) term(i raft.Index) raft.Term {
	if i == s.base {
		return s.baseTerm
	}
	r, _ := s.at(i)
	return r.term
}

// member is a host's part in a group, as the world sees it: across all processes that carry it, and what the last look at its core showed.
type member struct {
	world *World
	group *group
	host  *host

	running *engine.Group // nil while there is no process
	machine *machine
	flushes *stream // when a machine that keeps its state itself saves it
	// previous is the application's machine of this life of the process or, while there is none, of the one before.
	previous engine.StateMachine
	// shown is the index of the newest state that a stale query has seen in this life of the process.
	shown raft.Index

	events []raft.Event // since the last look
	log    shadow
	role   raft.Role
	term   raft.Term
	commit raft.Index
	ended  raft.Term // the term of the process before this one
	// counted is what it took for committed as leader since the last look, and inForce the index of the configuration it went by at that.
	counted []counted
	inForce raft.Index
	inputs  uint64  // of the cores of earlier processes
	given   promise // see check_promise.go
	face    face    // see view.go
	live    uint64  // how many bytes of its log were live a moment ago, see check_bounds.go
	// agreed are two configurations that are the same, its own and another: see goesBy.
	agreed [2]*raft.Member
}

// counted says that a leader took what is up to an index for committed, by the configuration of another.
type counted struct{ to, by raft.Index }

func newMember(g *group, h *host) *member {
	return &member{world: g.world, group: g, host: h, flushes: g.world.stream("flushes", uint64(g.id), uint64(h.id))}
}

// String names the member.
func (m *member) String() string { return fmt.Sprintf("n%d of g%d", m.host.id, m.group.id) }

// start begins the member's part in a new process.
func (m *member) start(e *engine.Host, log *wal.Log) error {
	o := engine.StartOptions{Group: m.group.id, Self: m.host.id}
	if m.host.founder {
		o.Bootstrap = m.group.bootstrap()
	}
	if m.world.steering != nil {
		book := newNotebook(m)
		m.machine, o.Machine = &book.machine, book
		m.face.book = book
	} else {
		var err error
		if m.machine, o.Machine, err = newMachine(m); err != nil {
			return fmt.Errorf("make the machine: %w", err)
		}
	}
	m.shown = 0
	m.events = m.events[:0]
	m.face.applied++
	g, err := e.Start(o)
	if err != nil {
		return err
	}
	m.running = g
	return m.recover(log)
}

// fed is how many inputs the cores of all the member's processes have got.
func (m *member) fed() uint64 {
	if m.running == nil {
		return m.inputs
	}
	return m.inputs + m.running.Core().Inputs()
}

// stopped forgets the process.
func (m *member) stopped() {
	if c, ok := m.previous.(Crasher); ok && m.machine != nil {
		c.Crash()
	}
	m.face.disk, m.face.book = nil, nil
	m.face.applied++
	m.changed()
	m.inputs = m.fed()
	m.running, m.machine = nil, nil
	m.role = raft.Follower
	m.events = m.events[:0]
}

// recover looks at what the member has after a start: its log as it is on disk, entry by entry.
func (m *member) recover(log *wal.Log) error {
	core := m.running.Core()
	was := m.log
	base := core.FirstIndex() - 1
	m.log = shadow{base: base}
	m.log.baseTerm, _ = core.TermAt(base)
	for from := base + 1; from <= core.LastIndex(); {
		entries, err := log.Entries(m.group.id, from, core.LastIndex(), 1<<20)
		if err != nil {
			m.log = was
			return fmt.Errorf("read the recovered log from %d to %d: %w", from, core.LastIndex(), err)
		}
		for i := range entries {
			m.log.add(&entries[i], m.world.watch != nil)
			m.group.configurations.see(&entries[i])
		}
		from += raft.Index(len(entries))
	}
	m.ended = m.term
	m.role, m.term, m.commit = raft.Follower, core.Term(), core.Commit()
	m.inForce, _ = core.ConfigurationIndexes()
	m.changed()
	m.wind()
	for _, c := range m.group.checkers {
		c.recovered(m, &was)
	}
	return nil
}

// look finds out what a turn changed, and tells the checkers.
func (m *member) look() {
	if m.running == nil {
		return
	}
	core := m.running.Core()
	var cut raft.Index
	var elected []raft.Event
	installed := false
	leads := m.role == raft.Leader && core.Role() == raft.Leader && m.term == core.Term()
	m.counted = m.counted[:0]
	for i := range m.events {
		switch e := &m.events[i]; e.Kind {
		case raft.EventTruncated:
			if cut == 0 || e.Index < cut {
				cut = e.Index
			}
		case raft.EventSnapshotInstalled:
			installed = true
		case raft.EventConfiguration:
			m.inForce = e.Index
		case raft.EventCommitted:
			if leads {
				m.counted = append(m.counted, counted{to: e.Index, by: m.inForce})
			}
		case raft.EventBecameLeader:
			elected = append(elected, *e)
		}
	}
	m.events = m.events[:0]
	if installed {
		m.restores()
		m.rebase(core)
	}
	m.follow(core, cut)
	for i := range elected {
		for _, c := range m.group.checkers {
			c.elected(m, elected[i].Term, elected[i].Index)
		}
		if a := m.group.admin; a != nil {
			a.elected(m)
		}
		m.reigns()
	}
	if commit := core.Commit(); commit > m.commit {
		from := m.commit + 1
		m.commit = commit
		for _, c := range m.group.checkers {
			c.committed(m, from, commit)
		}
	}
	m.role, m.term = core.Role(), core.Term()
	m.wind()
}

// rebase notes that the log was replaced by a snapshot.
func (m *member) rebase(core *raft.Core) {
	base := core.FirstIndex() - 1
	term, _ := core.TermAt(base)
	from := base + 1
	if base > m.log.base && m.log.last() >= base && m.log.term(base) != term {
		from = base // The snapshot contradicts the log, which may have ended there.
	}
	if m.log.last() >= from {
		for _, c := range m.group.checkers {
			c.truncated(m, from)
		}
	}
	m.log = shadow{base: base, baseTerm: term}
	m.changed()
}

// follow brings the shadow up to the core's log, of which the entries from cut on were removed, if cut is not 0.
func (m *member) follow(core *raft.Core, cut raft.Index) {
	if base := core.FirstIndex() - 1; base > m.log.base {
		if base > m.log.last() {
			m.world.fail("log", "%v: the log begins at %d without a snapshot, it ended at %d", m, base, m.log.last())
			return
		}
		m.log.begin(base)
		m.changed()
		for _, c := range m.group.checkers {
			c.compacted(m)
		}
	}
	keep := min(m.log.last(), core.LastIndex())
	if cut > 0 {
		keep = max(min(keep, cut-1), m.log.base)
	}
	if term, _ := core.TermAt(keep); term != m.log.term(keep) {
		m.world.fail("log", "%v: entry %d was of term %d and is of term %d, and nothing was said of it", m, keep, m.log.term(keep), term)
		return
	}
	if keep < m.log.last() {
		for _, c := range m.group.checkers {
			c.truncated(m, keep+1)
		}
		m.log.end(keep)
		m.changed()
	}
	if keep == core.LastIndex() {
		return
	}
	entries := core.InMemory(keep + 1)
	if len(entries) == 0 || entries[0].Index != keep+1 || entries[len(entries)-1].Index != core.LastIndex() {
		m.world.fail("log", "%v: new entries from %d on are not in memory", m, keep+1)
		return
	}
	for i := range entries {
		m.log.add(&entries[i], m.world.watch != nil)
		m.group.configurations.see(&entries[i])
	}
	m.changed()
	for _, c := range m.group.checkers {
		c.appended(m, keep+1)
	}
}

// said is told every message when it leaves.
func (m *member) said(message raft.Message) {
	m.spoke()
	for _, c := range m.group.checkers {
		c.sent(m, message)
	}
}

// applied is told every command when the machine has applied it.
func (m *member) applied(a *applied) {
	m.face.applied++
	m.world.watch.happened(&Happening{At: m.world.now, Kind: HappenedApply, Host: m.host.id, Event: raft.Event{Index: a.entry.Index, Term: a.entry.Term}})
	for _, c := range m.group.checkers {
		c.applied(m, a)
	}
}

// restored is told that the machine took over a snapshot.
func (m *member) restored(h head) {
	m.face.applied++
	for _, c := range m.group.checkers {
		c.restored(m, h)
	}
}

// hashed is told the hash of the machine's state after the command at an index.
func (m *member) hashed(index raft.Index, hash uint64) {
	for _, c := range m.group.checkers {
		c.hashed(m, index, hash)
	}
}
