package sim_test

import (
	"math"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// TestTheModelAgreesWithTheSimulator: on the same settings, the throughput on paper and that of the production code in simulated time are near each other. The model's
// error is in how it takes those who find a disk at work: as if they came at random, though those who were answered together come back together. That counts where
// an fsync takes longer than the ways.
func TestTheModelAgreesWithTheSimulator(t *testing.T) {
	ms := func(trips ...float64) (all []time.Duration) {
		for _, trip := range trips {
			all = append(all, time.Duration(trip*float64(time.Millisecond)))
		}
		return all
	}
	for _, c := range []struct {
		name  string
		trips []time.Duration
		fsync time.Duration
		// within is the part that the two may differ by.
		within float64
	}{
		{"one member", nil, time.Millisecond, 0.20},
		{"a rack", ms(0.1, 0.1), time.Millisecond, 0.20},
		{"a fast disk", ms(0.2, 0.2), 100 * time.Microsecond, 0.20},
		{"zones", ms(0.5, 1.5, 0.5, 1.5), time.Millisecond, 0.15},
		{"Europe", ms(15, 14), time.Millisecond, 0.03},
		{"the world", ms(75, 89, 165, 119), time.Millisecond, 0.03},
	} {
		for _, proposers := range []int{1, 16, 256} {
			m := sim.PaperModel{RoundTrips: c.trips, Fsync: c.fsync, Hop: 20 * time.Microsecond, EntryBytes: 32, Proposers: proposers}
			checkModel(t, c.name, m, c.within)
		}
	}
}

// A window of a few entries binds long before the proposers do.
func TestTheModelAgreesWithTheSimulatorOnTheWindow(t *testing.T) {
	for _, window := range []uint64{1 << 10, 4 << 10} {
		trip := 20 * time.Millisecond
		m := sim.PaperModel{
			RoundTrips: []time.Duration{trip, trip}, Fsync: time.Millisecond, Hop: 20 * time.Microsecond, EntryBytes: sim.ClosedLoopBytes, Proposers: 400, InflightBytes: window,
		}
		if limit := m.Predict().Limits[0].Name; limit != sim.LimitWindow {
			t.Errorf("%s binds at a window of %d bytes", limit, window)
		}
		checkModel(t, "a window", m, 0.10)
	}
}

func checkModel(t *testing.T, name string, m sim.PaperModel, within float64) {
	t.Helper()
	e := sim.ClosedLoop{Model: m, Commits: max(200, 10*m.Proposers)}
	got, err := e.Run(1)
	if err != nil {
		t.Fatal(err)
	}
	want := m.Predict()
	off := got.PerSecond/want.PerSecond - 1
	t.Logf("%s, %d proposers: %.0f/s on paper, %.0f/s simulated (%+.0f%%), %v and %v", name, m.Proposers, want.PerSecond, got.PerSecond, 100*off, want.Latency, got.Latency)
	if math.Abs(off) > within {
		t.Errorf("%s, %d proposers: simulated %.0f/s differ from %.0f/s on paper by more than %.0f%%", name, m.Proposers, got.PerSecond, want.PerSecond, 100*within)
	}
	again, err := e.Run(1)
	if err != nil || again != got {
		t.Errorf("%s: the same seed gave %v and %v, %v", name, got, again, err)
	}
}

// What is used up binds, and the others wait: bounds that can be worked out by hand.
func TestTheModelNamesWhatBinds(t *testing.T) {
	trip := 200 * time.Microsecond
	base := sim.PaperModel{RoundTrips: []time.Duration{trip, trip}, Fsync: 100 * time.Microsecond, EntryBytes: 968, Proposers: 100_000} // 1,000 bytes with what an entry costs
	for _, c := range []struct {
		limit string
		rate  float64
		set   func(*sim.PaperModel)
	}{
		{sim.LimitProcessor, 500_000, func(m *sim.PaperModel) { m.Processor, m.Processors = 4*time.Microsecond, 2 }},
		{sim.LimitLink, 62_500, func(m *sim.PaperModel) { m.LinkBytes = 125e6 }},
		{sim.LimitDisk, 300_000, func(m *sim.PaperModel) { m.DiskBytes = 300e6 }},
	} {
		m := base
		c.set(&m)
		p := m.Predict()
		if p.Limits[0].Name != c.limit || math.Abs(p.PerSecond/c.rate-1) > 1e-9 {
			t.Errorf("%s binds at %.0f/s, want %s at %.0f/s", p.Limits[0].Name, p.PerSecond, c.limit, c.rate)
		}
		if want := time.Duration(float64(m.Proposers) / c.rate * float64(time.Second)); (p.Latency - want).Abs() > time.Microsecond {
			t.Errorf("%s: a commit takes %v, want %v", c.limit, p.Latency, want)
		}
	}
	// One proposer waits for a round trip and an fsync.
	base.Proposers = 1
	if p := base.Predict(); p.Limits[0].Name != sim.LimitProposers || (p.Latency-trip-base.Fsync).Abs() > 5*time.Microsecond {
		t.Errorf("one proposer: %s, %v", p.Limits[0].Name, p.Latency)
	}
}
