package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// WideArea is the experiment of a cluster whose members are far apart: how long it takes to commit an entry.
type WideArea struct {
	// RoundTrips are the times of a message from one member to another and of its answer back; Leader is which member leads.
	RoundTrips [][]time.Duration
	Leader     int
	// Disk is the mean time of an fsync, distributed exponentially.
	Disk time.Duration
	// Commits is how many entries are proposed at each member, one after the other.
	Commits int
}

// Bound is what no protocol with one leader can be faster than, for a proposal made at a member: its way to the leader and back, and the leader's to the
// nearest others that make up a majority with it and back.
func (e WideArea) Bound(at int) time.Duration {
	others := slices.Clone(e.RoundTrips[e.Leader])
	others = slices.Delete(others, e.Leader, e.Leader+1)
	slices.Sort(others)
	bound := e.RoundTrips[at][e.Leader]
	if majority := len(e.RoundTrips)/2 + 1; majority > 1 {
		bound += others[majority-2]
	}
	return bound
}

// Run measures, at each member, the time from a proposal to its result. The same seed gives the same result. Election timeouts are those that the thesis
// recommends (§9.3): ten to twenty times the one-way delay, here of the longest way.
func (e WideArea) Run(seed uint64) ([][]time.Duration, error) {
	var longest time.Duration
	for _, row := range e.RoundTrips {
		longest = max(longest, slices.Max(row)/2)
	}
	timeout := max(10*longest, 150*time.Millisecond)
	core := raft.Config{HeartbeatInterval: timeout / 3, ElectionTimeoutMin: timeout, ElectionTimeoutMax: 2 * timeout}
	ways, disks := newStream(seed, "ways"), newStream(seed, "disks")
	w := newExperiment(seed, len(e.RoundTrips), core, 0, conditions{
		// Half of the round trip, and up to a fiftieth of it more: queues on the way.
		way: func(from, to *host) time.Duration {
			half := e.RoundTrips[from.id-1][to.id-1] / 2
			return ways.between(half, half*51/50)
		},
		fsync: func(*host) time.Duration { return disks.around(e.Disk) },
	})
	leader := w.groups[0].members[e.Leader]
	if err := lead(w, leader); err != nil {
		return nil, err
	}
	dice := w.stream("trial")
	results := make([][]time.Duration, len(e.RoundTrips))
	for i, m := range w.groups[0].members {
		for k := range e.Commits {
			// A while between two, so that none of it goes in step with the heartbeats.
			until := w.now + dice.between(0, core.HeartbeatInterval)
			w.at(until, func() {})
			if err := w.until(time.Hour, "it is time for the next", func() bool { return w.now >= until }); err != nil {
				return nil, err
			}
			took, err := propose(w, m, uint64(i*e.Commits+k+1))
			if err != nil {
				return nil, err
			}
			results[i] = append(results[i], took)
		}
	}
	if leader.role != raft.Leader {
		return nil, fmt.Errorf("sim: seed %d: leadership moved while commits were measured", seed)
	}
	return results, nil
}

// lead has a member become the leader, by a transfer if it was not elected.
func lead(w *World, m *member) error {
	g := m.group
	for range 10 {
		var leader *member
		if err := w.until(time.Hour, "everybody follows a leader", func() bool { leader = g.settled(); return leader != nil }); err != nil {
			return err
		}
		if leader == m {
			return nil
		}
		leader.host.guard(func() { leader.running.TransferLeadershipAsync(m.host.id, func(error) {}) })
		err := w.until(time.Hour, "the leader has handed over", func() bool { return leader.role != raft.Leader })
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("sim: seed %d: n%d does not become the leader", w.seed, m.host.id)
}

// propose proposes a command at a member and returns how long its result took.
func propose(w *World, m *member, id uint64) (time.Duration, error) {
	began, ended := w.now, time.Duration(-1)
	var failed error
	m.host.guard(func() {
		m.running.ProposeAsync(experimentCommand(id), func(_ engine.Result, err error) { ended, failed = w.now, err })
	})
	if err := w.until(time.Hour, "the proposal has its result", func() bool { return ended >= 0 }); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, fmt.Errorf("sim: seed %d: a proposal at n%d: %w", w.seed, m.host.id, failed)
	}
	return ended - began, nil
}
