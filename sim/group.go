package sim

import (
	"github.com/balsa-raft/balsa/raft"
)

// group is one Raft group across all hosts, and what is known of it for certain.
type group struct {
	world    *World
	id       raft.GroupID
	members  []*member // by host
	guests   []*client // who come in crowds
	admin    *admin    // nil in a world without
	checkers []checker

	// committed are the entries that some member took for committed, from the index after forgotten on.
	committed []fact
	forgotten raft.Index
	// configurations are those that its logs have had.
	configurations configurations
	// ledger has the commands among them that some machine has applied, answers judges what clients are told.
	ledger  *ledger
	answers *answers
	bounds  *checkBounds
	// history is what clients did, as far as it is kept (Options.Operations); asked counts all of it.
	history []Operation
	asked   int
	every   raft.Index // at which indexes states are compared
}

// fact is a committed entry.
type fact struct {
	record
	// in is the earliest term in which a member was known to take it for committed.
	in raft.Term
}

func newGroup(w *World, id raft.GroupID) *group {
	g := &group{world: w, id: id}
	g.configurations.group = g
	g.ledger, g.answers = newLedger(g, w.application.Model()), newAnswers(g)
	g.every = pick[raft.Index](w.stream("compared states", uint64(id)), 1, 1, 4, 16)
	g.bounds = &checkBounds{group: g}
	g.checkers = newCheckers(g)
	return g
}

// stride says that states are compared at its multiples. Where it is large machines get large batches, where it is 1 every state is seen.
func (g *group) stride() raft.Index { return g.every }

// factsMost bounds how many committed entries are remembered.
const factsMost = 1 << 15

// commit notes that the next entry is committed.
func (g *group) commit(f fact) {
	g.committed = append(g.committed, f)
	if len(g.committed) >= factsMost {
		drop := len(g.committed) / 2
		g.forgotten += raft.Index(drop)
		g.committed = append([]fact(nil), g.committed[drop:]...)
	}
}

// size is the index of the newest committed entry.
func (g *group) size() raft.Index { return g.forgotten + raft.Index(len(g.committed)) }

// fact returns the committed entry at an index; false if there is none, or it is forgotten.
func (g *group) fact(i raft.Index) (*fact, bool) {
	if i <= g.forgotten || i > g.size() {
		return &fact{}, false
	}
	return &g.committed[i-g.forgotten-1], true
}

// happened is told of each command when it is applied for the first time.
func (g *group) happened(d *deed) { g.answers.happened(d) }

// bootstrap is the configuration the group is founded with.
func (g *group) bootstrap() raft.Configuration {
	var c raft.Configuration
	for i := range g.world.regime.Members {
		m := raft.Member{ID: raft.MemberID(i + 1), Address: g.world.hosts[i].address}
		if s := g.world.steering; s != nil && s.setup.Known {
			m.Incarnation = g.world.hosts[i].incarnation()
		}
		c.Members = append(c.Members, m)
	}
	return c
}

// configuration is the latest one that any running member has in force, by the index of its entry; false if none runs. It is what an
// operator would see.
func (g *group) configuration() (raft.Configuration, bool) {
	conf, known := g.inForce()
	return conf.Clone(), known
}

// inForce is configuration, in the memory of the member whose it is: for a look at it.
func (g *group) inForce() (raft.Configuration, bool) {
	var best *raft.Core
	for _, m := range g.members {
		if m.running == nil {
			continue
		}
		core := m.running.Core()
		if len(core.Configuration().Members) == 0 {
			continue
		}
		if best == nil || core.Role() == raft.Leader && best.Role() != raft.Leader || (core.Role() == raft.Leader) == (best.Role() == raft.Leader) && core.Commit() > best.Commit() {
			best = core
		}
	}
	if best == nil {
		return raft.Configuration{}, false
	}
	return best.Configuration(), true
}

// leader returns the running member that leads the highest term, nil if none does.
func (g *group) leader() *member {
	var leader *member
	for _, m := range g.members {
		if m.running == nil || m.running.Core().Role() != raft.Leader {
			continue
		}
		if leader == nil || m.running.Core().Term() > leader.running.Core().Term() {
			leader = m
		}
	}
	return leader
}
