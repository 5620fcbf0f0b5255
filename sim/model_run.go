package sim

import (
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// ClosedLoop is the experiment beside PaperModel: proposers at the leader who ask, wait for the answer and ask again. In a simulation processors, links and disks have no
// bandwidth, so what it shows is what round trips, fsyncs and windows do.
type ClosedLoop struct {
	Model PaperModel
	// Commits is how many answers are counted, after the first tenth of them.
	Commits int
}

// ClosedLoopBytes is the size of the commands that are proposed.
const ClosedLoopBytes = 23

// ClosedLoopResult is what came out.
type ClosedLoopResult struct {
	PerSecond float64
	Latency   time.Duration // the mean
}

// Run measures it. The same seed gives the same result.
func (e ClosedLoop) Run(seed uint64) (ClosedLoopResult, error) {
	m := e.Model
	var longest time.Duration
	for _, trip := range m.RoundTrips {
		longest = max(longest, trip)
	}
	// As in WideArea: election timeouts that the ways allow.
	timeout := max(10*(longest+m.Fsync), 150*time.Millisecond)
	core := raft.Config{HeartbeatInterval: timeout / 3, ElectionTimeoutMin: timeout, ElectionTimeoutMax: 2 * timeout}
	if m.InflightBytes > 0 {
		core.MaxMessageBytes, core.MaxInflightBytes = 1, m.InflightBytes // an entry a message, so that nothing of a window stays empty because a large one does not fit
	}
	commands := uint64(0)
	w := newExperiment(seed, len(m.RoundTrips)+1, core, 0, conditions{
		way: func(from, to *host) time.Duration {
			// The leader is the first host; ways between others only matter for its election.
			other := max(from.id, to.id)
			return m.RoundTrips[other-2] / 2
		},
		fsync: func(*host) time.Duration { return m.Fsync },
	})
	w.regime.Hop, w.regime.Apply = m.Hop, m.Hop
	leader := w.groups[0].members[0]
	if err := lead(w, leader); err != nil {
		return ClosedLoopResult{}, err
	}
	var result ClosedLoopResult
	var sum, began, ended time.Duration
	answers, skip := 0, max(e.Commits/10, m.Proposers)
	var failed error
	var ask func()
	ask = func() {
		if leader.host.engine == nil || answers >= skip+e.Commits {
			return
		}
		asked := w.now
		commands++
		leader.host.guard(func() {
			leader.running.ProposeAsync(experimentCommand(commands), func(_ engine.Result, err error) {
				if err != nil && failed == nil {
					failed = fmt.Errorf("sim: seed %d: a proposal: %w", seed, err)
				}
				if answers++; answers == skip {
					began = w.now
				} else if answers > skip && answers <= skip+e.Commits {
					sum += w.now - asked
					ended = w.now
				}
				w.after(0, ask)
			})
		})
	}
	for range m.Proposers {
		// They do not all begin at the same moment, and soon are anywhere.
		w.after(w.stream("trial", commands).between(0, m.commit(0)), ask)
		commands++
	}
	if err := w.until(time.Hour, "all have their answers", func() bool { return failed != nil || answers >= skip+e.Commits }); err != nil {
		return result, err
	}
	if failed != nil {
		return result, failed
	}
	if leader.role != raft.Leader {
		return result, fmt.Errorf("sim: seed %d: leadership moved while commits were measured", seed)
	}
	result.PerSecond = float64(e.Commits) / (ended - began).Seconds()
	result.Latency = sum / time.Duration(e.Commits)
	return result, nil
}
