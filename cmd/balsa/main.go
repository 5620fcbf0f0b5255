// Command balsa is the whole of Balsa in one binary: a demo cluster, the server, and a client for the command line.
//
// It only wires things together: what a command does lives in the packages under internal, one per family of commands, and what those
// drive lives in the rooms below.
package main

import (
	"os"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/bench"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/client"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/demo"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/lab"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/serve"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/sim"
)

func main() {
	root := cli.NewRoot()
	demo.AddCommand(root)
	serve.AddCommand(root)
	sim.AddCommand(root)
	bench.AddCommand(root)
	lab.AddCommand(root)
	client.AddCommands(root)
	os.Exit(cli.Run(root, os.Args[1:]))
}
