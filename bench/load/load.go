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
	// Warmup passes before anything counts. Measure is how long it counts then.
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

// Run asks with all workers. ask is called by one goroutine per worker, which is numbered from 0.
func Run(l Load, ask func(worker int) error) Outcome {
	var (
		all             [shards]shard
		counting, ended atomic.Bool
		wait            sync.WaitGroup
		start           = time.Now()
		next            atomic.Int64
	)
	for i := range all {
		all[i].latency = hdrhistogram.New(1, longest, 2)
	}
	for worker := range l.Workers {
		wait.Go(func() {
			mine := &all[worker%shards]
			for !ended.Load() {
				due := time.Now()
				if l.Rate > 0 {
					due = start.Add(time.Duration(float64(next.Add(1)-1) / l.Rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				}
				err := ask(worker)
				took := time.Since(due)
				if counting.Load() {
					mine.record(took, err)
				}
				if err != nil {
					time.Sleep(time.Millisecond) // whoever was refused comes back in a moment, rather than at once and for nothing
				}
			}
		})
	}
	time.Sleep(l.Warmup)
	if l.Begin != nil {
		l.Begin()
	}
	began := time.Now()
	counting.Store(true)
	time.Sleep(l.Measure)
	counting.Store(false)
	elapsed := time.Since(began)
	if l.End != nil {
		l.End()
	}
	ended.Store(true)
	wait.Wait()

	out := Outcome{Elapsed: elapsed, Latency: hdrhistogram.New(1, longest, 2)}
	for i := range all {
		out.Done += all[i].done
		out.Failed += all[i].failed
		out.Latency.Merge(all[i].latency)
		if all[i].err != nil {
			out.Error = all[i].err
		}
	}
	return out
}
