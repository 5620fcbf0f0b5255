package sim

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// The names of these faults.
const (
	wipedDisk     = "wiped disk"
	twoDisks      = "two disks"
	staleMember   = "stale member"
	majorityLost  = "majority lost"
	oldBackup     = "old backup"
	copiedDisk    = "copied disk"
	removedMember = "removed member returns"
)

// identityFaults bring back what is not what it was. A member is known by its id and by the incarnation of its disk, which is drawn when the disk is new
// and recorded in the group's configuration: docs/simulation.md says what that promises.
func identityFaults() []*fault {
	return []*fault{
		{name: wipedDisk, every: 2500 * time.Millisecond, strike: wipe},
		{name: twoDisks, every: 2500 * time.Millisecond, strike: twin},
		{name: oldBackup, every: 2500 * time.Millisecond, strike: restore},
		{name: copiedDisk, every: 2500 * time.Millisecond, strike: copyDisk},
		{name: removedMember, every: 600 * time.Millisecond, strike: bringBack},
		{name: staleMember, every: 2500 * time.Millisecond, strike: stale},
		{name: majorityLost, every: 2500 * time.Millisecond, strike: loseMajority, beyond: true},
	}
}

// wipe empties the disk of a member, which comes back under its old id and address. Its votes and acknowledgements may not count before the group has
// admitted the new disk. It has an effect when the group has.
func wipe(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 3))
	if h == nil || !w.mayHurt(h) {
		return false
	}
	h.lose(wipedDisk)
	if s.chance(1, 2) {
		return true
	}
	// Others lose theirs with it, as far as the budget goes, and all come back together: then they are admitted together, too, while somebody else may be missing.
	back := s.between(time.Millisecond, 100*time.Millisecond)
	h.restart(back)
	for _, k := range s.Perm(len(w.hosts)) {
		if other := w.hosts[k]; other != h && other.engine != nil && w.mayHurt(other) {
			other.lose(wipedDisk)
			other.restart(back + s.around(5*time.Millisecond))
		}
	}
	w.during(s.between(0, 400*time.Millisecond), func() {
		if missing := s.victim(w, false); missing != nil && s.chance(2, 3) {
			w.partitionFor("cut off beside wiped disks", s.between(300*time.Millisecond, 1500*time.Millisecond), func(from, to *host) bool { return from == missing || to == missing })
		}
	})
	return true
}

// lose takes a host's disk away.
func (h *host) lose(fault string) {
	h.disk.hurt(fault, nil, 0, 0)
	h.crash(fault)
	h.replaceDisk()
}

// restore puts a member's disk back to what it was a while ago, as from a backup. It has forgotten what it promised since, under the same incarnation, and so
// may not be started on: the operator then empties it. It has an effect when that was refused.
func restore(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 3))
	if h == nil || h.disk.files[originalFile] == nil {
		return false
	}
	copied, wiped := h.disk.sectors.copied(), h.wiped
	w.after(s.between(50*time.Millisecond, 2*time.Second), func() {
		if h.wiped != wiped || h.engine == nil || h.disk.newer != nil || !w.mayHurt(h) {
			return
		}
		h.disk.hurt(oldBackup, nil, 0, 0)
		h.crash("old backup: its disk is put back from a backup")
		h.disk.sectors, h.disk.backup = copied, true
	})
	return true
}

// copyDisk starts a second process on an exact copy of a member's disk, elsewhere: it would have the member's identity and its incarnation, and vote a second
// time. It has an effect when the copy is refused.
func copyDisk(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 3))
	if h == nil || h.disk.files[originalFile] == nil || h.disk.newer != nil {
		return false
	}
	_, err := wal.Open(wal.Options{FS: platter{h.disk.sectors.copied()}, Dir: logDir, SegmentBytes: h.program.segment})
	switch {
	case errors.Is(err, wal.ErrCopy):
		w.counts.effective(copiedDisk)
	case err == nil:
		w.fail("identity", "a second process starts on a copy of the disk of n%d", h.id)
	default:
		return false // It is damaged besides.
	}
	h.note(noteFault, "copied disk: a second process does not start on it")
	return true
}

// bringBack adds a member that was removed before, and has run ever since with the log it had, or removes one, so that there is somebody to bring back. It has
// an effect when the member is one again.
func bringBack(w *World, s *strike) bool {
	g := w.groups[s.IntN(len(w.groups))]
	a, leader := w.admins[g.id-1], g.leader()
	if leader == nil || a.busy || w.hurting() {
		return false
	}
	conf := leader.running.Core().Configuration()
	for _, m := range g.members {
		if _, in := conf.Find(m.host.id); !in && m.log.last() > 0 && m.host.engine != nil {
			back := raft.Member{ID: m.host.id, Address: m.host.address, Learner: true, AutoPromote: true}
			a.request(leader, raft.Change{Set: []raft.Member{back}}, "bring back n"+strconv.Itoa(int(m.host.id)), removedMember)
			return true
		}
	}
	voters := votersOf(conf.Members)
	if len(voters) < 3 || conf.Joint() {
		return false
	}
	gone := voters[s.IntN(len(voters))]
	a.request(leader, raft.Change{Remove: []raft.MemberID{gone}}, "remove n"+strconv.Itoa(int(gone)), "change")
	return false
}

// stale keeps a process down for so long that the group goes on without it. It comes back with what it had, and may not disturb anybody. It has an
// effect when something was committed meanwhile.
func stale(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 4))
	if h == nil || h.away > w.now {
		return false
	}
	was := 0
	for _, g := range w.groups {
		was += len(g.committed)
	}
	h.away = w.now + s.between(2*time.Second, 4*time.Second)
	h.end("stale member: its process is down for long", s.chance(1, 2), lossRandom)
	w.at(h.away, func() {
		now := 0
		for _, g := range w.groups {
			now += len(g.committed)
		}
		if now > was {
			w.counts.effective(staleMember)
		}
	})
	return true
}

// loseMajority goes beyond the fault budget on purpose: more than half of the hosts lose their disks at once, or a part of the log. Only runs that say so
// have it. It has an effect when more
// than half are gone, or when a process reads what is damaged.
func loseMajority(w *World, s *strike) bool {
	if !w.regime.Beyond {
		return false
	}
	order := s.Perm(len(w.hosts))
	many := len(w.hosts)/2 + 1 + s.IntN(len(w.hosts)-len(w.hosts)/2)
	rot, lost := s.chance(1, 2), 0
	var victims []*host
	for _, k := range order[:min(many, len(order))] {
		if h := w.hosts[k]; h.engine != nil && w.mayHurt(h) {
			victims = append(victims, h)
		}
	}
	for _, h := range victims {
		if !rot {
			h.lose(majorityLost)
			lost++
		} else if name, to := h.disk.durablePlace(s.stream); to > 0 && h.rot(s, name, s.Int64N(to), to) {
			lost++
		}
	}
	if !rot && lost > len(w.hosts)/2 {
		w.counts.effective(majorityLost)
	}
	return lost > 0
}

// twin has a member run twice: once as it was, and once more on an empty disk, because an operator took the old machine for dead. Both have one id and one
// address, take turns in being reached, and both send. The group stays with the disk that it knows as long as that answers, and else admits the other,
// never both. Then the operator notices, and gives the member a third disk. It has an effect when the second one was heard.
func twin(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 3))
	if h == nil || !w.mayHurt(h) || w.steering != nil {
		return false
	}
	h.note(noteFault, "two disks: it runs a second time, on an empty disk")
	h.disk.hurt(twoDisks, nil, 0, 0)
	t := w.newHost(h.id, false)
	t.twinOf, t.wiped, t.program, t.life = h, h.wiped+1, h.program, h.life+1000
	h.twin = t
	t.boot()
	if s.chance(1, 3) {
		h.swapped = true
		h.dispute(s)
		w.during(s.between(3*time.Second, 6*time.Second), h.endTwin)
		return true
	}
	// Where the turns are long there is time for the second disk to be admitted, to catch up, and to become a voter before the first is reached again.
	turns := pick(s, 200*time.Millisecond, 700*time.Millisecond)
	h.takeTurns(s, turns)
	w.during(s.between(turns, 8*turns), h.endTwin)
	return true
}

// dispute waits until the second disk is a voter in the first one's place, which has not heard of it. Then the leader is cut off, and while another one is elected the network, which knows
// two for one address, brings everything to both: each hears the answers to what the other has asked for.
func (h *host) dispute(s *strike) {
	t, w := h.twin, h.world
	w.during(10*time.Millisecond, func() {
		if h.twin != t {
			return
		}
		for _, g := range w.groups {
			m := g.leader()
			if m == nil || m.host == t || m.host == h {
				continue
			}
			if self, in := m.running.Core().Configuration().Find(h.id); in && !self.Learner && self.Incarnation == t.incarnation() {
				lasts := s.between(time.Second, 3*time.Second)
				h.disputed = w.now + lasts
				h.note(noteFault, "two disks: what is sent to it gets to both for %v", lasts)
				w.partitionFor("leader cut off between two disks", lasts, func(from, to *host) bool { return from == m.host || to == m.host })
				return
			}
		}
		h.dispute(s)
	})
}

// takeTurns moves the address between the two. The leader is cut off now and then when they swap: so that another one leads, to whom
// the second disk is all there ever was, or that what was committed with its help has to be there without both.
func (h *host) takeTurns(s *strike, turns time.Duration) {
	t := h.twin
	h.world.after(s.around(turns), func() {
		if h.twin == t {
			h.swapped = !h.swapped
			if m := h.members[0].group.leader(); m != nil && m.host != h && s.chance(1, 2) {
				h.world.partition(s, "leader cut off between two disks", func(from, to *host) bool { return from == m.host || to == m.host })
			}
			h.takeTurns(s, turns)
		}
	})
}

// reached is who gets what is sent to a host's address; both says that the host itself does as well.
func (h *host) reached() (to *host, both bool) {
	switch {
	case h.twin == nil:
		return h, false
	case h.world.now < h.disputed:
		return h.twin, true
	case h.swapped:
		return h.twin, false
	}
	return h, false
}

// endTwin ends both, and gives the member a disk that neither had.
func (h *host) endTwin() {
	t := h.twin
	if t == nil {
		return
	}
	h.twin, h.swapped, h.disputed = nil, false, 0
	t.gone = true
	t.crash("two disks: the second one is taken away")
	h.crash("two disks: and the first one")
	h.wiped = t.wiped
	h.disk.hurt(twoDisks, nil, 0, 0)
	h.replaceDisk()
}

// heardTwin counts that a second disk spoke.
func (h *host) heardTwin(m raft.Message) {
	if h.twinOf != nil && !h.spoke {
		h.spoke = true
		h.world.counts.effective(twoDisks)
		h.note(noteFault, "two disks: the second one speaks: %s", strings.TrimSpace(describe(m)))
	}
}
