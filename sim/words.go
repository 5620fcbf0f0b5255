package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// properties says in words what each checker holds the world to.
var properties = map[string]string{
	"Election Safety":        "at most one leader can be elected in a given term, and nobody votes twice in one (figure 3, §5.2)",
	"Leader Append-Only":     "a leader never overwrites or deletes entries in its log; it only appends new entries (figure 3, §5.3)",
	"Log Matching":           "if two logs contain an entry with the same index and term, they are identical in all entries up through it (figure 3, §5.3)",
	"Leader Completeness":    "an entry that is committed in a term is in the logs of the leaders of all higher terms (figure 3, §5.4)",
	"State Machine Safety":   "no two members apply different entries at the same index, and all apply what is committed, in order, once (figure 3, §5.4.3)",
	"promise":                "terms, votes and entries are on stable storage before anybody is told of them, so no crash takes them back (figure 2)",
	"durability":             "what a client was told has happened is there for ever",
	"exactly once":           "a command is applied once if it was accepted, and never if it was refused",
	"linearizability":        "every operation seems to happen at one moment between its call and its answer (§8)",
	"answers":                "every machine answers a command as one does that is asked alone, in the order of the log",
	"serializable reads":     "a read without a barrier sees a state that was committed, and no member goes back while its process lives",
	"liveness":               "once the faults are over the groups elect leaders, catch up and answer within a bounded time (§5.6)",
	"recovery":               "a process starts again from what its disk kept, and has nothing but what was once written",
	"log":                    "a log changes only in ways that the core says",
	"state machine equality": "machines that have applied the same are in the same state, and what a snapshot restores is what it was taken of",
	"state machine":          "a machine is given only commands, and answers them",
	"bounds":                 "memory, messages on their way and files stay within their limits, and nothing is left of what has ended",
	"no panic":               "nothing that a peer, a client or a disk can do makes a process panic",
	"network":                "every message can be carried as bytes, and goes to somebody",
	"options":                "the options describe a world",
}

// Property says in words what a property demands; "" if it is not known.
func Property(checker string) string { return properties[checker] }

// eventWords are sentences without their subject, with what the event says in braces.
var eventWords = map[raft.EventKind]string{
	raft.EventElectionTimeout:    "has waited for a leader long enough, in term {term}",
	raft.EventBecameFollower:     "is a follower in term {term}",
	raft.EventBecamePreCandidate: "asks in term {term} whether it could be elected",
	raft.EventBecameCandidate:    "becomes candidate of term {term}",
	raft.EventBecameLeader:       "BECOMES LEADER of term {term}, with entry {index} as its first",
	raft.EventVoteGranted:        "gives its vote to n{peer}, in term {term}",
	raft.EventVoteRefused:        "refuses n{peer} its vote, in term {term}",
	raft.EventVoteReceived:       "has the vote of n{peer}, {count} in all, in term {term}",
	raft.EventTermAdvanced:       "goes on to term {term}, of which n{peer} told it",
	raft.EventLeaderKnown:        "hears from n{peer}, the leader of term {term}",
	raft.EventProposed:           "takes {entries} into its log as leader of term {term}",
	raft.EventAppended:           "takes {entries} from n{peer} into its log",
	raft.EventTruncated:          "removes {entries} from its log",
	raft.EventRejected:           "rejects what n{peer} sends it, and asks to go back to {index}",
	raft.EventCommitted:          "takes everything up to entry {index} for committed",
	raft.EventConfiguration:      "goes by the configuration of {members} in entry {index}",
	raft.EventSteppedDown:        "STEPS DOWN, now in term {term}",
	raft.EventTransferStarted:    "begins to hand leadership over to n{peer}",
	raft.EventTransferEnded:      "ends the transfer of leadership to n{peer}",
	raft.EventSnapshotNeeded:     "has no entry {index} any more, which n{peer} needs: a snapshot has to do",
	raft.EventSnapshotInstalled:  "takes over a snapshot that stands for everything up to entry {index}",
	raft.EventReadConfirmed:      "confirms {count} reads as of entry {index}",
	raft.EventQuiesced:           "falls silent: there is nothing to do",
	raft.EventWoke:               "wakes up",
	raft.EventIgnored:            "ignores a message of n{peer}",
}

// words tells a note as a sentence, for somebody who knows the paper and not this code; false if it is of no interest then.
func (n *note) words() (string, bool) {
	head := fmt.Sprintf("%10.3f ms  ", float64(n.at)/float64(time.Millisecond))
	if n.host != raft.NoMember {
		head += fmt.Sprintf("n%d ", n.host)
	}
	switch n.kind {
	case noteEvent:
		e := &n.event
		form, known := eventWords[e.Kind]
		if !known {
			return head + describeEvent(e), true
		}
		if n.a > 1 {
			head += fmt.Sprintf("(in group %d) ", n.a)
		}
		text := strings.NewReplacer("{peer}", fmt.Sprint(uint64(e.Peer)), "{term}", fmt.Sprint(e.Term), "{index}", fmt.Sprint(e.Index),
			"{entries}", entries(e.Index, e.Count), "{count}", fmt.Sprint(e.Count), "{members}", memberCount(e.Count)).Replace(form)
		if e.Rule != "" {
			text += " (" + e.Rule + ")"
		}
		return head + text, true
	case noteClient:
		text := strings.TrimSuffix(n.text, ", <nil>")
		if who, done := strings.CutSuffix(text, "is answered: <nil>"); done {
			text = who + "is answered: it is done"
		}
		if n.b == 0 {
			return head + text, true
		}
		return head + fmt.Sprintf("client %d %s", n.b, text), true
	case noteCrash, noteBoot, notePause, noteResume, noteFault, notePhase:
		return head + n.text, n.at > 0 || n.kind != notePhase // The first says what was drawn.
	case noteLost:
		if m, ok := n.message.(*raft.AppendRequest); ok && len(m.Entries) == 0 {
			return "", false // one heartbeat of many
		}
		return head + fmt.Sprintf("sends n%d a message that is lost (%s): %s", n.b, n.text, describe(n.message)), true
	}
	return "", false
}

func entries(first raft.Index, count int) string {
	if count < 2 {
		return fmt.Sprintf("entry %d", first)
	}
	return fmt.Sprintf("entries %d to %d", first, first+raft.Index(count)-1)
}

func memberCount(n int) string {
	if n == 1 {
		return "one member"
	}
	return fmt.Sprintf("%d members", n)
}

// words tells the last notes that are of interest, at most n.
func (s *story) words(n int) []string {
	var list []string
	for i := len(s.ring) - 1; i >= 0 && len(list) < n; i-- {
		at := &s.ring[(s.next+i)%len(s.ring)]
		if at.kind == 0 {
			break
		}
		if text, ok := at.words(); ok {
			list = append(list, text)
		}
	}
	slices.Reverse(list)
	return list
}
