package raft

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// cluster is a deterministic world of several cores: virtual time, a network whose messages wait until the test delivers or drops them, and
// disks that lose what was not synced. It checks the five safety properties of the paper's figure 3 after every input.
type cluster struct {
	t       testing.TB
	now     time.Duration
	members []*member
	// network are the messages on their way, oldest first.
	network []flight
	// cut says which links drop everything.
	cut map[[2]MemberID]bool
	// manualSync leaves writes unsynced until the test syncs them.
	manualSync bool
	// sharedClock lets members know the time when a message arrives, without running their timers.
	sharedClock bool
	// oldSnapshots says that who needs a snapshot is sent the one that the log was compacted by, and not a new one.
	oldSnapshots bool
	story        func(m *member, line string)

	// What the properties are checked with.
	leaders   map[Term]MemberID
	committed []Entry // committed[i] has index i+1
}

type flight struct {
	message Message
}

// member is a core with its disk and its machine.
type member struct {
	id   MemberID
	cfg  Config
	core *Core
	down bool

	stable  disk
	writes  []write
	held    []heldMessages
	state   []Entry // what the machine has applied: the entries themselves
	reads   []Read
	refused bool // an Install is refused by the machine
	// machineDurable says that the machine keeps its state over a crash.
	machineDurable bool
	bootstrap      Configuration
}

// disk is what is durable.
type disk struct {
	hard  HardState
	snap  SnapshotMeta
	log   []Entry // log[0] has index snap.Index+1
	state []Entry // of the snapshot
	// faulty are entries that the disk lost; what log has there is rubbish.
	faulty []IndexRange
}

// isFaulty tells whether the entry at i is lost.
func (d *disk) isFaulty(i Index) bool {
	return slices.ContainsFunc(d.faulty, func(f IndexRange) bool { return f.From <= i && i <= f.To })
}

// keepFaulty drops what is known to be faulty outside of [from, to].
func (d *disk) keepFaulty(from, to Index) {
	var keep []IndexRange
	for _, f := range d.faulty {
		if f = (IndexRange{max(f.From, from), min(f.To, to)}); f.From <= f.To {
			keep = append(keep, f)
		}
	}
	d.faulty = keep
}

type write struct {
	seq     uint64
	hard    *HardState
	entries []Entry
}

type heldMessages struct {
	seq      uint64
	messages []Message
}

func (d *disk) apply(w write) {
	if w.hard != nil {
		d.hard = *w.hard
	}
	if len(w.entries) > 0 {
		d.keepFaulty(0, w.entries[0].Index-1)
		keep := w.entries[0].Index - d.snap.Index - 1
		d.log = append(slices.Clip(d.log[:keep]), w.entries...)
	}
}

func (d *disk) last() Index { return d.snap.Index + Index(len(d.log)) }

// view is the disk as a reader sees it: with the writes that are not synced.
func (m *member) view() disk {
	d := m.stable
	d.log = slices.Clone(d.log)
	for _, w := range m.writes {
		d.apply(w)
	}
	return d
}

func (d *disk) restored(applied Index, cached int) Restored {
	r := Restored{HardState: d.hard, Snapshot: d.snap, LastIndex: d.last(), Applied: applied, Faulty: slices.Clone(d.faulty)}
	for i, e := range d.log {
		if i == 0 || d.log[i-1].Term != e.Term {
			r.Terms = append(r.Terms, TermRun{First: e.Index, Term: e.Term})
		}
		if e.Kind == EntryConfiguration && !d.isFaulty(e.Index) {
			conf, err := DecodeConfiguration(e.Data)
			if err != nil {
				panic(err)
			}
			r.Configurations = append(r.Configurations, ConfigurationAt{Index: e.Index, Configuration: conf})
		}
	}
	cached = min(cached, len(d.log))
	for cached > 0 && slices.ContainsFunc(d.log[len(d.log)-cached:], func(e Entry) bool { return d.isFaulty(e.Index) }) {
		cached--
	}
	r.Entries = slices.Clone(d.log[len(d.log)-cached:])
	return r
}

// voters makes a configuration of voters without incarnations.
func voters(ids ...MemberID) Configuration {
	var c Configuration
	for _, id := range ids {
		c.Members = append(c.Members, Member{ID: id})
	}
	return c
}

func newCluster(t testing.TB, n int, change func(*Config)) *cluster {
	c := &cluster{t: t, cut: map[[2]MemberID]bool{}, leaders: map[Term]MemberID{}}
	var ids []MemberID
	for i := range n {
		ids = append(ids, MemberID(i+1))
	}
	for _, id := range ids {
		c.add(id, voters(ids...), change)
	}
	return c
}

// add starts a member with a bootstrap configuration, empty for one that waits to be added.
func (c *cluster) add(id MemberID, conf Configuration, change func(*Config)) *member {
	cfg := Config{ID: id, Seed: uint64(id) * 77}
	if change != nil {
		change(&cfg)
	}
	m := &member{id: id, cfg: cfg, bootstrap: conf}
	m.stable.snap.Configuration = conf
	c.members = append(c.members, m)
	c.start(m, 0)
	return m
}

func (c *cluster) start(m *member, cached int) {
	applied := m.stable.snap.Index
	if m.machineDurable {
		applied = max(applied, Index(len(m.state)))
	} else {
		m.state = slices.Clone(m.stable.state)
	}
	core, err := New(m.cfg, m.stable.restored(applied, cached), c.now)
	if err != nil {
		c.t.Fatalf("member %d: %v", m.id, err)
	}
	m.core, m.down = core, false
	c.settle(m)
}

func (c *cluster) member(id MemberID) *member {
	for _, m := range c.members {
		if m.id == id {
			return m
		}
	}
	c.t.Fatalf("no member %d", id)
	return nil
}

// settle takes the outputs of a member until it has none, and acts on them.
func (c *cluster) settle(m *member) {
	if m.down {
		return
	}
	for first := true; first || m.core.HasOutput(); first = false {
		if err := m.core.Check(); err != nil {
			c.t.Fatal(err)
		}
		out := m.core.Take()
		if err := m.core.Check(); err != nil {
			c.t.Fatal(err)
		}
		c.act(m, out)
		c.checkSafety(m)
	}
}

func (c *cluster) act(m *member, out Output) {
	for _, e := range out.Events {
		c.tell(m, storyOfEvent(e))
	}
	if out.Install != nil {
		c.install(m, *out.Install, out.InstallKeeps)
	}
	if out.Persist() {
		m.writes = append(m.writes, write{seq: out.Seq, hard: out.HardState, entries: out.Entries})
	}
	for _, msg := range out.Messages {
		c.post(m, msg)
	}
	if len(out.AfterSync) > 0 {
		m.held = append(m.held, heldMessages{seq: out.Seq, messages: slices.Clone(out.AfterSync)})
	}
	c.applyCommitted(m, out)
	m.reads = append(m.reads, out.Reads...)
	for _, r := range out.Reads {
		c.tell(m, storyOfRead(r))
	}
	for _, f := range out.Fetches {
		view := m.view()
		var entries []Entry
		if f.From > view.snap.Index && !view.isFaulty(f.From) {
			to := f.From
			for to < min(f.To, view.last()) && !view.isFaulty(to+1) {
				to++
			}
			entries = slices.Clone(view.log[f.From-view.snap.Index-1 : to-view.snap.Index])
		}
		m.core.Fetched(f, entries)
	}
	for _, to := range out.SendSnapshots {
		c.sendSnapshot(m, to)
	}
	if !c.manualSync {
		c.sync(m, len(m.writes))
	}
}

func (c *cluster) applyCommitted(m *member, out Output) {
	entries := out.Committed
	if out.CommittedTo > 0 {
		if len(entries) > 0 {
			c.t.Fatalf("member %d: both committed entries and a range", m.id)
		}
		view := m.view()
		entries = view.log[out.CommittedFrom-view.snap.Index-1 : out.CommittedTo-view.snap.Index]
	}
	for _, e := range entries {
		if e.Index != Index(len(m.state))+1 {
			c.t.Fatalf("member %d: entry %d is handed out after %d", m.id, e.Index, len(m.state))
		}
		if e.Index > m.stable.last() {
			c.t.Fatalf("member %d: entry %d is handed out before it is durable", m.id, e.Index)
		}
		m.state = append(m.state, e)
		c.tell(m, fmt.Sprintf("applies %s", storyOfEntry(e)))
	}
	if len(entries) > 0 {
		m.core.Applied(Index(len(m.state)))
	}
}

// sync completes the first n writes of a member and lets go what waited for them.
func (c *cluster) sync(m *member, n int) {
	if n == 0 {
		c.release(m, m.core.disk.seq)
		return
	}
	var seq uint64
	for _, w := range m.writes[:n] {
		m.stable.apply(w)
		seq = w.seq
	}
	m.writes = slices.Clone(m.writes[n:])
	c.release(m, seq)
	m.core.Synced(seq)
}

func (c *cluster) release(m *member, seq uint64) {
	if len(m.writes) > 0 {
		seq = min(seq, m.writes[0].seq-1)
	}
	for len(m.held) > 0 && m.held[0].seq <= seq {
		for _, msg := range m.held[0].messages {
			c.post(m, msg)
		}
		m.held = m.held[1:]
	}
}

func (c *cluster) post(m *member, msg Message) {
	c.tell(m, storyOfMessage(msg))
	c.network = append(c.network, flight{message: msg})
}

func (c *cluster) tell(m *member, line string) {
	if c.story != nil && line != "" {
		c.story(m, line)
	}
}

func (c *cluster) install(m *member, meta SnapshotMeta, keeps bool) {
	state := c.snapshotState(meta.Index)
	if m.refused {
		m.core.SnapshotInstalled(meta, false)
		return
	}
	m.writes, m.held = nil, nil
	if keeps {
		m.stable.log = slices.Clone(m.stable.log[meta.Index-m.stable.snap.Index:])
		m.stable.keepFaulty(meta.Index+1, maxIndex)
		m.stable.snap, m.stable.state = meta, state
	} else {
		m.stable.snap, m.stable.log, m.stable.state, m.stable.faulty = meta, nil, state, nil
	}
	m.state = slices.Clone(state)
	m.core.SnapshotInstalled(meta, true)
}

// snapshotState is the state up to an index: what is committed there is the same for everybody.
func (c *cluster) snapshotState(i Index) []Entry { return slices.Clone(c.committed[:i]) }

func (c *cluster) sendSnapshot(m *member, to MemberID) {
	meta, ok := m.core.SnapshotMetaAt(Index(len(m.state)))
	if c.oldSnapshots {
		meta = m.stable.snap
	}
	if !ok {
		c.t.Fatalf("member %d: no snapshot at %d", m.id, len(m.state))
	}
	msg := &InstallSnapshot{Header: Header{From: m.id, To: to, Term: m.core.Term(), Incarnation: m.cfg.Incarnation}, Meta: meta}
	c.post(m, msg)
}

// compact drops the log of a member up to i.
func (c *cluster) compact(m *member, i Index) {
	meta, ok := m.core.SnapshotMetaAt(i)
	if !ok || i > m.core.AppliedIndex() || i <= m.stable.snap.Index {
		return
	}
	// The writes under way refer to the log, so the prefix is dropped once they are done.
	c.sync(m, len(m.writes))
	m.stable.log = slices.Clone(m.stable.log[i-m.stable.snap.Index:])
	m.stable.snap, m.stable.state = meta, slices.Clone(m.state[:i])
	m.stable.keepFaulty(i+1, maxIndex)
	m.core.Compacted(meta)
	c.settle(m)
}

// deliver hands over the k-th message on its way.
func (c *cluster) deliver(k int) {
	f := c.network[k]
	c.network = append(slices.Clone(c.network[:k]), c.network[k+1:]...)
	c.handOver(f)
}

func (c *cluster) handOver(f flight) {
	h := f.message.Head()
	to := c.member(h.To)
	snapshot, isSnapshot := f.message.(*InstallSnapshot)
	if to.down || c.cut[[2]MemberID{h.From, h.To}] {
		if isSnapshot {
			c.snapshotDone(snapshot, false)
		}
		return
	}
	if c.sharedClock {
		to.core.now = max(to.core.now, c.now)
	}
	to.core.Receive(f.message)
	c.settle(to)
	if isSnapshot {
		c.snapshotDone(snapshot, true)
	}
}

func (c *cluster) snapshotDone(m *InstallSnapshot, ok bool) {
	from := c.member(m.From)
	if !from.down {
		from.core.SnapshotDone(m.To, m.Meta, ok)
		c.settle(from)
	}
}

// deliverAll delivers messages, and those they cause, until there are none.
func (c *cluster) deliverAll() {
	for n := 0; len(c.network) > 0; n++ {
		if n > 100_000 {
			c.t.Fatal("messages without end")
		}
		c.deliver(0)
	}
}

// advance lets time pass in steps of a millisecond, delivering everything at once.
func (c *cluster) advance(d time.Duration) {
	for end := c.now + d; c.now < end; {
		c.now += time.Millisecond
		c.tick()
		c.deliverAll()
	}
}

func (c *cluster) tick() {
	for _, m := range c.members {
		if !m.down {
			m.core.Tick(c.now)
			c.settle(m)
		}
	}
}

// until lets time pass until a condition holds; it fails if it does not within a generous while.
func (c *cluster) until(what string, holds func() bool) {
	c.t.Helper()
	for end := c.now + 20*time.Second; !holds(); {
		if c.now > end {
			c.t.Fatalf("never: %s\n%s", what, c.describe())
		}
		c.advance(time.Millisecond)
	}
}

// describe tells how every member stands.
func (c *cluster) describe() string {
	var s string
	for _, m := range c.members {
		if m.down {
			s += fmt.Sprintf("n%d is down\n", m.id)
			continue
		}
		st := m.core.Status()
		s += fmt.Sprintf("n%d %v term %d leader %d, log %d-%d durable %d commit %d applied %d, members %v at %d, incarnation %d of %v\n",
			m.id, st.Role, st.Term, st.Leader, st.First, st.Last, st.Durable, st.Commit, st.Applied, st.Configuration,
			st.ConfigurationIndex, m.cfg.Incarnation, st.Configuration.Members)
		for _, p := range st.Peers {
			s += fmt.Sprintf("   %+v\n", p)
		}
	}
	return s
}

func (c *cluster) crash(m *member) {
	m.down = true
	m.writes, m.held, m.core = nil, nil, nil
}

// isolate cuts a member's links; heal mends all.
func (c *cluster) isolate(id MemberID) {
	for _, m := range c.members {
		if m.id != id {
			c.cutLink(id, m.id)
		}
	}
}

func (c *cluster) cutLink(a, b MemberID) {
	c.cut[[2]MemberID{a, b}], c.cut[[2]MemberID{b, a}] = true, true
}

// partition leaves only the links within each group.
func (c *cluster) partition(groups ...[]MemberID) {
	c.cut = map[[2]MemberID]bool{}
	group := map[MemberID]int{}
	for g, ids := range groups {
		for _, id := range ids {
			group[id] = g + 1
		}
	}
	for _, a := range c.members {
		for _, b := range c.members {
			if a.id != b.id && (group[a.id] != group[b.id] || group[a.id] == 0) {
				c.cut[[2]MemberID{a.id, b.id}] = true
			}
		}
	}
}

func (c *cluster) heal() { c.cut = map[[2]MemberID]bool{} }

// leader returns the leader of the highest term that is up, nil if there is none.
func (c *cluster) leader() *member {
	var best *member
	for _, m := range c.members {
		if !m.down && m.core.Role() == Leader && (best == nil || m.core.Term() > best.core.Term()) {
			best = m
		}
	}
	return best
}

// elect makes the given member the leader.
func (c *cluster) elect(id MemberID) *member {
	c.t.Helper()
	m := c.member(id)
	for range 20 {
		m.core.Campaign()
		c.settle(m)
		c.deliverAll()
		if m.core.Role() == Leader {
			return m
		}
		c.advance(200 * time.Millisecond)
		if m.core.Role() == Leader {
			return m
		}
	}
	c.t.Fatalf("member %d is not elected", id)
	return nil
}

func (c *cluster) propose(m *member, data string) Index {
	c.t.Helper()
	index, _, err := m.core.Propose([]Proposal{{Kind: EntryCommand, Data: []byte(data), Sum: Sum([]byte(data))}})
	if err != nil {
		c.t.Fatalf("member %d: propose: %v", m.id, err)
	}
	c.settle(m)
	return index
}

// checkSafety checks what figure 3 promises, after member m has done something.
func (c *cluster) checkSafety(m *member) {
	core := m.core
	if core.Role() == Leader {
		// Election Safety: at most one leader a term.
		if other, ok := c.leaders[core.Term()]; ok && other != m.id {
			c.t.Fatalf("members %d and %d both lead term %d", other, m.id, core.Term())
		} else if !ok {
			c.leaders[core.Term()] = m.id
			c.checkCompleteness(m)
		}
	}
	// State Machine Safety, and Log Matching of what is committed: at every index the same entry everywhere.
	for i := Index(len(c.committed)) + 1; i <= core.Commit(); i++ {
		e, ok := c.entryOf(m, i)
		if !ok {
			c.t.Fatalf("member %d: commits %d, which nobody committed before, without having it", m.id, i)
		}
		c.committed = append(c.committed, e)
	}
	for i := len(m.state); i > 0 && i > len(m.state)-8; i-- {
		if a, b := m.state[i-1], c.committed[i-1]; a.Term != b.Term || string(a.Data) != string(b.Data) {
			c.t.Fatalf("member %d: applied %v at %d, committed is %v", m.id, a, i, b)
		}
	}
	if term, ok := core.log.term(core.Commit()); ok && core.Commit() > 0 && term != c.committed[core.Commit()-1].Term {
		c.t.Fatalf("member %d: commits %d@%d, committed is term %d", m.id, core.Commit(), term, c.committed[core.Commit()-1].Term)
	}
}

// checkCompleteness checks Leader Completeness: a new leader has every committed entry.
func (c *cluster) checkCompleteness(m *member) {
	for _, e := range c.committed {
		if term, ok := m.core.log.term(e.Index); e.Index > m.core.log.base && (!ok || term != e.Term) {
			c.t.Fatalf("member %d leads term %d without the committed entry %d@%d", m.id, m.core.Term(), e.Index, e.Term)
		}
	}
}

func (c *cluster) entryOf(m *member, i Index) (Entry, bool) {
	l := &m.core.log
	if i >= l.first && i <= l.last {
		return *l.window.at(i), true
	}
	view := m.view()
	if i > view.snap.Index && i <= view.last() {
		return view.log[i-view.snap.Index-1], true
	}
	return Entry{}, false
}

// checkLogMatching checks that two logs which have an entry of the same index and term are the same up to there.
func (c *cluster) checkLogMatching() {
	for i, a := range c.members {
		for _, b := range c.members[i+1:] {
			if a.down || b.down {
				continue
			}
			la, lb := &a.core.log, &b.core.log
			same := false
			for k := min(la.last, lb.last); k > max(la.base, lb.base); k-- {
				ta, _ := la.term(k)
				tb, _ := lb.term(k)
				if same && ta != tb {
					c.t.Fatalf("members %d and %d agree after %d, but not there: terms %d and %d", a.id, b.id, k, ta, tb)
				}
				same = same || ta == tb
			}
		}
	}
}
