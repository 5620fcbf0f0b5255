package raft

import (
	"strings"
	"testing"
)

// TestCheckSeesWhatIsWrong spoils a sound member in one way after the other: a check that never fails would be worth nothing.
func TestCheckSeesWhatIsWrong(t *testing.T) {
	lead := func(t *testing.T) *alone {
		a := one(t, 3, 1, 1, 1)
		a.lead()
		a.receive(&AppendReply{Header: head(2, 2), Match: 3, Round: 1})
		if _, _, err := a.Propose([]Proposal{{Kind: EntryCommand}}); err != nil {
			t.Fatal(err)
		}
		a.take()
		return a
	}
	follow := func(t *testing.T) *alone {
		a := one(t, 3, 1, 1, 1, 1)
		a.receive(&AppendRequest{Header: head(2, 2), PrevIndex: 3, PrevTerm: 1, Commit: 2})
		return a
	}
	for want, c := range map[string]struct {
		start func(*testing.T) *alone
		spoil func(*Core)
	}{
		"term went back":              {follow, func(c *Core) { c.term-- }},
		"vote changed":                {lead, func(c *Core) { c.vote = 2 }},
		"leader changed":              {follow, func(c *Core) { c.leaderID = 3 }},
		"takes itself for the leader": {follow, func(c *Core) { c.leaderID = 1 }},
		"takes 2 for the leader":      {lead, func(c *Core) { c.leaderID = 2 }},
		"commit 1 from 2":             {follow, func(c *Core) { c.commit, c.handed, c.applied = 1, 1, 1 }},
		"out of order: base 0":        {follow, func(c *Core) { c.commit = 9 }},
		"handed out 2, durable is 1":  {follow, func(c *Core) { c.disk.durable = 1 }},
		"next to persist":             {follow, func(c *Core) { c.disk.next = 9 }},
		"persist 9":                   {follow, func(c *Core) { c.disk.pending = append(c.disk.pending, persist{seq: 9, last: 3}) }},
		"states of roles":             {follow, func(c *Core) { c.leading = &leading{} }},
		"state of another role":       {follow, func(c *Core) { c.campaign, c.following = &campaign{}, nil }},
		"log is being replaced":       {lead, func(c *Core) { c.installing = &installation{} }},
		"configuration at 9":          {follow, func(c *Core) { c.confs = append(c.confs, ConfigurationAt{Index: 9, Configuration: voters(1)}) }},
		"no voter":                    {follow, func(c *Core) { c.confs = append(c.confs, ConfigurationAt{Index: 2}) }},
		"own match":                   {lead, func(c *Core) { c.leading.self.match = 1 }},
		"member 2: match 9":           {lead, func(c *Core) { c.leading.peer(2).match = 9 }},
		"match went back from 3 to 1": {lead, func(c *Core) { c.leading.peer(2).match = 1 }},
		"uncommitted bytes, counted":  {lead, func(c *Core) { c.leading.uncommitted++ }},
		"not committed begins at 0":   {lead, func(c *Core) { c.leading.uncommittedFrom = 0 }},
		"there is no configuration":   {follow, func(c *Core) { c.confs = nil }},
		"messages in flight":          {lead, func(c *Core) { c.leading.peer(2).inflight.count = 999 }},
		"window weighs":               {follow, func(c *Core) { c.log.bytes++ }},
		"entry 2@9 is out of place":   {follow, func(c *Core) { c.log.window.at(2).Term = 9 }},
		"piece of 3 entries":          {follow, func(c *Core) { c.log.window.at(1).Index = 2 }},
		"piece of 0 entries":          {follow, func(c *Core) { c.log.window.pieces = append(c.log.window.pieces, nil) }},
		"does not end the log":        {follow, func(c *Core) { c.log.window.truncate(2) }},
		"window begins at 3": {follow, func(c *Core) {
			c.log.window.dropFront(2)
			c.log.first, c.log.bytes, c.restoredLast, c.applied = 3, 32, 0, 0
		}},
		"run of term":                    {follow, func(c *Core) { c.log.runs = append(c.log.runs, TermRun{First: 9, Term: 9}) }},
		"terms begin at 2":               {follow, func(c *Core) { c.log.runs[0].First = 2 }},
		"entry of term 1 in term 0":      {follow, func(c *Core) { c.term = 0 }},
		"first entry of the term":        {lead, func(c *Core) { c.leading.noop = 1 }},
		"a leader removed entries":       {lead, func(c *Core) { c.checked.last = 9 }},
		"persist 1 after 99":             {follow, func(c *Core) { c.checked.seq = 99 }},
		"a candidate that voted for 2":   {candidate, func(c *Core) { c.vote = 2; c.checked = nil }},
		"campaigns under leader 3":       {candidate, func(c *Core) { c.leaderID = 3; c.checked = nil }},
		"a leader became a candidate":    {candidate, func(c *Core) { c.checked.role = Leader }},
		"configuration at the base 1 is": {follow, func(c *Core) { c.log.compact(1); c.confs[0].Index = 2 }},
	} {
		t.Run(want, func(t *testing.T) {
			a := c.start(t)
			if err := a.Check(); err != nil {
				t.Fatalf("before: %v", err)
			}
			c.spoil(a.Core)
			if err := a.Check(); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v", err)
			}
		})
	}
}

func candidate(t *testing.T) *alone {
	a := one(t, 3, 1, 1)
	a.timeout()
	a.take()
	return a
}

func TestStatusIsACopyOfTheState(t *testing.T) {
	a := one(t, 3, 1, 1)
	a.lead()
	a.receive(&AppendReply{Header: head(2, 2), Match: 2, Round: 1})
	s := a.Status()
	if s.ID != 1 || s.Role != Leader || s.Term != 2 || s.Vote != 1 || s.Leader != 1 || s.Commit != 2 || s.Applied != 2 ||
		s.First != 1 || s.Last != 2 || s.Durable != 2 || len(s.Peers) != 3 || s.Configuration.String() != "1 2 3" {
		t.Fatalf("%+v", s)
	}
	if p := s.Peers[1]; p.ID != 2 || p.Match != 2 || p.Next != 3 || p.State != Replicating || !p.RecentActive {
		t.Fatalf("peer 2 is %+v", p)
	}
	s.Configuration.Members[0].ID = 99
	if a.Configuration().Members[0].ID != 1 {
		t.Fatal("the status shares memory with the core")
	}
	for role, want := range map[Role]string{Follower: "follower", PreCandidate: "pre-candidate", Candidate: "candidate", Leader: "leader", 9: "unknown role"} {
		if role.String() != want {
			t.Errorf("%q, want %q", role, want)
		}
	}
	for state, want := range map[ReplicationState]string{Probing: "probing", Replicating: "replicating", Snapshotting: "snapshotting", 9: "unknown"} {
		if state.String() != want {
			t.Errorf("%q, want %q", state, want)
		}
	}
}

// The lab can switch off what the paper does not have: then a member with a later term deposes a leader at once.
func TestWithoutCheckQuorumAndPreVoteALaterTermWinsAtOnce(t *testing.T) {
	a := oneWith(t, func(cfg *Config) { cfg.DisablePreVote, cfg.DisableCheckQuorum = true, true }, 3, 1)
	a.lead()
	for range 100 {
		a.pass(a.Deadline() - a.now)
		a.take()
	}
	if a.Role() != Leader {
		t.Fatal("it stepped down although nothing checks the quorum")
	}
	a.receive(&VoteRequest{Header: head(2, 9), LastIndex: 9, LastTerm: 2})
	if a.Role() != Follower || a.Term() != 9 {
		t.Fatalf("%v in term %d", a.Role(), a.Term())
	}
}
