package raft

import (
	"fmt"
	"sort"
)

// entryLog is a member's log as the core sees it: the term of every entry after base, and the entries themselves for a
// suffix, the window. Older entries are on disk and are asked for when a follower needs them.
//
//   - base is the last entry that is compacted away; runs describe the terms of (base, last] without gaps.
//   - window holds the entries [first, last]; first is last+1 if it is empty. Everything that is not both durable and applied is in it.
type entryLog struct {
	base     Index
	baseTerm Term
	runs     []TermRun
	last     Index
	first    Index
	window   window
	bytes    uint64
}

// term returns the term of the entry at i; false if i is compacted away, or beyond the end. The term at base is known.
func (l *entryLog) term(i Index) (Term, bool) {
	switch {
	case i == l.base:
		return l.baseTerm, true
	case i < l.base || i > l.last:
		return 0, false
	}
	return l.runs[l.run(i)].Term, true
}

// run returns the position of the run that contains i, for base < i <= last.
func (l *entryLog) run(i Index) int {
	n := len(l.runs) - 1
	if l.runs[n].First <= i { // By far the most common: the newest term.
		return n
	}
	return sort.Search(n, func(k int) bool { return l.runs[k].First > i }) - 1
}

func (l *entryLog) lastTerm() Term {
	if len(l.runs) == 0 {
		return l.baseTerm
	}
	return l.runs[len(l.runs)-1].Term
}

// firstOfTerm returns the first index that has the term of the entry at i, as far as the log reaches back.
func (l *entryLog) firstOfTerm(i Index) Index { return l.runs[l.run(i)].First }

// lastUpTo returns the last index not after i whose term is at most t; base if there is none after it.
func (l *entryLog) lastUpTo(i Index, t Term) Index {
	i = min(i, l.last)
	for i > l.base {
		r := l.runs[l.run(i)]
		if r.Term <= t {
			return i
		}
		i = r.First - 1
	}
	return l.base
}

// upToDate tells whether a log that ends with the given entry is at least as up-to-date as this one (§5.4.1).
func (l *entryLog) upToDate(last Index, term Term) bool {
	mine := l.lastTerm()
	return term > mine || (term == mine && last >= l.last)
}

// append adds entries, which have to follow the log.
func (l *entryLog) append(entries []Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Index != l.last+1 || e.Term < l.lastTerm() {
			panic(fmt.Sprintf("raft: entry %d@%d does not follow %d@%d", e.Index, e.Term, l.last, l.lastTerm()))
		}
		if len(l.runs) == 0 || l.runs[len(l.runs)-1].Term != e.Term {
			l.runs = append(l.runs, TermRun{First: e.Index, Term: e.Term})
		}
		l.last = e.Index
		l.bytes += e.Size()
	}
	if len(entries) > 0 {
		piece := l.window.room(len(entries))
		*piece = append(*piece, entries...)
	}
}

// truncate removes the entries from i on, base < i <= last.
func (l *entryLog) truncate(i Index) {
	for len(l.runs) > 0 && l.runs[len(l.runs)-1].First >= i {
		l.runs = l.runs[:len(l.runs)-1]
	}
	for k := max(i, l.first); k <= l.last; k++ {
		l.bytes -= l.window.at(k).Size()
	}
	l.last = i - 1
	l.window.truncate(i)
	l.first = min(l.first, i)
}

// slice returns the entries [from, to], which have to be in the window. Nobody may write to or append to what it returns.
func (l *entryLog) slice(from, to Index) []Entry { return l.window.slice(from, to) }

// limited returns entries from from on, at most maxBytes of them but at least one; from has to be in the window.
func (l *entryLog) limited(from Index, maxBytes uint64) (entries []Entry, size uint64) {
	rest := l.window.rest(from)
	n := 0
	for n < len(rest) {
		s := rest[n].Size()
		if n > 0 && size+s > maxBytes {
			break
		}
		size += s
		n++
	}
	return rest[:n:n], size
}

// evict drops entries up to and including upTo from the front of the window while it holds more than maxBytes.
func (l *entryLog) evict(upTo Index, maxBytes uint64) {
	for l.bytes > maxBytes && l.first <= min(upTo, l.last) {
		l.bytes -= l.window.at(l.first).Size()
		l.window.dropFront(1)
		l.first++
	}
}

// compact forgets everything up to and including i, base < i <= last.
func (l *entryLog) compact(i Index) {
	l.baseTerm, _ = l.term(i)
	if i == l.last {
		l.runs = nil
	} else {
		runs := append([]TermRun(nil), l.runs[l.run(i+1):]...)
		runs[0].First = i + 1
		l.runs = runs
	}
	l.base = i
	if l.first <= i {
		for k := l.first; k <= i; k++ {
			l.bytes -= l.window.at(k).Size()
		}
		l.window.dropFront(int(i - l.first + 1))
		l.first = i + 1
	}
}

// reset makes the log empty, beginning after the snapshot at i.
func (l *entryLog) reset(i Index, term Term) {
	*l = entryLog{base: i, baseTerm: term, last: i, first: i + 1}
}

// propose appends a leader's new entries, which weigh size together.
func (l *entryLog) propose(term Term, proposals []Proposal, size uint64) {
	if len(proposals) == 0 {
		return
	}
	if l.lastTerm() != term || len(l.runs) == 0 {
		l.runs = append(l.runs, TermRun{First: l.last + 1, Term: term})
	}
	piece := l.window.room(len(proposals))
	for i := range proposals {
		p := &proposals[i]
		l.last++
		*piece = append(*piece, Entry{Term: term, Index: l.last, Kind: p.Kind, Sum: p.Sum, Data: p.Data})
	}
	l.bytes += size
}
