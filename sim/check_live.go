package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// proof shows, after the faults, that the groups are live: within a bounded time there is one leader, everything is committed and applied on every
// member of the configuration, and a fresh read and a write asked of each of them succeed.
type proof struct {
	world *World
	// reads and writes are what was asked of the members, doubts what was asked of those that had fallen silent.
	reads, writes, doubts asked
	// handovers are those of the groups whose leaders were asked for one.
	handovers map[*group]*handover
	// protected says that pre-vote and the check of the quorum were turned on everywhere.
	protected bool
}

// asked are members that are being asked for something, and those that have given it.
type asked struct{ now, given map[*member]bool }

func newAsked() asked { return asked{now: map[*member]bool{}, given: map[*member]bool{}} }

// handover is what became of asking a group's leader to hand over its leadership.
type handover struct {
	done  bool
	asked int
	// to is who was to lead next, and term the term of who was asked last.
	to   raft.MemberID
	term raft.Term
}

// patienceForLife bounds how long the groups may take, in virtual time. A snapshot that has to be sent anew may take several rounds of it.
const patienceForLife = 60 * time.Second

// patienceBeyond is how long groups get that may have lost too much to live again.
const patienceBeyond = 15 * time.Second

// halt ends a run beyond the fault budget, whose groups do not live any more. That is what they have to do rather than to go on without what they lost:
// every answer that was given was judged when it was given.
func (w *World) halt(why string) {
	w.say(notePhase, "the groups have halted: %s", why)
	w.halted = why
	w.done = true
}

// startProof begins to look; no client begins anything any more.
func (w *World) startProof() {
	w.say(notePhase, "the groups have to show that they live")
	p := &proof{world: w, reads: newAsked(), writes: newAsked(), doubts: newAsked(), handovers: map[*group]*handover{}}
	p.look()
}

func (p *proof) look() {
	w := p.world
	waiting := ""
	for _, g := range w.groups {
		if why := p.waitsFor(g); why != "" && waiting == "" {
			waiting = fmt.Sprintf("g%d: %s", g.id, why)
		}
	}
	switch {
	case waiting == "":
		p.conclude()
	case w.regime.Beyond && w.now-w.healed > patienceBeyond:
		w.halt(waiting)
	case w.now-w.healed > patienceForLife:
		w.fail("liveness", "%v after the faults ended: %s\n%s", patienceForLife, waiting, w.states())
	default:
		if !p.protected && w.now-w.healed > patienceForLife/3 {
			p.protected = true
			w.protect()
		}
		w.after(20*time.Millisecond, p.look)
	}
}

// protect turns pre-vote and the check of the quorum on everywhere, as an operator does where leaders change all the time: without them nobody promises that a
// member which was removed and does not know it leaves the group alone (thesis §4.2.3).
func (w *World) protect() {
	for _, h := range w.hosts {
		core := &h.program.core
		if !core.DisablePreVote && !core.DisableCheckQuorum {
			continue
		}
		h.note(notePhase, "the operator turns on pre-vote and the check of the quorum")
		core.DisablePreVote, core.DisableCheckQuorum = false, false
		for _, m := range h.members {
			if m.running == nil {
				continue
			}
			t := m.running.Core().Tuning()
			t.DisablePreVote, t.DisableCheckQuorum = false, false
			h.guard(func() { m.running.Tune(t, nil) })
		}
	}
}

// waitsFor tells what a group lacks to be live and quiet; "" if nothing.
func (p *proof) waitsFor(g *group) string {
	if why := g.unsettled(); why != "" {
		p.disturb(g)
		return why
	}
	conf, _ := g.configuration()
	// The leader that there is may have led for long, and is asked before another one begins anew.
	if m := p.lacks(&p.reads, g, conf, freshRead); m != nil {
		return fmt.Sprintf("%v has not answered a fresh read", m)
	}
	if why := p.handOver(g, conf); why != "" {
		return why
	}
	if m := p.lacks(&p.writes, g, conf, func(a *Action) bool { return a.Command != nil }); m != nil {
		return fmt.Sprintf("%v has not answered a write", m)
	}
	for _, c := range p.world.clients {
		if c.group == g && c.busy {
			return fmt.Sprintf("client %d waits for an answer", c.id)
		}
	}
	return g.bounds.left()
}

func freshRead(a *Action) bool { return a.Command == nil && !a.Stale }

// disturb has a client ask a member that has fallen silent and does not hear that another one came back with an empty disk, which knows of nobody whom it could
// tell. Silence promises no more than that it ends when somebody has work, which then has to be enough. Whoever has a log has to speak up without that.
func (p *proof) disturb(g *group) {
	for _, m := range g.members {
		if m.running == nil || p.doubts.given[m] || !m.running.Core().Status().Quiesced {
			continue
		}
		for _, other := range m.running.Core().Configuration().Members {
			if running := g.members[other.ID-1].running; running != nil && len(running.Core().Configuration().Members) == 0 {
				p.ask(&p.doubts, m, freshRead)
				return
			}
		}
	}
}

// handoversMost is how often a leader is asked to hand over before that counts as never. One may come to nothing: what was on its way from before the faults
// ended may have the group elect somebody meanwhile.
const handoversMost = 5

// handOver has the leader of a settled group hand over its leadership to another voter (thesis §3.10), one after the other until one has it in the next term, and
// tells what that waits for. A group with a single voter has nobody to hand over to.
func (p *proof) handOver(g *group, conf raft.Configuration) string {
	leader, h := g.leader(), p.handovers[g]
	if h == nil {
		h = &handover{}
		p.handovers[g] = h
	}
	term := leader.running.Core().Term()
	others := slices.DeleteFunc(votersOf(conf.Members), func(id raft.MemberID) bool { return id == leader.host.id })
	switch {
	case h.done || len(others) == 0 || h.asked > 0 && leader.host.id == h.to && term == h.term+1:
		h.done = true
		return ""
	case h.asked == handoversMost:
		p.world.fail("liveness", "g%d: its leader was asked %d times to hand over, which nothing kept it from, and it did not\n%s", g.id, handoversMost, p.world.states())
		return ""
	}
	h.to, h.term = others[h.asked%len(others)], term
	h.asked++
	p.world.say(notePhase, "g%d: n%d has to hand over to n%d", g.id, leader.host.id, h.to)
	leader.host.guard(func() { leader.running.TransferLeadershipAsync(h.to, func(error) {}) })
	return fmt.Sprintf("n%d does not lead yet", h.to)
}

// unsettled tells what keeps the group from being settled: one leader, a plain configuration, equal logs, everything applied.
func (g *group) unsettled() string {
	leader := g.leader()
	if leader == nil {
		return "there is no leader"
	}
	core := leader.running.Core()
	conf := core.Configuration()
	commit := core.Commit()
	switch status := core.Status(); {
	case !conf.IsVoter(leader.host.id):
		return fmt.Sprintf("n%d leads without a vote", leader.host.id)
	case conf.Joint():
		return "the configuration is joint"
	case status.ConfigurationIndex > commit || commit != core.LastIndex():
		return fmt.Sprintf("the leader has committed %d of %d", commit, core.LastIndex())
	case status.TransferTarget != raft.NoMember:
		return "a transfer is under way"
	}
	for i := range conf.Members {
		if conf.Members[i].Learner && conf.Members[i].AutoPromote {
			return fmt.Sprintf("learner n%d is not promoted", conf.Members[i].ID)
		}
		m := g.members[conf.Members[i].ID-1]
		if m.running == nil {
			return fmt.Sprintf("%v does not run", m)
		}
		if c := m.running.Core(); c.Term() != core.Term() || c.Commit() != commit || c.LastIndex() != commit || m.running.AppliedIndex() != commit {
			return fmt.Sprintf("%v is at term %d, commit %d, applied %d, last %d; the leader at term %d, commit %d", m, c.Term(), c.Commit(), m.running.AppliedIndex(),
				c.LastIndex(), core.Term(), commit)
		}
	}
	return ""
}

// lacks asks a member that has not given what it has to, and returns it; nil if all have.
func (p *proof) lacks(what *asked, g *group, conf raft.Configuration, fits func(*Action) bool) *member {
	for i := range conf.Members {
		if m := g.members[conf.Members[i].ID-1]; !what.given[m] {
			p.ask(what, m, fits)
			return m
		}
	}
	return nil
}

// ask asks a member for something that fits, if the workload has anything like it; again if the outcome is not known.
func (p *proof) ask(what *asked, m *member, fits func(*Action) bool) {
	if what.now[m] {
		return
	}
	what.now[m] = true
	w := p.world
	c := newClient(w, m.group)
	c.patience = 10 * w.regime.Apply // Where machines are slow, the proof of many members would else be a matter of asking often enough.
	r := c.source.Next()
	for tries := 0; !fits(&r) && tries < 1000; tries++ {
		r = c.source.Next()
	}
	c.ask(m, r)
	var await func()
	await = func() {
		if c.busy {
			w.after(time.Millisecond, await)
			return
		}
		what.now[m] = false
		what.given[m] = c.op.Outcome == OutcomeDone
	}
	await()
}

// conclude ends the run, when the groups have been left alone for a while.
func (p *proof) conclude() {
	w := p.world
	w.live = w.now
	for _, g := range w.groups {
		for _, m := range g.members {
			m.readBack(m.log.base+1, math.MaxUint64)
		}
	}
	for _, h := range w.hosts {
		if h.engine != nil && h.disk.hurtNow() {
			w.say(notePhase, "what n%d lost is not all known to be there again", h.id)
		}
	}
	w.say(notePhase, "the groups live")
	w.rest(w.now, func() {
		for _, g := range w.groups {
			for _, c := range g.checkers {
				c.finished()
			}
		}
		w.done = true
	})
}

// states describes every host, for a run that came to no good end.
func (w *World) states() string {
	var b strings.Builder
	for _, g := range w.groups {
		for _, m := range g.members {
			if m.running == nil {
				fmt.Fprintf(&b, "  %v: no process\n", m)
				continue
			}
			s := m.running.Core().Status()
			fmt.Fprintf(&b, "  %v: %v of term %d, leader n%d, voted n%d, log [%d, %d], durable %d, commit %d, applied %d, configuration %v at %d\n", m, s.Role, s.Term, s.Leader, s.Vote,
				s.First, s.Last, s.Durable, s.Commit, m.running.AppliedIndex(), s.Configuration, s.ConfigurationIndex)
			for _, p := range s.Peers {
				fmt.Fprintf(&b, "    n%d: match %d, next %d, %v, %d in flight, active %v, snapshot %d\n", p.ID, p.Match, p.Next, p.State, p.Inflight, p.RecentActive, p.PendingSnapshot)
			}
		}
	}
	return b.String()
}

var _ engine.Network = sender{}
