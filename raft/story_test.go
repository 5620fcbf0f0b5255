package raft

import (
	"fmt"
	"strings"
)

// The words in which the golden scripts tell what happened.

func storyOfEntry(e Entry) string {
	switch e.Kind {
	case EntryNoop:
		return fmt.Sprintf("%d@%d no-op", e.Index, e.Term)
	case EntryConfiguration:
		conf, err := DecodeConfiguration(e.Data)
		if err != nil {
			return fmt.Sprintf("%d@%d %v", e.Index, e.Term, err)
		}
		return fmt.Sprintf("%d@%d members %v", e.Index, e.Term, conf)
	}
	return fmt.Sprintf("%d@%d %s", e.Index, e.Term, e.Data)
}

func storyOfEntries(entries []Entry) string {
	var parts []string
	for _, e := range entries {
		parts = append(parts, storyOfEntry(e))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func storyOfRead(r Read) string {
	if !r.OK {
		return fmt.Sprintf("read %d fails", r.ID)
	}
	return fmt.Sprintf("read %d may be served once %d is applied", r.ID, r.Index)
}

func storyOfMessage(m Message) string {
	h := m.Head()
	to := fmt.Sprintf("-> n%d ", h.To)
	switch m := m.(type) {
	case *PreVoteRequest:
		return to + fmt.Sprintf("PreVote term=%d last=%d@%d", m.Term, m.LastIndex, m.LastTerm)
	case *PreVoteReply:
		return to + fmt.Sprintf("PreVoteReply term=%d %s", m.Term, grantedWord(m.Granted))
	case *VoteRequest:
		return to + fmt.Sprintf("RequestVote last=%d@%d%s", m.LastIndex, m.LastTerm, ifWord(m.Transfer, " transfer"))
	case *VoteReply:
		return to + "VoteReply " + grantedWord(m.Granted)
	case *AppendRequest:
		name := "Append"
		if len(m.Entries) == 0 {
			name = "Heartbeat"
		}
		s := to + fmt.Sprintf("%s base=%d@%d commit=%d round=%d", name, m.PrevIndex, m.PrevTerm, m.Commit, m.Round)
		if len(m.Entries) > 0 {
			s += " " + storyOfEntries(m.Entries)
		}
		return s + ifWord(m.Quiesce, " quiesce")
	case *AppendReply:
		if m.Rejected {
			return to + fmt.Sprintf("AppendReply rejected base=%d conflict=%d@%d round=%d", m.PrevIndex, m.ConflictIndex, m.ConflictTerm, m.Round)
		}
		return to + fmt.Sprintf("AppendReply match=%d round=%d", m.Match, m.Round)
	case *InstallSnapshot:
		return to + fmt.Sprintf("InstallSnapshot %d@%d members %v", m.Meta.Index, m.Meta.Term, m.Meta.Configuration)
	case *TimeoutNow:
		return to + "TimeoutNow"
	case *ReadIndexRequest:
		return to + "ReadIndex"
	case *ReadIndexReply:
		return to + fmt.Sprintf("ReadIndexReply index=%d", m.Index)
	case *WakeRequest:
		return to + "Wake"
	}
	return to + fmt.Sprintf("%T", m)
}

func grantedWord(granted bool) string {
	if granted {
		return "granted"
	}
	return "refused"
}

func ifWord(is bool, word string) string {
	if is {
		return word
	}
	return ""
}

func storyOfEvent(e Event) string {
	s := ""
	switch e.Kind {
	case EventElectionTimeout:
		s = "times out"
	case EventBecameFollower:
		s = "is a follower"
	case EventBecamePreCandidate:
		s = "is a pre-candidate"
	case EventBecameCandidate:
		s = "is a candidate"
	case EventBecameLeader:
		s = "is the leader"
	case EventVoteGranted:
		s = fmt.Sprintf("would vote for n%d", e.Peer)
		if strings.HasPrefix(e.Rule, "§5.2") {
			s = fmt.Sprintf("votes for n%d", e.Peer)
		}
	case EventVoteRefused:
		s = fmt.Sprintf("refuses n%d", e.Peer)
	case EventVoteReceived:
		s = fmt.Sprintf("has n%d's vote, %d in all", e.Peer, e.Count)
	case EventTermAdvanced:
		s = fmt.Sprintf("learns of term %d from n%d", e.Term, e.Peer)
	case EventLeaderKnown:
		s = fmt.Sprintf("follows n%d", e.Peer)
	case EventProposed:
		s = fmt.Sprintf("takes %s", entriesWord(e))
	case EventAppended:
		s = fmt.Sprintf("appends %s", entriesWord(e))
	case EventTruncated:
		s = fmt.Sprintf("removes %s", entriesWord(e))
	case EventRejected:
		s = "has a log that differs"
	case EventCommitted:
		s = fmt.Sprintf("commits up to %d", e.Index)
	case EventConfiguration:
		s = fmt.Sprintf("is in the configuration of %d", e.Index)
	case EventSteppedDown:
		s = "steps down"
	case EventTransferStarted:
		s = fmt.Sprintf("hands over to n%d", e.Peer)
	case EventTransferEnded:
		s = fmt.Sprintf("ends the handover to n%d", e.Peer)
	case EventSnapshotNeeded:
		s = fmt.Sprintf("has to send n%d a snapshot", e.Peer)
	case EventSnapshotInstalled:
		s = fmt.Sprintf("starts from the snapshot at %d", e.Index)
	case EventReadConfirmed:
		s = fmt.Sprintf("confirms reads at %d", e.Index)
	case EventQuiesced:
		s = "falls silent"
	case EventWoke:
		s = "wakes"
	case EventIgnored:
		s = fmt.Sprintf("ignores n%d", e.Peer)
	}
	if e.Rule != "" {
		s += " (" + e.Rule + ")"
	}
	return s
}

func entriesWord(e Event) string {
	if e.Count == 1 {
		return fmt.Sprintf("entry %d", e.Index)
	}
	return fmt.Sprintf("entries %d-%d", e.Index, e.Index+Index(e.Count)-1)
}
