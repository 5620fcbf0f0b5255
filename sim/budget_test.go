package sim

import (
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// TestTheBudgetGoesByTheConfigurationThatTheGroupHas leaves a leader behind that still leads an earlier configuration: by its word more disks would be damaged than
// the group can do without.
func TestTheBudgetGoesByTheConfigurationThatTheGroupHas(t *testing.T) {
	w, g := quietWorld(t)
	victim := w.hosts[0]
	if !w.mayHurt(victim) {
		t.Fatal("one of three disks may be damaged, if all is well")
	}
	leader := g.leader()
	other := leader.running.Core().Configuration().Clone()
	other.Members = other.Members[:2]
	e := raft.Entry{Kind: raft.EntryConfiguration, Index: g.size() + 1, Term: leader.term + 1, Data: other.Encode(nil)}
	e.Sum = raft.Sum(e.Data)
	g.configurations.see(&e)
	if !w.mayHurt(victim) {
		t.Fatal("a configuration that no log has any more changes nothing")
	}
	var follower *member
	for _, m := range g.members {
		if m != leader {
			follower = m
		}
	}
	was := follower.log
	follower.log.records = append(append([]record(nil), was.records[:g.size()-was.base]...), record{term: e.Term, sum: e.Sum})
	if w.mayHurt(victim) {
		t.Error("another configuration is on its way, which the leader has not heard of")
	}
	follower.log = was
	g.commit(fact{record: record{term: e.Term, sum: e.Sum}, in: e.Term})
	if w.mayHurt(victim) {
		t.Error("another configuration is committed, which the leader has not heard of")
	}
}
