//go:build unix

package sim_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// BenchmarkWorld measures worlds of five members, in processor time: how many inputs the cores get a second, how many events happen, and how much
// faster than real time that is.
//
// light is a group whose four clients ask for something once a second each, moderate one whose ten clients ask every half second, steady one whose four clients ask every 25 ms, busy
// one whose ten ask every 2 ms. They
// have no faults, and hand messages over as they are. full is what a campaign runs: every kind of fault, size and limit, with each message encoded and decoded as in production.
func BenchmarkWorld(b *testing.B) {
	regime := func(clients int, think time.Duration) *sim.Regime {
		r := sim.Regime{ // all of it written down, so that what is measured stays the same when more is drawn
			Members: 5, Groups: 1, Duration: time.Minute, Calm: 500 * time.Millisecond,
			Delay: time.Millisecond, Hop: 50 * time.Microsecond, Disk: time.Millisecond, Apply: 20 * time.Microsecond,
			Workload: "registers", Clients: clients, Think: think, Patience: time.Second, Padding: 64,
			CompactBytes: 256 << 10, KeepEntries: 200, Segment: 64 << 10,
		}
		return &r
	}
	for _, c := range []struct {
		name    string
		options sim.Options
	}{
		{"light", sim.Options{Regime: regime(4, time.Second)}},
		{"moderate", sim.Options{Regime: regime(10, 500*time.Millisecond)}},
		{"steady", sim.Options{Regime: regime(4, 25*time.Millisecond)}},
		{"busy", sim.Options{Regime: regime(10, 2*time.Millisecond)}},
		{"full", sim.Options{Codec: wireCodec{}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			began := processorTime(b)
			var inputs, events uint64
			var simulated time.Duration
			for seed := uint64(1); b.Loop(); seed++ {
				r := sim.Run(seed, c.options)
				if r.Failure != nil {
					b.Fatal(r.Failure)
				}
				inputs += r.Inputs
				events += r.Events
				simulated += r.Time
			}
			took := (processorTime(b) - began).Seconds()
			b.ReportMetric(float64(inputs)/took, "inputs/cpu-s")
			b.ReportMetric(float64(events)/took, "events/cpu-s")
			b.ReportMetric(simulated.Seconds()/took, "x-real-time")
		})
	}
}

// processorTime is how long this process has had a processor, collector of garbage and all: on a machine with other work to do, the clock on the wall
// says little.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
