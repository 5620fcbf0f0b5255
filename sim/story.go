package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// noteKind says what a note of the story is about.
type noteKind uint8

const (
	noteTurn noteKind = iota + 1
	noteSync
	noteApply
	noteBackground
	noteSend
	noteDeliver
	noteLost
	noteEvent
	noteBoot
	noteCrash
	notePause
	noteResume
	noteFault
	noteClient
	notePhase
	noteStop
)

// note is one thing that happened: the unit of the trace's hash, and of the story that a failing run tells. a, b and c mean what the kind
// says; what is kept as a value and put into words only if somebody asks.
type note struct {
	at      time.Duration
	kind    noteKind
	host    raft.MemberID
	a, b, c uint64
	text    string
	message raft.Message
	event   raft.Event
}

// story remembers the last notes and hashes them all.
type story struct {
	hash  uint64
	ring  []note // of one note at least
	next  int
	count uint64
	tell  func(string) // if set, gets every line as it happens
	watch func(*note)  // if set, gets every note
}

func (s *story) add(n *note) {
	s.mix(uint64(n.at))
	s.mix(uint64(n.kind)<<56 ^ uint64(n.host))
	s.mix(n.a)
	s.mix(n.b)
	s.mix(n.c)
	s.mix(uint64(n.event.Kind)<<48 ^ uint64(n.event.Term)<<32 ^ uint64(n.event.Index)<<8 ^ uint64(n.event.Peer))
	for i := range len(n.text) {
		s.mix(uint64(n.text[i]))
	}
	s.count++
	kept := &s.ring[s.next] // What watches gets this one, so that the note itself need not outlive the call.
	*kept = *n
	if s.next++; s.next == len(s.ring) {
		s.next = 0
	}
	if s.watch != nil {
		s.watch(kept)
	}
	if s.tell != nil {
		s.tell(kept.String())
	}
}

// mix folds a word into the hash (FNV-1a over words, with a final rotation against its weak low bits).
func (s *story) mix(x uint64) {
	s.hash = (s.hash ^ x) * 0x100000001b3
	s.hash ^= s.hash >> 29
}

// lines tells the last notes.
func (s *story) lines() []string {
	var lines []string
	for i := range s.ring {
		n := &s.ring[(s.next+i)%len(s.ring)]
		if n.kind != 0 {
			lines = append(lines, n.String())
		}
	}
	return lines
}

// String is a line of the story: when, who, what.
func (n *note) String() string {
	head := fmt.Sprintf("%11.3fms ", float64(n.at)/float64(time.Millisecond))
	if n.host != raft.NoMember {
		head += fmt.Sprintf("n%d ", n.host)
	} else {
		head += "-- "
	}
	switch n.kind {
	case noteTurn:
		return head + "turn"
	case noteSync:
		return head + n.text
	case noteApply:
		return head + "apply"
	case noteBackground:
		return head + "background"
	case noteSend:
		return head + fmt.Sprintf("g%d sends to n%d: %s%s", n.a, n.b, describe(n.message), n.text)
	case noteDeliver:
		return head + fmt.Sprintf("g%d receives from n%d: %s", n.a, n.b, describe(n.message))
	case noteLost:
		return head + fmt.Sprintf("g%d message to n%d is lost: %s: %s", n.a, n.b, n.text, describe(n.message))
	case noteEvent:
		return head + fmt.Sprintf("g%d %s", n.a, describeEvent(&n.event))
	case noteClient:
		return head + fmt.Sprintf("g%d client %d: %s", n.a, n.b, n.text)
	}
	return head + n.text
}

func describe(m raft.Message) string {
	if m == nil {
		return ""
	}
	h := m.Head()
	text := fmt.Sprintf("%T term %d", m, h.Term)
	text = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(text, "*"), "raft."), "engine.")
	switch m := m.(type) {
	case *raft.PreVoteRequest:
		text += fmt.Sprintf(", last %d@%d", m.LastIndex, m.LastTerm)
	case *raft.PreVoteReply:
		text += fmt.Sprintf(", granted %v for term %d", m.Granted, m.Campaign)
	case *raft.VoteRequest:
		text += fmt.Sprintf(", last %d@%d, transfer %v", m.LastIndex, m.LastTerm, m.Transfer)
	case *raft.VoteReply:
		text += fmt.Sprintf(", granted %v", m.Granted)
	case *raft.AppendRequest:
		text += fmt.Sprintf(", prev %d@%d, commit %d, round %d", m.PrevIndex, m.PrevTerm, m.Commit, m.Round)
		if n := len(m.Entries); n > 0 {
			text += fmt.Sprintf(", entries %d@%d-%d@%d", m.Entries[0].Index, m.Entries[0].Term, m.Entries[n-1].Index, m.Entries[n-1].Term)
		}
		if m.Quiesce {
			text += ", quiesce"
		}
	case *raft.AppendReply:
		text += fmt.Sprintf(", rejected %v, match %d, prev %d, conflict %d@%d, round %d", m.Rejected, m.Match, m.PrevIndex, m.ConflictIndex, m.ConflictTerm, m.Round)
	case *raft.InstallSnapshot:
		text += fmt.Sprintf(", snapshot %d@%d", m.Meta.Index, m.Meta.Term)
	case *raft.ReadIndexRequest:
		text += fmt.Sprintf(", id %x", m.ID)
	case *raft.ReadIndexReply:
		text += fmt.Sprintf(", id %x, index %d", m.ID, m.Index)
	case *engine.ForwardRequest:
		text += fmt.Sprintf(", id %x, op %d", m.ID, m.Op)
	case *engine.ForwardReply:
		text += fmt.Sprintf(", id %x, code %d, index %d", m.ID, m.Code, m.Index)
	case *engine.SnapshotChunk:
		text += fmt.Sprintf(", snapshot %d@%d, %d+%d of %d", m.Meta.Index, m.Meta.Term, m.Offset, len(m.Data), m.Size)
	case *engine.SnapshotAck:
		text += fmt.Sprintf(", status %d, offset %d", m.Status, m.Offset)
	}
	return text
}

var eventNames = map[raft.EventKind]string{
	raft.EventElectionTimeout: "election timeout", raft.EventBecameFollower: "became follower", raft.EventBecamePreCandidate: "became pre-candidate",
	raft.EventBecameCandidate: "became candidate", raft.EventBecameLeader: "BECAME LEADER", raft.EventVoteGranted: "vote granted", raft.EventVoteRefused: "vote refused",
	raft.EventVoteReceived: "vote received", raft.EventTermAdvanced: "term advanced", raft.EventLeaderKnown: "leader known", raft.EventProposed: "proposed",
	raft.EventAppended: "appended", raft.EventTruncated: "truncated", raft.EventRejected: "rejected", raft.EventCommitted: "committed",
	raft.EventConfiguration: "configuration", raft.EventSteppedDown: "stepped down", raft.EventTransferStarted: "transfer started",
	raft.EventTransferEnded: "transfer ended", raft.EventSnapshotNeeded: "snapshot needed", raft.EventSnapshotInstalled: "snapshot installed",
	raft.EventReadConfirmed: "read confirmed", raft.EventQuiesced: "quiesced", raft.EventWoke: "woke", raft.EventIgnored: "ignored",
}

func describeEvent(e *raft.Event) string {
	text := fmt.Sprintf("[term %d] %s", e.Term, eventNames[e.Kind])
	if e.Peer != raft.NoMember {
		text += fmt.Sprintf(" n%d", e.Peer)
	}
	if e.Index != 0 {
		text += fmt.Sprintf(" at %d", e.Index)
	}
	if e.Count != 0 {
		text += fmt.Sprintf(" x%d", e.Count)
	}
	if e.Rule != "" {
		text += " (" + e.Rule + ")"
	}
	return text
}
