// Package tally is a replicated count of votes with a bug in it, for the sake of the test beside it: where two candidates have as many votes, the winner is
// the one that a map names first, which is another one on every member, and every time. Such a bug passes most tests, and then members differ
// for good. The simulator finds it by asking several members, and one that is all alone.
package tally

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/balsa-raft/balsa"
)

// Tally counts votes. A command is a candidate's name; the answer is who is ahead.
type Tally struct {
	votes map[string]int
	ahead string
	// fair is what makes the difference: with it, the bug is not there.
	fair bool
}

// New makes a tally without votes.
func New(fair bool) *Tally { return &Tally{votes: map[string]int{}, fair: fair} }

// Apply implements balsa.StateMachine.
func (t *Tally) Apply(entries []balsa.Entry) []balsa.Result {
	results := make([]balsa.Result, len(entries))
	for i, e := range entries {
		t.votes[string(e.Data)]++
		t.ahead = t.leader()
		results[i].Data = []byte(t.ahead)
	}
	return results
}

// leader names a candidate that nobody has more votes than.
func (t *Tally) leader() (best string) {
	if t.fair {
		names := slices.Sorted(maps.Keys(t.votes))
		return slices.MaxFunc(names, func(a, b string) int { return cmp.Compare(t.votes[a], t.votes[b]) })
	}
	for name, n := range t.votes { // The bug: the order of a map is not the same on all members.
		if n > t.votes[best] {
			best = name
		}
	}
	return best
}

type saved struct {
	Votes map[string]int
	Ahead string
}

// Snapshot implements balsa.StateMachine.
func (t *Tally) Snapshot() (balsa.SnapshotWriter, error) {
	b, err := json.Marshal(saved{t.votes, t.ahead}) // which sorts the keys
	return balsa.SnapshotBytes(b), err
}

// Restore implements balsa.StateMachine.
func (t *Tally) Restore(r io.Reader) error {
	var s saved
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	t.votes, t.ahead = s.Votes, s.Ahead
	return nil
}
