package main

import (
	"fmt"
	"strings"

	"github.com/balsa-raft/balsa/bench/limit"
)

// limits are what the machine is measured for.
func limits() []string {
	names := []string{"round trip"}
	for _, d := range limit.Disks {
		names = append(names, "sync "+d.Name)
	}
	return names
}

// measureLimit measures the machine alone.
func measureLimit(s Spec, dir string) (Result, error) {
	var rate limit.Rate
	var err error
	if name, isDisk := strings.CutPrefix(s.Load, "sync "); isDisk {
		err = fmt.Errorf("there is no disk %q", name)
		for _, d := range limit.Disks {
			if d.Name == name {
				rate, err = d.Syncs(dir, s.Size, s.Measure)
			}
		}
	} else {
		rate, err = limit.RoundTrips(s.Measure)
	}
	if err != nil {
		return Result{}, err
	}
	at := func(quantile float64) float64 { return float64(rate.Latency.ValueAtQuantile(quantile)) }
	return Result{
		Spec: s, Done: uint64(rate.Latency.TotalCount()), PerSecond: rate.PerSecond, Syncs: -1,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Worst: float64(rate.Latency.Max()),
	}, nil
}
