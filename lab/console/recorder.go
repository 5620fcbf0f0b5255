package console

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/lab"
	"github.com/balsa-raft/balsa/raft"
)

// kept is how many of the rare events a Recorder remembers. Of those that every write brings it remembers the last of each kind.
const kept = 1024

// frequent are the kinds that come with every write.
var frequent = [64]bool{
	raft.EventProposed: true, raft.EventAppended: true, raft.EventCommitted: true, raft.EventReadConfirmed: true,
}

// Recorder remembers the last events of one group's core. Observe is for engine.Options.Observe; the rest may be called from anywhere.
type Recorder struct {
	group raft.GroupID
	born  time.Time

	mu   sync.Mutex
	last uint64
	rare [kept]recorded // a ring: event n is at n % kept, if it is a rare one
	next int            // how many rare ones there were
	// often has the last of each frequent kind.
	often [len(frequent)]recorded
}

// recorded is an event, when it was, and its number.
type recorded struct {
	id    uint64
	at    time.Duration
	event raft.Event
}

// NewRecorder makes the recorder of a group.
func NewRecorder(group raft.GroupID) *Recorder { return &Recorder{group: group, born: time.Now()} }

// Observe records events.
func (r *Recorder) Observe(group raft.GroupID, _ raft.MemberID, events []raft.Event) {
	if group != r.group {
		return
	}
	now := time.Since(r.born)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		e := &events[i]
		r.last++
		to := &r.often[int(e.Kind)%len(r.often)]
		if !frequent[int(e.Kind)%len(frequent)] {
			to = &r.rare[r.next%kept]
			r.next++
		}
		*to = recorded{id: r.last, at: now, event: *e}
	}
}

// since returns the events after one, the oldest first, and the number of the last. Times are Unix's, in nanoseconds.
func (r *Recorder) since(id uint64, member raft.MemberID) ([]lab.Event, uint64) {
	r.mu.Lock()
	var list []recorded
	for i := max(0, r.next-kept); i < r.next; i++ {
		if e := &r.rare[i%kept]; e.id > id {
			list = append(list, *e)
		}
	}
	for i := range r.often {
		if e := &r.often[i]; e.id > id {
			list = append(list, *e)
		}
	}
	last := r.last
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b recorded) int { return cmp.Compare(a.id, b.id) })
	events := make([]lab.Event, len(list))
	for i := range list {
		events[i] = lab.EventOf(r.born.Add(list[i].at).UnixNano(), member, &list[i].event)
		events[i].ID = list[i].id
	}
	return events, last
}
