// Command campaign is what mutants of the key-value store are built into: the worlds of the swarm with the store on Pebble as their state machine. In every
// other one Pebble compacts as it likes, and in those between processes end at single operations on its files, too.
package main

import (
	"github.com/balsa-raft/balsa/kv/kvsim"
	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/sim/mutants/worlds"
)

func main() {
	worlds.Main(func(seed uint64) sim.Options {
		return sim.Options{Application: kvsim.Application{CrashPoints: seed%2 == 0}}
	})
}
