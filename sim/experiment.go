package sim

import (
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// An experiment is a world without faults and without clients of its own, in which things are measured instead of broken: the times are those of a
// certain deployment, not drawn, and what happens is what the experiment asks for. The production code and the checkers are the same as in
// every other world.

// conditions is what an experiment controls. What is nil is as the regime says.
type conditions struct {
	// way is how long a message takes, fsync how long the disk does, late how much after its time a timer wakes a process.
	way   func(from, to *host) time.Duration
	fsync func(h *host) time.Duration
	late  func(h *host) time.Duration
	// without is what is left of a message when it arrives.
	without func(p *parcel) *parcel
	// operation is called before a process changes its disk, and may crash it; fate says what a loss of power leaves of what was not synced.
	operation func(h *host, what, name string)
	fate      func(h *host) fate
}

// newExperiment makes the world of an experiment with one group. One host runs; the others follow after the time apart, so that whoever was first has
// a head start: without it, members whose timeouts are all the same would never elect anybody.
func newExperiment(seed uint64, members int, core raft.Config, apart time.Duration, c conditions) *World {
	regime := Regime{
		Members: members, Groups: 1, Duration: 1 << 60, Workload: registers{}.Name(), Hop: 20 * time.Microsecond, Apply: 20 * time.Microsecond, Disk: time.Millisecond,
		Core: core, Segment: 64 << 10, Patience: time.Second,
	}
	w := NewWorld(seed, Options{Regime: &regime, Story: 1})
	w.conditions = c
	for _, h := range w.hosts[1:] {
		h.kill()
		w.after(apart, h.boot)
	}
	return w
}

// kill ends a process for good, without anything that a crash does to its disk and without a restart.
func (h *host) kill() {
	h.engine = nil
	h.life++
	for _, m := range h.members {
		m.stopped()
	}
}

// until goes on until something is so. It fails when that takes longer than the limit, in virtual time, or when a checker finds something.
func (w *World) until(limit time.Duration, what string, holds func() bool) error {
	end := w.now + limit
	for !holds() {
		if !w.Step() {
			return fmt.Errorf("sim: the experiment of seed %d, while it waited until %s: %w", w.seed, what, w.failure)
		}
		if w.now > end {
			return &tooLate{what: what, limit: limit}
		}
	}
	return nil
}

// tooLate is what until says when the time was over.
type tooLate struct {
	what  string
	limit time.Duration
}

func (e *tooLate) Error() string {
	return fmt.Sprintf("sim: %v have passed, and it is not yet so that %s", e.limit, e.what)
}

// settled returns the leader if every running member follows it, and has and knows to be committed all that it has; else nil.
func (g *group) settled() *member {
	leader := g.leader()
	if leader == nil {
		return nil
	}
	core := leader.running.Core()
	for _, m := range g.members {
		if m.running == nil {
			return nil
		}
		if c := m.running.Core(); c.Leader() != core.Leader() || c.Term() != core.Term() || c.LastIndex() != core.LastIndex() || c.Commit() != core.LastIndex() {
			return nil
		}
	}
	return leader
}

// followed tells whether every running member follows one and the same leader of a term after this one.
func (g *group) followed(after raft.Term) bool {
	leader := g.leader()
	if leader == nil || leader.running.Core().Term() <= after {
		return false
	}
	core := leader.running.Core()
	for _, m := range g.members {
		if m.running == nil {
			continue
		}
		if c := m.running.Core(); c.Leader() != core.Leader() || c.Term() != core.Term() {
			return false
		}
	}
	return true
}

// experimentCommand is what an experiment has replicated: that a register is set to a number.
func experimentCommand(id uint64) []byte {
	c := registerCommand{set: []assignment{{value: id}}}
	return sealCommand(id, 0, c.encode())
}
