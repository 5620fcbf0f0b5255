package raft

import "time"

// What simulators and tests look at to follow a member's log step by step.

// TermAt returns the term of the entry at index i; false if it is compacted away, or the log does not reach that far.
func (c *Core) TermAt(i Index) (Term, bool) { return c.log.term(i) }

// InMemory returns the entries from index i on, as far as they are in memory: those that are not both durable and applied always are. The
// result may share memory with the core: it is for reading.
func (c *Core) InMemory(i Index) []Entry {
	if i = max(i, c.log.first); i > c.log.last {
		return nil
	}
	return c.log.slice(i, c.log.last)
}

// Inputs counts what the core was given since it was made: each time, message, request, completion of the disk or of the machine is one.
func (c *Core) Inputs() uint64 { return c.inputs }

// Timer returns when the member's timer runs out, in the time handed to Tick: the election timer, or at a leader that of the next heartbeat. NoDeadline if
// it has none.
func (c *Core) Timer() time.Duration {
	switch {
	case c.role != Leader:
		return c.electionDeadline
	case c.quiesced:
		return NoDeadline
	}
	return c.leading.heartbeatDeadline
}

// Votes returns who has answered a candidate or pre-candidate so far; nothing on others. The result is a copy.
func (c *Core) Votes() (granted, refused []MemberID) {
	if c.campaign == nil {
		return nil, nil
	}
	return append([]MemberID(nil), c.campaign.granted...), append([]MemberID(nil), c.campaign.refused...)
}

// DurableHardState returns the term and vote that are on stable storage: what a crash would leave.
func (c *Core) DurableHardState() HardState { return c.disk.hard }

// ConfigurationIndexes returns the indexes of the entries that carry the configuration in force, and the latest one that is committed.
func (c *Core) ConfigurationIndexes() (inForce, committed Index) {
	return c.latest().Index, c.configurationAt(c.commit).Index
}

// Usage is what a core holds in memory, in bytes of entries.
type Usage struct {
	// Cached is all that is in memory, Removable what of it is durable and applied, so that it is only kept for followers.
	Cached, Removable uint64
	// Uncommitted is the leader's uncommitted tail, Inflight what is on its way to the follower that has most of it, InflightMessages the same in messages.
	Uncommitted, Inflight uint64
	InflightMessages      int
}

// Usage adds up what is in memory.
func (c *Core) Usage() Usage {
	u := Usage{Cached: c.log.bytes, Removable: c.log.bytes}
	needed := min(c.applied, c.disk.durable) + 1
	for i := max(needed, c.log.first); i <= c.log.last; i++ {
		u.Removable -= c.log.window.at(i).Size()
	}
	if l := c.leading; l != nil {
		u.Uncommitted = l.uncommitted
		for _, p := range l.peers {
			u.Inflight, u.InflightMessages = max(u.Inflight, p.inflight.bytes), max(u.InflightMessages, p.inflight.count)
		}
	}
	return u
}
