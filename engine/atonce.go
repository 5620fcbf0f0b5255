package engine

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// A turn at once: where a worker has little to do, whoever brings work to it (a request, a message, the disk) gives it its turn on the own goroutine. To wake another one for it takes
// longer than the turn, on each member that a request passes through, and mostly another processor, which has to be woken first. Where there is much to do, what comes in while
// one turn runs goes into the next: then waiting for the worker's goroutine is what makes turns few and large.

// shortcut is what a worker needs for that; only one that Run has given a goroutine has a clock.
type shortcut struct {
	clock Clock
	// calm is how many turns in a row had little to do: no more than one request, or one entry, in no more than one group.
	calm atomic.Int32
	// turning is held during each turn, and guards what follows.
	turning sync.Mutex
	timer   *time.Timer
	armed   time.Duration // when the timer fires
	over    bool          // the last turn was given
	// appliers are looked after by the worker's goroutine.
	appliers *appliers
}

// calmTurns is how many turns with little to do make a worker calm. One request takes some five turns of the leader.
const calmTurns = 32

// maxAtOnce bounds how many messages a connection delivers that are little: more of them have been waiting for each other.
const maxAtOnce = 3

func (w *worker) isCalm() bool { return w.calm.Load() >= calmTurns }

// atOnce gives the worker its turn, unless somebody else does so just now, or there is much to do: then it has to be woken.
func (w *worker) atOnce() bool {
	if w.clock == nil || !w.isCalm() || !w.turning.TryLock() {
		return false
	}
	defer w.turning.Unlock()
	if w.over {
		return false
	}
	defer endProcess()
	if next := w.turn(w.clock); next < w.armed {
		w.arm(next)
	}
	if n, _ := w.host.ready.waiting(); n > 0 && w.appliers.areAll() {
		w.host.notify(StageTurn, w.number) // The worker's goroutine sees whether machines block.
	}
	return true
}

// arm sets when the worker's goroutine gives it a turn even if nothing comes in; turning is held.
func (w *worker) arm(next time.Duration) {
	w.armed = next
	if next != math.MaxInt64 {
		w.timer.Reset(max(next-w.clock(), 0))
	} else {
		w.timer.Stop()
	}
}

// send passes messages to the network: at once while the worker is calm, in the network's own time while others will come that can go with them.
func (w *worker) send(envelopes []Envelope) {
	if prompt := w.host.prompt; prompt != nil && w.isCalm() {
		prompt.SendNow(envelopes)
	} else {
		w.host.options.Network.Send(envelopes)
	}
}

// soothe notes how much the groups of a turn have before them.
func (w *worker) soothe(run []*Group) {
	switch calm := w.calm.Load(); {
	case len(run) > 1 || len(run) == 1 && !run[0].spare.isLittle():
		w.calm.Store(0)
	case calm < calmTurns:
		w.calm.Store(calm + 1)
	}
}

// isLittle tells whether there is no more than what one request of one client brings with it.
func (b *inbox) isLittle() bool {
	if len(b.calls)+len(b.reads) > 1 || len(b.envelopes) > maxAtOnce {
		return false
	}
	for i := range b.envelopes {
		if m, ok := b.envelopes[i].Message.(*raft.AppendRequest); ok && len(m.Entries) > 1 {
			return false
		}
	}
	return true
}
