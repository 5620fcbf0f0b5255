package demo

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

const long = `Start a cluster on this machine, each member a process of its own with its data on disk, and
watch it: who leads, how far each member is, how fast it writes. The screen shows commands to
paste into another terminal, also the one that kills the leader. Who was killed is started
again after some seconds. ctrl-C stops everything; no process is left.

A page shows the same, live, and has buttons to kill, pause and restart members and to cut their
links. Its address is on the screen.

Clients are served on port 2379 and those after it; the members talk to each other 100 above.
When the output is no terminal, it is a line for everything that happens.`

const example = `  balsa demo
  balsa demo --dir ./raft-demo              keep the data, and go on from it the next time
  balsa demo --members 5 --port 12379
  balsa demo --no-restart                   who is killed stays down until Enter is pressed`

// AddCommand adds demo to the root.
func AddCommand(root *cobra.Command) {
	var o options
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Start three members on this machine and watch them",
		Long:    long,
		Example: example,
		GroupID: cli.GroupRun,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("members") && (o.members < 1 || o.members > maxMembers) {
				return cli.Usagef("--members=%d: choose from 1 to %d", o.members, maxMembers)
			}
			if cmd.Flags().Changed("port") && (o.port < 1 || o.port > 65535) {
				return cli.Usagef("--port=%d: choose from 1 to 65535", o.port)
			}
			if o.consolePort < 0 || o.consolePort > 65535 {
				return cli.Usagef("--console-port=%d: choose from 1 to 65535", o.consolePort)
			}
			if o.restartAfter < 0 {
				return cli.Usagef("--restart-after=%v: must not be negative", o.restartAfter)
			}
			ctx, hurry := untilSignals(cmd.Context())
			return run(ctx, o, os.Stdin, os.Stdout, hurry)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.dir, "dir", "", "keep the data here, and go on from what is here (default: a temporary directory, removed at the end)")
	flags.IntVar(&o.port, "port", 0, "the first member's port for clients (default 2379, or what it was in --dir)")
	flags.IntVar(&o.members, "members", 0, "how many members (default 3, or as many as there are in --dir)")
	flags.DurationVar(&o.restartAfter, "restart-after", 5*time.Second, "how long a member that was killed stays down")
	flags.BoolVar(&o.noConsole, "no-console", false, "serve no page")
	flags.IntVar(&o.consolePort, "console-port", 0, "where to serve the page (default: 200 above the first member's port, or any that is free)")
	flags.BoolVar(&o.noRestart, "no-restart", false, "leave members down until Enter is pressed")
	root.AddCommand(cmd)
}

// untilSignals gives a context that the first signal to stop ends, and a channel that the second one closes. The closing of the
// terminal is such a signal.
func untilSignals(parent context.Context) (context.Context, <-chan struct{}) {
	ctx, cancel := context.WithCancel(parent)
	hurry := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel()
		<-signals
		close(hurry)
	}()
	return ctx, hurry
}
