package sim_test

import (
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

func BenchmarkWorld(b *testing.B) {
	for _, full := range []bool{false, true} {
		name := "plain"
		o := sim.Options{Members: 5, Groups: 1, Duration: 20 * time.Second, Faults: []string{}, Story: 1}
		if full {
			name = "full"
			o.Codec = wireCodec{}
		}
		b.Run(name, func(b *testing.B) {
			var events uint64
			var simulated time.Duration
			for i := range b.N {
				r := sim.Run(uint64(i)+1, o)
				if r.Failure != nil {
					b.Fatal(r.Failure)
				}
				events += r.Events
				simulated += r.Time
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(simulated.Seconds()/b.Elapsed().Seconds(), "x")
		})
	}
}
