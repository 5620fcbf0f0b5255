package raft

import "time"

// Tuning is what may be changed of a Config while the member runs.
type Tuning struct {
	HeartbeatInterval                      time.Duration
	ElectionTimeoutMin, ElectionTimeoutMax time.Duration
	DisablePreVote, DisableCheckQuorum     bool
	LeaseReads                             bool
	ClockDriftBound                        int
}

// Tuning returns the values in force.
func (c *Core) Tuning() Tuning {
	return Tuning{
		HeartbeatInterval: c.cfg.HeartbeatInterval, ElectionTimeoutMin: c.cfg.ElectionTimeoutMin, ElectionTimeoutMax: c.cfg.ElectionTimeoutMax,
		DisablePreVote: c.cfg.DisablePreVote, DisableCheckQuorum: c.cfg.DisableCheckQuorum,
		LeaseReads: c.cfg.LeaseReads, ClockDriftBound: c.cfg.ClockDriftBound,
	}
}

// Apply returns the configuration with the tuning in it; its zero fields mean defaults.
func (t Tuning) Apply(c Config) Config {
	c.HeartbeatInterval, c.ElectionTimeoutMin, c.ElectionTimeoutMax = t.HeartbeatInterval, t.ElectionTimeoutMin, t.ElectionTimeoutMax
	c.DisablePreVote, c.DisableCheckQuorum = t.DisablePreVote, t.DisableCheckQuorum
	c.LeaseReads, c.ClockDriftBound = t.LeaseReads, t.ClockDriftBound
	return c.Default()
}

// Tune changes the values in force, or says what is wrong with them. All members of a group should have the same: while they differ, members are
// deposed or elected too early, which costs availability; and lease reads are not safe until all have the same bounds again (thesis §6.4.1).
func (c *Core) Tune(t Tuning) error {
	c.inputs++
	cfg := t.Apply(c.cfg)
	if err := cfg.Validate(); err != nil {
		return err
	}
	c.cfg = cfg
	if c.role != Leader {
		if c.electionDeadline != NoDeadline {
			c.resetElectionTimer()
		}
		return nil
	}
	// The lease begins anew, with a round that is sent under the new bounds: those before it prove leadership, but no lease.
	const longAgo = -NoDeadline / 2
	l := c.leading
	l.leaseStart = longAgo
	for i := range l.rounds {
		l.rounds[i].at = longAgo
	}
	l.heartbeatDeadline = c.after(0)
	c.dirty = true
	return nil
}
