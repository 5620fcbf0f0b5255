package sim_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// TestCommitsTakeOneRoundTripToTheNearestMajority measures commits over ways of very different lengths. What it costs beyond the bound is
// the disks' and the queues', and no further round trip.
func TestCommitsTakeOneRoundTripToTheNearestMajority(t *testing.T) {
	ms := func(rows ...[]int) [][]time.Duration {
		out := make([][]time.Duration, len(rows))
		for i, row := range rows {
			for _, x := range row {
				out[i] = append(out[i], time.Duration(x)*time.Millisecond)
			}
		}
		return out
	}
	trips := ms([]int{0, 20, 90, 200, 300}, []int{20, 0, 80, 150, 280}, []int{90, 80, 0, 220, 100}, []int{200, 150, 220, 0, 60}, []int{300, 280, 100, 60, 0})
	for leader, bound := range []int{90, 80, 90, 150, 100} {
		e := sim.WideArea{RoundTrips: trips, Leader: leader, Disk: time.Millisecond, Commits: 20}
		if got := e.Bound(leader); got != time.Duration(bound)*time.Millisecond {
			t.Errorf("member %d: the bound is %v, not %d ms", leader, got, bound)
		}
		results, err := e.Run(1)
		if err != nil {
			t.Fatal(err)
		}
		for at, all := range results {
			slices.Sort(all)
			if low, high := e.Bound(at), e.Bound(at)*103/100+25*time.Millisecond; all[0] < low || all[len(all)-1] > high {
				t.Errorf("member %d leads, asked at %d: from %v to %v, the bound is %v", leader, at, all[0], all[len(all)-1], low)
			}
		}
		again, err := e.Run(1)
		for _, all := range again {
			slices.Sort(all)
		}
		if err != nil || !reflect.DeepEqual(results, again) {
			t.Errorf("the same seed gave something else: %v", err)
		}
	}
}
