package wal

import (
	"fmt"

	"github.com/balsa-raft/balsa/raft"
)

// Batch is one group's change: all of it becomes durable, or none of it. The order in which its parts take effect is Snapshot or
// Compact, HardState, Entries. A group comes into being with its first batch. The log keeps no reference to a batch after Append.
type Batch struct {
	Group raft.GroupID
	// HardState is the term and vote from now on. The term never goes back.
	HardState *raft.HardState
	// Entries replace everything from Entries[0].Index on, which is after where the log begins, and at most one after its last entry.
	// Their Sum was made by raft.Sum when the entry was made; it is stored, and checked when the entry is read.
	Entries []raft.Entry
	// Snapshot makes the log empty, beginning after Snapshot.Index: that of an installed snapshot, or 0 with the configuration of the
	// bootstrap. Entries after it that the group may keep are the caller's to append again.
	Snapshot *raft.SnapshotMeta
	// Compact drops the entries up to Compact.Index and keeps the rest; one that was made already does nothing.
	Compact *raft.SnapshotMeta
	// Remove forgets the group. It comes alone.
	Remove bool
}

// plan is what a group looks like after the batches of an Append that were checked so far. stamp tells which Append it is of.
type plan struct {
	stamp      uint64
	base, last raft.Index
	lastTerm   raft.Term
	hard       raft.HardState
}

// plan checks all batches before any has an effect. It returns how much room they take at most, and whether there are entries.
func (l *Log) plan(batches []Batch) (need int64, entries bool, err error) {
	l.stamp++
	clear(l.fresh)
	for i := range batches {
		b := &batches[i]
		g := l.groups[b.Group]
		if g == nil {
			if g = l.fresh[b.Group]; g == nil {
				g = newGroup(b.Group, &l.chunks)
				l.fresh[b.Group] = g
			}
		}
		p := &g.plan
		if p.stamp != l.stamp {
			*p = plan{stamp: l.stamp, base: g.base.Index, last: g.last(), lastTerm: g.lastTerm(), hard: g.hard}
		}
		n, err := p.add(g, b)
		if err != nil {
			return 0, false, fmt.Errorf("%w: group %d: %w", ErrInvalid, b.Group, err)
		}
		need += n
		entries = entries || len(b.Entries) > 0
	}
	if need > maxAppend {
		return 0, false, fmt.Errorf("%w: %d bytes at once are more than %d", ErrInvalid, need, int64(maxAppend))
	}
	return need, entries, nil
}

// maxAppend keeps offsets within a segment in 32 bits.
const maxAppend = 8 << 30

// descriptorBound is the most a descriptor takes without its configuration and beyond its first run.
const descriptorBound = 128

// add checks one batch against what comes before it, and returns a bound of what it takes.
func (p *plan) add(g *group, b *Batch) (need int64, err error) {
	descriptor := int64(descriptorBound)
	base := b.Snapshot
	switch {
	case b.Remove:
		if b.HardState != nil || b.Snapshot != nil || b.Compact != nil || len(b.Entries) > 0 {
			return 0, fmt.Errorf("a removal comes alone")
		}
		*p = plan{stamp: p.stamp}
	case b.Snapshot != nil && b.Compact != nil:
		return 0, fmt.Errorf("a snapshot and a compaction do not go together")
	case b.Snapshot != nil:
		if base.Index < p.base {
			return 0, fmt.Errorf("snapshot at %d, but the log begins after %d already", base.Index, p.base)
		}
		p.base, p.last, p.lastTerm = base.Index, base.Index, base.Term
	case b.Compact != nil:
		base = b.Compact
		if base.Index > p.last {
			return 0, fmt.Errorf("compaction up to %d, but the log ends at %d", base.Index, p.last)
		}
		p.base = max(p.base, base.Index)
	}
	if base != nil {
		descriptor += int64(len(base.Configuration.Encode(nil)))
	}
	if h := b.HardState; h != nil {
		if h.Term < p.hard.Term || h.Term == p.hard.Term && p.hard.Vote != raft.NoMember && h.Vote != p.hard.Vote {
			return 0, fmt.Errorf("term %d with the vote for %d follows term %d with the vote for %d", h.Term, h.Vote, p.hard.Term, p.hard.Vote)
		}
		p.hard = *h
	}
	data, runs, err := p.entries(g, b.Entries)
	if err != nil {
		return 0, err
	}
	return data + 2*frameSize(int(descriptor)+20*runs), nil
}

// entries checks that the entries continue the log.
func (p *plan) entries(g *group, entries []raft.Entry) (need int64, runs int, err error) {
	if len(entries) == 0 {
		return 0, 0, nil
	}
	first := entries[0].Index
	if first <= p.base || first > p.last+1 {
		return 0, 0, fmt.Errorf("entries from %d on do not fit a log of (%d, %d]", first, p.base, p.last)
	}
	// The log before the first entry may be known by the batches of this Append alone; then its term is only a bound.
	term := p.lastTerm
	if first <= p.last {
		term = 0
		if first-1 >= g.base.Index && first-1 <= g.last() {
			term = min(g.termAt(first-1), p.lastTerm)
		}
	}
	var last raft.Term
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Index != first+raft.Index(i):
			return 0, 0, fmt.Errorf("entry %d where %d has to follow", e.Index, first+raft.Index(i))
		case e.Term < term || e.Term == 0:
			return 0, 0, fmt.Errorf("entry %d of term %d follows one of term %d", e.Index, e.Term, term)
		case e.Term > p.hard.Term:
			return 0, 0, fmt.Errorf("entry %d is of term %d, but the current term is %d", e.Index, e.Term, p.hard.Term)
		case len(e.Data) > maxPayload:
			return 0, 0, fmt.Errorf("entry %d has %d bytes, more than %d", e.Index, len(e.Data), maxPayload)
		case e.Kind == raft.EntryConfiguration:
			if _, err := raft.DecodeConfiguration(e.Data); err != nil {
				return 0, 0, fmt.Errorf("entry %d: %w", e.Index, err)
			}
		}
		if e.Term != last {
			runs++
			last = e.Term
		}
		term = e.Term
		need += frameSize(len(e.Data))
	}
	if uint64(first-p.base)+uint64(len(entries)) > maxRange {
		return 0, 0, fmt.Errorf("more than %d entries in one log: compact it", int64(maxRange))
	}
	p.last, p.lastTerm = first+raft.Index(len(entries))-1, term
	return need, runs, nil
}
