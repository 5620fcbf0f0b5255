package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// admin is a group's operator: it changes the configuration and moves leadership, without looking whether the time is right.
type admin struct {
	world *World
	group *group
	rng   *stream
	haste *stream
	spare int // how many more hosts it may bring in
	// Of the change that is on its way.
	busy    bool
	number  int
	host    *host
	pending *engine.Pending
	name    string // what the change is counted as, besides
	// doubt is until when a change that nobody answered may yet be made.
	doubt time.Duration
}

// begin plans the operator's work, as far as the regime has any.
func (a *admin) begin() {
	r := &a.world.regime
	if r.Changes > 0 {
		a.every(r.Changes, a.world.stream("changes", uint64(a.group.id)), a.change)
	}
	if r.Transfers > 0 {
		a.every(r.Transfers, a.world.stream("transfers", uint64(a.group.id)), a.transfer)
	}
}

// every does something again and again until the faults end.
func (a *admin) every(mean time.Duration, times *stream, do func()) {
	a.world.after(mean/4+times.around(mean), func() {
		if a.world.healing {
			return
		}
		do()
		a.every(mean, times, do)
	})
}

// at picks a running member to ask.
func (a *admin) at() *member {
	up := a.world.running()
	if len(up) == 0 {
		return nil
	}
	m := up[a.rng.IntN(len(up))].members[a.group.id-1]
	if m.running == nil {
		return nil
	}
	return m
}

// elected hears of a new leader: a hasty operator asks it for a change before it can have committed anything.
func (a *admin) elected(m *member) {
	w := a.world
	if !w.regime.Hasty || w.healing || a.haste.chance(1, 2) {
		return
	}
	w.after(a.haste.around(w.regime.Delay/2), func() {
		if m.running == nil || w.healing {
			return
		}
		if a.busy {
			a.end(errPatience) // What an earlier leader was asked for may come yet, and is not waited for.
		}
		a.changeAt(m)
	})
}

// change asks for one change of the configuration, wherever.
func (a *admin) change() { a.changeAt(a.at()) }

func (a *admin) changeAt(m *member) {
	conf, known := a.group.configuration()
	if m == nil || !known || a.busy || a.world.hurting() {
		return
	}
	if ch, what := a.draw(conf); what != "" {
		a.request(m, ch, what, "change")
	}
}

// request asks a member for a change, in the name of a fault or of the workload, which has an effect when the change is made.
func (a *admin) request(m *member, ch raft.Change, what, name string) {
	a.world.counts.injected("change")
	a.name = name
	a.busy, a.host, a.pending = true, m.host, nil
	a.number++
	number := a.number
	a.tell("asks n%d to %s", m.host.id, what)
	m.host.guard(func() {
		a.pending = m.running.ChangeMembersAsync(ch, func(err error) {
			if a.busy && a.number == number {
				a.end(err)
			}
		})
	})
	patience := a.world.regime.Patience
	if impatient := a.world.regime.ChangePatience; impatient > 0 {
		patience = impatient
	}
	a.world.after(patience, func() {
		if !a.busy || a.number != number {
			return
		}
		if a.pending != nil && !a.host.paused {
			a.host.guard(func() { a.pending.Cancel(errPatience) })
		}
		if a.busy {
			a.end(errPatience)
		}
	})
}

func (a *admin) end(err error) {
	a.busy, a.pending = false, nil
	if err == nil {
		a.world.counts.effective("change")
		if a.name != "change" {
			a.world.counts.effective(a.name)
		}
	} else {
		a.doubt = a.world.now + 5*time.Second
	}
	a.tell("is answered: %v", err)
}

// hostCrashed ends what was asked of a process that is gone.
func (a *admin) hostCrashed(h *host) {
	if a.busy && a.host == h {
		a.end(errors.New("the process is gone"))
	}
}

// draw draws a change that makes sense, mostly.
func (a *admin) draw(conf raft.Configuration) (raft.Change, string) {
	var voters, learners []raft.Member
	for _, m := range conf.Members {
		if m.Learner {
			learners = append(learners, m)
		} else {
			voters = append(voters, m)
		}
	}
	if a.world.regime.Sweeping && a.rng.chance(1, 2) {
		return a.sweep(conf, voters, learners)
	}
	someone := conf.Members[a.rng.IntN(len(conf.Members))]
	switch kind := a.rng.IntN(10); {
	case kind < 3:
		if next, ok := a.newcomer(conf, kind == 0); ok {
			next.AutoPromote = next.Learner && a.rng.chance(2, 3)
			return raft.Change{Set: []raft.Member{next}}, fmt.Sprintf("add n%d, learner %v, promote %v", next.ID, next.Learner, next.AutoPromote)
		}
	case kind < 5 && len(learners) > 0:
		m := learners[a.rng.IntN(len(learners))]
		m.Learner, m.AutoPromote = false, false
		return raft.Change{Set: []raft.Member{m}}, fmt.Sprintf("promote n%d", m.ID)
	case kind < 7 && len(voters) > 1:
		return raft.Change{Remove: []raft.MemberID{someone.ID}}, fmt.Sprintf("remove n%d", someone.ID)
	case kind < 8 && len(voters) > 2:
		m := voters[a.rng.IntN(len(voters))]
		m.Learner = true
		return raft.Change{Set: []raft.Member{m}}, fmt.Sprintf("demote n%d", m.ID)
	case kind < 10:
		if next, ok := a.newcomer(conf, true); ok {
			return raft.Change{Set: []raft.Member{next}, Remove: []raft.MemberID{someone.ID}}, fmt.Sprintf("replace n%d by n%d", someone.ID, next.ID)
		}
	}
	return raft.Change{}, ""
}

// sweep changes much at once: learners become voters, and voters go or lose their votes, so that the old majority and the new one may have nobody in common. Where
// there are few learners, some come in first, since whoever has not caught up does not become a voter.
func (a *admin) sweep(conf raft.Configuration, voters, learners []raft.Member) (raft.Change, string) {
	var ch raft.Change
	what := "at once"
	if len(learners) < 2 && a.rng.chance(3, 4) {
		promote := a.rng.chance(1, 3)
		for range 2 {
			next, ok := a.newcomer(conf, false)
			if !ok {
				break
			}
			next.AutoPromote = promote
			conf.Members = append(conf.Members, next)
			ch.Set = append(ch.Set, next)
			what += fmt.Sprintf(" add n%d", next.ID)
		}
	}
	if len(ch.Set) > 0 {
		return ch, what
	}
	for _, m := range learners {
		if a.rng.chance(3, 4) {
			m.Learner, m.AutoPromote = false, false
			ch.Set = append(ch.Set, m)
			what += fmt.Sprintf(" promote n%d", m.ID)
		}
	}
	stays := a.rng.IntN(len(voters))
	for i, m := range voters {
		switch kind := a.rng.IntN(5); {
		case i == stays || kind < 2 && len(ch.Set) < 2:
		case kind == 2:
			m.Learner = true
			ch.Set = append(ch.Set, m)
			what += fmt.Sprintf(" demote n%d", m.ID)
		default:
			ch.Remove = append(ch.Remove, m.ID)
			what += fmt.Sprintf(" remove n%d", m.ID)
		}
	}
	if what == "at once" {
		return raft.Change{}, ""
	}
	return ch, what
}

// newcomer finds a host that is no member: one that was removed before and comes back with what it has, or a new one.
func (a *admin) newcomer(conf raft.Configuration, voter bool) (raft.Member, bool) {
	w := a.world
	var out []*host
	for _, h := range w.hosts {
		if _, in := conf.Find(h.id); !in {
			out = append(out, h)
		}
	}
	var h *host
	switch {
	case len(out) > 0 && (len(w.hosts) >= w.regime.Members+a.spare || a.rng.chance(1, 2)):
		h = out[a.rng.IntN(len(out))]
	case len(w.hosts) < w.regime.Members+a.spare:
		h = w.addHost(raft.MemberID(len(w.hosts)+1), false)
		h.boot()
	default:
		return raft.Member{}, false
	}
	return raft.Member{ID: h.id, Address: h.address, Learner: !voter}, true
}

// transfer asks for leadership to move to some member.
func (a *admin) transfer() {
	m := a.at()
	conf, known := a.group.configuration()
	if m == nil || !known {
		return
	}
	to := conf.Members[a.rng.IntN(len(conf.Members))].ID
	a.world.counts.injected("transfer")
	a.tell("asks n%d to have n%d lead", m.host.id, to)
	m.host.guard(func() {
		m.running.TransferLeadershipAsync(to, func(err error) {
			if err == nil {
				a.world.counts.effective("transfer")
			}
		})
	})
}

func (a *admin) tell(format string, args ...any) {
	a.world.story.add(&note{at: a.world.now, kind: noteClient, a: uint64(a.group.id), text: fmt.Sprintf("(operator) "+format, args...)})
}
