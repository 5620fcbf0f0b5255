package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/bench/ledger"
)

// promise is what a proposer was told: that its commands up to last are done, except those that nobody knows of.
type promise struct {
	last    uint64
	unknown []uint64
}

func (p *promise) has(n uint64) bool { return n <= p.last && !slices.Contains(p.unknown, n) }

// steady is a load that goes on for as long as is wanted, and tells its latencies apart by what went on when a request was due.
type steady struct {
	promises []promise

	phase atomic.Pointer[phase]
	ended atomic.Bool
	wait  sync.WaitGroup
}

// phase gathers the latencies of one kind of time.
type phase struct {
	name    string
	elapsed time.Duration
	since   time.Time

	mu           sync.Mutex
	done, failed uint64
	latency      *hdrhistogram.Histogram // in microseconds
}

const longestLatency = 120_000_000

func newPhase(name string) *phase {
	return &phase{name: name, latency: hdrhistogram.New(1, longestLatency, 2)}
}

func (p *phase) record(took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed++
		return
	}
	p.done++
	_ = p.latency.RecordValue(min(max(took.Microseconds(), 1), longestLatency)) // it is in range
}

// add adds what another phase has gathered.
func (p *phase) add(other *phase) {
	p.elapsed += other.elapsed
	p.done, p.failed = p.done+other.done, p.failed+other.failed
	p.latency.Merge(other.latency)
}

// milliseconds at a percentile.
func (p *phase) at(percentile float64) float64 {
	return float64(p.latency.ValueAtQuantile(percentile)) / 1000
}

func (p *phase) perSecond() float64 {
	return float64(p.done) / max(p.elapsed, time.Microsecond).Seconds()
}

// startSteady begins to propose to a group, with so many at once at most.
func startSteady(group *balsa.Group, proposers, size int, rate float64) *steady {
	return continueSteady(group, make([]promise, proposers), size, rate)
}

// continueSteady goes on where proposers had stopped.
func continueSteady(group *balsa.Group, promises []promise, size int, rate float64) *steady {
	s := &steady{promises: promises}
	s.phase.Store(newPhase("warm-up"))
	start := time.Now()
	var next atomic.Int64
	for i := range promises {
		s.wait.Go(func() {
			command, p := ledger.NewCommand(max(size, ledger.MinCommand), 1, uint32(i)), &s.promises[i]
			for !s.ended.Load() {
				due := time.Now()
				if rate > 0 {
					due = start.Add(time.Duration(float64(next.Add(1)-1) / rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				}
				at := s.phase.Load()
				ledger.SetNumber(command, p.last+1)
				_, err := group.Propose(context.Background(), slices.Clone(command))
				p.last++
				at.record(time.Since(due), err)
				if err != nil {
					p.unknown = append(p.unknown, p.last)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	return s
}

// enter begins another phase, or goes on with one; the time until now belongs to the one before.
func (s *steady) enter(p *phase) {
	now := time.Now()
	p.since = now
	old := s.phase.Swap(p)
	old.elapsed += now.Sub(old.since)
}

// during has a phase last for so long.
func (s *steady) during(p *phase, d time.Duration) {
	s.enter(p)
	time.Sleep(d)
}

// stop ends the load, and returns once every request was answered.
func (s *steady) stop() []promise {
	s.enter(newPhase("end"))
	s.ended.Store(true)
	s.wait.Wait()
	return s.promises
}
