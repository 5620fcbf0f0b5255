package raft

import (
	"math/rand/v2"
	"testing"
)

// TestTheLogBehavesLikeAListOfTerms compares the log with the plainest model there is.
func TestTheLogBehavesLikeAListOfTerms(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		l := &entryLog{first: 1}
		terms := []Term{0} // terms[i] is that of index i
		base := 0
		term := Term(1)
		for range 200 {
			switch rng.IntN(6) {
			case 0, 1, 2:
				var list []Entry
				for range 1 + rng.IntN(4) {
					if rng.IntN(4) == 0 {
						term += Term(1 + rng.IntN(2))
					}
					list = append(list, Entry{Term: term, Index: Index(len(terms)), Data: make([]byte, rng.IntN(20))})
					terms = append(terms, term)
				}
				l.append(list)
			case 3:
				if len(terms)-1 > base {
					i := base + 1 + rng.IntN(len(terms)-1-base)
					l.truncate(Index(i))
					terms = terms[:i]
					term = max(term, 1)
				}
			case 4:
				if len(terms)-1 > base {
					base += 1 + rng.IntN(len(terms)-1-base)
					l.compact(Index(base))
				}
			case 5:
				l.evict(Index(base+rng.IntN(len(terms)-base)), uint64(rng.IntN(500)))
			}
			compareLog(t, l, terms, Index(base))
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

func compareLog(t *testing.T, l *entryLog, terms []Term, base Index) {
	t.Helper()
	if l.base != base || l.last != Index(len(terms)-1) || l.lastTerm() != terms[len(terms)-1] {
		t.Errorf("log (%d, %d] ends in term %d, want (%d, %d] and %d", l.base, l.last, l.lastTerm(), base, len(terms)-1, terms[len(terms)-1])
		return
	}
	for i := Index(0); i <= l.last+1; i++ {
		term, ok := l.term(i)
		if ok != (i >= base && i <= l.last) || (ok && term != terms[i]) {
			t.Errorf("term at %d is %d, %v", i, term, ok)
		}
	}
	for i := base + 1; i <= l.last; i++ {
		first := i
		for first > base+1 && terms[first-1] == terms[i] {
			first--
		}
		if got := l.firstOfTerm(i); got != first {
			t.Errorf("the first of the term at %d is %d, want %d", i, got, first)
		}
		want := i
		for want > base && terms[want] > terms[i]-1 {
			want--
		}
		if got := l.lastUpTo(i, terms[i]-1); got != want {
			t.Errorf("the last up to %d of a term before %d is %d, want %d", i, terms[i], got, want)
		}
	}
	if got := Index(l.window.count); got != l.last+1-l.first {
		t.Errorf("%d entries in the window of [%d, %d]", got, l.first, l.last)
	}
	for i := l.first; i <= l.last; i++ {
		if e := l.window.at(i); e.Index != i || e.Term != terms[i] {
			t.Errorf("entry %d@%d in the window at %d", e.Index, e.Term, i)
		}
	}
	for k := range min(8, l.window.count) {
		from := l.first + Index(k*l.window.count/8)
		to := max(from, l.last-Index(k/2*l.window.count/9))
		part := l.slice(from, to)
		if len(part) != int(to-from)+1 || cap(part) != len(part) || part[0].Index != from || part[len(part)-1].Index != to {
			t.Errorf("the slice [%d, %d] has %d entries from %d on, capacity %d", from, to, len(part), part[0].Index, cap(part))
		}
	}
	if l.window.count > 0 {
		part, size := l.limited(l.first, 50)
		if len(part) == 0 || (len(part) > 1 && size > 50) || cap(part) != len(part) {
			t.Errorf("%d entries of %d bytes within 50, capacity %d", len(part), size, cap(part))
		}
	}
}

func TestUpToDate(t *testing.T) {
	l := &entryLog{first: 1}
	l.append(entries(1, 1, 2, 2))
	for _, c := range []struct {
		last Index
		term Term
		want bool
	}{{3, 2, true}, {4, 2, true}, {2, 2, false}, {1, 3, true}, {9, 1, false}, {0, 0, false}} {
		if got := l.upToDate(c.last, c.term); got != c.want {
			t.Errorf("%d@%d: %v", c.last, c.term, got)
		}
	}
}
