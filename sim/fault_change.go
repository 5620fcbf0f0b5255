package sim

import (
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// changeFaults strike while the configuration is being changed: at the moment at which two configurations may both decide. They have an effect when the
// leader that is struck has a configuration in its log that is not committed yet, or is joint.
func changeFaults() []*fault {
	return []*fault{
		{name: "partition in a change", every: 900 * time.Millisecond, strike: inChange(func(w *World, s *strike, leader *host) {
			side := s.Uint64()
			if m := leader.members[s.IntN(len(w.groups))]; m.running != nil && s.chance(2, 3) {
				side = halves(m.running.Core(), side)
			}
			w.partition(s, "partition in a change", func(from, to *host) bool { return side>>from.id&1 != side>>to.id&1 })
		})},
		{name: "alone with a change", every: 900 * time.Millisecond, strike: leaderAlone},
		{name: "crash in a change", every: 900 * time.Millisecond, strike: inChange(func(w *World, s *strike, leader *host) { leader.crash("crash in a change") })},
		{name: "transfer in a change", every: 900 * time.Millisecond, strike: inChange(func(w *World, s *strike, leader *host) {
			g := w.groups[s.IntN(len(w.groups))]
			w.admins[g.id-1].transfer()
		})},
		{name: "majority down in a change", every: 1500 * time.Millisecond, strike: inChange(func(w *World, s *strike, leader *host) {
			for k, i := range s.Perm(len(w.hosts)) {
				if h := w.hosts[i]; k <= len(w.hosts)/2 && h.engine != nil {
					h.crash("majority down in a change")
				}
			}
		})},
	}
}

// changing tells whether a leader has a configuration that is not committed yet.
func changing(core *raft.Core) bool {
	inForce, committed := core.ConfigurationIndexes()
	return inForce > committed
}

// halves sorts hosts by the configurations that a leader has: who comes is on the leader's side, who goes on the other, and whoever stays as side says.
func halves(core *raft.Core, side uint64) uint64 {
	was, is := core.CommittedConfiguration(), core.Configuration()
	for _, m := range is.Members {
		if !m.Learner && !was.IsVoter(m.ID) {
			side |= 1 << m.ID
		}
	}
	for _, list := range [][]raft.Member{was.Members, is.Outgoing} {
		for _, m := range list {
			if in, _ := (raft.Configuration{Members: is.Members}).Find(m.ID); !m.Learner && (in.ID == raft.NoMember || in.Learner) {
				side &^= 1 << m.ID
			}
		}
	}
	return side | 1<<core.Status().ID
}

// leaderAlone cuts a leader off at the moment at which it has a new configuration in its log, and hardly anybody else has: it stays with few others, or with those who have
// just become voters. The rest goes on without it, and changes otherwise. It has an effect when a message meets the cut.
func leaderAlone(w *World, s *strike) bool {
	g := w.groups[s.IntN(len(w.groups))]
	a := w.admins[g.id-1]
	if w.hurting() {
		return false
	}
	if !a.busy {
		a.change()
	}
	with, newcomers := s.Uint64()&s.Uint64()&s.Uint64(), s.chance(1, 2)
	looks := 0
	var look func()
	look = func() {
		leader := g.leader()
		if looks++; w.healing || looks > 100 {
			return
		}
		if leader != nil {
			if core := leader.running.Core(); changing(core) {
				if newcomers {
					with = halves(core, with)
				}
				w.partition(s, "alone with a change", func(from, to *host) bool {
					return (from == leader.host || with>>from.id&1 == 1) != (to == leader.host || with>>to.id&1 == 1)
				})
				return
			}
		}
		w.after(w.regime.Delay/5, look)
	}
	look()
	return true
}

// inChange begins a change, unless one is under way, and strikes a moment later.
func inChange(what func(w *World, s *strike, leader *host)) func(w *World, s *strike) bool {
	return func(w *World, s *strike) bool {
		g := w.groups[s.IntN(len(w.groups))]
		if a := w.admins[g.id-1]; !a.busy {
			a.change()
		}
		if !w.admins[g.id-1].busy {
			return false
		}
		w.after(s.around(3*w.regime.Delay+w.regime.Disk), func() {
			leader := g.leader()
			if w.healing || leader == nil {
				return
			}
			core := leader.running.Core()
			if changing(core) || core.Configuration().Joint() {
				w.counts.effective(s.fault)
			}
			what(w, s, leader.host)
		})
		return true
	}
}

// snapshotFaults strike while a snapshot is on its way to a member. It has to arrive as a whole or not at all, and the member has to catch up in the end.
// They look again and again for such a moment, and always have an effect when they strike.
func snapshotFaults() []*fault {
	return []*fault{
		{name: "crash in a snapshot", every: 120 * time.Millisecond, strike: inSnapshot(func(w *World, s *strike, leader, to *host) {
			if s.chance(1, 2) {
				leader, to = to, leader
			}
			if to.engine != nil {
				to.crash("crash in a snapshot")
			}
		})},
		{name: "cut in a snapshot", every: 120 * time.Millisecond, strike: inSnapshot(func(w *World, s *strike, leader, to *host) {
			w.partition(s, "cut in a snapshot", func(a, b *host) bool { return a == to || b == to })
		})},
		{name: "leader change in a snapshot", every: 120 * time.Millisecond, strike: inSnapshot(func(w *World, s *strike, leader, to *host) {
			w.partition(s, "leader change in a snapshot", func(a, b *host) bool { return a == leader || b == leader })
		})},
		{name: "change in a snapshot", every: 120 * time.Millisecond, strike: inSnapshot(func(w *World, s *strike, leader, to *host) {
			for _, a := range w.admins {
				a.change()
			}
		})},
		{name: restoredCrash, every: 400 * time.Millisecond, strike: func(w *World, s *strike) bool {
			if w.restoring != nil {
				return false
			}
			w.restoring = s
			return true
		}},
		{name: "writes in a snapshot", every: 120 * time.Millisecond, strike: inSnapshot(func(w *World, s *strike, leader, to *host) { crowd(w, s) })},
	}
}

const restoredCrash = "crash of a restored member"

// restores is told that a member takes over a snapshot from the leader. If a fault waits for one, the process ends at one of its next operations on a file: before
// the log begins with the snapshot, when it does and nothing that follows has come yet, or a little later. It has an effect when that operation comes.
func (m *member) restores() {
	s, d := m.world.restoring, m.host.disk
	if s == nil || d.crashIn > 0 {
		return
	}
	m.world.restoring = nil
	d.crashIn, d.killed, d.restored = 1+s.IntN(6), s.chance(1, 2), true
}

// inSnapshot strikes if a leader is sending a snapshot.
func inSnapshot(what func(w *World, s *strike, leader, to *host)) func(w *World, s *strike) bool {
	return func(w *World, s *strike) bool {
		for _, g := range w.groups {
			leader := g.leader()
			if leader == nil {
				continue
			}
			for _, p := range leader.running.Core().Status().Peers {
				if p.State == raft.Snapshotting {
					w.counts.effective(s.fault)
					what(w, s, leader.host, w.hosts[p.ID-1])
					return true
				}
			}
		}
		return false
	}
}
