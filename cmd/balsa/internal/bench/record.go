package bench

import (
	"fmt"
	"slices"
	"time"
)

// record is a run's latencies.
type record struct {
	latencies []time.Duration // sorted, once finished
	took      time.Duration
}

func (r *record) finish(took time.Duration) {
	r.took = took
	slices.Sort(r.latencies)
}

func (r *record) rate() float64 { return float64(len(r.latencies)) / r.took.Seconds() }

// at returns a quantile: the least latency that the share q of all did not exceed.
func (r *record) at(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	rank := int(q*float64(len(r.latencies)) + 0.999999)
	return rounded(r.latencies[min(max(rank, 1), len(r.latencies))-1])
}

// rounded leaves three digits, for people.
func rounded(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// milliseconds is how latencies are told: in one unit, so that they compare at a glance.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms == 0:
		return "0 ms"
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

func thousands(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
