package main

import (
	"errors"
	"os"
	"sync"
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

	// memory is the most that a process had while it counted: all, and what is not of files, which is looked at from time to time until stop is closed.
	memory    gauge.Memory
	memoryErr error
	stop      chan struct{}
	stopped   sync.WaitGroup
}

// lookEvery is how often it is looked at what processes have resident.
const lookEvery = 100 * time.Millisecond

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

func (u *usage) begin() {
	for _, pid := range u.pids {
		if err := gauge.ResetPeak(pid); err != nil {
			u.err = err
		}
	}
	u.memory, u.stop = gauge.Memory{}, make(chan struct{})
	u.stopped.Go(u.lookAtMemory)
	u.cpu, u.count = u.read()
}

func (u *usage) end() {
	cpu, count := u.read()
	u.cpu, u.count = cpu-u.cpu, count-u.count
	close(u.stop)
	u.stopped.Wait()
}

func (u *usage) lookAtMemory() {
	for {
		for _, pid := range u.pids {
			m, err := gauge.ReadMemory(pid)
			if err != nil {
				u.memoryErr = err
			}
			u.memory = gauge.Memory{Peak: max(u.memory.Peak, m.Peak), Own: max(u.memory.Own, m.Own)}
		}
		select {
		case <-u.stop:
			return
		case <-time.After(lookEvery):
		}
	}
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
	r.Memory, r.OwnMemory = u.memory.Peak, u.memory.Own
	if u.err = errors.Join(u.err, u.memoryErr); u.err != nil && r.Failure == "" {
		r.Failure = u.err.Error()
	}
}

// ownCPU measures the processor time of this process: of the load, where it runs apart from what it asks.
type ownCPU struct {
	used time.Duration
	err  error
}

func newOwnCPU() *ownCPU { return &ownCPU{} }

func (o *ownCPU) begin() { o.used, o.err = gauge.CPU(os.Getpid()) }

func (o *ownCPU) end() {
	used, err := gauge.CPU(os.Getpid())
	o.used, o.err = used-o.used, errors.Join(o.err, err)
}

func (o *ownCPU) fill(r *Result) {
	if r.Done > 0 {
		r.ClientCPU = float64(o.used.Microseconds()) / float64(r.Done)
	}
	if o.err != nil && r.Failure == "" {
		r.Failure = o.err.Error()
	}
}
