package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// ledger is what is known for certain of the commands of a group: their order, which all agree on, and what the oracle answers to each. It is kept as
// the first machine applies a command, and bounded: what is older than retain commands is forgotten, and can no longer be judged.
type ledger struct {
	group *group
	deeds []deed // by index; the oldest are dropped
	// dropped is the index of the newest deed that is forgotten.
	dropped raft.Index
	byID    map[uint64]raft.Index

	// oracle has carried out all deeds. marks are earlier states of it, one for each markEvery deeds, and cursor the one that was used last to look back.
	oracle Model
	marks  []mark
	cursor mark
	// hashes are those of the machines' states, by the index of the last command they have applied.
	hashes map[raft.Index]stateFact
}

// deed is a command that was applied.
type deed struct {
	index   raft.Index
	term    raft.Term
	id      uint64
	sum     uint32
	chain   uint64
	command []byte
	answer  []byte // the oracle's
}

// mark is the oracle as of an index.
type mark struct {
	index raft.Index
	model Model
}

// stateFact is the hash of a state, and whose machine had it first; the oracle is nobody.
type stateFact struct {
	hash uint64
	by   raft.MemberID
}

const (
	// retain is how many deeds a ledger remembers at least.
	retain    = 8192
	markEvery = 64
)

func newLedger(g *group, oracle Model) *ledger {
	return &ledger{
		group: g, byID: map[uint64]raft.Index{}, oracle: oracle, marks: []mark{{model: oracle.Clone()}}, hashes: map[raft.Index]stateFact{},
	}
}

// last is the newest deed's index.
func (l *ledger) last() raft.Index {
	if n := len(l.deeds); n > 0 {
		return l.deeds[n-1].index
	}
	return 0
}

// find returns the deed at an index, or nil.
func (l *ledger) find(index raft.Index) *deed {
	i := sort.Search(len(l.deeds), func(i int) bool { return l.deeds[i].index >= index })
	if i == len(l.deeds) || l.deeds[i].index != index {
		return nil
	}
	return &l.deeds[i]
}

// chainAt returns the chain of a machine that has applied everything up to an index; false if that is forgotten.
func (l *ledger) chainAt(index raft.Index) (uint64, bool) {
	i := sort.Search(len(l.deeds), func(i int) bool { return l.deeds[i].index > index })
	switch {
	case i > 0:
		return l.deeds[i-1].chain, true
	case index < l.dropped:
		return 0, false
	}
	return 0, l.dropped == 0
}

// add enters the next deed, and has the oracle answer it.
func (l *ledger) add(a *applied) *deed {
	command := bytes.Clone(a.command)
	e := engine.Entry{Index: a.entry.Index, Term: a.entry.Term, Data: command, Local: true}
	d := deed{index: e.Index, term: e.Term, id: a.id, sum: raft.Sum(a.entry.Data), chain: a.chain, command: command, answer: l.oracle.Apply(e)}
	l.byID[a.id] = d.index
	l.deeds = append(l.deeds, d)
	if h, ok := l.oracle.(Hasher); ok && d.index%l.group.stride() == 0 {
		l.hashes[d.index] = stateFact{hash: h.Hash()}
	}
	if len(l.deeds)%markEvery == 0 {
		l.marks = append(l.marks, mark{index: d.index, model: l.oracle.Clone()})
	}
	if len(l.deeds) >= 2*retain {
		l.forget()
	}
	return &l.deeds[len(l.deeds)-1]
}

// forget drops the older half.
func (l *ledger) forget() {
	old := l.deeds[:len(l.deeds)-retain]
	for i := range old {
		delete(l.byID, old[i].id)
	}
	l.dropped = old[len(old)-1].index
	l.deeds = slices.Clone(l.deeds[len(old):])
	for len(l.marks) > 1 && l.marks[1].index <= l.dropped {
		l.marks = l.marks[1:]
	}
	l.marks = slices.Clone(l.marks)
	maps.DeleteFunc(l.hashes, func(i raft.Index, _ stateFact) bool { return i <= l.dropped })
}

// asOf returns the oracle as of an index, to be read and not to be kept; nil if it is forgotten.
func (l *ledger) asOf(index raft.Index) Model {
	if index >= l.last() {
		return l.oracle
	}
	at := sort.Search(len(l.marks), func(i int) bool { return l.marks[i].index > index }) - 1
	if at < 0 || l.marks[at].index < l.dropped {
		return nil
	}
	if l.cursor.model == nil || l.cursor.index > index || l.cursor.index < l.marks[at].index {
		l.cursor = mark{index: l.marks[at].index, model: l.marks[at].model.Clone()}
	}
	from := sort.Search(len(l.deeds), func(i int) bool { return l.deeds[i].index > l.cursor.index })
	for i := from; i < len(l.deeds) && l.deeds[i].index <= index; i++ {
		d := &l.deeds[i]
		l.cursor.model.Apply(engine.Entry{Index: d.index, Term: d.term, Data: d.command, Local: true})
		l.cursor.index = d.index
	}
	return l.cursor.model
}

// hashed notes the hash of a machine's state, and says what is wrong with it: another state was there at that index.
func (l *ledger) hashed(by raft.MemberID, index raft.Index, hash uint64) string {
	known, ok := l.hashes[index]
	switch {
	case !ok && index > l.dropped:
		l.hashes[index] = stateFact{hash: hash, by: by}
	case ok && known.hash != hash && known.by == raft.NoMember:
		return fmt.Sprintf("has the state %016x at %d, and a machine of which each command was asked alone, in the order of the log, has %016x", hash, index, known.hash)
	case ok && known.hash != hash:
		return fmt.Sprintf("has the state %016x at %d, and that of n%d had %016x", hash, index, known.by, known.hash)
	}
	return ""
}
