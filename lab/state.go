package lab

import (
	"fmt"
	"strings"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

// properties are those of figure 3.
var properties = []string{"Election Safety", "Leader Append-Only", "Log Matching", "Leader Completeness", "State Machine Safety"}

// state is the world as it is now, without what the page knows already.
func (e *Engine) state() *State {
	v := e.world.View()
	s := &State{
		T: int64(v.Now), N: v.Events, Hash: hash(v.Hash), Committed: uint64(v.Committed), Messages: make([]Message, 0, len(v.Flights)),
	}
	if len(e.run.Campaign) == 0 {
		s.Settings = settings(e.world.Setup())
	}
	if v.Next != raft.NoDeadline {
		s.Next = int64(v.Next)
	}
	switch {
	case v.Failure != nil:
		s.Ended = v.Failure.Error()
	case v.Done:
		s.Ended = "the run is over, and all went well"
	}
	if e.told.logs == nil {
		e.told.logs, e.told.machines = map[uint64]uint64{}, map[uint64]uint64{}
	}
	for i := range v.Members {
		m := member(&v.Members[i], &v.Configuration)
		e.omitKnown(&v.Members[i], &m)
		s.Members = append(s.Members, m)
	}
	for i := range v.Flights {
		s.Messages = append(s.Messages, message(&v.Flights[i], true))
	}
	for _, cut := range v.Cuts {
		s.Cuts = append(s.Cuts, [2]uint64{uint64(cut[0]), uint64(cut[1])})
	}
	for i := range v.Requests {
		if i == len(e.told.ops) {
			e.told.ops = append(e.told.ops, 0)
		}
		if r := &v.Requests[i]; e.told.ops[i] != r.Changed {
			e.told.ops[i] = r.Changed
			s.Ops = append(s.Ops, operation(r))
		}
	}
	s.Safety = safety(&v)
	return s
}

// omitKnown takes out of a member what the page has seen.
func (e *Engine) omitKnown(v *sim.MemberView, m *Member) {
	if e.told.logs[m.ID] == v.LogVersion+1 {
		m.Log = nil
	}
	if e.told.machines[m.ID] == v.MachineVersion+1 {
		m.Machine = nil
	}
	e.told.logs[m.ID], e.told.machines[m.ID] = v.LogVersion+1, v.MachineVersion+1
}

// safety tells of the five properties, and of whatever else was violated.
func safety(v *sim.View) []Property {
	list := make([]Property, len(properties))
	for i, name := range properties {
		list[i].Name = name
	}
	violations := v.Violations
	if v.Failure != nil {
		violations = append(violations[:len(violations):len(violations)], *v.Failure)
	}
	for i := range violations {
		p := Property{Name: violations[i].Checker, Violated: true, Text: violations[i].Text, At: int64(violations[i].At)}
		if n := index(p.Name); n >= 0 {
			list[n] = p
		} else {
			list = append(list, p)
		}
	}
	return list
}

func index(property string) int {
	for i, name := range properties {
		if name == property {
			return i
		}
	}
	return -1
}

func member(v *sim.MemberView, newest *raft.Configuration) Member {
	m := MemberOf(&v.Status)
	m.ID, m.Address = uint64(v.ID), v.Address
	switch {
	case v.Paused:
		m.Process = "paused"
	case v.Running:
		m.Process = "running"
	case v.Stopped:
		m.Process = "stopped"
	default:
		m.Process = "crashed"
	}
	if of, ok := newest.Find(v.ID); ok {
		m.In = "voter"
		if of.Learner {
			m.In = "learner"
		}
	}
	if v.TimerEnd != raft.NoDeadline {
		m.Timer = &Timer{From: int64(v.TimerStart), To: int64(v.TimerEnd)}
	}
	m.Disk = HardState{Term: uint64(v.Disk.Term), Vote: uint64(v.Disk.Vote)}
	m.Prefix = EntryID{Index: uint64(v.Base), Term: uint64(v.BaseTerm)}
	m.Log = entries(v.Entries)
	m.Granted, m.Refused = ids(v.Granted), ids(v.Refused)
	m.Machine = make([]Pair, len(v.Machine))
	for i := range v.Machine {
		m.Machine[i] = Pair(v.Machine[i])
	}
	m.Syncing, m.Waiting, m.Lying = v.Syncing, v.Waiting, v.Lying
	return m
}

// MemberOf is what a member's status says, as the protocol has it.
func MemberOf(s *raft.Status) Member {
	m := Member{
		ID: uint64(s.ID), Process: "running", Role: s.Role.String(), Term: uint64(s.Term), Vote: uint64(s.Vote), Leader: uint64(s.Leader),
		Commit: uint64(s.Commit), Applied: uint64(s.Applied), Durable: uint64(s.Durable), Last: uint64(s.Last),
		Configuration: configuration(s.Configuration, s.ConfigurationIndex), Faulty: s.Faulty, Quiet: s.Quiesced, Transfer: uint64(s.TransferTarget),
	}
	for _, p := range s.Peers {
		if p.ID != s.ID {
			m.Peers = append(m.Peers, Peer{
				ID: uint64(p.ID), Match: uint64(p.Match), Next: uint64(p.Next), State: replication[p.State], Inflight: p.Inflight, Active: p.RecentActive,
			})
		}
	}
	return m
}

var replication = map[raft.ReplicationState]string{raft.Probing: "probing", raft.Replicating: "replicating", raft.Snapshotting: "snapshot"}

func configuration(c raft.Configuration, at raft.Index) Configuration {
	out := Configuration{Index: uint64(at), Voters: []uint64{}}
	for _, m := range c.Members {
		if m.Learner {
			out.Learners = append(out.Learners, uint64(m.ID))
		} else {
			out.Voters = append(out.Voters, uint64(m.ID))
		}
	}
	for _, m := range c.Outgoing {
		if !m.Learner {
			out.Outgoing = append(out.Outgoing, uint64(m.ID))
		}
	}
	return out
}

// words are the members of a configuration: voters, then learners with a plus, then the outgoing voters in brackets.
func (c *Configuration) words() string {
	var b strings.Builder
	for _, id := range c.Voters {
		fmt.Fprintf(&b, "%d ", id)
	}
	for _, id := range c.Learners {
		fmt.Fprintf(&b, "+%d ", id)
	}
	if len(c.Outgoing) > 0 {
		fmt.Fprintf(&b, "(%s)", strings.Trim(fmt.Sprint(c.Outgoing), "[]"))
	}
	return strings.TrimSpace(b.String())
}

func ids(members []raft.MemberID) []uint64 {
	var list []uint64
	for _, id := range members {
		list = append(list, uint64(id))
	}
	return list
}

var entryKinds = map[raft.EntryKind]string{
	raft.EntryCommand: "command", raft.EntryNoop: "noop", raft.EntryConfiguration: "configuration", raft.EntrySession: "session",
}

// entries are entries in words.
func entries(list []raft.Entry) []Entry {
	out := make([]Entry, len(list))
	for i := range list {
		e := &list[i]
		out[i] = Entry{Index: uint64(e.Index), Term: uint64(e.Term), Kind: entryKinds[e.Kind]}
		switch e.Kind {
		case raft.EntryCommand:
			out[i].Text = sim.CommandText(e.Data)
		case raft.EntryConfiguration:
			if c, err := raft.DecodeConfiguration(e.Data); err == nil {
				words := configuration(c, e.Index)
				out[i].Text = words.words()
			}
		}
	}
	return out
}

var outcomes = map[sim.Outcome]string{sim.OutcomeDone: "ok", sim.OutcomeRefused: "refused", sim.OutcomeUnknown: "unknown"}

var verbNames = map[sim.Verb]string{
	sim.VerbSet: OpSet, sim.VerbAdd: OpAdd, sim.VerbDelete: OpDelete, sim.VerbCompareAndSet: OpCompareAndSet, sim.VerbRead: OpRead,
}

var readNames = map[sim.ReadKind]string{sim.ReadLinearizable: ReadLinearizable, sim.ReadSerializable: ReadSerializable, sim.ReadLease: ReadLease}

func operation(r *sim.Request) Operation {
	op := Operation{
		ID: r.ID, Op: Op{
			Client: uint64(r.Client), Member: uint64(r.Member), Kind: verbNames[r.Verb], Key: r.Key, Value: r.Value, Expect: r.Expect, Retry: r.Retry,
			Patience: int64(r.Patience),
		},
		Call: int64(r.Call), Return: int64(r.Return), Attempts: r.Attempts, Error: r.Err,
	}
	if r.Verb == sim.VerbRead {
		op.Read = readNames[r.Read]
	}
	if r.Ended() {
		op.Outcome = outcomes[r.Outcome]
	}
	if r.Ended() && r.Outcome == sim.OutcomeDone {
		op.Result, op.Found, op.Wrote, op.Index, op.Stale = r.Reply.Before, r.Reply.Found, r.Reply.Wrote, uint64(r.Reply.Index), r.Stale
	}
	return op
}
