// Package load asks a system over and over and measures how long it takes to answer.
//
// A closed loop has a fixed number of workers, each of whom asks again when it was answered. It finds out how much a system can do. It says little of how a
// system behaves under a load that does not wait: while the system stalls, a closed loop does not ask (coordinated omission). An open loop asks at times that
// are fixed beforehand, and counts from them: if all workers are busy because the system stalls, the waiting is part of the latency of all that was due.
package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Load says how to ask.
type Load struct {
	Workers int
	// Rate is requests per second in an open loop; 0 means a closed loop.
	Rate float64
	// Warmup passes before anything counts. Measure is how long it counts then, or longer if nothing was done until then.
	Warmup, Measure time.Duration
	// Begin and End, if set, are called when counting begins and ends.
	Begin, End func()
}

// Outcome is what was measured: of the requests that were answered while it counted.
type Outcome struct {
	Done, Failed uint64
	Elapsed      time.Duration
	// Latency is in microseconds, of those that were done.
	Latency *hdrhistogram.Histogram
	// Error is one of the failures, for the report.
	Error error
}

// The range that latencies are recorded in, with two significant digits: 1 µs to 2 minutes.
const longest = 120_000_000

// shards keep workers from waiting for each other to record. A histogram each for ten thousand workers would cost memory and caches.
const shards = 16

type shard struct {
	mu      sync.Mutex
	latency *hdrhistogram.Histogram
	done    uint64
	failed  uint64
	err     error
	_       [64]byte
}

func (s *shard) record(took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
		s.err = err
		return
	}
	s.done++
	_ = s.latency.RecordValue(min(max(took.Microseconds(), 1), longest)) // it is in range
}

func (s *shard) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done > 0
}

// Recorder takes down how long requests took, and says when the next one is due. It may be used by many goroutines.
type Recorder struct {
	rate            float64
	start           time.Time
	next            atomic.Int64
	counting, ended atomic.Bool
	shards          [shards]shard
}

// Due is when the next request is due that somebody is free to ask: in a closed loop now, in an open one at the next of the times that are fixed.
func (r *Recorder) Due(now time.Time) time.Time {
	if r.rate <= 0 {
		return now
	}
	return r.start.Add(time.Duration(float64(r.next.Add(1)-1) / r.rate * float64(time.Second)))
}

// Record takes down a request of a worker, which was answered so long after it was due.
func (r *Recorder) Record(worker int, took time.Duration, err error) {
	if r.counting.Load() {
		r.shards[worker%shards].record(took, err)
	}
}

// longestWait bounds how long it counts until something is done.
const longestWait = 30 * time.Second

// anyDone says whether anything was done while it counted.
func (r *Recorder) anyDone() bool {
	for i := range r.shards {
		if r.shards[i].any() {
			return true
		}
	}
	return false
}

// Ended says that nobody is to ask any more.
func (r *Recorder) Ended() bool { return r.ended.Load() }

// Ask asks with so many workers until the recorder has ended. ask is called by one goroutine per worker, which is numbered from 0.
func (r *Recorder) Ask(workers int, ask func(worker int) error) {
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for !r.Ended() {
				due := r.Due(time.Now())
				if r.rate > 0 {
					time.Sleep(time.Until(due))
				}
				err := ask(worker)
				r.Record(worker, time.Since(due), err)
				if err != nil {
					time.Sleep(time.Millisecond) // whoever was refused comes back in a moment, rather than at once and for nothing
				}
			}
		})
	}
	wait.Wait()
}

// Run measures with all workers of the load, each of which asks one request after the other.
func Run(l Load, ask func(worker int) error) Outcome {
	return Drive(l, func(r *Recorder) { r.Ask(l.Workers, ask) })
}

// Drive measures what asks by itself: drive asks with all workers until the recorder has ended, and returns when all have been answered.
func Drive(l Load, drive func(*Recorder)) Outcome {
	r := &Recorder{rate: l.Rate, start: time.Now()}
	for i := range r.shards {
		r.shards[i].latency = hdrhistogram.New(1, longest, 2)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		drive(r)
	}()
	time.Sleep(l.Warmup)
	if l.Begin != nil {
		l.Begin()
	}
	began := time.Now()
	r.counting.Store(true)
	time.Sleep(l.Measure)
	for time.Since(began) < longestWait && !r.anyDone() {
		time.Sleep(10 * time.Millisecond) // A time in which nothing was done would say nothing about how long anything takes.
	}
	r.counting.Store(false)
	elapsed := time.Since(began)
	if l.End != nil {
		l.End()
	}
	r.ended.Store(true)
	<-done

	out := Outcome{Elapsed: elapsed, Latency: hdrhistogram.New(1, longest, 2)}
	for i := range r.shards {
		s := &r.shards[i]
		out.Done += s.done
		out.Failed += s.failed
		out.Latency.Merge(s.latency)
		if s.err != nil {
			out.Error = s.err
		}
	}
	return out
}
