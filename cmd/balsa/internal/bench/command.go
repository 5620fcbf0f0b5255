// Package bench is `balsa bench`: how fast a cluster of three processes on this machine writes, how soon it writes again after its leader was
// killed, and, beside these, how often the disk syncs. It measures from outside, with etcd's client library, over loopback; and it believes
// no acknowledgement: in the end it reads everything back from every member.
package bench

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

type options struct {
	dir      string
	members  int
	clients  []int
	size     int
	duration time.Duration
	trials   int
	markdown string
}

const long = `Start a cluster on this machine as ` + "`balsa demo`" + ` does, and measure it from outside with etcd's
client library:

  - how many writes a second it acknowledges, and how long one takes, for each number of
    clients. A client writes one value after the other. Clients share at most 100
    connections, spread evenly over the members.
  - how long it takes from SIGKILL of the leader to the next successful write of a client
    that knows all members. The write begins after the leader's process is gone. The
    killed member is started again, and has caught up, before the next trial.

Beside these it measures how often the disk syncs, since every write is synced on a majority
before it is acknowledged. After each part every acknowledged write is read back from every
member, and all members have to have the same hash: a figure of a cluster that lost
something is none.

Members, clients and disk share this machine. Compare figures of the same machine and hour.`

const example = `  balsa bench
  balsa bench --clients 64 --value-size 1024 --duration 30s --trials 0     only writes
  balsa bench --duration 0 --trials 100                                    only failovers
  balsa bench --dir /mnt/fast-disk/bench`

// minValueSize has room for the number that every value carries, by which it is known again.
const minValueSize = 16

// AddCommand adds bench to the root.
func AddCommand(root *cobra.Command) {
	var o options
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure a cluster on this machine: writes, latency, failover, disk", Long: long, Example: example,
		GroupID: cli.GroupRun, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			err := run(ctx, o, cmd.OutOrStdout())
			if err != nil && ctx.Err() != nil {
				return errors.New("stopped before the end; the members are stopped too")
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.dir, "dir", "", "measure on the disk of this directory; what bench makes in it is removed at the end (default: that of temporary files)")
	flags.IntVar(&o.members, "members", 3, "how many members")
	flags.IntSliceVar(&o.clients, "clients", []int{1, 100, 1000}, "how many clients write at once; each number is a run")
	flags.IntVar(&o.size, "value-size", 256, "bytes in a value")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long each run lasts; 0 for no runs")
	flags.IntVar(&o.trials, "trials", 30, "how often the leader is killed")
	flags.StringVar(&o.markdown, "markdown", "", "also write the figures to figures.md and figures.zh-CN.md in this directory")
	root.AddCommand(cmd)
}

func (o *options) check() error {
	switch {
	case o.members < 1 || o.members > 9:
		return cli.Usagef("--members=%d: choose from 1 to 9", o.members)
	case o.size < minValueSize || o.size > 1<<20:
		return cli.Usagef("--value-size=%d: choose from %d to %d", o.size, minValueSize, 1<<20)
	case o.duration < 0:
		return cli.Usagef("--duration=%v: must not be negative", o.duration)
	case o.trials < 0:
		return cli.Usagef("--trials=%d: must not be negative", o.trials)
	case o.trials > 0 && o.members < 3:
		return cli.Usagef("--members=%d: with fewer than 3 nobody takes over from a leader that was killed; add --trials 0", o.members)
	}
	for _, n := range o.clients {
		if n < 1 || n > 20_000 {
			return cli.Usagef("--clients=%d: choose from 1 to 20000", n)
		}
	}
	return nil
}

// workplace makes the directory in which everything happens. It is removed afterwards; whatever else was in --dir stays.
func (o *options) workplace() (string, error) {
	if o.dir != "" {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return "", cli.Advise(err, "Choose another directory with --dir.")
		}
	}
	dir, err := os.MkdirTemp(o.dir, "balsa-bench-")
	if err != nil {
		return "", cli.Advise(err, "Choose another directory with --dir.")
	}
	return dir, nil
}

// within runs f, with a limit on its time.
func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}
