package raft

import (
	"fmt"
	"slices"
)

// TermRun says that the entries from First on, up to the next run, are of one term. A list of runs describes the terms of a whole
// log in a few words, because terms never decrease along a log.
type TermRun struct {
	First Index
	Term  Term
}

// ConfigurationAt is a configuration together with the index of the entry that carried it; 0 for the one of the bootstrap.
type ConfigurationAt struct {
	Index         Index
	Configuration Configuration
}

// IndexRange is the closed range of indexes [From, To].
type IndexRange struct {
	From, To Index
}

// Restored is what a member has on stable storage when it starts. The core owns its slices from then on.
type Restored struct {
	HardState HardState
	// Snapshot is where the log begins: everything up to Snapshot.Index is compacted, or in a snapshot. A zero Index with a
	// Configuration is a bootstrap: every founding member is created with the same Configuration and an empty log. All zero is a
	// member that waits to be added.
	Snapshot SnapshotMeta
	// LastIndex is the last entry of the log; Terms are the runs of the entries in (Snapshot.Index, LastIndex].
	LastIndex Index
	Terms     []TermRun
	// Entries is any suffix of the log, maybe empty, to be kept in memory.
	Entries []Entry
	// Configurations lists every configuration entry in (Snapshot.Index, LastIndex], ascending.
	Configurations []ConfigurationAt
	// Applied is what the state machine already has. The commit index starts at max(Snapshot.Index, Applied).
	Applied Index
	// Faulty lists ranges of the log that the disk lost below the proven sync point. While any is left the member neither votes, nor
	// campaigns, nor acknowledges at or beyond it, until the leader has sent the entries again (see repair.go).
	Faulty []IndexRange
}

// check tells what is inconsistent in what was restored. A log that contradicts itself must not take part in consensus.
func (r *Restored) check() error {
	s := &r.Snapshot
	switch {
	case r.HardState.Term > maxTerm:
		return fmt.Errorf("raft: restored term %d is out of range", r.HardState.Term)
	case r.LastIndex > maxIndex:
		return fmt.Errorf("raft: restored last index %d is out of range", r.LastIndex)
	case r.LastIndex < s.Index:
		return fmt.Errorf("raft: restored log ends at %d, before its snapshot at %d", r.LastIndex, s.Index)
	case r.Applied > r.LastIndex:
		return fmt.Errorf("raft: the state machine has applied %d, but the log ends at %d: the log lost entries it had acknowledged",
			r.Applied, r.LastIndex)
	case s.Index > 0 && s.Term == 0:
		return fmt.Errorf("raft: restored snapshot at %d has no term", s.Index)
	case s.ConfigurationIndex > s.Index:
		return fmt.Errorf("raft: restored snapshot at %d has a later configuration, of %d", s.Index, s.ConfigurationIndex)
	}
	if err := s.Configuration.Validate(); err != nil && !s.Configuration.empty() {
		return fmt.Errorf("raft: restored snapshot at %d: %w", s.Index, err)
	}
	if err := checkRuns(r.Terms, s, r.LastIndex, r.HardState.Term); err != nil {
		return err
	}
	if err := r.checkEntries(); err != nil {
		return err
	}
	last := s.Index
	for _, at := range r.Configurations {
		if at.Index <= last || at.Index > r.LastIndex {
			return fmt.Errorf("raft: restored configuration at %d is out of order or out of the log", at.Index)
		}
		if err := at.Configuration.Validate(); err != nil {
			return fmt.Errorf("raft: restored configuration at %d: %w", at.Index, err)
		}
		last = at.Index
	}
	for _, f := range r.Faulty {
		if f.From > f.To || f.From <= s.Index || f.To > r.LastIndex {
			return fmt.Errorf("raft: faulty range [%d, %d] is outside of the log (%d, %d]", f.From, f.To, s.Index, r.LastIndex)
		}
	}
	return nil
}

func checkRuns(runs []TermRun, s *SnapshotMeta, last Index, current Term) error {
	if len(runs) == 0 {
		if last != s.Index {
			return fmt.Errorf("raft: restored log (%d, %d] comes without its terms", s.Index, last)
		}
		return nil
	}
	if runs[0].First != s.Index+1 {
		return fmt.Errorf("raft: the terms of the restored log begin at %d instead of %d", runs[0].First, s.Index+1)
	}
	index, term := s.Index, s.Term
	for i, run := range runs {
		if run.First <= index || run.First > last || run.Term < term || run.Term == 0 || (i > 0 && run.Term == term) {
			return fmt.Errorf("raft: restored log: run of term %d at %d follows term %d at %d", run.Term, run.First, term, index)
		}
		index, term = run.First, run.Term
	}
	if term > current {
		return fmt.Errorf("raft: restored log has an entry of term %d, but the current term is %d: the vote record is older than the log",
			term, current)
	}
	return nil
}

func (r *Restored) checkEntries() error {
	if len(r.Entries) == 0 {
		return nil
	}
	first := r.Entries[0].Index
	if first <= r.Snapshot.Index || first+Index(len(r.Entries)) != r.LastIndex+1 {
		return fmt.Errorf("raft: restored entries begin at %d, are %d, and do not end at %d", first, len(r.Entries), r.LastIndex)
	}
	run := 0
	for i := range r.Entries {
		e := &r.Entries[i]
		for run+1 < len(r.Terms) && r.Terms[run+1].First <= first+Index(i) {
			run++
		}
		if e.Index != first+Index(i) || e.Term != r.Terms[run].Term {
			return fmt.Errorf("raft: restored entry %d@%d does not fit the log, which has term %d at %d",
				e.Index, e.Term, r.Terms[run].Term, first+Index(i))
		}
	}
	return nil
}

// firstFaulty returns the lowest faulty index above applied, and 0 if there is none.
func (r *Restored) firstFaulty(applied Index) Index {
	var lowest Index
	for _, f := range r.Faulty {
		if f.To <= applied {
			continue
		}
		from := max(f.From, applied+1)
		if lowest == 0 || from < lowest {
			lowest = from
		}
	}
	return lowest
}

// lowestFaulty returns the lowest faulty index there is.
func (r *Restored) lowestFaulty() Index {
	lowest := r.Faulty[0].From
	for _, f := range r.Faulty {
		lowest = min(lowest, f.From)
	}
	return lowest
}

// lastFaultyApplied returns the highest faulty index that the state machine already has, and 0 if there is none.
func (r *Restored) lastFaultyApplied(applied Index) Index {
	var highest Index
	for _, f := range r.Faulty {
		if f.From <= applied {
			highest = max(highest, min(f.To, applied))
		}
	}
	return highest
}

// isFaulty tells whether index i is in one of the ranges.
func (r *Restored) isFaulty(i Index) bool {
	return slices.ContainsFunc(r.Faulty, func(f IndexRange) bool { return f.From <= i && i <= f.To })
}
