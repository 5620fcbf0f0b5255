package engine

import (
	"sync"

	"github.com/balsa-raft/balsa/raft"
)

// waiters are the calls whose entries are in the log but not yet applied, by index. The turn adds, the applier takes.
//
// Invariant: the runs' indexes ascend and do not overlap.
type waiters struct {
	mu     sync.Mutex
	runs   []waitRun
	failed error // what everybody is answered, once set
}

// waitRun is a batch of calls that were proposed together: calls[i] waits for the entry first+i of that term.
type waitRun struct {
	first raft.Index
	term  raft.Term
	calls []*call
}

// add registers calls for consecutive entries. Calls that waited at or beyond first lost their place in this log; whether their entries
// can still come back from another member's log is unknown (figure 8), so that is what they are told.
func (w *waiters) add(first raft.Index, term raft.Term, calls []*call) {
	w.mu.Lock()
	if err := w.failed; err != nil {
		w.mu.Unlock()
		for _, c := range calls {
			c.finish(outcome{err: err})
		}
		return
	}
	var lost []*call
	for len(w.runs) > 0 {
		run := &w.runs[len(w.runs)-1]
		if run.first+raft.Index(len(run.calls)) <= first {
			break
		}
		keep := 0
		if run.first < first {
			keep = int(first - run.first)
		}
		lost = append(lost, run.calls[keep:]...)
		run.calls = run.calls[:keep]
		if keep > 0 {
			break
		}
		w.runs = w.runs[:len(w.runs)-1]
	}
	if last := len(w.runs) - 1; last >= 0 && w.runs[last].term == term && w.runs[last].first+raft.Index(len(w.runs[last].calls)) == first {
		w.runs[last].calls = append(w.runs[last].calls, calls...)
	} else {
		w.runs = append(w.runs, waitRun{first: first, term: term, calls: calls})
	}
	w.mu.Unlock()
	for _, c := range lost {
		c.finish(outcome{err: ErrIndeterminate})
	}
}

// take appends to calls, for each of the entries, the call that waits for it, or nil.
func (w *waiters) take(entries []raft.Entry, calls []*call) []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range entries {
		calls = append(calls, w.next(entries[i].Index, entries[i].Term))
	}
	return calls
}

// next returns the call that waits for this entry, or nil. Entries have to be asked for in ascending order. A call whose index went to an entry
// of another term surely did not happen: by leader completeness what is committed there is final. Nor did one that waits for an entry of an earlier
// term behind this one, since terms ascend along the log: it would wait for as long as nobody else writes.
func (w *waiters) next(index raft.Index, term raft.Term) (c *call) {
	for i := range w.runs {
		run := &w.runs[i]
		if run.term >= term {
			continue
		}
		keep := 0
		if run.first <= index {
			keep = min(len(run.calls), int(index-run.first)+1)
		}
		for _, passed := range run.calls[keep:] {
			passed.finish(outcome{err: ErrDropped, retry: true})
		}
		run.calls = run.calls[:keep]
	}
	for len(w.runs) > 0 {
		run := &w.runs[0]
		if run.first > index {
			return nil
		}
		if len(run.calls) == 0 {
			w.runs = w.runs[1:]
			continue
		}
		c, run.calls[0] = run.calls[0], nil
		at := run.first
		runTerm := run.term
		run.calls = run.calls[1:]
		run.first++
		switch {
		case at < index: // jumped over by a snapshot
			c.finish(outcome{err: ErrIndeterminate})
		case runTerm != term:
			c.finish(outcome{err: ErrDropped, retry: true})
			return nil
		default:
			return c
		}
	}
	return nil
}

// skip answers all that wait at or below index: a snapshot has carried the machine over their entries, so that nobody here knows what became of them.
func (w *waiters) skip(index raft.Index) {
	w.mu.Lock()
	var lost []*call
	for len(w.runs) > 0 && w.runs[0].first <= index {
		run := &w.runs[0]
		n := min(len(run.calls), int(index-run.first)+1)
		lost = append(lost, run.calls[:n]...)
		run.first += raft.Index(n)
		run.calls = run.calls[n:]
		if len(run.calls) > 0 {
			break
		}
		w.runs = w.runs[1:]
	}
	w.mu.Unlock()
	for _, c := range lost {
		if c != nil {
			c.finish(outcome{err: ErrIndeterminate})
		}
	}
}

// failBehind answers those that wait for entries behind index.
func (w *waiters) failBehind(index raft.Index, err error) {
	w.mu.Lock()
	var lost []*call
	for i := range w.runs {
		run := &w.runs[i]
		keep := len(run.calls)
		if last := run.first + raft.Index(keep); last > index+1 {
			keep = max(0, keep-int(last-index-1))
		}
		lost = append(lost, run.calls[keep:]...)
		run.calls = run.calls[:keep]
	}
	w.mu.Unlock()
	for _, c := range lost {
		if c != nil {
			c.finish(outcome{err: err})
		}
	}
}

// failAll answers everybody, now and from now on.
func (w *waiters) failAll(err error) {
	w.mu.Lock()
	runs := w.runs
	w.runs, w.failed = nil, err
	w.mu.Unlock()
	for _, run := range runs {
		for _, c := range run.calls {
			c.finish(outcome{err: err})
		}
	}
}
