package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// model is what a log should hold, as plainly as can be: per group, its state and its entries.
type model map[raft.GroupID]*modelGroup

type modelGroup struct {
	hard    raft.HardState
	base    raft.SnapshotMeta
	entries []raft.Entry // from base.Index+1 on
}

func (m model) clone() model {
	c := model{}
	for id, g := range m {
		h := *g
		h.entries = slices.Clone(g.entries)
		c[id] = &h
	}
	return c
}

func (g *modelGroup) last() raft.Index { return g.base.Index + raft.Index(len(g.entries)) }

func (m model) apply(b Batch) {
	if b.Remove {
		delete(m, b.Group)
		return
	}
	g := m[b.Group]
	if g == nil {
		g = &modelGroup{}
		m[b.Group] = g
	}
	switch {
	case b.Snapshot != nil:
		g.base, g.entries = *b.Snapshot, nil
	case b.Compact != nil && b.Compact.Index > g.base.Index:
		g.entries = slices.Clone(g.entries[b.Compact.Index-g.base.Index:])
		g.base = *b.Compact
	}
	if b.HardState != nil {
		g.hard = *b.HardState
	}
	if len(b.Entries) > 0 {
		keep := b.Entries[0].Index - g.base.Index - 1
		g.entries = append(slices.Clone(g.entries[:keep]), b.Entries...)
	}
}

// state is what Log.State should say.
func (g *modelGroup) state() GroupState {
	s := GroupState{HardState: g.hard, Snapshot: g.base, LastIndex: g.last()}
	for _, e := range g.entries {
		if n := len(s.Terms); n == 0 || s.Terms[n-1].Term != e.Term {
			s.Terms = append(s.Terms, raft.TermRun{First: e.Index, Term: e.Term})
		}
		if e.Kind == raft.EntryConfiguration {
			c, err := raft.DecodeConfiguration(e.Data)
			if err != nil {
				panic(err)
			}
			s.Configurations = append(s.Configurations, raft.ConfigurationAt{Index: e.Index, Configuration: c})
		}
	}
	return s
}

// diff tells what differs between the log and the model; entries that the log calls faulty may be anything, and are counted.
func (m model) diff(l *Log) (faulty int, err error) {
	ids := l.Groups()
	if len(ids) != len(m) {
		return 0, fmt.Errorf("the log has the groups %v, the model has %d", ids, len(m))
	}
	for _, id := range ids {
		g := m[id]
		if g == nil {
			return 0, fmt.Errorf("the log has group %d, the model has not", id)
		}
		got, _ := l.State(id)
		want := g.state()
		ranges := got.Faulty
		got.Faulty = nil
		for _, r := range ranges {
			faulty += int(r.To - r.From + 1)
		}
		if faulty > 0 {
			// The configurations of faulty entries are not known.
			want.Configurations = slices.DeleteFunc(want.Configurations, func(c raft.ConfigurationAt) bool { return isFaulty(ranges, c.Index) })
		}
		for _, s := range []*GroupState{&got, &want} {
			if len(s.Terms) == 0 {
				s.Terms = nil
			}
			if len(s.Configurations) == 0 {
				s.Configurations = nil
			}
		}
		if !reflect.DeepEqual(got, want) {
			return faulty, fmt.Errorf("group %d is\n%+v, should be\n%+v", id, got, want)
		}
		if err := g.diffEntries(l, id, ranges); err != nil {
			return faulty, err
		}
	}
	return faulty, nil
}

func isFaulty(ranges []raft.IndexRange, i raft.Index) bool {
	return slices.ContainsFunc(ranges, func(r raft.IndexRange) bool { return r.From <= i && i <= r.To })
}

func (g *modelGroup) diffEntries(l *Log, id raft.GroupID, ranges []raft.IndexRange) error {
	for i := g.base.Index + 1; i <= g.last(); {
		got, err := l.Entries(id, i, g.last(), 1<<20)
		if isFaulty(ranges, i) {
			if !errors.Is(err, ErrFaulty) {
				return fmt.Errorf("group %d: faulty entry %d reads as %v, %v", id, i, got, err)
			}
			i++
			continue
		}
		if err != nil {
			return fmt.Errorf("group %d: %w", id, err)
		}
		for k := range got {
			if want := g.entries[i-g.base.Index-1]; !equalEntries(got[k], want) {
				return fmt.Errorf("group %d: entry is %+v, should be %+v", id, got[k], want)
			}
			i++
		}
	}
	return nil
}

func equalEntries(a, b raft.Entry) bool {
	return a.Term == b.Term && a.Index == b.Index && a.Kind == b.Kind && a.Sum == b.Sum && string(a.Data) == string(b.Data)
}

func entry(term raft.Term, index raft.Index, data string) raft.Entry {
	return raft.Entry{Term: term, Index: index, Kind: raft.EntryCommand, Sum: raft.Sum([]byte(data)), Data: []byte(data)}
}

func run(term raft.Term, from, to raft.Index, data string) []raft.Entry {
	var entries []raft.Entry
	for i := from; i <= to; i++ {
		entries = append(entries, entry(term, i, fmt.Sprintf("%s-%d-%d", data, term, i)))
	}
	return entries
}

func hard(term raft.Term, vote raft.MemberID) *raft.HardState {
	return &raft.HardState{Term: term, Vote: vote}
}

func configuration(ids ...raft.MemberID) raft.Configuration {
	var c raft.Configuration
	for _, id := range ids {
		c.Members = append(c.Members, raft.Member{ID: id, Address: fmt.Sprintf("host-%d:1", id)})
	}
	return c
}

func configEntry(term raft.Term, index raft.Index, ids ...raft.MemberID) raft.Entry {
	data := configuration(ids...).Encode(nil)
	return raft.Entry{Term: term, Index: index, Kind: raft.EntryConfiguration, Sum: raft.Sum(data), Data: data}
}

// workload makes random batches that fit the model, and applies them to it.
type workload struct {
	rng    *rand.Rand
	model  model
	groups int
	// size bounds the data of an entry.
	size int
}

func newWorkload(seed uint64, groups, size int) *workload {
	return &workload{rng: rand.New(rand.NewPCG(seed, 1)), model: model{}, groups: groups, size: size}
}

func (w *workload) batch() Batch {
	id := raft.GroupID(w.rng.IntN(w.groups) + 1)
	b := Batch{Group: id}
	g := w.model[id]
	if g == nil {
		g = &modelGroup{}
		if w.rng.IntN(2) == 0 {
			b.Snapshot = &raft.SnapshotMeta{Configuration: configuration(1, 2, 3)}
		}
	}
	h := g.hard
	if h.Term == 0 || w.rng.IntN(4) == 0 {
		h.Term += raft.Term(1 + w.rng.IntN(2))
		h.Vote = raft.MemberID(w.rng.IntN(3))
		b.HardState = &h
	}
	switch k := w.rng.IntN(20); {
	case k == 0 && w.model[id] != nil:
		return w.done(Batch{Group: id, Remove: true})
	case k <= 3 && len(g.entries) > 1:
		at := w.rng.IntN(len(g.entries))
		if w.rng.IntN(3) == 0 {
			at = len(g.entries) - 1
		}
		b.Compact = &raft.SnapshotMeta{Index: g.entries[at].Index, Term: g.entries[at].Term, Configuration: configuration(1, 2)}
		return w.done(b)
	case k == 4:
		b.Snapshot = &raft.SnapshotMeta{Index: g.last() + raft.Index(w.rng.IntN(5)), Term: max(h.Term, 1), Configuration: configuration(3, 4), ConfigurationIndex: 1}
		b.Snapshot.Term = h.Term
		return w.done(b)
	case k == 5:
		return w.done(b)
	}
	base, last, term := g.base.Index, g.last(), g.base.Term
	if b.Snapshot != nil {
		base, last, term = 0, 0, 0
	}
	first := last + 1
	if last > base && w.rng.IntN(5) == 0 {
		first = base + 1 + raft.Index(w.rng.IntN(int(last-base)))
	}
	if first > base+1 {
		term = g.entries[first-base-2].Term
	}
	term = max(term, 1)
	for range 1 + w.rng.IntN(6) {
		if term < h.Term && w.rng.IntN(3) == 0 {
			term = h.Term
		}
		i := first + raft.Index(len(b.Entries))
		if w.rng.IntN(12) == 0 {
			b.Entries = append(b.Entries, configEntry(term, i, 1, 2, raft.MemberID(i)))
			continue
		}
		data := make([]byte, w.rng.IntN(w.size+1))
		for k := range data {
			data[k] = byte(w.rng.Uint32())
		}
		b.Entries = append(b.Entries, entry(term, i, string(data)))
	}
	return w.done(b)
}

func (w *workload) done(b Batch) Batch {
	w.model.apply(b)
	return b
}

func testOptions(fsys FS) Options {
	return Options{FS: fsys, Dir: "log", SegmentBytes: 16 << 10, ReserveBytes: 4 << 10, Incarnation: 0x1234567890abcdef}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustAppend(t testing.TB, l *Log, b ...Batch) {
	t.Helper()
	if err := l.Append(b); err != nil {
		t.Fatal(err)
	}
}

func mustSync(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
}

func mustEqual(t testing.TB, m model, l *Log) {
	t.Helper()
	if faulty, err := m.diff(l); err != nil || faulty > 0 {
		t.Fatalf("%d faulty entries: %v", faulty, err)
	}
}

// ignore drops an error that is one of those.
func ignore(err error, those ...error) error {
	for _, e := range those {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}
