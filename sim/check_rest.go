package sim

import (
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// A group that lives, and to which nothing happens, keeps its leader: members that were removed, learners, and those that missed something do
// not disturb it. That is looked at when the group has shown that it lives, for a while in which nobody asks anything of it. What is still on its way then, such as
// a request to take over that an earlier leader sent, may cost it a leader once or twice; it does not go on doing so.
const (
	restFor         = 3 * time.Second
	patienceForRest = 30 * time.Second
)

// reign is who leads a group, and in which term.
type reign struct {
	leader *member
	term   raft.Term
}

func (g *group) reign() reign {
	if m := g.leader(); m != nil {
		return reign{leader: m, term: m.running.Core().Term()}
	}
	return reign{}
}

// shielded tells whether the programs that run keep a leader from being disturbed. It takes both the vote before the vote and members that stick to
// their leader (thesis §4.2.3, §9.6); a deployment in which some have switched off the one and some the other has neither.
func (w *World) shielded() bool {
	asks, sticks := true, true
	for _, h := range w.hosts {
		asks = asks && !h.program.core.DisablePreVote
		sticks = sticks && !h.program.core.DisableCheckQuorum
	}
	return asks || sticks
}

// rest waits until all groups have kept their leaders for a while, and then calls then.
func (w *World) rest(since time.Duration, then func()) {
	var reigns []reign
	for _, g := range w.groups {
		reigns = append(reigns, g.reign())
	}
	w.after(restFor, func() {
		for i, g := range w.groups {
			now := g.reign()
			if now.leader != nil && now == reigns[i] || !w.shielded() {
				continue
			}
			if w.now-since > patienceForRest && w.regime.Beyond && now.leader == nil {
				w.halt(fmt.Sprintf("g%d: what was damaged was found only when it had shown that it lives", g.id))
				return
			}
			if w.now-since > patienceForRest {
				w.fail("stability", "g%d changes its leader again and again, though nothing happens to it: from term %d to %d within %v\n%s", g.id, reigns[i].term, now.term,
					restFor, w.states())
				return
			}
			w.rest(since, then)
			return
		}
		then()
	})
}
