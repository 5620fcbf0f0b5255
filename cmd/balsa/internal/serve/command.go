package serve

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

const serveLong = `Run one member of a cluster, until SIGINT or SIGTERM. It logs "ready to serve client requests" once it does.

The flags are named as etcd's, and each can also be set by an environment variable: --data-dir by BALSA_DATA_DIR.
What it answers is etcd's API for keys, transactions, compaction, members and maintenance; no watches or leases yet.
Old revisions of keys stay until somebody compacts them, as "balsa compact" does, and the database has no quota.

--election-timeout is 150 ms, and etcd's 1 s: raise it, with --heartbeat-interval, on loaded or distant
machines, where a leader that is only late would be replaced.

On a stop it hands leadership over first, so that the others need no election. The flags that begin
with "initial" matter at the first start only; later the data directory knows.

Exit codes: 0 stopped as asked, 1 it could not start or go on (the log says why), 2 wrong flags.`

const serveExample = `  balsa serve                                       one member alone, on the usual ports

  balsa serve --name m1 --data-dir /var/lib/balsa \
    --listen-client-urls http://10.0.0.1:2379 --listen-peer-urls http://10.0.0.1:2380 \
    --initial-cluster m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380

  # a fourth one joins: first "balsa member add m4 --peer-urls=http://10.0.0.4:2380", then
  balsa serve --name m4 --data-dir /var/lib/balsa --initial-cluster-state existing \
    --listen-client-urls http://10.0.0.4:2379 --listen-peer-urls http://10.0.0.4:2380 \
    --initial-cluster m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380,m4=http://10.0.0.4:2380`

// AddCommand adds serve to the root.
func AddCommand(root *cobra.Command) {
	var config Config
	var stopAtEnd bool
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run one member of a cluster",
		Long:    serveLong,
		Example: serveExample,
		GroupID: cli.GroupRun,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := config.check()
			if err != nil {
				return err
			}
			if !s.EnablePprof {
				runtime.MemProfileRate = 0 // Nobody can ask for it, and it costs a MiB and a stack trace for every half MiB that is allocated.
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			if stopAtEnd {
				go stopWhenEnds(cmd.InOrStdin(), stop)
			}
			m, err := start(ctx, s, newLogger(cmd.ErrOrStderr(), s.LogLevel, s.LogFormat))
			if err != nil {
				return err
			}
			return m.serve(ctx)
		},
	}
	config.register(cmd.Flags())
	cmd.SetFlagErrorFunc(explainFlagError)
	cmd.Flags().BoolVar(&stopAtEnd, stdinFlag, false, "stop when standard input ends, as it does when the process that wrote to it is gone")
	if err := cmd.Flags().MarkHidden(stdinFlag); err != nil {
		panic(err)
	}
	root.AddCommand(cmd)
}

// gcPercent is how much of garbage there may be, compared with what is alive, before it is collected: half of Go's default. It takes ten megabytes from a busy member, and
// costs it one or two percent of its processor time.
const gcPercent = 50

// stdinFlag is for whoever runs members as its children, and wants none to outlive it.
const stdinFlag = "stop-when-stdin-ends"

// stopWhenEnds reads until the end and calls stop.
func stopWhenEnds(r io.Reader, stop func()) {
	_, _ = io.Copy(io.Discard, r) // an error is an end, too
	stop()
}
