package raft

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 300, "how many seeds TestRandomWorldsStaySafeAndRecover runs")
	first = flag.Uint64("first", 1, "the first of these seeds")
	seed  = flag.Uint64("seed", 0, "the only seed to run, if not 0")
)

// TestRandomWorldsStaySafeAndRecover runs cores under random faults: messages dropped, duplicated and reordered, partitions, crashes that
// lose what was not synced, disks that are replaced, membership changes, transfers, snapshots. After every input each core's invariants
// and the safety properties of figure 3 hold; at the end everything is mended, and the group works again.
func TestRandomWorldsStaySafeAndRecover(t *testing.T) {
	from, to := *first, *first+uint64(*seeds)-1
	if *seed != 0 {
		from, to = *seed, *seed
	}
	for s := from; s <= to; s++ {
		t.Run(fmt.Sprint(s), func(t *testing.T) { runRandom(t, s) })
	}
}

// random is one random world.
type random struct {
	*cluster
	rng *rand.Rand
	// What is asked for, and when it may be: readsAsked[member][id] is how much was committed when the read was asked.
	readsAsked map[MemberID]map[uint64]Index
	nextRead   uint64
	nextValue  int
	change     func(*Config)
	lives      uint64
	wiped      MemberID
	rotten     MemberID
}

func runRandom(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 4711))
	sizes := []int{1, 2, 3, 3, 3, 4, 5, 5, 7}
	size := sizes[rng.IntN(len(sizes))]
	options := rng.Uint64()
	r := &random{rng: rng, readsAsked: map[MemberID]map[uint64]Index{}}
	r.change = func(cfg *Config) {
		r.lives++
		cfg.DisablePreVote = options&3 == 0
		cfg.LeaseReads = options&4 == 0
		cfg.MaxMessageBytes = 50 + options>>8%400
		cfg.MaxInflightBytes = 2000
		cfg.MaxInflightMessages = int(1 + options>>16%6)
		cfg.MaxCachedBytes = 1 + options>>24%500
		if options&8 == 0 {
			cfg.QuiesceAfter = 200 * time.Millisecond
		}
		if options>>32&3 == 0 {
			cfg.CommitDelay = 5 * time.Millisecond
		}
		if options&48 != 0 {
			cfg.Incarnation = r.lives
		}
		cfg.Seed = rng.Uint64()
	}
	r.cluster = newCluster(t, size, r.change)
	for range rng.IntN(3) {
		r.add(MemberID(len(r.members)+1), Configuration{}, r.change)
	}
	for _, m := range r.members {
		m.machineDurable = rng.IntN(2) == 0
	}
	r.manualSync, r.sharedClock = true, true
	steps := 300 + rng.IntN(1500)
	for range steps {
		r.step()
		r.checkReads()
		r.dropRot()
	}
	r.checkLogMatching()
	r.mend()
}

// pick returns a random member that is up, nil if none is.
func (r *random) pick() *member {
	var up []*member
	for _, m := range r.members {
		if !m.down {
			up = append(up, m)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[r.rng.IntN(len(up))]
}

func (r *random) step() {
	rng := r.rng
	m := r.pick()
	if m == nil {
		r.restart()
		return
	}
	switch p := rng.IntN(1000); {
	case p < 450:
		r.deliverSome()
	case p < 620:
		for _, m := range r.members {
			if n := len(m.writes); !m.down && n > 0 && rng.IntN(3) > 0 {
				r.sync(m, 1+rng.IntN(n))
				r.settle(m)
			}
		}
	case p < 760:
		r.now += time.Duration(rng.IntN(25)) * time.Millisecond
		for _, m := range r.members {
			if !m.down && rng.IntN(8) > 0 {
				m.core.Tick(r.now)
				r.settle(m)
			}
		}
	case p < 860:
		r.proposeSome()
	case p < 890:
		r.read(m)
	case p < 896:
		r.crash(m)
	case p < 912:
		r.restart()
	case p < 918:
		r.cutSome()
	case p < 940:
		r.heal()
	case p < 955:
		r.changeMembers()
	case p < 962:
		r.transfer()
	case p < 970:
		m.core.Campaign()
		r.settle(m)
	case p < 984:
		r.compact(m, m.core.AppliedIndex()-min(m.core.AppliedIndex(), Index(rng.IntN(4))))
	case p < 985:
		m.core.StepDown("the test wants it")
		r.settle(m)
	case p < 986:
		m.core.Wake()
		r.settle(m)
	case p < 988:
		m.refused = !m.refused
	case p >= 988:
		r.wipe()
	}
}

// deliverSome delivers, drops or duplicates a message out of the oldest few, mostly the oldest.
func (r *random) deliverSome() {
	for range 1 + r.rng.IntN(16) {
		if len(r.network) == 0 {
			return
		}
		k := 0
		if r.rng.IntN(5) == 0 {
			k = r.rng.IntN(len(r.network))
		}
		switch p := r.rng.IntN(100); {
		case p < 4:
			r.lose(k)
		case p < 8:
			r.network = append(r.network, r.network[k])
			r.deliver(k)
		default:
			r.deliver(k)
		}
	}
	for len(r.network) > 400 {
		r.lose(r.rng.IntN(len(r.network)))
	}
}

func (r *random) lose(k int) {
	f := r.network[k]
	r.network = append(slices.Clone(r.network[:k]), r.network[k+1:]...)
	if s, ok := f.message.(*InstallSnapshot); ok {
		r.snapshotDone(s, false)
	}
}

func (r *random) proposeSome() {
	for _, m := range r.members {
		if m.down || m.core.Role() != Leader {
			continue
		}
		var batch []Proposal
		for range 1 + r.rng.IntN(4) {
			r.nextValue++
			data := []byte(fmt.Sprint(r.nextValue))
			batch = append(batch, Proposal{Kind: EntryCommand, Data: data, Sum: Sum(data)})
		}
		if _, _, err := m.core.Propose(batch); err == nil {
			r.settle(m)
		}
	}
}

func (r *random) read(m *member) {
	r.nextRead++
	m.core.now = max(m.core.now, r.now) // A lease rests on a clock that is read after the request came in.
	if m.core.ReadIndex(r.nextRead) != nil {
		return
	}
	if r.readsAsked[m.id] == nil {
		r.readsAsked[m.id] = map[uint64]Index{}
	}
	r.readsAsked[m.id][r.nextRead] = Index(len(r.committed))
	r.settle(m)
}

// checkReads checks that no read is served from before what was committed when it was asked.
func (r *random) checkReads() {
	for _, m := range r.members {
		for _, read := range m.reads {
			asked, ok := r.readsAsked[m.id][read.ID]
			if !ok {
				r.t.Fatalf("member %d: read %d was answered twice, or never asked", m.id, read.ID)
			}
			delete(r.readsAsked[m.id], read.ID)
			if read.OK && read.Index < asked {
				r.t.Fatalf("member %d: read %d is served from %d, but %d was committed before", m.id, read.ID, read.Index, asked)
			}
		}
		m.reads = nil
	}
}

func (r *random) restart() {
	for _, m := range r.members {
		if m.down && r.rng.IntN(2) == 0 {
			m.cfg.Seed = r.rng.Uint64()
			r.start(m, r.rng.IntN(10))
		}
	}
}

func (r *random) crash(m *member) {
	// Some of what was written may have reached the disk, without anybody knowing.
	for range r.rng.IntN(len(m.writes) + 1) {
		m.stable.apply(m.writes[0])
		m.writes = m.writes[1:]
	}
	r.cluster.crash(m)
	delete(r.readsAsked, m.id)
}

func (r *random) cutSome() {
	if r.rng.IntN(2) == 0 {
		a, b := r.members[r.rng.IntN(len(r.members))], r.members[r.rng.IntN(len(r.members))]
		r.cut[[2]MemberID{a.id, b.id}] = true // One way.
		return
	}
	var groups [2][]MemberID
	for _, m := range r.members {
		g := r.rng.IntN(2)
		groups[g] = append(groups[g], m.id)
	}
	r.partition(groups[0], groups[1])
}

func (r *random) changeMembers() {
	l := r.leader()
	if l == nil || !r.whole(l) {
		return // Who changes the members while one has lost its disk may lose the majority.
	}
	var ch Change
	for range 1 + r.rng.IntN(2) {
		id := r.members[r.rng.IntN(len(r.members))].id
		old, member := l.core.Configuration().Find(id)
		switch {
		case !member:
			ch.Set = append(ch.Set, Member{ID: id, Learner: r.rng.IntN(3) == 0})
		case r.rng.IntN(2) == 0 && len(l.core.Configuration().Voters()) > 1:
			ch.Remove = append(ch.Remove, id)
		default:
			ch.Set = append(ch.Set, Member{ID: id, Learner: !old.Learner, Priority: uint8(r.rng.IntN(2))})
		}
	}
	if _, _, err := l.core.ChangeMembers(ch); err == nil {
		r.settle(l)
	}
}

func (r *random) transfer() {
	if l := r.leader(); l != nil {
		if l.core.TransferLeadership(r.members[r.rng.IntN(len(r.members))].id) == nil {
			r.settle(l)
		}
	}
}

// wipe replaces the disk of one member, or has it lose entries, if the group can do without. Another one may follow once this one is whole.
func (r *random) wipe() {
	l := r.leader()
	if l == nil || l.core.mayChange() != nil || !r.whole(l) {
		return
	}
	conf := l.core.Configuration()
	for _, m := range r.members {
		if _, member := conf.Find(m.id); m.down || (member && !m.core.Configuration().Equal(conf)) {
			return // A configuration that somebody else has, with less voters, might need this disk for its majority.
		}
	}
	m := r.members[r.rng.IntN(len(r.members))]
	known, ok := conf.Find(m.id)
	if m == l || !ok || known.Learner || known.Incarnation == 0 || known.Incarnation != m.cfg.Incarnation || len(conf.Voters()) < 3 {
		return
	}
	if !m.down {
		r.crash(m)
	}
	if r.rng.IntN(2) == 0 {
		r.rot(m)
		return
	}
	r.wiped = m.id
	m.stable, m.state = disk{}, nil
	r.change(&m.cfg)
	r.start(m, 0)
}

// rot loses some entries of a disk that is not in use.
func (r *random) rot(m *member) {
	if len(m.stable.log) == 0 {
		return
	}
	r.rotten = m.id
	for range 1 + r.rng.IntN(2) {
		k := r.rng.IntN(len(m.stable.log))
		to := min(k+1+r.rng.IntN(6), len(m.stable.log))
		m.stable.faulty = append(m.stable.faulty, IndexRange{m.stable.snap.Index + 1 + Index(k), m.stable.snap.Index + Index(to)})
		m.stable.log = slices.Clone(m.stable.log)
		for ; k < to; k++ {
			m.stable.log[k].Data, m.stable.log[k].Kind = []byte("rubbish"), EntryCommand
		}
	}
}

// dropRot compacts away applied entries that a disk lost, as soon as the member knows what it needs of them: at the next start it would have to
// ask for them again.
func (r *random) dropRot() {
	if r.rotten == NoMember {
		return
	}
	m := r.member(r.rotten)
	if m.down || len(m.stable.faulty) == 0 {
		return
	}
	for _, f := range m.stable.faulty {
		if f.To <= m.core.AppliedIndex() {
			r.compact(m, f.To)
		}
	}
}

// whole tells whether the member whose disk was replaced, if there is one, is back as a voter, and one that lost entries has them again.
func (r *random) whole(l *member) bool {
	if r.rotten != NoMember {
		m := r.member(r.rotten)
		if m.down || m.core.repair != nil || len(m.stable.faulty) > 0 {
			return false
		}
	}
	if r.wiped == NoMember {
		return true
	}
	back, ok := l.core.CommittedConfiguration().Find(r.wiped)
	return ok && !back.Learner && back.Incarnation == r.member(r.wiped).cfg.Incarnation
}

// mend ends all faults and waits until the group works again: every member of the configuration has everything.
func (r *random) mend() {
	r.heal()
	r.manualSync = false
	for _, m := range r.members {
		m.refused = false
		if m.down {
			r.start(m, 0)
			continue
		}
		r.sync(m, len(m.writes))
		r.settle(m)
	}
	value := "the end"
	done := func() bool {
		r.checkReads()
		l := r.leader()
		if l == nil || l.core.leading.transfer.to != NoMember {
			return false
		}
		if string(lastOf(l.state).Data) != value {
			if n := l.core.LastIndex(); n == l.core.Commit() {
				_, _, _ = l.core.Propose([]Proposal{{Kind: EntryCommand, Data: []byte(value), Sum: Sum([]byte(value))}})
				r.settle(l)
			}
			return false
		}
		for _, m := range r.members {
			conf := l.core.CommittedConfiguration()
			if _, member := conf.Find(m.id); member && len(m.state) != len(l.state) {
				return false
			}
		}
		return true
	}
	r.until("the group works again", done)
	r.checkLogMatching()
}

func lastOf(entries []Entry) Entry {
	if len(entries) == 0 {
		return Entry{}
	}
	return entries[len(entries)-1]
}
