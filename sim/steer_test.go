package sim_test

import (
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

func steered(t *testing.T, seed uint64, members int) *sim.World {
	t.Helper()
	w, err := sim.NewSteered(seed, sim.Setup{
		Members: members, Delay: sim.Span{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond}, Disk: sim.Span{Min: 2 * time.Millisecond, Max: 4 * time.Millisecond},
	}, sim.Options{Codec: wireCodec{}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// until lets time pass until a condition holds.
func until(t *testing.T, w *sim.World, what string, holds func(v *sim.View) bool) sim.View {
	t.Helper()
	for range 1000 {
		v := w.View()
		if v.Failure != nil || len(v.Violations) > 0 {
			t.Fatalf("waiting for %s: %v %v", what, v.Failure, v.Violations)
		}
		if holds(&v) {
			return v
		}
		w.AdvanceTo(w.Now() + 10*time.Millisecond)
	}
	t.Fatalf("never: %s", what)
	return sim.View{}
}

func leaderOf(v *sim.View) raft.MemberID {
	var best *sim.MemberView
	for i := range v.Members {
		if m := &v.Members[i]; m.Running && m.Status.Role == raft.Leader && (best == nil || m.Status.Term > best.Status.Term) {
			best = m
		}
	}
	if best == nil {
		return raft.NoMember
	}
	return best.ID
}

func done(id uint64) func(*sim.View) bool {
	return func(v *sim.View) bool { return v.Requests[id-1].Outcome == sim.OutcomeDone }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSteering walks through a group's life by hand.
func TestSteering(t *testing.T) {
	w := steered(t, 1, 3)
	v := until(t, w, "a leader", func(v *sim.View) bool { return leaderOf(v) != 0 })
	leader := leaderOf(&v)
	id, err := w.Ask(sim.Request{Client: 1, Verb: sim.VerbSet, Key: "x", Value: "5"})
	must(t, err)
	v = until(t, w, "the answer", done(id))
	if r := v.Requests[0]; !r.Reply.Wrote || r.Reply.Index != 2 {
		t.Errorf("%+v", r)
	}
	until(t, w, "x is 5 everywhere", func(v *sim.View) bool {
		for _, m := range v.Members {
			if len(m.Machine) != 1 || m.Machine[0] != (sim.KeyValue{Key: "x", Value: "5"}) {
				return false
			}
		}
		return true
	})
	must(t, w.Crash(leader))
	v = w.View()
	if m := v.Members[leader-1]; m.Running || m.Disk.Term == 0 || m.Status.Last < 2 || len(m.Entries) != int(m.Status.Last) {
		t.Errorf("the disk of the crashed leader: %+v", m)
	}
	v = until(t, w, "another leader", func(v *sim.View) bool { return leaderOf(v) != 0 })
	id, err = w.Ask(sim.Request{Client: 1, Verb: sim.VerbAdd, Key: "x", Value: "2", Retry: true})
	must(t, err)
	until(t, w, "the answer", done(id))
	must(t, w.Restart(leader))
	until(t, w, "the crashed one has x 7", func(v *sim.View) bool {
		m := v.Members[leader-1]
		return len(m.Machine) == 1 && m.Machine[0].Value == "7"
	})
	added, err := w.Add(raft.NoMember, false)
	must(t, err)
	until(t, w, "four voters", func(v *sim.View) bool { return len(v.Configuration.Voters()) == 4 })
	must(t, w.Remove(added))
	until(t, w, "three voters", func(v *sim.View) bool { return len(v.Configuration.Members) == 3 })
	v = w.View()
	to := leaderOf(&v)%3 + 1
	must(t, w.Transfer(to))
	until(t, w, "the transfer", func(v *sim.View) bool { return leaderOf(v) == to })
	must(t, w.Stop(to))
	must(t, w.Restart(to))
	must(t, w.Pause(to))
	until(t, w, "a leader that runs", func(v *sim.View) bool { l := leaderOf(v); return l != 0 && l != to })
	must(t, w.Resume(to))
}

// TestAWipedMemberIsAdmittedAnew loses a disk, and has the group take the member in again.
func TestAWipedMemberIsAdmittedAnew(t *testing.T) {
	w := steered(t, 2, 3)
	v := until(t, w, "a leader", func(v *sim.View) bool { return leaderOf(v) != 0 })
	id, err := w.Ask(sim.Request{Client: 1, Verb: sim.VerbSet, Key: "x", Value: "5"})
	must(t, err)
	until(t, w, "the answer", done(id))
	lost := leaderOf(&v)%3 + 1
	must(t, w.Wipe(lost))
	if m := w.View().Members[lost-1]; m.Running || m.Status.Last != 0 {
		t.Errorf("%+v", m)
	}
	must(t, w.Restart(lost))
	w.AdvanceTo(w.Now() + time.Second)
	_, err = w.Add(lost, false)
	must(t, err)
	until(t, w, "it has x, and votes again", func(v *sim.View) bool {
		m := v.Members[lost-1]
		return len(m.Machine) == 1 && len(v.Configuration.Voters()) == 3 && m.Status.Vote != 0 || len(m.Machine) == 1 && v.Configuration.IsVoter(lost)
	})
}

// TestPartitionByHand is the references' story of five: a leader in the minority cannot commit, and gives way when the links are mended.
func TestPartitionByHand(t *testing.T) {
	w := steered(t, 3, 5)
	v := until(t, w, "a leader", func(v *sim.View) bool { return leaderOf(v) != 0 })
	old := leaderOf(&v)
	minority := []raft.MemberID{old, old%5 + 1}
	var majority []raft.MemberID
	for id := raft.MemberID(1); id <= 5; id++ {
		if id != minority[0] && id != minority[1] {
			majority = append(majority, id)
		}
	}
	must(t, w.Partition([][]raft.MemberID{minority, majority}))
	three, err := w.Ask(sim.Request{Client: 1, Member: old, Verb: sim.VerbSet, Key: "x", Value: "3", Patience: time.Minute})
	must(t, err)
	v = until(t, w, "two leaders, or the old one gives up", func(v *sim.View) bool { l := leaderOf(v); return l != 0 && l != old })
	eight, err := w.Ask(sim.Request{Client: 2, Member: leaderOf(&v), Verb: sim.VerbSet, Key: "x", Value: "8"})
	must(t, err)
	until(t, w, "8 is committed", done(eight))
	w.HealLinks()
	until(t, w, "3 is answered or refused", func(v *sim.View) bool { return v.Requests[three-1].Ended() })
}

// TestMessagesByHand drops, holds up, doubles and hurries single messages.
func TestMessagesByHand(t *testing.T) {
	w := steered(t, 4, 3)
	v := until(t, w, "votes are asked for", func(v *sim.View) bool { return len(v.Flights) >= 2 })
	must(t, w.Drop(v.Flights[0].ID))
	must(t, w.Duplicate(v.Flights[1].ID))
	must(t, w.Delay(v.Flights[1].ID, 40*time.Millisecond))
	must(t, w.DeliverNow(v.Flights[1].ID))
	if err := w.Drop(v.Flights[0].ID); err == nil {
		t.Error("a message was dropped twice")
	}
	until(t, w, "a leader", func(v *sim.View) bool { return leaderOf(v) != 0 })
}

// TestTimeOutByHand makes a follower stand for election: with pre-vote the leader stays, without it the term rises.
func TestTimeOutByHand(t *testing.T) {
	for _, preVote := range []bool{true, false} {
		w := steered(t, 5, 3)
		must(t, w.Tune(raft.Tuning{DisablePreVote: !preVote, DisableCheckQuorum: !preVote}))
		v := until(t, w, "a leader", func(v *sim.View) bool { return leaderOf(v) != 0 && v.Committed > 0 })
		leader, term := leaderOf(&v), v.Members[leaderOf(&v)-1].Status.Term
		w.AdvanceTo(w.Now() + 100*time.Millisecond)
		must(t, w.TimeOut(leader%3+1))
		w.AdvanceTo(w.Now() + 500*time.Millisecond)
		v = w.View()
		if now := v.Members[leader-1].Status.Term; (now == term) != preVote {
			t.Errorf("pre-vote %v: the term was %d and is %d", preVote, term, now)
		}
	}
}

// TestARottenEntryIsRepaired flips a bit of a committed entry: the member notices at its start, does not vote, and has the entry from the leader again.
func TestARottenEntryIsRepaired(t *testing.T) {
	w := steered(t, 6, 3)
	v := until(t, w, "a leader", func(v *sim.View) bool { return leaderOf(v) != 0 })
	follower := leaderOf(&v)%3 + 1
	id, err := w.Ask(sim.Request{Client: 1, Verb: sim.VerbSet, Key: "x", Value: "5"})
	must(t, err)
	v = until(t, w, "the answer, and it is everywhere", func(v *sim.View) bool { return done(id)(v) && v.Members[follower-1].Status.Durable >= v.Committed })
	index := v.Requests[0].Reply.Index
	if err := w.Rot(follower, 1); err == nil {
		t.Error("an empty entry rots")
	}
	must(t, w.Rot(follower, index))
	must(t, w.Restart(follower))
	if v = w.View(); !v.Members[follower-1].Status.Faulty {
		t.Fatalf("it has not noticed: %+v", v.Members[follower-1].Status)
	}
	until(t, w, "it is repaired", func(v *sim.View) bool {
		m := v.Members[follower-1]
		return !m.Status.Faulty && len(m.Machine) == 1 && m.Machine[0].Value == "5"
	})
}

// TestADiskThatLiesTakesACommittedEntry: an entry is committed by the leader and a member whose disk lies. Both lose their power; without the leader, those who
// are left elect one that does not have it. The properties that Raft promises rest on disks that do not lie.
func TestADiskThatLiesTakesACommittedEntry(t *testing.T) {
	w := steered(t, 7, 3)
	v := until(t, w, "a leader", func(v *sim.View) bool { return leaderOf(v) != 0 && v.Committed > 1 })
	leader := leaderOf(&v)
	liar, away := leader%3+1, (leader+1)%3+1
	w.AdvanceTo(w.Now() + 200*time.Millisecond)
	must(t, w.Partition([][]raft.MemberID{{leader, liar}}))
	must(t, w.Lie(liar, true))
	id, err := w.Ask(sim.Request{Client: 1, Member: leader, Verb: sim.VerbSet, Key: "x", Value: "5"})
	must(t, err)
	until(t, w, "the answer", done(id))
	must(t, w.Crash(leader))
	must(t, w.Crash(liar))
	must(t, w.Restart(liar))
	w.HealLinks()
	w.AdvanceTo(w.Now() + 2*time.Second)
	again, err := w.Ask(sim.Request{Client: 2, Verb: sim.VerbRead, Key: "x"})
	must(t, err)
	w.AdvanceTo(w.Now() + time.Second)
	v = w.View()
	if v.Failure != nil {
		t.Fatal(v.Failure)
	}
	r := v.Requests[again-1]
	if r.Outcome != sim.OutcomeDone || r.Reply.Found || !r.Stale {
		t.Errorf("the read of what is lost: %+v", r)
	}
	broken := map[string]bool{}
	for _, violation := range v.Violations {
		broken[violation.Checker] = true
	}
	if !broken["promise"] || !broken["Leader Completeness"] || !broken["Linearizability"] {
		t.Errorf("noticed: %v", v.Violations)
	}
	if v.Members[away-1].Status.Role != raft.Leader && v.Members[liar-1].Status.Role != raft.Leader {
		t.Error("nobody leads")
	}
}
