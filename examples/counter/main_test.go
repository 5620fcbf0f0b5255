package main

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/sim"
)

// TestCounterInTheSimulator puts the counter under crashes, partitions, slow disks and all that, in 40 worlds.
func TestCounterInTheSimulator(t *testing.T) {
	sim.Check(t, sim.Options{Seeds: 40}, func() balsa.StateMachine { return &counter{} }, sim.Workload{
		Command: func(rng *rand.Rand) []byte { return strconv.AppendInt(nil, rng.Int64N(100), 10) },
		Query:   func(*rand.Rand) []byte { return nil },
		Read:    func(m balsa.StateMachine, _ []byte) []byte { return strconv.AppendInt(nil, m.(*counter).Load(), 10) },
	})
}
