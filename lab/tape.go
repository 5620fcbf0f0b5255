package lab

import (
	"fmt"
	"strings"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

// tape takes down what happens until it is told.
type tape struct {
	events  []Event
	last    uint64
	skipped uint64
	// mute is the last event that is counted only, because the page has it.
	mute uint64
}

// take gives what was taken down.
func (t *tape) take() (events []Event, skipped uint64) {
	events, skipped = t.events, t.skipped
	t.events, t.skipped = nil, 0
	return events, skipped
}

// since gives what came after an event, as far as it was not taken.
func (t *tape) since(id uint64) []Event {
	n := min(int(t.last-id), len(t.events))
	return t.events[len(t.events)-n:]
}

func (t *tape) add(e Event) {
	t.last++
	e.ID = t.last
	if len(t.events) >= maxEvents {
		drop := maxEvents / 4
		t.events = append(t.events[:0], t.events[drop:]...)
		t.skipped += uint64(drop)
	}
	t.events = append(t.events, e)
}

var eventKinds = map[raft.EventKind]string{
	raft.EventElectionTimeout: "timeout", raft.EventBecameFollower: "follower", raft.EventBecamePreCandidate: "pre-candidate",
	raft.EventBecameCandidate: "candidate", raft.EventBecameLeader: "leader", raft.EventVoteGranted: "vote-granted", raft.EventVoteRefused: "vote-refused",
	raft.EventVoteReceived: "vote-received", raft.EventTermAdvanced: "term", raft.EventLeaderKnown: "leader-known", raft.EventProposed: "proposed",
	raft.EventAppended: "appended", raft.EventTruncated: "truncated", raft.EventRejected: "rejected", raft.EventCommitted: "committed",
	raft.EventConfiguration: "configuration", raft.EventSteppedDown: "stepped-down", raft.EventTransferStarted: "transfer-started",
	raft.EventTransferEnded: "transfer-ended", raft.EventSnapshotNeeded: "snapshot-needed", raft.EventSnapshotInstalled: "snapshot-installed",
	raft.EventReadConfirmed: "read-confirmed", raft.EventQuiesced: "quiet", raft.EventWoke: "woke", raft.EventIgnored: "ignored",
}

var happeningKinds = map[sim.HappeningKind]string{
	sim.HappenedSend: "sent", sim.HappenedDeliver: "delivered", sim.HappenedLoss: "lost", sim.HappenedSync: "synced", sim.HappenedApply: "applied",
	sim.HappenedBoot: "started", sim.HappenedCrash: "crashed", sim.HappenedStop: "stopped", sim.HappenedPause: "paused", sim.HappenedResume: "resumed",
	sim.HappenedFault: "fault", sim.HappenedPhase: "phase", sim.HappenedAsk: "asked", sim.HappenedAnswer: "answered", sim.HappenedChange: "operator",
	sim.HappenedViolation: "violation",
}

// EventOf is a core's event as the protocol has it; its ID is for who collects them.
func EventOf(t int64, member raft.MemberID, e *raft.Event) Event {
	return Event{
		T: t, Kind: eventKinds[e.Kind], Member: uint64(member), Term: uint64(e.Term), Peer: uint64(e.Peer), Index: uint64(e.Index), Count: e.Count,
		Rule: e.Rule, Section: section(e.Rule),
	}
}

// section is where a rule is written, if it says so.
func section(rule string) string {
	head, _, found := strings.Cut(rule, ":")
	if !found {
		return ""
	}
	for _, begins := range []string{"§", "thesis", "figure"} {
		if strings.HasPrefix(head, begins) {
			return head
		}
	}
	return ""
}

func (t *tape) happened(h *sim.Happening) {
	if t.last < t.mute {
		t.last++
		return
	}
	if h.Kind == sim.HappenedEvent {
		t.add(EventOf(int64(h.At), h.Host, &h.Event))
		return
	}
	e := Event{T: int64(h.At), Kind: happeningKinds[h.Kind], Member: uint64(h.Host), Index: uint64(h.Event.Index), Why: h.Text}
	switch h.Kind {
	case sim.HappenedSend:
		m := message(&h.Flight, true)
		e.Message = &m
	case sim.HappenedDeliver, sim.HappenedLoss:
		m := message(&h.Flight, false)
		e.Message = &m
	case sim.HappenedAsk, sim.HappenedAnswer:
		op := operation(&h.Request)
		e.Op = &op
	case sim.HappenedApply:
		e.Term = uint64(h.Event.Term)
	case sim.HappenedSync:
		e.Why = ""
	}
	t.add(e)
}

// message is a message as the protocol has it; in full with what it says.
func message(f *sim.Flight, full bool) Message {
	m := Message{
		ID: f.ID, From: end(f.From, f.Client), To: end(f.To, f.Client), Sent: int64(f.Sent), Arrives: int64(f.Arrives), Lost: f.Lost, Of: f.Of,
	}
	if f.Message == nil {
		m.Kind, m.Reply = "request", f.Answer
		if f.Answer {
			m.Kind = "answer"
		}
		m.Fields = &MessageFields{Op: f.Request}
		return m
	}
	m.Term = uint64(f.Message.Head().Term)
	fields := MessageFields{}
	say(f.Message, &m, &fields, full)
	if full {
		m.Fields = &fields
	}
	return m
}

func end(member raft.MemberID, client int) string {
	if member == raft.NoMember {
		return fmt.Sprintf("c%d", client)
	}
	return fmt.Sprintf("n%d", member)
}

func id(index raft.Index, term raft.Term) *EntryID {
	return &EntryID{Index: uint64(index), Term: uint64(term)}
}

// say fills in what a message is and says.
func say(message raft.Message, m *Message, f *MessageFields, full bool) {
	switch p := message.(type) {
	case *raft.PreVoteRequest:
		m.Kind, f.Last = "prevote", id(p.LastIndex, p.LastTerm)
	case *raft.PreVoteReply:
		m.Kind, m.Reply, m.Refused, f.Campaign = "prevote", true, !p.Granted, uint64(p.Campaign)
	case *raft.VoteRequest:
		m.Kind, f.Last, f.Transfer = "vote", id(p.LastIndex, p.LastTerm), p.Transfer
	case *raft.VoteReply:
		m.Kind, m.Reply, m.Refused = "vote", true, !p.Granted
	case *raft.AppendRequest:
		m.Kind = "append"
		if len(p.Entries) == 0 {
			m.Kind = "heartbeat"
		}
		f.Prev, f.Commit, f.Round = id(p.PrevIndex, p.PrevTerm), uint64(p.Commit), p.Round
		if full {
			f.Entries = entries(p.Entries)
		}
	case *raft.AppendReply:
		m.Kind, m.Reply, m.Refused, f.Round = "append", true, p.Rejected, p.Round
		if p.Rejected {
			f.Prev, f.Conflict = id(p.PrevIndex, 0), id(p.ConflictIndex, p.ConflictTerm)
		} else {
			f.Match = uint64(p.Match)
		}
	case *raft.TimeoutNow:
		m.Kind = "timeout"
	case *raft.ReadIndexRequest:
		m.Kind = "read"
	case *raft.ReadIndexReply:
		m.Kind, m.Reply, m.Refused, f.Index = "read", true, p.Index == 0, uint64(p.Index)
	case *raft.WakeRequest:
		m.Kind = "wake"
	case *raft.InstallSnapshot:
		m.Kind, f.Snapshot = "snapshot", id(p.Meta.Index, p.Meta.Term)
	case *engine.SnapshotChunk:
		m.Kind, f.Snapshot, f.Offset, f.Size = "snapshot", id(p.Meta.Index, p.Meta.Term), p.Offset, p.Size
	case *engine.SnapshotAck:
		m.Kind, m.Reply, m.Refused, f.Offset = "snapshot", true, p.Status == engine.SnapshotUnwanted, p.Offset
	case *engine.ForwardRequest:
		m.Kind, f.Text = "forward", forwarded(p)
	case *engine.ForwardReply:
		m.Kind, m.Reply, m.Refused, f.Index = "forward", true, p.Code != engine.ForwardAccepted, uint64(p.Index)
	}
}

func forwarded(p *engine.ForwardRequest) string {
	switch p.Op {
	case engine.ForwardChange:
		return "change the members"
	case engine.ForwardTransfer:
		return "transfer leadership"
	}
	return sim.CommandText(p.Data)
}
