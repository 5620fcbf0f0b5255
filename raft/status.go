package raft

import "time"

// Status is a copy of what a member knows, for people and metrics. Nothing in it is shared with the core.
type Status struct {
	ID     MemberID
	Role   Role
	Term   Term
	Vote   MemberID
	Leader MemberID
	// First is the first index after the compacted prefix; Durable the last one on stable storage here.
	Commit, Applied, First, Last, Durable Index
	Configuration                         Configuration
	// ConfigurationIndex is that of the entry that carried the configuration, which may not be committed yet.
	ConfigurationIndex Index
	// Faulty says that the disk lost entries, which the leader has not sent again yet: the member does not vote.
	Faulty bool
	// Quiesced says that the group fell silent because it has nothing to do.
	Quiesced bool
	// Peers is what the leader knows of every member, itself too, ascending by ID; empty on others.
	Peers []Progress
	// TransferTarget is whom leadership is being handed to, if it is.
	TransferTarget MemberID
}

// Progress is what a leader knows of one member.
type Progress struct {
	ID MemberID
	// Match is the last index known to be durable there and equal to the leader's; Next the next one to be sent.
	Match, Next Index
	State       ReplicationState
	// Inflight counts messages with entries that are not acknowledged yet.
	Inflight      int
	InflightBytes uint64
	// RecentActive says that the member answered within the longest election timeout.
	RecentActive bool
	// LastActive is when it last answered, in the time handed to Tick.
	LastActive time.Duration
	// PendingSnapshot is the index at the time a snapshot was asked for it, 0 if none is under way.
	PendingSnapshot Index
}

// String is the paper's word.
func (r Role) String() string {
	switch r {
	case Follower:
		return "follower"
	case PreCandidate:
		return "pre-candidate"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	}
	return "unknown role"
}

// Term returns the current term.
func (c *Core) Term() Term { return c.term }

// Role returns the current role.
func (c *Core) Role() Role { return c.role }

// Leader returns the leader of the current term, NoMember if it is not known.
func (c *Core) Leader() MemberID { return c.leaderID }

// Commit returns the commit index.
func (c *Core) Commit() Index { return c.commit }

// AppliedIndex returns the last index that Applied named.
func (c *Core) AppliedIndex() Index { return c.applied }

// LastIndex returns the index of the last entry of the log, durable or not.
func (c *Core) LastIndex() Index { return c.log.last }

// FirstIndex returns the first index that is not compacted away.
func (c *Core) FirstIndex() Index { return c.log.base + 1 }

// Faulty tells whether the disk lost entries that the leader has not sent again yet: until then the member does not vote.
func (c *Core) Faulty() bool { return c.repair != nil }

// Configuration returns the configuration in force: the latest in the log, committed or not. It shares memory with the core: read it.
func (c *Core) Configuration() Configuration { return c.latest().Configuration }

// CommittedConfiguration returns the latest configuration that is committed. It shares memory with the core: read it.
func (c *Core) CommittedConfiguration() Configuration {
	return c.configurationAt(c.commit).Configuration
}

// Status returns a copy of the member's state.
func (c *Core) Status() Status {
	s := Status{
		ID: c.cfg.ID, Role: c.role, Term: c.term, Vote: c.vote, Leader: c.leaderID,
		Commit: c.commit, Applied: c.applied, First: c.log.base + 1, Last: c.log.last, Durable: c.disk.durable,
		Configuration: c.latest().Configuration.Clone(), ConfigurationIndex: c.latest().Index,
		Faulty: c.Faulty(), Quiesced: c.quiesced,
	}
	l := c.leading
	if l == nil {
		return s
	}
	s.TransferTarget = l.transfer.to
	for _, p := range l.peers {
		s.Peers = append(s.Peers, Progress{
			ID: p.id, Match: p.match, Next: p.next, State: p.state, Inflight: p.inflight.count, InflightBytes: p.inflight.bytes,
			RecentActive: p.id == c.cfg.ID || c.now-p.lastActive < c.cfg.ElectionTimeoutMax,
			LastActive:   p.lastActive, PendingSnapshot: p.pendingSnapshot,
		})
	}
	return s
}
