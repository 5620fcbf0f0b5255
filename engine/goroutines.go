package engine

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
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
	appliers := &appliers{most: int32(runtime.GOMAXPROCS(0))}
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
			appliers.start(h, false)
		case StageBackground:
			wake(briefs)
			wake(lengthies)
		}
	}
	for i, w := range h.workers {
		w.clock, w.timer, w.appliers = clock, time.NewTimer(time.Hour), appliers
		h.loops.Go(func() { h.turnLoop(w, wakes[i]) })
	}
	h.loops.Go(func() { h.syncLoop(syncs) })
	h.loops.Go(func() {
		h.backgroundLoop(briefs, func() bool { return h.jobs.run(&h.jobs.brief) || h.prepare() })
	})
	h.loops.Go(func() {
		h.backgroundLoop(lengthies, func() bool { return h.jobs.run(&h.jobs.lengthy) })
	})
}

// appliers are the goroutines that let machines work: as many as can run at once take care of all groups, so that a thousand groups with a command each do not need a
// thousand goroutines. Machines that block may hold them all; turns see to it that there is another one then.
type appliers struct {
	most    int32
	running atomic.Int32
}

// areAll tells whether there are as many as can run.
func (a *appliers) areAll() bool { return a.running.Load() >= a.most }

// start begins one more, unless there are as many as can run; extra, even then. Whoever is counted looks for work once more when it no longer is, so nobody may be
// counted for a moment without being one: an applier that ends just then would leave its work to it.
func (a *appliers) start(h *Host, extra bool) {
	for {
		n := a.running.Load()
		if n >= a.most && !extra {
			return
		}
		if a.running.CompareAndSwap(n, n+1) {
			break
		}
	}
	h.loops.Go(func() {
		for h.Apply() {
		}
		a.running.Add(-1)
		if n, _ := h.ready.waiting(); n > 0 {
			a.start(h, false) // it came after the last look, and found nobody missing
		}
	})
}

// applyPatience is how long groups wait for machines that all appliers are busy with, before there is another applier.
const applyPatience = 2 * time.Millisecond

// overdue looks, once in a while, for groups that wait although no applier has taken one since the last look.
type overdue struct {
	taken uint64
	since time.Duration
}

// look tells whether another applier is due, and when to look again.
func (o *overdue) look(ready *readyGroups, now time.Duration) (due bool, next time.Duration) {
	n, taken := ready.waiting()
	if n == 0 || taken != o.taken {
		o.taken, o.since = taken, now
	}
	if n == 0 {
		return false, math.MaxInt64
	}
	if due = now-o.since >= applyPatience; due {
		o.since = now
	}
	return due, o.since + applyPatience
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// turnLoop gives a worker its turns: whenever something came in, and at the deadline.
func (h *Host) turnLoop(w *worker, wake <-chan struct{}) {
	var late overdue
	for {
		// Who is woken is the next to run on that processor. Whoever else has something for this turn, and would run right after, goes first: a turn for each of a
		// thousand proposers would be most of the work.
		runtime.Gosched()
		w.turning.Lock()
		next := w.turn(w.clock)
		if due, again := late.look(&h.ready, w.now); again != math.MaxInt64 {
			next = min(next, again)
			if due {
				w.appliers.start(h, true)
			}
		}
		w.arm(next)
		w.turning.Unlock()
		select {
		case <-wake:
		case <-w.timer.C:
		case <-h.closed:
			w.turning.Lock()
			w.stop(w.clock)
			w.over = true
			w.timer.Stop()
			w.turning.Unlock()
			return
		}
	}
}

// endProcess makes a panic that of a goroutine of its own: whoever brought the work may recover from what goes wrong in it, as an HTTP server does, and nobody may go on
// with a group whose state is impossible.
func endProcess() {
	if cause := recover(); cause != nil {
		stack := debug.Stack()
		go func() { panic(fmt.Sprintf("%v\n\n%s", cause, stack)) }()
		select {}
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
