package wal

import (
	"slices"
	"sort"

	"github.com/balsa-raft/balsa/raft"
)

// GroupState is what the log knows of one group. Its slices are the caller's own.
type GroupState struct {
	HardState raft.HardState
	// Snapshot is where the log begins: compacted, or a snapshot; at Index 0 it carries the configuration of the bootstrap.
	Snapshot  raft.SnapshotMeta
	LastIndex raft.Index
	// Terms are the runs of the entries in (Snapshot.Index, LastIndex], Configurations the configuration entries in it.
	Terms          []raft.TermRun
	Configurations []raft.ConfigurationAt
	// Faulty are entries that the log had made durable and that the disk lost. They keep their place, and their term in Terms where that is
	// known. An Append from such an index on repairs it.
	Faulty []raft.IndexRange
}

// group is one group's state in memory. The writer changes it with Log.mu held.
type group struct {
	id       raft.GroupID
	sequence uint64 // of its last batch
	hard     raft.HardState
	base     raft.SnapshotMeta
	terms    []raft.TermRun
	confs    []raft.ConfigurationAt
	pos      positions
	holes    int    // entries without a position
	bytes    uint64 // frames of live entries

	plan plan // of the Append under way; the writer's own
}

func newGroup(id raft.GroupID, free *chunkPool) *group {
	return &group{id: id, pos: positions{free: free}}
}

func (g *group) last() raft.Index { return g.pos.last }

func (g *group) lastTerm() raft.Term {
	if n := len(g.terms); n > 0 {
		return g.terms[n-1].Term
	}
	return g.base.Term
}

// termAt returns the term of entry i; base <= i <= last.
func (g *group) termAt(i raft.Index) raft.Term {
	k := sort.Search(len(g.terms), func(k int) bool { return g.terms[k].First > i })
	if k == 0 {
		return g.base.Term
	}
	return g.terms[k-1].Term
}

func (g *group) state() GroupState {
	return GroupState{
		HardState: g.hard, Snapshot: g.base, LastIndex: g.pos.last,
		Terms: slices.Clone(g.terms), Configurations: slices.Clone(g.confs), Faulty: g.faulty(),
	}
}

// faulty lists the holes.
func (g *group) faulty() []raft.IndexRange {
	if g.holes == 0 {
		return nil
	}
	var ranges []raft.IndexRange
	for i := g.pos.base + 1; i <= g.pos.last; i++ {
		to := i
		if j, missing := g.pos.missing(i); missing {
			to = j
		} else if !g.pos.get(i).hole() {
			continue
		}
		if n := len(ranges); n > 0 && ranges[n-1].To == i-1 {
			ranges[n-1].To = to
		} else {
			ranges = append(ranges, raft.IndexRange{From: i, To: to})
		}
		i = to
	}
	return ranges
}

// runs describes the terms of all entries for a checkpoint.
func (g *group) runs() []termCount {
	runs := make([]termCount, 0, len(g.terms))
	for k, run := range g.terms {
		next := g.pos.last + 1
		if k+1 < len(g.terms) {
			next = g.terms[k+1].First
		}
		runs = append(runs, termCount{count: uint64(next - run.First), term: run.Term})
	}
	return runs
}

// release gives up the entries from i to j and what they occupy.
func (l *Log) release(g *group, i, j raft.Index) {
	for ; i <= j; i++ {
		if to, missing := g.pos.missing(i); missing {
			to = min(to, j)
			g.holes -= int(to - i + 1)
			i = to
			continue
		}
		l.vacate(g, g.pos.get(i))
	}
}

// vacate takes one position out of the accounts.
func (l *Log) vacate(g *group, p position) {
	if p.hole() {
		g.holes--
		return
	}
	g.bytes -= uint64(p.frame())
	l.segment(p.segment).live -= p.frame()
}

// occupy puts entry i to position p.
func (l *Log) occupy(g *group, i raft.Index, p position) {
	g.pos.set(i, p)
	if p.hole() {
		g.holes++
		return
	}
	g.bytes += uint64(p.frame())
	l.segment(p.segment).live += p.frame()
}

// truncate drops the entries from i on (figure 2, AppendEntries 3).
func (l *Log) truncate(g *group, i raft.Index) {
	if i > g.pos.last {
		return
	}
	i = max(i, g.pos.base+1)
	l.release(g, i, g.pos.last)
	g.pos.truncate(i)
	k := sort.Search(len(g.terms), func(k int) bool { return g.terms[k].First >= i })
	g.terms = g.terms[:k]
	k = sort.Search(len(g.confs), func(k int) bool { return g.confs[k].Index >= i })
	clear(g.confs[k:])
	g.confs = g.confs[:k]
}

// compact makes the log begin after base and keeps what comes later.
func (l *Log) compact(g *group, base *raft.SnapshotMeta) {
	if base.Index >= g.pos.last {
		l.install(g, base)
		return
	}
	g.base = *base
	l.release(g, g.pos.base+1, base.Index)
	g.pos.compact(base.Index)
	k := sort.Search(len(g.terms), func(k int) bool { return g.terms[k].First > base.Index+1 })
	if k > 0 {
		g.terms = append(g.terms[:0], g.terms[k-1:]...)
		g.terms[0].First = base.Index + 1
	}
	k = sort.Search(len(g.confs), func(k int) bool { return g.confs[k].Index > base.Index })
	g.confs = slices.Delete(g.confs, 0, k)
}

// install makes the log empty, beginning after base.
func (l *Log) install(g *group, base *raft.SnapshotMeta) {
	l.release(g, g.pos.base+1, g.pos.last)
	g.base = *base
	g.pos.reset(base.Index)
	g.terms = g.terms[:0]
	clear(g.confs)
	g.confs = g.confs[:0]
}

// extend appends entries of one term up to index to, as holes that occupy fills.
func (g *group) extend(to raft.Index, term raft.Term) {
	if g.lastTermRun() != term {
		g.terms = append(g.terms, raft.TermRun{First: g.pos.last + 1, Term: term})
	}
	g.pos.extend(to)
}

// lastTermRun is the term of the last run, 0 if there is none.
func (g *group) lastTermRun() raft.Term {
	if n := len(g.terms); n > 0 {
		return g.terms[n-1].Term
	}
	return 0
}

// addConfiguration notes that entry i carries c. Copies of old entries come in any order.
func (g *group) addConfiguration(i raft.Index, c raft.Configuration) {
	k := sort.Search(len(g.confs), func(k int) bool { return g.confs[k].Index >= i })
	if k < len(g.confs) && g.confs[k].Index == i {
		g.confs[k].Configuration = c
		return
	}
	g.confs = slices.Insert(g.confs, k, raft.ConfigurationAt{Index: i, Configuration: c})
}
