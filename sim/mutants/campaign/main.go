// Command campaign is what most mutants are built into: the worlds of the whole random swarm.
package main

import (
	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/sim/mutants/worlds"
)

func main() {
	worlds.Main(func(uint64) sim.Options { return sim.Options{} })
}
