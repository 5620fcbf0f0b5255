package raft

import (
	"testing"
	"time"
)

// One test per rule of figure 2 of the paper, named after it. They look at a single core from outside: messages and time in,
// messages and state out.

// alone is one core with a disk that is always done at once; peers are whatever the test says.
type alone struct {
	t *testing.T
	*Core
	now time.Duration
	// hard, entries and applied are what the disk and the machine have.
	hard    HardState
	entries []Entry
	applied []Entry
}

// one starts member 1 of n voters with the given terms in its log, in the given current term.
func one(t *testing.T, n int, current Term, terms ...Term) *alone {
	t.Helper()
	return oneWith(t, nil, n, current, terms...)
}

// oneWith is one with a changed Config; without a change there is no pre-vote, as in the paper.
func oneWith(t *testing.T, change func(*Config), n int, current Term, terms ...Term) *alone {
	t.Helper()
	var ids []MemberID
	for i := range n {
		ids = append(ids, MemberID(i+1))
	}
	r := Restored{HardState: HardState{Term: current}, Snapshot: SnapshotMeta{Configuration: voters(ids...)}, LastIndex: Index(len(terms))}
	a := &alone{t: t, hard: r.HardState}
	for i, term := range terms {
		if i == 0 || terms[i-1] != term {
			r.Terms = append(r.Terms, TermRun{First: Index(i + 1), Term: term})
		}
		r.Entries = append(r.Entries, Entry{Term: term, Index: Index(i + 1), Kind: EntryCommand})
	}
	a.entries = append(a.entries, r.Entries...)
	cfg := Config{ID: 1, DisablePreVote: true}
	if change != nil {
		change(&cfg)
	}
	core, err := New(cfg, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	a.Core = core
	a.pass(150 * time.Millisecond) // A restarted member keeps out of elections for that long.
	a.take()
	return a
}

// pass lets time pass.
func (a *alone) pass(d time.Duration) {
	a.now += d
	a.Tick(a.now)
}

// timeout lets time pass until the core's timer runs out.
func (a *alone) timeout() {
	a.now = max(a.now, a.Deadline())
	a.Tick(a.now)
}

// take acts on all that the core wants done and returns the messages it sent.
func (a *alone) take() []Message {
	a.t.Helper()
	var sent []Message
	for a.HasOutput() {
		if err := a.Check(); err != nil {
			a.t.Fatal(err)
		}
		out := a.Take()
		if out.HardState != nil {
			a.hard = *out.HardState
		}
		if len(out.Entries) > 0 {
			a.entries = append(a.entries[:out.Entries[0].Index-1:out.Entries[0].Index-1], out.Entries...)
		}
		a.applied = append(a.applied, out.Committed...)
		if len(out.Committed) > 0 {
			a.Applied(Index(len(a.applied)))
		}
		a.Synced(out.Seq)
		sent = append(append(sent, out.Messages...), out.AfterSync...)
	}
	return sent
}

// receive hands in messages and returns the answers.
func (a *alone) receive(messages ...Message) []Message {
	a.t.Helper()
	for _, m := range messages {
		if h := m.Head(); h.To == 0 {
			h.To = 1
		}
		a.Receive(m)
	}
	return a.take()
}

// lead makes the core the leader of the next term, with the votes of everybody asked.
func (a *alone) lead() []Message {
	a.t.Helper()
	a.timeout()
	var last []Message
	for _, m := range a.take() {
		if v, ok := m.(*VoteRequest); ok {
			last = a.receive(&VoteReply{Header: Header{From: v.To, Term: v.Term}, Granted: true})
			if a.Role() == Leader {
				return last
			}
		}
	}
	a.t.Fatalf("%v instead of leader", a.Role())
	return nil
}

func (a *alone) wantLog(terms ...Term) {
	a.t.Helper()
	if len(a.entries) != len(terms) {
		a.t.Fatalf("log has %d entries, want %d", len(a.entries), len(terms))
	}
	for i, e := range a.entries {
		if e.Term != terms[i] || e.Index != Index(i+1) {
			a.t.Fatalf("entry %d is %d@%d, want term %d", i+1, e.Index, e.Term, terms[i])
		}
	}
}

func head(from MemberID, term Term) Header { return Header{From: from, To: 1, Term: term} }

// entries makes commands from index first on, with the given terms.
func entries(first Index, terms ...Term) []Entry {
	var list []Entry
	for i, term := range terms {
		list = append(list, Entry{Term: term, Index: first + Index(i), Kind: EntryCommand})
	}
	return list
}

// only returns the only message of a type in a list.
func only[M Message](t *testing.T, list []Message) M {
	t.Helper()
	var found []M
	for _, m := range list {
		if x, ok := m.(M); ok {
			found = append(found, x)
		}
	}
	if len(found) != 1 {
		var zero M
		t.Fatalf("%d messages of kind %T among %d, want one", len(found), zero, len(list))
	}
	return found[0]
}

// none fails if there is a message of the type.
func none[M Message](t *testing.T, list []Message) {
	t.Helper()
	for _, m := range list {
		if _, ok := m.(M); ok {
			t.Fatalf("unexpected %T: %s", m, storyOfMessage(m))
		}
	}
}

func TestPersistentStateIsOnStableStorageBeforeRespondingToRPCs(t *testing.T) {
	a := one(t, 3, 1)
	a.Receive(&VoteRequest{Header: head(2, 5)})
	out := a.Take()
	none[*VoteReply](t, out.Messages)
	if out.HardState == nil || *out.HardState != (HardState{Term: 5, Vote: 2}) {
		t.Fatalf("hard state %v is handed out with the vote", out.HardState)
	}
	only[*VoteReply](t, out.AfterSync)
	a.Synced(out.Seq)

	a.Receive(&AppendRequest{Header: head(2, 5), Entries: entries(1, 5)})
	out = a.Take()
	none[*AppendReply](t, out.Messages)
	if len(out.Entries) != 1 {
		t.Fatalf("%d entries are handed out to be written, want 1", len(out.Entries))
	}
	if reply := only[*AppendReply](t, out.AfterSync); reply.Match != 1 {
		t.Fatalf("match %d waits for the disk, want 1", reply.Match)
	}
}

func TestAppendEntries1RepliesFalseIfTermIsLessThanCurrentTerm(t *testing.T) {
	a := one(t, 3, 4, 1)
	reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 3), PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 3)}))
	if !reply.Rejected || reply.Term != 4 {
		t.Fatalf("answers %+v, want a rejection in term 4", reply)
	}
	if a.Leader() != NoMember || a.LastIndex() != 1 {
		t.Fatal("a stale leader was followed")
	}
}

func TestAppendEntries2RepliesFalseWithoutAnEntryAtPrevLogIndexOfPrevLogTerm(t *testing.T) {
	for _, c := range []struct {
		name          string
		prev          Index
		term          Term
		conflictTerm  Term
		conflictIndex Index
	}{
		{"log too short", 9, 3, 0, 6},
		{"another term there", 5, 3, 2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := one(t, 3, 3, 1, 1, 2, 2, 2)
			reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 3), PrevIndex: c.prev, PrevTerm: c.term, Entries: entries(c.prev+1, 3)}))
			if !reply.Rejected || reply.PrevIndex != c.prev || reply.ConflictTerm != c.conflictTerm || reply.ConflictIndex != c.conflictIndex {
				t.Fatalf("answers %+v", reply)
			}
			a.wantLog(1, 1, 2, 2, 2)
		})
	}
}

func TestAppendEntries3DeletesAConflictingEntryAndAllThatFollowIt(t *testing.T) {
	a := one(t, 3, 2, 1, 1, 2, 2, 2)
	reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 3), PrevIndex: 2, PrevTerm: 1, Entries: entries(3, 3)}))
	if reply.Rejected || reply.Match != 3 {
		t.Fatalf("answers %+v, want match 3", reply)
	}
	a.wantLog(1, 1, 3)
}

func TestAppendEntries3KeepsWhatDoesNotConflict(t *testing.T) {
	a := one(t, 3, 2, 1, 1, 2, 2, 2)
	reply := only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 3), PrevIndex: 2, PrevTerm: 1, Entries: entries(3, 2)}))
	if reply.Match != 3 {
		t.Fatalf("match %d, want 3: no more than this request has verified", reply.Match)
	}
	a.wantLog(1, 1, 2, 2, 2)
}

func TestAppendEntries4AppendsNewEntriesNotAlreadyInTheLog(t *testing.T) {
	a := one(t, 3, 2, 1, 2)
	a.receive(&AppendRequest{Header: head(2, 3), PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 2, 3, 3)})
	a.wantLog(1, 2, 3, 3)
}

func TestAppendEntries5SetsCommitIndexToTheMinimumOfLeaderCommitAndTheLastNewEntry(t *testing.T) {
	for _, c := range []struct {
		name         string
		leaderCommit Index
		prev         Index
		n            int
		want         Index
	}{
		{"leader commit is lower", 2, 2, 1, 2},
		{"last new entry is lower", 9, 2, 1, 3},
		{"a heartbeat verifies its previous entry only", 9, 2, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := one(t, 3, 1, 1, 1, 1, 1, 1)
			m := &AppendRequest{Header: head(2, 1), PrevIndex: c.prev, PrevTerm: 1, Commit: c.leaderCommit}
			for i := range c.n {
				m.Entries = append(m.Entries, entries(c.prev+1+Index(i), 1)...)
			}
			a.receive(m)
			if a.Commit() != c.want {
				t.Fatalf("commit %d, want %d", a.Commit(), c.want)
			}
		})
	}
}

func TestRequestVote1RepliesFalseIfTermIsLessThanCurrentTerm(t *testing.T) {
	a := one(t, 3, 5)
	reply := only[*VoteReply](t, a.receive(&VoteRequest{Header: head(2, 4), LastIndex: 9, LastTerm: 4}))
	if reply.Granted || reply.Term != 5 {
		t.Fatalf("answers %+v, want a refusal in term 5", reply)
	}
}

func TestRequestVote2GrantsIfNotVotedForAnotherAndTheLogIsUpToDate(t *testing.T) {
	for _, c := range []struct {
		name     string
		vote     MemberID
		last     Index
		lastTerm Term
		granted  bool
	}{
		{"no vote, equal log", NoMember, 3, 2, true},
		{"voted for this candidate before", 2, 3, 2, true},
		{"voted for another", 3, 3, 2, false},
		{"longer log of the same term", NoMember, 4, 2, true},
		{"shorter log of the same term", NoMember, 2, 2, false},
		{"shorter log of a later term", NoMember, 1, 3, true},
		{"longer log of an earlier term", NoMember, 9, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := one(t, 3, 4, 1, 2, 2)
			if c.vote != NoMember {
				a.receive(&VoteRequest{Header: head(c.vote, 5), LastIndex: 3, LastTerm: 2})
			}
			reply := only[*VoteReply](t, a.receive(&VoteRequest{Header: head(2, 5), LastIndex: c.last, LastTerm: c.lastTerm}))
			if reply.Granted != c.granted || reply.Term != 5 {
				t.Fatalf("answers %+v, want granted %v", reply, c.granted)
			}
			if c.granted && a.hard != (HardState{Term: 5, Vote: 2}) {
				t.Fatalf("%v is on disk", a.hard)
			}
		})
	}
}

func TestAllServersApplyWhatIsCommittedInOrderAndOnce(t *testing.T) {
	a := one(t, 3, 1, 1, 1, 1, 1)
	a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 2, PrevTerm: 1, Commit: 2})
	a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 4, PrevTerm: 1, Commit: 4})
	a.receive(&AppendRequest{Header: head(2, 1), PrevIndex: 4, PrevTerm: 1, Commit: 4})
	if len(a.applied) != 4 {
		t.Fatalf("applied %d entries, want 4", len(a.applied))
	}
	for i, e := range a.applied {
		if e.Index != Index(i+1) {
			t.Fatalf("entry %d is applied as number %d", e.Index, i+1)
		}
	}
}

func TestAllServersConvertToFollowerOnAHigherTerm(t *testing.T) {
	for _, m := range []Message{
		&VoteRequest{Header: head(2, 9), Transfer: true},
		&VoteReply{Header: head(2, 9)},
		&AppendRequest{Header: head(2, 9)},
		&AppendReply{Header: head(2, 9), Rejected: true},
		&PreVoteReply{Header: head(2, 9)},
		&ReadIndexReply{Header: head(2, 9)},
	} {
		a := one(t, 3, 1)
		a.lead()
		a.receive(m)
		if a.Role() != Follower || a.Term() != 9 || a.hard.Term != 9 {
			t.Errorf("%T: %v in term %d, on disk %d, want a follower in 9", m, a.Role(), a.Term(), a.hard.Term)
		}
	}
}

func TestFollowersRespondToCandidatesAndLeaders(t *testing.T) {
	a := one(t, 3, 1)
	only[*VoteReply](t, a.receive(&VoteRequest{Header: head(2, 2)}))
	only[*AppendReply](t, a.receive(&AppendRequest{Header: head(2, 2), Round: 1}))
}

func TestFollowersConvertToCandidateIfTheElectionTimeoutElapses(t *testing.T) {
	a := one(t, 3, 1)
	deadline := a.Deadline()
	a.now = deadline - 1
	a.Tick(a.now)
	if a.Role() != Follower {
		t.Fatalf("%v before the timeout", a.Role())
	}
	a.now = deadline
	a.Tick(a.now)
	if a.Role() != Candidate {
		t.Fatalf("%v after the timeout", a.Role())
	}
}

func TestFollowersStayFollowersWhileTheyHearFromTheLeaderOrGrantVotes(t *testing.T) {
	for name, m := range map[string]func(a *alone) Message{
		"AppendEntries": func(a *alone) Message { return &AppendRequest{Header: head(2, a.Term())} },
		"granting":      func(a *alone) Message { return &VoteRequest{Header: head(2, a.Term()+1)} },
	} {
		t.Run(name, func(t *testing.T) {
			a := one(t, 3, 1)
			for range 50 {
				a.pass(149 * time.Millisecond)
				a.receive(m(a))
				if d := a.Deadline(); d < a.now+150*time.Millisecond || d > a.now+300*time.Millisecond {
					t.Fatalf("the timer runs out %v from now, want within the election timeout", d-a.now)
				}
			}
			if a.Role() != Follower {
				t.Fatalf("%v", a.Role())
			}
		})
	}
}

func TestARefusedCandidateDoesNotResetTheTimer(t *testing.T) {
	a := one(t, 3, 1, 1)
	before := a.Deadline()
	a.receive(&VoteRequest{Header: head(2, 2)})
	if a.Deadline() != before {
		t.Fatal("a candidate with a short log put off the election of one with a good log")
	}
}

func TestCandidatesStartAnElection(t *testing.T) {
	a := one(t, 3, 1, 1)
	a.timeout()
	sent := a.take()
	if a.Term() != 2 || a.hard != (HardState{Term: 2, Vote: 1}) {
		t.Fatalf("term %d, on disk %v: want the term raised and an own vote", a.Term(), a.hard)
	}
	if d := a.Deadline(); d < a.now+150*time.Millisecond {
		t.Fatal("the timer was not reset")
	}
	asked := map[MemberID]bool{}
	for _, m := range sent {
		v := m.(*VoteRequest)
		if v.Term != 2 || v.LastIndex != 1 || v.LastTerm != 1 {
			t.Fatalf("asks %+v", v)
		}
		asked[v.To] = true
	}
	if len(asked) != 2 || !asked[2] || !asked[3] {
		t.Fatalf("asks %v, want 2 and 3", asked)
	}
}

func TestCandidatesBecomeLeaderWithTheVotesOfAMajority(t *testing.T) {
	a := one(t, 5, 1)
	a.timeout()
	a.take()
	a.receive(&VoteReply{Header: head(2, 2), Granted: true})
	a.receive(&VoteReply{Header: head(2, 2), Granted: true}) // The same vote again.
	a.receive(&VoteReply{Header: head(3, 2)})
	a.receive(&VoteReply{Header: head(9, 2), Granted: true}) // No member.
	if a.Role() != Candidate {
		t.Fatalf("%v with two of five votes", a.Role())
	}
	a.receive(&VoteReply{Header: head(4, 2), Granted: true})
	if a.Role() != Leader {
		t.Fatalf("%v with three of five votes", a.Role())
	}
}

func TestCandidatesConvertToFollowerOnAppendEntriesFromTheNewLeader(t *testing.T) {
	a := one(t, 3, 1)
	a.timeout()
	a.take()
	a.receive(&AppendRequest{Header: head(3, 2)})
	if a.Role() != Follower || a.Leader() != 3 || a.Term() != 2 {
		t.Fatalf("%v of %d in term %d", a.Role(), a.Leader(), a.Term())
	}
}

func TestCandidatesStartANewElectionIfTheTimeoutElapses(t *testing.T) {
	a := one(t, 3, 1)
	a.timeout()
	a.take()
	a.timeout()
	if a.Role() != Candidate || a.Term() != 3 {
		t.Fatalf("%v in term %d, want a candidate in 3", a.Role(), a.Term())
	}
	if n := len(a.take()); n != 2 {
		t.Fatalf("asks %d members again, want 2", n)
	}
}

func TestLeadersTellEverybodyUponElection(t *testing.T) {
	a := one(t, 3, 1, 1)
	sent := a.lead()
	told := map[MemberID]bool{}
	for _, m := range sent {
		r := m.(*AppendRequest)
		if r.Term != 2 || r.PrevIndex != 1 || r.PrevTerm != 1 {
			t.Fatalf("tells %+v", r)
		}
		told[r.To] = true
	}
	if len(told) != 2 {
		t.Fatalf("tells %v, want 2 and 3", told)
	}
}

func TestLeadersRepeatHeartbeatsDuringIdlePeriods(t *testing.T) {
	a := one(t, 3, 1)
	a.lead()
	for range 3 {
		a.pass(50 * time.Millisecond)
		n := 0
		for _, m := range a.take() {
			if r, ok := m.(*AppendRequest); ok && len(r.Entries) == 0 {
				n++
			}
		}
		if n != 2 {
			t.Fatalf("%d heartbeats after an interval, want 2", n)
		}
		a.receive(&AppendReply{Header: head(2, 2), Round: a.leading.round})
	}
}

func TestLeadersAppendCommandsAndRespondAfterTheyAreApplied(t *testing.T) {
	a := one(t, 3, 1)
	a.lead()
	index, term, err := a.Propose([]Proposal{{Kind: EntryCommand, Data: []byte("x")}})
	if err != nil || index != 2 || term != 2 {
		t.Fatalf("index %d, term %d, %v", index, term, err)
	}
	a.take()
	a.wantLog(2, 2)
	if len(a.applied) != 0 {
		t.Fatal("applied before it is committed")
	}
	a.receive(&AppendReply{Header: head(2, 2), Match: 2})
	if len(a.applied) != 2 || string(a.applied[1].Data) != "x" {
		t.Fatalf("applied %v", a.applied)
	}
}

func TestLeadersSendWhatAFollowerLacksAndMoveNextAndMatchIndex(t *testing.T) {
	a := one(t, 3, 1, 1, 1, 1)
	a.lead()
	p := a.leading.peer(2)
	sent := a.receive(&AppendReply{Header: head(2, 2), Rejected: true, PrevIndex: 3, ConflictIndex: 2})
	r := only[*AppendRequest](t, sent)
	if r.PrevIndex != 1 || len(r.Entries) != 3 {
		t.Fatalf("sends %d entries after %d, want 3 after 1", len(r.Entries), r.PrevIndex)
	}
	a.receive(&AppendReply{Header: head(2, 2), Match: 4})
	if p.match != 4 || p.next != 5 {
		t.Fatalf("match %d, next %d, want 4 and 5", p.match, p.next)
	}
}

func TestLeadersDecrementNextIndexAndRetryIfTheLogsDiffer(t *testing.T) {
	a := one(t, 3, 3, 1, 1, 2, 3)
	a.lead()
	p := a.leading.peer(2)
	// The follower's entry 4 is of term 1, which it has from 3 on: the logs can agree only before this one's entries of later terms.
	r := only[*AppendRequest](t, a.receive(&AppendReply{Header: head(2, 4), Rejected: true, PrevIndex: 4, ConflictTerm: 1, ConflictIndex: 1}))
	if r.PrevIndex != 2 || p.match != 0 {
		t.Fatalf("retries after %d with match %d, want after 2", r.PrevIndex, p.match)
	}
}

func TestLeadersCommitWhatAMajorityHasIfItIsOfTheCurrentTerm(t *testing.T) {
	a := one(t, 5, 1, 1, 1)
	a.lead()
	a.receive(&AppendReply{Header: head(2, 2), Match: 2})
	a.receive(&AppendReply{Header: head(3, 2), Match: 2})
	if a.Commit() != 0 {
		t.Fatalf("commit %d: entries of term 1 are committed by counting in term 2", a.Commit())
	}
	a.receive(&AppendReply{Header: head(4, 2), Match: 3})
	if a.Commit() != 0 {
		t.Fatalf("commit %d with two of five", a.Commit())
	}
	a.receive(&AppendReply{Header: head(5, 2), Match: 3})
	if a.Commit() != 3 {
		t.Fatalf("commit %d with three of five, want 3", a.Commit())
	}
}
