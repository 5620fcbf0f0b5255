package front

import "sync"

// workers are the goroutines that methods run on. Who is free takes the next request, the last one first: so no more of them have stacks that have grown to what a
// method needs than there were requests at the same time.
type workers struct {
	mu      sync.Mutex
	free    []chan *call
	stopped bool
	running sync.WaitGroup
}

// maxFree bounds how many goroutines are kept.
const maxFree = 512

func (w *workers) run(c *call) {
	w.mu.Lock()
	if n := len(w.free); n > 0 {
		next := w.free[n-1]
		w.free = w.free[:n-1]
		w.mu.Unlock()
		next <- c
		return
	}
	w.running.Add(1)
	w.mu.Unlock()
	go w.work(c)
}

func (w *workers) work(c *call) {
	defer w.running.Done()
	calls := make(chan *call, 1)
	for more := true; more; {
		c.serve()
		w.mu.Lock()
		if w.stopped || len(w.free) >= maxFree {
			w.mu.Unlock()
			return
		}
		w.free = append(w.free, calls)
		w.mu.Unlock()
		c, more = <-calls
	}
}

// stop ends all, and waits for what runs. Nothing may be run any more.
func (w *workers) stop() {
	w.mu.Lock()
	w.stopped = true
	for _, calls := range w.free {
		close(calls)
	}
	w.free = nil
	w.mu.Unlock()
	w.running.Wait()
}
