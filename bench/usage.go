package main

import (
	"time"

	"github.com/balsa-raft/balsa/bench/gauge"
)

// usage measures what processes use between the beginning and the end of a measurement.
type usage struct {
	pids []int
	// syncs is nil where they cannot be counted.
	syncs *gauge.Syncs

	cpu   time.Duration
	count uint64
	err   error
}

func newUsage(pids ...int) *usage {
	u := &usage{pids: pids}
	u.syncs, _ = gauge.CountSyncs() // the report says that they were not counted
	return u
}

func (u *usage) close() {
	if u.syncs != nil {
		u.syncs.Close()
	}
}

func (u *usage) read() (cpu time.Duration, syncs uint64) {
	for _, pid := range u.pids {
		used, err := gauge.CPU(pid)
		if err != nil {
			u.err = err
		}
		cpu += used
	}
	if u.syncs != nil {
		var err error
		if syncs, err = u.syncs.Of(u.pids...); err != nil {
			u.err = err
		}
	}
	return cpu, syncs
}

func (u *usage) begin() { u.cpu, u.count = u.read() }

func (u *usage) end() {
	cpu, count := u.read()
	u.cpu, u.count = cpu-u.cpu, count-u.count
}

// fill writes what was used into the result, for each operation.
func (u *usage) fill(r *Result) {
	r.Syncs = -1
	if r.Done > 0 {
		r.CPU = float64(u.cpu.Microseconds()) / float64(r.Done)
		if u.syncs != nil {
			r.Syncs = float64(u.count) / float64(r.Done)
		}
	}
	for _, pid := range u.pids {
		peak, err := gauge.PeakMemory(pid)
		if err != nil {
			u.err = err
		}
		r.Memory = max(r.Memory, peak)
	}
	if u.err != nil && r.Failure == "" {
		r.Failure = u.err.Error()
	}
}
