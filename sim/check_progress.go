package sim

import (
	"math/bits"
	"slices"
	"time"
	"unsafe"

	"github.com/balsa-raft/balsa/raft"
)

// progress is liveness while faults last, and after them. The rule: if for ten election timeouts there has been a majority of the voters whose hosts ran all
// the time and could all reach each other, then there was a leader within that time; and if each of them was asked for a change in the first half of it,
// then something was committed. What else happens to the other hosts is no excuse: that one is half cut off, that a leader's disk is stuck, that links
// work in one direction only (Cloudflare, November 2020).
//
// An election timeout is the longest one that any host uses. A host counts while its process runs as one and the same, is not paused and not slow, its
// clock keeps time, and its disk takes writes in good time and has all that it should. A pair of hosts counts while both directions between them are
// whole. And the ten timeouts begin anew
//
//   - when messages are lost, repeated, reordered or held up, wherever it is,
//   - when a configuration comes into force anywhere, since another majority is needed then, or only now at one of that majority,
//   - while a member still makes good what it lacks of what is committed, as far as commits are concerned,
//   - while a voter's clock is wrong or its disk is full, also of one that is not counted: it may lead, and a leader with a wrong clock gives way late,
//     and one with a full disk refuses changes without giving way.
//
// A group is left alone as a whole where a host does without pre-vote or without the check of the quorum, which is what the promise rests on. One that may
// fall silent is not asked for a leader, only for commits.
type progress struct {
	world *World
	// hosts and links say since when each counts; the links by both hosts, the larger id first.
	hosts []since
	links [][]since
	quiet time.Duration // since when the network as a whole has done nothing wrong
	// groups are what is known of each group.
	groups []groupProgress
	// armed counts how often a group had to have made progress.
	armed int
	// voters, reach and ids are used again and again, since there is a look every so often.
	voters, ids []raft.MemberID
	reach       []uint32
}

// since is from when on something was as it should be, and how often it changed until then.
type since struct {
	at      time.Duration
	changes uint64
}

// groupProgress is what is known of a group.
type groupProgress struct {
	conf      raft.Index    // of the latest configuration that anybody goes by
	steady    time.Duration // since when it is, and no voter has a wrong clock or a full disk
	led       time.Duration // when a leader was seen last
	committed time.Duration // when something was committed last
	behind    time.Duration // when a member was last seen to make good what it lacks of what is committed: others may have to wait for it
	size      raft.Index
	asked     map[raft.MemberID][]time.Duration // when changes were asked for, by member; the newest few
	goes      []goesBy                          // by host
}

// goesBy is which configuration a member goes by, and since when; and where its log ended at the last look.
type goesBy struct {
	conf raft.Index
	at   time.Duration
	last raft.Index
}

// lookEvery is how often progress looks.
const lookEvery = 20 * time.Millisecond

// askedMost is how many requests for changes are remembered of a member.
const askedMost = 64

// startProgress begins to look.
func (w *World) startProgress() {
	w.progress = &progress{world: w, groups: make([]groupProgress, len(w.groups))}
	for i := range w.progress.groups {
		w.progress.groups[i].asked = map[raft.MemberID][]time.Duration{}
	}
	w.after(lookEvery, w.progress.look)
}

// changeAsked notes that a member is asked for a change.
func (p *progress) changeAsked(m *member) {
	if p == nil {
		return
	}
	g := &p.groups[m.group.id-1]
	list := append(g.asked[m.host.id], p.world.now)
	if len(list) > askedMost {
		list = list[len(list)-askedMost:]
	}
	g.asked[m.host.id] = list
}

func (p *progress) look() {
	w := p.world
	p.see()
	for _, h := range w.hosts {
		w.lookAtStuck(h)
		w.lookAtTurns(h)
	}
	for _, g := range w.groups {
		p.judge(g)
		for _, m := range g.members {
			if wrong := g.bounds.look(m); wrong != "" {
				w.fail("bounds", "%s", wrong)
			}
		}
	}
	if w.failure == nil && !w.done {
		w.after(lookEvery, p.look)
	}
}

// see notes what is as it should be.
func (p *progress) see() {
	w := p.world
	if n := w.network; n.drop > 0 || n.duplicate > 0 || n.reorder > 0 || n.extra > 0 || n.lags() {
		p.quiet = w.now
	}
	for i, h := range w.hosts {
		if i == len(p.hosts) {
			p.hosts = append(p.hosts, since{at: w.now})
			p.links = append(p.links, slices.Repeat([]since{{at: w.now}}, i))
		}
		if s := &p.hosts[i]; s.changes != h.life || !h.sound() {
			*s = since{at: w.now, changes: h.life}
		}
		for j := range i {
			there, back := &w.network.links[i][j], &w.network.links[j][i]
			s := &p.links[i][j]
			if cuts := there.changes + back.changes; s.changes != cuts || len(there.cuts)+len(back.cuts) > 0 {
				*s = since{at: w.now, changes: cuts}
			}
		}
	}
	for i, g := range w.groups {
		p.seeGroup(g, &p.groups[i])
	}
}

// sound tells whether a host does all that it should, and does it in time.
func (h *host) sound() bool {
	return h.engine != nil && !h.starting && !h.paused && !h.stuck() && h.sluggish == 1 && h.punctual() && h.disk.roomy() && !h.disk.hurtNow()
}

// stuck tells whether the disk is slow, or still at work on what it began while it was.
func (h *host) stuck() bool {
	return h.slow > 1 || h.syncing && h.world.now-h.syncBegan > 10*h.world.regime.Disk
}

// punctual tells whether a host's clock keeps time.
func (h *host) punctual() bool { return h.clock.rate > 0.9 && h.clock.rate < 1.1 }

// roomy tells whether a disk has as much room as it wants.
func (d *disk) roomy() bool { return d.capacity == 0 }

func (p *progress) seeGroup(g *group, s *groupProgress) {
	now := p.world.now
	latest := s.conf
	for i, m := range g.members {
		if i == len(s.goes) {
			s.goes = append(s.goes, goesBy{at: now})
		}
		if t := m.host.twin; t != nil && t.engine != nil {
			if second := t.members[g.id-1].running; second != nil && second.Core().Role() == raft.Leader {
				s.led = now // The second disk of a member leads, whom the group goes by as long as it is reached.
			}
		}
		if m.running == nil {
			continue
		}
		core := m.running.Core()
		inForce, _ := core.ConfigurationIndexes()
		latest = max(latest, inForce)
		if s.goes[i].conf != inForce {
			s.goes[i].conf, s.goes[i].at = inForce, now
		}
		if last := core.LastIndex(); last != s.goes[i].last {
			s.goes[i].last = last
			if last < g.size() {
				s.behind = now
			}
		}
		if core.Role() == raft.Leader && !m.host.paused {
			s.led = now
		}
		if !m.host.punctual() || !m.host.disk.roomy() {
			s.steady = now
		}
	}
	if latest != s.conf {
		s.conf, s.steady = latest, now
	}
	if size := g.size(); size != s.size {
		s.size, s.committed = size, now
	}
}

// judge holds one group to the rule.
func (p *progress) judge(g *group) {
	w, s := p.world, &p.groups[g.id-1]
	window := p.window()
	if window == 0 || w.regime.Beyond || w.now-s.steady < window || w.now-p.quiet < window {
		return
	}
	conf, known := g.inForce()
	if !known || conf.Joint() || !g.goBy(conf) {
		return
	}
	p.voters = appendVoters(p.voters[:0], conf.Members)
	majority := p.majority(p.voters, w.now-window)
	if majority == nil || !s.goBy(majority, w.now-window) {
		return
	}
	p.armed++
	if w.now-s.led >= window && !p.silent() {
		w.fail("liveness", "for %v the members %v of g%d have run and reached each other, a majority, and there was no leader\n%s", window, majority, g.id, w.states())
		return
	}
	if w.now-s.committed >= window && w.now-s.behind >= window && s.demanded(majority, w.now-window, w.now-window/2) {
		w.fail("liveness", "for %v the members %v of g%d have run and reached each other, a majority, and were asked for changes, and nothing was committed\n%s", window, majority, g.id, w.states())
	}
}

// goBy tells whether no member goes by a later configuration than this one. One that does may be the only one who can be elected, by another majority.
func (g *group) goBy(conf raft.Configuration) bool {
	var latest raft.Index
	for _, m := range g.members {
		if m.running != nil {
			i, _ := m.running.Core().ConfigurationIndexes()
			latest = max(latest, i)
		}
	}
	for _, m := range g.members {
		if m.running == nil {
			continue
		}
		core := m.running.Core()
		if i, _ := core.ConfigurationIndexes(); i == latest && i > 0 && !m.goesBy(core.Configuration(), conf) {
			return false
		}
	}
	return true
}

// goesBy tells whether what a member goes by is the same configuration as another one, which is not joint. Nobody changes a configuration, so that of two in the
// same memory as those it was found of last it is not found out again.
func (m *member) goesBy(own, other raft.Configuration) bool {
	pair := [2]*raft.Member{unsafe.SliceData(own.Members), unsafe.SliceData(other.Members)}
	if pair == m.agreed && len(own.Members) == len(other.Members) && !own.Joint() {
		return true
	}
	if !own.Equal(other) {
		return false
	}
	m.agreed = pair
	return true
}

// goBy tells whether these members have gone by the latest configuration since a moment. One that has not heard of it knows nothing of its majority, and cannot be
// elected by it either: whoever has it in the log, and need not be a member any more, has to hand it on first (thesis §4.2.2).
func (s *groupProgress) goBy(ids []raft.MemberID, from time.Duration) bool {
	for _, id := range ids {
		if g := &s.goes[id-1]; g.conf != s.conf || g.at > from {
			return false
		}
	}
	return true
}

// window is ten election timeouts; 0 if nothing is promised.
func (p *progress) window() time.Duration {
	longest := 300 * time.Millisecond // the paper's
	for _, h := range p.world.hosts {
		c := h.config()
		if c.DisablePreVote || c.DisableCheckQuorum {
			return 0
		}
		longest = max(longest, c.ElectionTimeoutMax)
	}
	return 10 * longest
}

// silent tells whether members may fall silent.
func (p *progress) silent() bool {
	for _, h := range p.world.hosts {
		if h.config().QuiesceAfter > 0 {
			return true
		}
	}
	return false
}

// demanded tells whether each of the members was asked for a change in a span of time.
func (s *groupProgress) demanded(ids []raft.MemberID, from, to time.Duration) bool {
	for _, id := range ids {
		found := false
		for _, at := range s.asked[id] {
			found = found || from <= at && at <= to
		}
		if !found {
			return false
		}
	}
	return true
}

// majority finds a majority of the voters that all count, each host and each pair of them, since a moment; nil if there is none. It is valid until the next look.
func (p *progress) majority(voters []raft.MemberID, from time.Duration) []raft.MemberID {
	n := len(voters)
	if n == 0 || n > maxMembers {
		return nil
	}
	reach := append(p.reach[:0], make([]uint32, n)...) // by place among the voters
	p.reach = reach
	for i, a := range voters {
		if p.hosts[a-1].at > from {
			continue
		}
		reach[i] |= 1 << i
		for j, b := range voters {
			if i != j && p.hosts[b-1].at <= from && p.links[max(a, b)-1][min(a, b)-1].at <= from {
				reach[i] |= 1 << j
			}
		}
	}
	best := uint32(0)
	grow(reach, 0, 1<<n-1, &best)
	if bits.OnesCount32(best) < n/2+1 {
		return nil
	}
	p.ids = p.ids[:0]
	for i, id := range voters {
		if best>>i&1 == 1 {
			p.ids = append(p.ids, id)
		}
	}
	return p.ids
}

// grow looks for the largest set whose members all reach each other, among those that all of have reach.
func grow(reach []uint32, have, left uint32, best *uint32) {
	if bits.OnesCount32(have|left) <= bits.OnesCount32(*best) {
		return
	}
	if left == 0 {
		*best = have
		return
	}
	i := bits.TrailingZeros32(left)
	left &^= 1 << i
	if reach[i]>>i&1 == 1 {
		grow(reach, have|1<<i, left&reach[i], best)
	}
	grow(reach, have, left, best)
}

// config is what the process of a host goes by.
func (h *host) config() *raft.Config { return &h.program.core }
