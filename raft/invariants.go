package raft

import "fmt"

// checkedState is what the change since the last Check is judged by.
type checkedState struct {
	term                    Term
	vote                    MemberID
	role                    Role
	leader                  MemberID
	commit, handed, applied Index
	base, last              Index
	lastTerm                Term
	seq                     uint64
	matches                 []checkedMatch
	// whole counts the calls since all entries in memory were looked at.
	whole int
}

type checkedMatch struct {
	id          MemberID
	incarnation uint64
	match       Index
}

// Check tells whether the member's state is legal, and so is the step that led to it from the state at the last call. Tests and
// the simulator call it after every input. Of a long log it looks at what is new, and at all that is in memory now and then. Any error is a
// bug in this package.
func (c *Core) Check() error {
	err := c.checkLog()
	if err == nil {
		err = c.checkIndexes()
	}
	if err == nil {
		err = c.checkRole()
	}
	if err == nil {
		err = c.checkConfigurations()
	}
	if err == nil {
		err = c.checkLeader()
	}
	if err == nil {
		err = c.checkDelta()
	}
	if err != nil {
		return fmt.Errorf("raft: member %d, %v in term %d: %w", c.cfg.ID, c.role, c.term, err)
	}
	c.rememberForCheck()
	return nil
}

func (c *Core) checkLog() error {
	l := &c.log
	index, term := l.base, l.baseTerm
	for i, run := range l.runs {
		switch {
		case i == 0 && run.First != l.base+1:
			return fmt.Errorf("terms begin at %d, the log at %d", run.First, l.base+1)
		case run.First <= index || run.First > l.last:
			return fmt.Errorf("run of term %d at %d is out of place", run.Term, run.First)
		case run.Term < term || (i > 0 && run.Term == term):
			return fmt.Errorf("term %d at %d follows term %d", run.Term, run.First, term)
		}
		index, term = run.First, run.Term
	}
	if (len(l.runs) == 0) != (l.last == l.base) {
		return fmt.Errorf("log (%d, %d] has %d runs", l.base, l.last, len(l.runs))
	}
	held := 0
	for _, piece := range l.window.pieces {
		// By their first entries the others are found.
		if at := l.first + Index(held); len(piece) == 0 || piece[0].Index != at {
			return fmt.Errorf("piece of %d entries in the window is not at %d", len(piece), at)
		}
		held += len(piece)
	}
	if held != l.window.count {
		return fmt.Errorf("window of %d entries has %d", l.window.count, held)
	}
	if l.first <= l.base || l.first+Index(l.window.count) != l.last+1 {
		return fmt.Errorf("window [%d, +%d) does not end the log (%d, %d]", l.first, l.window.count, l.base, l.last)
	}
	if err := c.checkEntries(); err != nil {
		return err
	}
	if l.lastTerm() > c.term {
		return fmt.Errorf("entry of term %d in term %d", l.lastTerm(), c.term)
	}
	return nil
}

// How much of the entries in memory every Check looks at.
const (
	checkAlways = 32 // entries that are looked at in any case
	checkRarely = 64 // calls of which one looks at all of them
)

// checkEntries looks at the entries in memory: their places, and what they weigh together.
func (c *Core) checkEntries() error {
	l := &c.log
	if was := c.checked; was != nil && l.window.count > checkAlways && was.whole < checkRarely && was.last <= l.last && was.last >= l.first {
		if term, _ := l.term(was.last); term == was.lastTerm {
			return c.checkPlaces(was.last) // What was there is there, by Log Matching.
		}
	}
	if err := c.checkPlaces(l.first); err != nil {
		return err
	}
	var bytes uint64
	for _, piece := range l.window.pieces {
		for i := range piece {
			bytes += piece[i].Size()
		}
	}
	if bytes != l.bytes {
		return fmt.Errorf("window weighs %d, counted %d", bytes, l.bytes)
	}
	if c.checked != nil {
		c.checked.whole = 0
	}
	return nil
}

// checkPlaces checks that the entries in memory from an index on have the index and term that the log says.
func (c *Core) checkPlaces(from Index) error {
	l := &c.log
	if from > l.last {
		return nil
	}
	run := l.run(from)
	for piece, place := l.window.find(from); from <= l.last; piece, place = piece+1, 0 {
		entries := l.window.pieces[piece][place:]
		for i := range entries {
			if run+1 < len(l.runs) && l.runs[run+1].First == from {
				run++
			}
			if e := &entries[i]; e.Index != from || e.Term != l.runs[run].Term {
				return fmt.Errorf("entry %d@%d is out of place", e.Index, e.Term)
			}
			from++
		}
	}
	return nil
}

func (c *Core) checkIndexes() error {
	d := &c.disk
	switch {
	case c.log.base > c.applied || c.applied > c.handed || c.handed > c.commit || c.commit > c.log.last:
		return fmt.Errorf("out of order: base %d, applied %d, handed out %d, commit %d, last %d",
			c.log.base, c.applied, c.handed, c.commit, c.log.last)
	case c.handed > d.durable:
		return fmt.Errorf("handed out %d, durable is %d", c.handed, d.durable)
	case d.durable >= d.next || d.next > c.log.last+1:
		return fmt.Errorf("durable %d, next to persist %d, last %d", d.durable, d.next, c.log.last)
	case c.log.first > min(c.applied, d.durable)+1 && c.log.first > c.restoredLast+1:
		return fmt.Errorf("window begins at %d, applied %d, durable %d", c.log.first, c.applied, d.durable)
	}
	last := d.durable
	for i, p := range d.pending {
		if p.last < last || p.last >= d.next || p.seq > d.seq || (i > 0 && p.seq <= d.pending[i-1].seq) {
			return fmt.Errorf("persist %d up to %d is out of order", p.seq, p.last)
		}
		last = max(last, p.last)
	}
	return nil
}

func (c *Core) checkRole() error {
	roles := 0
	for _, has := range [...]bool{c.following != nil, c.campaign != nil, c.leading != nil} {
		if has {
			roles++
		}
	}
	switch {
	case roles != 1:
		return fmt.Errorf("%d states of roles", roles)
	case (c.role == Follower) != (c.following != nil) || (c.role == Leader) != (c.leading != nil):
		return fmt.Errorf("state of another role")
	case c.role == Leader && c.leaderID != c.cfg.ID:
		return fmt.Errorf("§5.2: a leader that takes %d for the leader", c.leaderID)
	case c.role != Leader && c.leaderID == c.cfg.ID:
		return fmt.Errorf("§5.2: takes itself for the leader")
	case c.campaign != nil && c.leaderID != NoMember:
		return fmt.Errorf("§5.2: campaigns under leader %d", c.leaderID)
	case (c.role == Candidate) && c.vote != c.cfg.ID:
		return fmt.Errorf("§5.2: a candidate that voted for %d", c.vote)
	case c.role != Follower && (c.installing != nil || c.repair != nil):
		return fmt.Errorf("its log is being replaced or repaired")
	}
	return nil
}

func (c *Core) checkConfigurations() error {
	if len(c.confs) == 0 {
		return fmt.Errorf("there is no configuration")
	}
	last := c.confs[0].Index
	if last > c.log.base && c.log.base > 0 {
		return fmt.Errorf("the configuration at the base %d is of %d", c.log.base, last)
	}
	for _, at := range c.confs[1:] {
		if at.Index <= last || at.Index > c.log.last {
			return fmt.Errorf("configuration at %d is out of place", at.Index)
		}
		if err := at.Configuration.Validate(); err != nil {
			return fmt.Errorf("configuration at %d: %w", at.Index, err)
		}
		last = at.Index
	}
	return nil
}

func (c *Core) checkLeader() error {
	l := c.leading
	if l == nil {
		return nil
	}
	if l.self == nil || l.self.match != c.disk.durable {
		return fmt.Errorf("own match is not what is durable here, %d", c.disk.durable)
	}
	if term, ok := c.log.term(l.noop); ok && term != c.term {
		return fmt.Errorf("§8: the first entry of the term, %d, has term %d", l.noop, term)
	}
	for _, p := range l.peers {
		if p.match > c.log.last || p.next > c.log.last+1 || p.next == 0 {
			return fmt.Errorf("member %d: match %d, next %d, last %d", p.id, p.match, p.next, c.log.last)
		}
		if p.state == Replicating && p.inflight.count > c.cfg.MaxInflightMessages {
			return fmt.Errorf("member %d: %d messages in flight", p.id, p.inflight.count)
		}
	}
	if l.uncommittedFrom < c.log.first {
		return fmt.Errorf("what is not committed begins at %d, and the window at %d", l.uncommittedFrom, c.log.first)
	}
	var uncommitted uint64
	for i := l.uncommittedFrom; i <= c.log.last; i++ {
		uncommitted += c.log.window.at(i).Size()
	}
	if uncommitted != l.uncommitted {
		return fmt.Errorf("%d uncommitted bytes, counted %d", uncommitted, l.uncommitted)
	}
	return nil
}

func (c *Core) checkDelta() error {
	was := c.checked
	if was == nil {
		return nil
	}
	switch {
	case c.term < was.term:
		return fmt.Errorf("figure 2: term went back from %d", was.term)
	case c.term == was.term && was.vote != NoMember && c.vote != was.vote:
		return fmt.Errorf("§5.2: vote changed from %d to %d", was.vote, c.vote)
	case c.term == was.term && was.leader != NoMember && c.leaderID != NoMember && c.leaderID != was.leader:
		return fmt.Errorf("§5.2: leader changed from %d to %d within a term", was.leader, c.leaderID)
	case c.commit < was.commit || c.handed < was.handed || c.applied < was.applied || c.log.base < was.base:
		return fmt.Errorf("figure 2: went back: commit %d from %d, handed out %d from %d, applied %d from %d, base %d from %d",
			c.commit, was.commit, c.handed, was.handed, c.applied, was.applied, c.log.base, was.base)
	case c.disk.seq < was.seq:
		return fmt.Errorf("persist %d after %d", c.disk.seq, was.seq)
	case was.role == Leader && c.role == Leader && was.term == c.term && c.log.last < was.last:
		return fmt.Errorf("§5.3: a leader removed entries: last was %d, is %d", was.last, c.log.last)
	case was.role == Leader && c.role == Candidate && c.term == was.term:
		return fmt.Errorf("figure 4: a leader became a candidate")
	}
	if c.role != Leader || was.term != c.term {
		return nil
	}
	for _, m := range was.matches {
		p := c.leading.peer(m.id)
		if p != nil && p.incarnation == m.incarnation && p.match < m.match && p != c.leading.self {
			return fmt.Errorf("member %d: match went back from %d to %d", m.id, m.match, p.match)
		}
	}
	return nil
}

// rememberForCheck keeps what the next step is judged by.
func (c *Core) rememberForCheck() {
	if c.checked == nil {
		c.checked = &checkedState{}
	}
	*c.checked = checkedState{
		term: c.term, vote: c.vote, role: c.role, leader: c.leaderID, commit: c.commit, handed: c.handed, applied: c.applied,
		base: c.log.base, last: c.log.last, lastTerm: c.log.lastTerm(), seq: c.disk.seq, matches: c.checked.matches[:0], whole: c.checked.whole + 1,
	}
	if c.leading == nil {
		return
	}
	for _, p := range c.leading.peers {
		if !p.leaving { // Who left and is added again begins anew.
			c.checked.matches = append(c.checked.matches, checkedMatch{id: p.id, incarnation: p.incarnation, match: p.match})
		}
	}
}
