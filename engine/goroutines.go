package engine

import (
	"math"
	"runtime"
	"time"
)

// Clock is the time as turns see it: monotonic, since any origin.
type Clock func() time.Duration

// Run gives every stage its goroutines: one per worker, one for the disk, two for the background, and as many for machines as have work at once. It returns at
// once; Close ends them. Call it before the first Start. A host that a simulator steps is never Run.
func (h *Host) Run(clock Clock) {
	wakes := make([]chan struct{}, len(h.workers))
	for i := range wakes {
		wakes[i] = make(chan struct{}, 1)
	}
	syncs, briefs, lengthies := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	h.store.rest = h.rest(clock)
	inner := h.notify
	h.notify = func(stage Stage, worker int) {
		inner(stage, worker)
		switch stage {
		case StageTurn:
			wake(wakes[worker])
		case StageSync:
			wake(syncs)
		case StageApply:
			h.loops.Go(func() {
				for h.Apply() {
				}
			})
		case StageBackground:
			wake(briefs)
			wake(lengthies)
		}
	}
	for i, w := range h.workers {
		h.loops.Go(func() { h.turnLoop(w, wakes[i], clock) })
	}
	h.loops.Go(func() { h.syncLoop(syncs) })
	h.loops.Go(func() {
		h.backgroundLoop(briefs, func() bool { return h.jobs.run(&h.jobs.brief) || h.prepare() })
	})
	h.loops.Go(func() {
		h.backgroundLoop(lengthies, func() bool { return h.jobs.run(&h.jobs.lengthy) })
	})
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// turnLoop gives a worker its turns: whenever something came in, and at the deadline.
func (h *Host) turnLoop(w *worker, wake <-chan struct{}, clock Clock) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := w.turn(clock)
		if next != math.MaxInt64 {
			timer.Reset(max(next-clock(), 0))
		} else {
			timer.Stop()
		}
		select {
		case <-wake:
		case <-timer.C:
		case <-h.closed:
			w.stop(clock)
			return
		}
	}
}

// syncLoop writes as long as there is something to write. While the disk is full it looks again now and then.
func (h *Host) syncLoop(wake <-chan struct{}) {
	retry := time.NewTicker(200 * time.Millisecond)
	defer retry.Stop()
	for {
		for h.Sync() && !h.disk.blockedWrites() {
			if h.Err() != nil {
				break
			}
		}
		var again <-chan time.Time
		if h.disk.blockedWrites() {
			again = retry.C
		}
		select {
		case <-wake:
		case <-again:
		case <-h.closed:
			h.Sync()
			return
		}
		// Group commit: whoever is about to queue a write gets to do so before the fsync begins.
		runtime.Gosched()
	}
}

func (h *Host) backgroundLoop(wake <-chan struct{}, work func() bool) {
	for {
		for work() {
			select {
			case <-h.closed:
				return
			default:
			}
		}
		select {
		case <-wake:
		case <-h.closed:
			return
		}
	}
}

const (
	// restTimes is how many times as long as it took to write a piece of a snapshot is waited before the next.
	restTimes = 3
	// restMost bounds the wait for one piece, so that a disk that was slow for a moment does not make a snapshot endless.
	restMost = 25 * time.Millisecond
)

// rest returns what the writer of a snapshot calls after each piece. It waits, so that the groups have the disk and the processor for most of the time:
// nobody is in a hurry for a snapshot, but somebody may be for an answer.
func (h *Host) rest(clock Clock) func() {
	last := clock() - time.Hour
	return func() {
		if worked := clock() - last; worked < time.Second { // else this is the first piece
			timer := time.NewTimer(min(restTimes*worked, restMost))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-h.closed:
			}
		}
		last = clock()
	}
}
