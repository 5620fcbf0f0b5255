package sim

import (
	"github.com/balsa-raft/balsa/raft"
)

// group is one Raft group across all hosts, and what is known of it for certain.
type group struct {
	world    *World
	id       raft.GroupID
	members  []*member // by host
	checkers []checker

	// committed are the entries that some member took for committed, from index 1 on.
	committed []fact
	// commands are the commands that some machine has applied, by index; their order is the one that all agree on.
	commands []applied
	// byID tells at which index a command was applied.
	byID    map[uint64]raft.Index
	history []Operation
}

// fact is a committed entry.
type fact struct {
	record
	// in is the earliest term in which a member was known to take it for committed.
	in raft.Term
}

// applied is a command that was applied, and the chain of hashes up to it.
type applied struct {
	index   raft.Index
	command command
	sum     uint32
	chain   uint64
}

func newGroup(w *World, id raft.GroupID) *group {
	g := &group{world: w, id: id, byID: map[uint64]raft.Index{}}
	g.checkers = newCheckers(g)
	return g
}

// bootstrap is the configuration the group is founded with.
func (g *group) bootstrap() raft.Configuration {
	var c raft.Configuration
	for i := range g.world.regime.Members {
		c.Members = append(c.Members, raft.Member{ID: raft.MemberID(i + 1), Address: g.world.hosts[i].address})
	}
	return c
}

// configuration is the latest one that any running member has in force, by the index of its entry; false if none runs. It is what an
// operator would see.
func (g *group) configuration() (raft.Configuration, bool) {
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
	return best.Configuration().Clone(), true
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
