package load

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAClosedLoopKeepsAllWorkersBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { closedLoop(t) })
}

func closedLoop(t *testing.T) {
	var now, most atomic.Int64
	release := make(chan struct{})
	var begun, ended bool
	out := Run(Load{Workers: 8, Measure: 50 * time.Millisecond, Begin: func() { begun = true }, End: func() { ended = true; close(release) }}, func(int) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		now.Add(-1)
		return nil
	})
	if most.Load() != 8 || out.Done != 0 || !begun || !ended {
		t.Errorf("%d at once, %d done, begun %v, ended %v", most.Load(), out.Done, begun, ended)
	}
}

// A system that stalls for a while delays everything that was due meanwhile, not just the one request that it was asked.
func TestAnOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { openLoop(t) })
}

func openLoop(t *testing.T) {
	var asked atomic.Int64
	stall := 100 * time.Millisecond
	out := Run(Load{Workers: 1, Rate: 1000, Measure: 2 * stall}, func(int) error {
		if asked.Add(1) == 20 {
			<-time.After(stall)
		}
		return nil
	})
	if late := out.Latency.ValueAtQuantile(75); late < (stall / 10).Microseconds() {
		t.Errorf("a quarter of the requests took at least %d µs, though half of them were due during a stall of %v", late, stall)
	}
}

func TestFailuresAreNotAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { failures(t) })
}

func failures(t *testing.T) {
	odd := errors.New("odd")
	var n atomic.Int64
	out := Run(Load{Workers: 1, Measure: 20 * time.Millisecond}, func(int) error {
		<-time.After(time.Millisecond)
		if n.Add(1)%2 == 0 {
			return odd
		}
		return nil
	})
	if out.Done == 0 || out.Failed == 0 || out.Error != odd || out.Latency.TotalCount() != int64(out.Done) {
		t.Errorf("done %d, failed %d (%v), %d latencies", out.Done, out.Failed, out.Error, out.Latency.TotalCount())
	}
}

// A load that is answered late lasts until it was, so that a moment of measuring is enough to see that a system works.
func TestItLastsUntilSomethingWasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := Run(Load{Workers: 1, Measure: time.Millisecond}, func(int) error {
			<-time.After(5 * time.Second)
			return nil
		})
		if out.Done != 1 || out.Elapsed < 4*time.Second {
			t.Errorf("%d done in %v", out.Done, out.Elapsed)
		}
		out = Run(Load{Workers: 1, Measure: time.Millisecond}, func(int) error { return errors.New("odd") })
		if out.Done != 0 || out.Failed == 0 || out.Elapsed < longestWait {
			t.Errorf("%d done and %d failed in %v", out.Done, out.Failed, out.Elapsed)
		}
	})
}
