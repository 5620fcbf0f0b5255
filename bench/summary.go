package main

import (
	"fmt"
	"slices"
)

// spread is a figure over the rounds: its median, and the least and the greatest.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{median, sorted[0], sorted[len(sorted)-1]}
}

// row is one system's figures in a cell.
type row struct {
	system                           string
	rounds, failed                   int
	perSecond, p50, p99, cpu, memory spread
	clientCPU, own                   spread
	lost                             uint64 // requests that failed, in all rounds
	syncs                            spread
	syncsCounted                     bool
	elections                        uint64  // in all rounds
	worst                            float64 // the greatest latency of all rounds
	failure                          string
}

// summary is a cell with the rows of its systems.
type summary struct {
	cell Spec
	rows []row
}

// summarize brings the results together by cell and system, in the order in which they first came.
func summarize(results []Result) []summary {
	var all []summary
	for _, x := range results {
		i := slices.IndexFunc(all, func(s summary) bool { return s.cell == x.Spec.Cell() })
		if i < 0 {
			i = len(all)
			all = append(all, summary{cell: x.Spec.Cell()})
		}
		if !slices.ContainsFunc(all[i].rows, func(r row) bool { return r.system == x.Spec.System }) {
			all[i].rows = append(all[i].rows, row{system: x.Spec.System})
		}
	}
	for i := range all {
		for j := range all[i].rows {
			all[i].rows[j].gather(all[i].cell, results)
		}
	}
	return all
}

func (r *row) gather(cell Spec, results []Result) {
	var perSecond, p50, p99, cpu, memory, syncs, clientCPU, own []float64
	for _, x := range results {
		if x.Spec.Cell() != cell || x.Spec.System != r.system {
			continue
		}
		r.rounds++
		if x.Failure != "" {
			r.failed++
			r.failure = x.Failure
			continue
		}
		r.elections += x.Elections
		r.worst = max(r.worst, x.Worst)
		perSecond, p50, p99 = append(perSecond, x.PerSecond), append(p50, x.P50), append(p99, x.P99)
		cpu, memory = append(cpu, x.CPU), append(memory, float64(x.Memory))
		clientCPU, own = append(clientCPU, x.ClientCPU), append(own, float64(x.OwnMemory))
		r.lost += x.Failed
		if x.Syncs >= 0 {
			syncs = append(syncs, x.Syncs)
		}
	}
	r.perSecond, r.p50, r.p99, r.cpu, r.memory = spreadOf(perSecond), spreadOf(p50), spreadOf(p99), spreadOf(cpu), spreadOf(memory)
	r.clientCPU, r.own = spreadOf(clientCPU), spreadOf(own)
	r.syncs, r.syncsCounted = spreadOf(syncs), len(syncs) > 0
}

// milliseconds writes microseconds with three digits.
func milliseconds(microseconds float64) string {
	switch ms := microseconds / 1000; {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.0f ms", ms)
	}
}

// thousands writes a number with commas.
func thousands(x float64) string {
	digits := fmt.Sprintf("%.0f", x)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
