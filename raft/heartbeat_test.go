package raft

import (
	"testing"
	"time"
)

// TestSharedHeartbeatsAreDueTogether: whenever a leader was elected, its heartbeats come when the time is a multiple of the interval, and none is later than without.
func TestSharedHeartbeatsAreDueTogether(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SharedHeartbeats = true })
	c.advance(7 * time.Millisecond)
	leader := c.elect(1)
	interval := leader.core.cfg.HeartbeatInterval
	for range 5 {
		due := leader.core.Deadline()
		if due <= c.now || due > c.now+interval || due%interval != 0 {
			t.Errorf("at %v the next heartbeats are due at %v", c.now, due)
		}
		round := leader.core.leading.round
		c.advance(due - c.now)
		if leader.core.leading.round != round+1 {
			t.Errorf("at %v no round has begun", c.now)
		}
	}
}

// TestAnEntryStandsForAHeartbeat while all get entries and answer: nobody hears less often from the leader, and who does not answer gets heartbeats.
func TestAnEntryStandsForAHeartbeat(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SharedHeartbeats = true })
	leader := c.elect(1)
	interval := leader.core.cfg.HeartbeatInterval
	c.advance(2 * interval)
	round, follower := leader.core.leading.round, c.member(2).core
	write := func(n int, every time.Duration) {
		for range n {
			c.propose(leader, "entry")
			for end := c.now + every; c.now < end; {
				c.advance(time.Millisecond)
				if heard := follower.stickyUntil - follower.cfg.ElectionTimeoutMin; c.now-heard > interval {
					t.Errorf("at %v member 2 has heard nothing since %v", c.now, heard)
				}
			}
		}
	}
	write(100, 11*time.Millisecond)
	if n := leader.core.leading.round - round; n > 2 {
		t.Errorf("%d rounds of heartbeats beside a hundred entries", n)
	}
	round = leader.core.leading.round
	write(5, 120*time.Millisecond)
	if n := leader.core.leading.round - round; n < 5 {
		t.Errorf("%d rounds of heartbeats between few entries", n)
	}
	c.isolate(3)
	c.advance(2 * interval)
	round = leader.core.leading.round
	write(50, 10*time.Millisecond)
	if n := leader.core.leading.round - round; n < 9 {
		t.Errorf("%d rounds of heartbeats in half a second, and one member does not answer", n)
	}
}
