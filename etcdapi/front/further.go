package front

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// further are the goroutines on which requests go on whose wait is over: as many as can run at once take them in turn, and another one comes when those are stuck, in a disk
// that does not answer, say. What they do may need much of a stack, which each goroutine keeps: those that wait do not have it.
type further struct {
	mu      sync.Mutex
	wake    sync.Cond // a goroutine without work waits
	queue   []func()  // from the one at next on
	next    int
	taken   uint64 // how many ever were
	busy    int    // goroutines that have work
	idle    int    // goroutines that wait
	called  int    // of those, how many were woken and have not run yet
	looking bool   // a timer is set
	stopped bool
	running sync.WaitGroup
}

const (
	// furtherPatience is how long a request waits for goroutines that may be stuck, before there is another.
	furtherPatience = 2 * time.Millisecond
	// mostFurther bounds how many goroutines there are, and keptFurther how many stay without work.
	mostFurther, keptFurther = 512, 8
)

func (f *further) run(one func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wake.L == nil {
		f.wake.L = &f.mu
	}
	if f.stopped {
		return // nobody is left who would be answered
	}
	if len(f.queue) == cap(f.queue) {
		f.queue, f.next = slices.Delete(f.queue, 0, f.next), 0
	}
	f.queue = append(f.queue, one)
	switch {
	case f.busy+f.called < runtime.GOMAXPROCS(0):
		f.another()
	case !f.looking:
		f.look()
	}
}

// another sets one more goroutine to work; mu is held, as by those below.
func (f *further) another() {
	switch {
	case f.idle > f.called:
		f.called++
		f.wake.Signal()
	case f.busy+f.idle < mostFurther:
		f.busy++
		f.running.Go(f.work)
	}
}

// look has it looked, after a while, whether something was taken meanwhile.
func (f *further) look() {
	f.looking = true
	taken := f.taken
	time.AfterFunc(furtherPatience, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.looking = false
		if f.next == len(f.queue) || f.stopped {
			return
		}
		if f.taken == taken {
			f.another()
		}
		f.look()
	})
}

func (f *further) work() {
	f.mu.Lock()
	for {
		for f.next < len(f.queue) {
			one := f.queue[f.next]
			f.queue[f.next] = nil
			if f.next, f.taken = f.next+1, f.taken+1; f.next == len(f.queue) {
				f.queue, f.next = f.queue[:0], 0
			}
			f.mu.Unlock()
			one()
			f.mu.Lock()
		}
		f.busy--
		if f.stopped || f.idle >= keptFurther {
			f.mu.Unlock()
			return
		}
		f.idle++
		f.wake.Wait()
		f.idle--
		f.busy++
		f.called = max(f.called-1, 0)
	}
}

// stop ends all, and waits for what runs.
func (f *further) stop() {
	f.mu.Lock()
	f.stopped = true
	f.wake.Broadcast()
	f.mu.Unlock()
	f.running.Wait()
}
