package sim

import (
	"math"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// quietWorld is a world of three members without faults, in which clients have worked for a while.
func quietWorld(t *testing.T) (*World, *group) {
	t.Helper()
	regime := Draw(7, Options{Members: 3, Groups: 1, Duration: time.Minute, Faults: []string{}, Workload: "registers"})
	regime.Changes, regime.Transfers = 0, 0
	regime.Core.DisablePreVote, regime.Core.DisableCheckQuorum, regime.Core.QuiesceAfter = false, false, 0
	w := NewWorld(7, Options{Regime: &regime})
	for w.now < 5*time.Second && w.Step() {
	}
	g := w.groups[0]
	if w.failure != nil || g.leader() == nil || g.answers.acknowledged == 0 {
		t.Fatalf("the world is not as it should be: %v, %d acknowledged", w.failure, g.answers.acknowledged)
	}
	return w, g
}

// find returns the group's checker of a type.
func find[C checker](g *group) (c C) {
	for _, other := range g.checkers {
		if found, ok := other.(C); ok {
			c = found
		}
	}
	return c
}

// takeSnapshots has a member take over more snapshots in the calm than it may need, and something happen before each.
func takeSnapshots(w *World, g *group, m *member, between func()) {
	w.healing, w.healed, w.regime.Calm = true, w.now, time.Hour
	for range 2 * mostSnapshots {
		w.now += 200 * time.Millisecond
		between()
		find[*checkSnapshots](g).restored(m, head{})
	}
}

// TestEveryCheckerSees shows each checker a history that is wrong, and wants it to say so. What is not wrong about it is as it was in a run that is right.
func TestEveryCheckerSees(t *testing.T) {
	// newest is the index of the last entry that all have committed, applied and in their logs.
	newest := func(g *group) raft.Index {
		i := g.answers.acknowledged
		for _, m := range g.members {
			i = min(i, m.commit, m.machine.last)
		}
		return i
	}
	follower := func(g *group) *member {
		for _, m := range g.members {
			if m != g.leader() {
				return m
			}
		}
		return nil
	}
	done := func(g *group, d *deed) Operation {
		return Operation{Group: g.id, Client: 1, Host: 1, ID: d.id, Outcome: OutcomeDone, Answer: d.answer, Index: d.index}
	}
	for _, c := range []struct {
		what, property string
		show           func(w *World, g *group)
	}{
		{"nothing wrong", "", func(w *World, g *group) {
			for _, m := range g.members {
				find[*checkDurable](g).recovered(m, nil)
				find[*checkMachine](g).recovered(m, nil)
				find[*checkReturn](g).recovered(m, &m.log)
				m.readBack(m.log.base+1, math.MaxUint64)
				m.machine.compare()
			}
			w.progress.see()
			w.progress.judge(g)
		}},
		{"two leaders of a term", "Election Safety", func(_ *World, g *group) {
			find[*checkElection](g).elected(follower(g), g.leader().term, 1)
		}},
		{"a leader nobody elected makes entries", "Election Safety", func(_ *World, g *group) {
			delete(find[*checkElection](g).leaders, g.leader().term)
			find[*checkElection](g).appended(g.leader(), 1)
		}},
		{"two votes in a term", "Election Safety", func(_ *World, g *group) {
			for to := raft.MemberID(1); to <= 2; to++ {
				find[*checkPromise](g).sent(g.members[2], &raft.VoteReply{Header: raft.Header{From: 3, To: to, Term: 99}, Granted: true})
			}
		}},
		{"another entry at the same place", "Log Matching", func(_ *World, g *group) {
			m := follower(g)
			m.log.records[len(m.log.records)-1].sum++
			find[*checkLog](g).appended(m, m.log.last())
		}},
		{"another entry before the same place", "Log Matching", func(_ *World, g *group) {
			m := follower(g)
			m.log.records[len(m.log.records)-2].term--
			find[*checkLog](g).appended(m, m.log.last())
		}},
		{"a leader cuts its log", "Leader Append-Only", func(_ *World, g *group) {
			find[*checkLog](g).truncated(g.leader(), g.leader().log.last())
		}},
		{"a committed entry is cut", "State Machine Safety", func(_ *World, g *group) {
			find[*checkLog](g).truncated(follower(g), newest(g))
		}},
		{"a leader without a committed entry", "Leader Completeness", func(_ *World, g *group) {
			m := follower(g)
			m.log.records = m.log.records[:newest(g)-m.log.base-1]
			find[*checkCommit](g).elected(m, g.leader().term+1, g.size()+1)
		}},
		{"another entry is committed", "State Machine Safety", func(_ *World, g *group) {
			m := follower(g)
			i := newest(g)
			m.log.records[i-m.log.base-1].sum++
			find[*checkCommit](g).committed(m, i, i)
		}},
		{"another entry is applied", "State Machine Safety", func(_ *World, g *group) {
			d := g.ledger.find(g.ledger.last())
			find[*checkMachine](g).applied(follower(g), &applied{entry: &engine.Entry{Index: d.index, Term: d.term, Data: []byte("another")}, id: 1})
		}},
		{"a command happens twice", "exactly once", func(w *World, g *group) {
			m := follower(g)
			data := sealCommand(g.ledger.deeds[0].id, 0, g.ledger.deeds[0].command)
			g.commit(fact{record: record{term: m.term, sum: raft.Sum(data)}, in: m.term})
			find[*checkMachine](g).applied(m, &applied{entry: &engine.Entry{Index: g.size(), Term: m.term, Data: data}, id: g.ledger.deeds[0].id})
		}},
		{"a machine that skipped something", "State Machine Safety", func(_ *World, g *group) {
			find[*checkMachine](g).restored(follower(g), head{chain: 1, last: g.ledger.last()})
		}},
		{"a machine in another state", "state machine equality", func(_ *World, g *group) {
			m := follower(g)
			m.machine.compare()
			m.machine.inner.(interface {
				Apply([]engine.Entry) []engine.Result
			}).Apply([]engine.Entry{{Index: 1, Data: (&registerCommand{set: []assignment{{0, 99}}}).encode()}})
			m.machine.compare()
		}},
		{"a machine that answers something else", "answers", func(_ *World, g *group) {
			d := &g.ledger.deeds[len(g.ledger.deeds)-1]
			find[*checkMachine](g).answered(follower(g), &applied{entry: &engine.Entry{Local: true}, answer: []byte("else")}, d)
		}},
		{"a member goes by a configuration that its log has not got", "configuration", func(_ *World, g *group) {
			conf := g.leader().running.Core().Configuration().Clone()
			conf.Members[0].Priority++
			g.configurations.seen[len(g.configurations.seen)-1].Configuration = conf
			find[*checkConfiguration](g).appended(follower(g), newest(g))
		}},
		{"a majority could elect somebody who lacks what is committed", "Leader Completeness", func(_ *World, g *group) {
			for _, m := range g.members {
				if m != g.leader() {
					m.log.records = m.log.records[:newest(g)-m.log.base-1]
				}
			}
			find[*checkConfiguration](g).committed(g.leader(), newest(g), g.size())
		}},
		{"one alone could not be elected", "", func(_ *World, g *group) {
			m := follower(g)
			m.log.records = m.log.records[:newest(g)-m.log.base-1]
			find[*checkConfiguration](g).committed(g.leader(), newest(g), g.size())
		}},
		{"a leader without the votes of a majority", "Election Safety", func(_ *World, g *group) {
			find[*checkMajority](g).elected(follower(g), g.leader().term+1, g.size()+1)
		}},
		{"a leader by votes that were given to another disk", "Election Safety", func(_ *World, g *group) {
			c, m, term := find[*checkMajority](g), follower(g), g.leader().term+1
			for _, by := range g.members {
				c.sent(by, &raft.VoteReply{Header: raft.Header{To: m.host.id, Term: term}, Granted: true, Candidate: m.host.incarnation() + 1<<8})
			}
			c.elected(m, term, g.size()+1)
		}},
		{"a leader by the votes of disks that the group does not know", "Election Safety", func(_ *World, g *group) {
			c, m, term := find[*checkMajority](g), follower(g), g.leader().term+1
			for _, by := range g.members {
				disk := by.host.incarnation() + 1<<8
				c.votes[term] = append(c.votes[term], vote{by: by.host.id, to: m.host.id, disk: disk})
			}
			c.elected(m, term, g.size()+1)
		}},
		{"a leader by a majority's votes", "", func(_ *World, g *group) {
			c, m, term := find[*checkMajority](g), follower(g), g.leader().term+1
			c.sent(g.leader(), &raft.VoteReply{Header: raft.Header{To: m.host.id, Term: term}, Granted: true, Candidate: m.host.incarnation()})
			c.elected(m, term, g.size()+1)
		}},
		{"a learner leads", "Election Safety", func(_ *World, g *group) {
			m := follower(g)
			conf := m.running.Core().Configuration().Clone()
			for i := range conf.Members {
				conf.Members[i].Learner = conf.Members[i].ID == m.host.id
			}
			g.configurations.seen[len(g.configurations.seen)-1].Configuration = conf
			find[*checkMajority](g).elected(m, g.leader().term+1, g.size()+1)
		}},
		{"a leader commits what no majority has acknowledged", "commitment", func(_ *World, g *group) {
			m := g.leader()
			m.counted = []counted{{to: m.log.last() + 1, by: m.inForce}}
			find[*checkMajority](g).committed(m, m.log.last()+1, m.log.last()+1)
		}},
		{"a leader commits what a majority has acknowledged", "", func(_ *World, g *group) {
			m, c := g.leader(), find[*checkMajority](g)
			c.sent(follower(g), &raft.AppendReply{Header: raft.Header{To: m.host.id, Term: m.term}, Match: m.log.last() + 1})
			m.counted = []counted{{to: m.log.last() + 1, by: m.inForce}}
			c.committed(m, m.log.last()+1, m.log.last()+1)
		}},
		{"a disk votes that nobody has admitted", "identity", func(_ *World, g *group) {
			m := follower(g)
			m.host.wiped++
			find[*checkMajority](g).sent(m, &raft.VoteReply{Header: raft.Header{To: g.leader().host.id, Term: m.term + 1}, Granted: true})
		}},
		{"a term is taken back", "promise", func(_ *World, g *group) {
			m := follower(g)
			m.given.term = m.term + 1
			find[*checkPromise](g).recovered(m, &m.log)
		}},
		{"an acknowledged entry is lost", "promise", func(_ *World, g *group) {
			m := follower(g)
			m.given.match, m.given.matchTerm = m.log.last()+1, m.term
			find[*checkPromise](g).recovered(m, &m.log)
		}},
		{"a leader's snapshot takes back what contradicts it", "", func(_ *World, g *group) {
			m, i := follower(g), newest(g)
			was := m.log
			was.records = append([]record(nil), was.records...)
			was.records[i-was.base-1].term = 98
			m.given.match, m.given.matchTerm = i, 98
			m.log.begin(i)
			find[*checkPromise](g).recovered(m, &was)
		}},
		{"a log that was compacted takes back nothing", "promise", func(_ *World, g *group) {
			m, i := follower(g), newest(g)
			was := m.log
			m.given.match, m.given.matchTerm = i, 98
			m.log.begin(i)
			find[*checkPromise](g).recovered(m, &was)
		}},
		{"a log that nobody had", "recovery", func(_ *World, g *group) {
			m := follower(g)
			m.log.records = append(m.log.records, record{term: 98, sum: 1})
			find[*checkLog](g).recovered(m, nil)
		}},
		{"no majority has what was acknowledged", "durability", func(_ *World, g *group) {
			for _, m := range g.members[:2] {
				m.log.records = m.log.records[:newest(g)-m.log.base-1]
			}
			g.answers.acknowledged = newest(g)
			find[*checkDurable](g).recovered(g.members[2], nil)
		}},
		{"what was acknowledged is not there", "durability", func(_ *World, g *group) {
			op := done(g, &g.ledger.deeds[1])
			op.ID++
			g.answers.end(&op)
		}},
		{"what was refused had happened", "exactly once", func(_ *World, g *group) {
			op := done(g, &g.ledger.deeds[1])
			op.Outcome = OutcomeRefused
			g.answers.end(&op)
		}},
		{"what was refused happens", "exactly once", func(_ *World, g *group) {
			op := Operation{ID: 1 << 60, Outcome: OutcomeRefused}
			g.answers.end(&op)
			g.answers.happened(&deed{id: 1 << 60, index: g.size() + 1})
		}},
		{"a wrong answer", "linearizability", func(_ *World, g *group) {
			op := done(g, &g.ledger.deeds[1])
			op.Answer = []byte("wrong")
			g.answers.end(&op)
		}},
		{"a wrong read", "linearizability", func(_ *World, g *group) {
			op := Operation{Action: Action{Query: []byte{0}}, Host: 1, Outcome: OutcomeDone, Answer: []byte("wrong"), Index: g.ledger.last()}
			g.answers.end(&op)
		}},
		{"a read of the past", "linearizability", func(_ *World, g *group) {
			old := g.ledger.deeds[0].index
			op := Operation{Action: Action{Query: []byte{0}}, Host: 1, Outcome: OutcomeDone, Answer: g.ledger.asOf(old).Read([]byte{0}), Index: old}
			g.answers.began(&op)
			g.answers.end(&op)
		}},
		{"a stale read of the past is fine", "", func(_ *World, g *group) {
			old := g.ledger.deeds[0].index
			g.members[0].shown = 0
			op := Operation{Action: Action{Query: []byte{0}, Stale: true}, Host: 1, Outcome: OutcomeDone, Answer: g.ledger.asOf(old).Read([]byte{0}), Index: old}
			g.answers.began(&op)
			g.answers.end(&op)
		}},
		{"a stale read that goes back", "serializable reads", func(_ *World, g *group) {
			old := g.ledger.deeds[0].index
			g.members[0].shown = old + 1
			op := Operation{Action: Action{Query: []byte{0}, Stale: true}, Host: 1, Outcome: OutcomeDone, Answer: g.ledger.asOf(old).Read([]byte{0}), Index: old}
			g.answers.end(&op)
		}},
		{"a read of what is not committed", "linearizability", func(_ *World, g *group) {
			op := Operation{Action: Action{Query: []byte{0}, Stale: true}, Host: 1, Outcome: OutcomeDone, Answer: g.ledger.oracle.Read([]byte{0}), Index: g.size() + 1}
			g.answers.end(&op)
		}},
		{"a command before one that had ended", "linearizability", func(_ *World, g *group) {
			op := Operation{ID: 1 << 60}
			g.answers.began(&op)
			g.answers.happened(&deed{id: 1 << 60, index: g.answers.newest.index})
		}},
		{"a process comes back with what an earlier one had", "recovery", func(_ *World, g *group) {
			m := follower(g)
			was := m.log
			was.records = was.records[:len(was.records)-1]
			find[*checkReturn](g).recovered(m, &was)
		}},
		{"a process comes back with what the one before it removed", "", func(_ *World, g *group) {
			m := follower(g)
			c, was := find[*checkReturn](g), m.log
			c.truncated(m, m.log.last())
			was.records = was.records[:len(was.records)-1]
			c.recovered(m, &was)
		}},
		{"a process comes back in a term that it was not in", "recovery", func(_ *World, g *group) {
			m := follower(g)
			m.ended, m.term = m.term, m.term+1
			find[*checkReturn](g).recovered(m, &m.log)
		}},
		{"a log gives another entry than it was given", "reading back", func(_ *World, g *group) {
			m := follower(g)
			m.log.records[0].sum++
			m.readBack(m.log.base+1, math.MaxUint64)
		}},
		{"no leader, though a majority could have one", "liveness", func(w *World, g *group) {
			w.progress.groups[0].led = w.now - 4*time.Second
			w.progress.judge(g)
		}},
		{"nothing is committed, though a majority was asked", "liveness", func(w *World, g *group) {
			w.progress.groups[0].committed = w.now - 4*time.Second
			w.progress.judge(g)
		}},
		{"nothing is committed, but one of the majority was not reached", "", func(w *World, g *group) {
			w.progress.groups[0].committed = w.now - 4*time.Second
			w.progress.hosts[0].at, w.progress.hosts[1].at = w.now, w.now
			w.progress.judge(g)
		}},
		{"snapshot after snapshot, each cut off from what follows it", "liveness", func(w *World, g *group) {
			takeSnapshots(w, g, follower(g), func() {})
		}},
		{"snapshot after snapshot, of a log that is far beyond its bound each time it is cut, and short when the next arrives", "", func(w *World, g *group) {
			bound := g.leader().host.program.compactBytes
			takeSnapshots(w, g, follower(g), func() {
				g.leader().host.program.compactBytes = 1
				find[*checkSnapshots](g).compacted(g.leader())
				g.leader().host.program.compactBytes = bound
			})
		}},
		{"snapshot after snapshot, of a log that was far beyond its bound once", "liveness", func(w *World, g *group) {
			g.leader().host.program.compactBytes = 1
			find[*checkSnapshots](g).compacted(g.leader())
			g.leader().host.program.compactBytes = 1 << 20
			takeSnapshots(w, g, follower(g), func() { find[*checkSnapshots](g).compacted(g.leader()) })
		}},
		{"more in memory than there may be", "bounds", func(w *World, g *group) {
			w.regime.Padding = 0
			m := g.leader()
			m.host.program.core.MaxCachedBytes = 1
			for i := range 40 {
				w.clients[0].ask(m, Action{Command: (&registerCommand{set: []assignment{{0, uint64(i)}}}).encode()})
				w.clients[0].busy = false
			}
			for until := w.now + 300*time.Millisecond; w.now < until && w.Step(); {
			}
			g.bounds = &checkBounds{group: g}
			if wrong := g.bounds.look(m); wrong != "" {
				w.fail("bounds", "%s", wrong)
			}
		}},
		{"a host that gives itself work", "bounds", func(w *World, g *group) {
			h := g.leader().host
			for range 2 * turnsMost {
				h.turn()
			}
			w.lookAtTurns(h)
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, g := quietWorld(t)
			c.show(w, g)
			switch {
			case c.property == "" && w.failure != nil:
				t.Errorf("what is right is taken for wrong: %v", w.failure)
			case c.property != "" && w.failure == nil:
				t.Error("nobody saw it")
			case c.property != "" && w.failure.Checker != c.property:
				t.Errorf("it was taken for something else: %v", w.failure)
			}
		})
	}
}
