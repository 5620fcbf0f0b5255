package sim

import (
	"slices"
	"strings"
	"time"
)

// The fault budget. Raft keeps what it acknowledged as long as a majority of the voters has what it had on its disk. So of the voters of a group fewer
// than half may have a damaged disk at a time, and one counts from when it was struck until all that it lost is there again. Within the budget
// everything has to hold, and the groups live again afterwards. A run beyond the budget damages as many as it likes: there the groups may halt, and a
// member may refuse to start, but whatever is answered is still right.

// mayHurt tells whether one more disk may be damaged now.
func (w *World) mayHurt(h *host) bool {
	if w.healing || h.disk.hurtNow() {
		return false
	}
	for _, g := range w.groups {
		if !g.mayHurt(h) {
			return false
		}
	}
	return true
}

func (g *group) mayHurt(h *host) bool {
	w := g.world
	if g.leader() == nil || w.admins[g.id-1].busy {
		return false
	}
	core := g.leader().running.Core()
	conf := core.Configuration()
	status := core.Status()
	term, _ := core.TermAt(core.Commit())
	_, committed := core.ConfigurationIndexes()
	if settled, known := g.configurations.settled(); !known || settled.index != committed || g.configurations.changing() {
		return false // Who leads has been left behind, or whoever leads next may go on with a change.
	}
	if conf.Joint() || status.ConfigurationIndex > core.Commit() || term != core.Term() {
		return false // Another configuration may be on its way, so nobody can tell what a majority is.
	}
	member, in := conf.Find(h.id)
	if !in {
		return true
	}
	if member.Incarnation == 0 {
		return false // The group would not know the disk from the one that takes its place.
	}
	if w.regime.Beyond {
		return true
	}
	voters, hurt := 0, 1
	for i := range conf.Members {
		if conf.Members[i].Learner && w.hosts[conf.Members[i].ID-1].twin == nil {
			continue // With a second disk it may be a voter by the time that both are taken away.
		}
		voters++
		if other := w.hosts[conf.Members[i].ID-1]; other != h && other.disk.hurtNow() {
			hurt++
		}
	}
	if w.now < w.admins[g.id-1].doubt {
		voters-- // A change that was given up may come yet, and take one away.
	}
	return hurt <= (voters-1)/2
}

// hurting tells whether any disk is damaged: then operators leave the configuration alone.
func (w *World) hurting() bool {
	return slices.ContainsFunc(w.hosts, func(h *host) bool { return h.disk.hurtNow() })
}

// hurtNow tells whether something that the disk lost may still be missing.
func (d *disk) hurtNow() bool {
	if d.host.twin != nil {
		return true
	}
	d.rotten = slices.DeleteFunc(d.rotten, func(r *damage) bool {
		over := d.over(r)
		if over && r.fault == wipedDisk {
			d.host.world.counts.effective(wipedDisk)
		}
		return over
	})
	return len(d.rotten) > 0
}

// unread tells whether there is damage that no process has been started on yet.
func (d *disk) unread() bool {
	return slices.ContainsFunc(d.rotten, func(r *damage) bool { return !d.over(r) && !d.found(r) })
}

// found tells whether a process was started on the damaged disk: it reads all of the log then, and the snapshot that it starts with.
func (d *disk) found(r *damage) bool {
	h := d.host
	return h.engine != nil && !h.starting && h.life > r.life && (r.file == nil || !r.file.hidden(r.from, r.to))
}

// over tells whether a damage is made good: its file is no part of the log or of a snapshot any more, and no member there still lacks what was in it, or a process was
// started that knows of it, and every member there has got back what it had.
func (d *disk) over(r *damage) bool {
	if r.file != nil {
		name := d.nameOf(r.file)
		if name != originalFile && !strings.HasSuffix(name, ".wal") && !strings.HasSuffix(name, ".snap") && d.host.life > r.life+1 {
			return !slices.ContainsFunc(d.host.members, func(m *member) bool { return m.running == nil || m.running.Core().Faulty() })
		}
	}
	if !d.found(r) {
		return false
	}
	for i, m := range d.host.members {
		if m.running == nil {
			return false
		}
		core := m.running.Core()
		state, known := d.host.log.State(m.group.id)
		if core.Faulty() || !known || len(state.Faulty) > 0 {
			return false
		}
		if status := core.Status(); status.Durable < min(status.Last, max(r.marks[i], r.ends[i])) {
			return false // What came from the leader may go again with the power, and then the disk is as it was.
		}
		settled, known := m.group.configurations.settled()
		if !known || m.group.leader() == nil {
			return false
		}
		member, in := settled.Find(d.host.id)
		if in && (core.Commit() < r.marks[i] || member.Incarnation != d.host.log.Incarnation()) {
			return false
		}
	}
	return true
}

func (d *disk) nameOf(f *sectorFile) string {
	for name, other := range d.files {
		if other == f {
			return name
		}
	}
	return ""
}

// scrub has the host restarted before long, which finds what is damaged: the budget counts on it that no damage stays unknown for long.
func (h *host) scrub() {
	h.world.after(h.restarts.around(time.Second), func() {
		if h.engine != nil && h.disk.unread() {
			h.crash("is restarted to find what is damaged")
		}
	})
}

// replaceDisk is what an operator does to a member that cannot be saved: the disk is emptied, and the member comes back as one that waits to be
// admitted. It has given no promise.
func (h *host) replaceDisk() {
	h.note(noteFault, "the operator empties its disk")
	was := h.disk
	h.disk = newDisk(h)
	h.wiped++
	h.disk.rotten = was.rotten
	for _, r := range h.disk.rotten {
		r.file, r.life = nil, h.life
	}
	h.founder = false
	for _, m := range h.members {
		m.log, m.given, m.commit, m.previous, m.face.disk = shadow{}, promise{}, 0, nil, nil
	}
}
