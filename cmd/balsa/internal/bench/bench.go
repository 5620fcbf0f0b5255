// Package bench is `balsa bench`: how fast a cluster of three processes on this machine writes, how soon it writes again after its leader was
// killed, and, for comparison, how often the disk syncs. It measures from outside, with etcd's client library, over loopback.
package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

type options struct {
	dir      string
	members  int
	clients  []int
	size     int
	duration time.Duration
	trials   int
}

const long = `Start a cluster on this machine as ` + "`balsa demo`" + ` does, and measure it from outside with etcd's
client library: puts per second and their latency, and how long it takes from SIGKILL of
the leader to the next successful write. The disk's own rate of syncs stands beside them,
since every write is synced on a majority before it is acknowledged.

Everything runs on one machine, so members, clients and disk share it: figures are for
comparing, on the same machine, in the same hour.`

const example = `  balsa bench
  balsa bench --clients 64 --value-size 1024 --duration 30s --trials 0
  balsa bench --dir /mnt/fast-disk/bench`

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
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.dir, "dir", "", "where the members keep their data (default: a temporary directory, removed at the end)")
	flags.IntVar(&o.members, "members", 3, "how many members")
	flags.IntSliceVar(&o.clients, "clients", []int{1, 100, 1000}, "how many clients write at once; each number is a run")
	flags.IntVar(&o.size, "value-size", 256, "bytes in a value")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long each run lasts")
	flags.IntVar(&o.trials, "trials", 30, "how often the leader is killed")
	root.AddCommand(cmd)
}

func (o *options) check() error {
	switch {
	case o.members < 1 || o.members > 9:
		return cli.Usagef("--members=%d: choose from 1 to 9", o.members)
	case o.size < 0 || o.size > 1<<20:
		return cli.Usagef("--value-size=%d: choose from 0 to %d", o.size, 1<<20)
	case o.duration <= 0:
		return cli.Usagef("--duration=%v: has to be more than nothing, such as 10s", o.duration)
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

func run(ctx context.Context, o options, out io.Writer) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "balsa-bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	} else if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %s, %d cores\n\n", runtime.GOOS, runtime.Version(), runtime.NumCPU())
	syncs, err := measureDisk(filepath.Join(o.dir, "disk"), 3*time.Second)
	if err != nil {
		return fmt.Errorf("measuring the disk in %s: %w", o.dir, err)
	}
	fmt.Fprintf(out, "disk: %s syncs/s of 4 KiB each, p50 %s, p99 %s (one thread, zero-filled file)\n\n", thousands(syncs.rate()), syncs.at(0.5), syncs.at(0.99))

	c, err := startCluster(ctx, o.dir, o.members)
	if err != nil {
		return err
	}
	defer c.stop()
	fmt.Fprintf(out, "%-10s %12s %10s %10s %8s\n", "clients", "puts/s", "p50", "p99", "errors")
	for _, n := range o.clients {
		r, failed := c.puts(ctx, n, o.size, o.duration)
		fmt.Fprintf(out, "%-10d %12s %10s %10s %8d\n", n, thousands(r.rate()), r.at(0.5), r.at(0.99), failed)
	}
	if o.trials > 0 {
		r, err := c.failovers(ctx, o.trials, out)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nfrom SIGKILL of the leader to the next successful write, %d trials: median %s, p90 %s, longest %s\n",
			o.trials, r.at(0.5), r.at(0.9), r.at(1))
	}
	return nil
}

// record is a run's latencies.
type record struct {
	latencies []time.Duration // sorted
	took      time.Duration
}

func (r *record) rate() float64 { return float64(len(r.latencies)) / r.took.Seconds() }

// at returns a quantile, rounded for people.
func (r *record) at(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	d := r.latencies[min(len(r.latencies)-1, int(q*float64(len(r.latencies))))]
	switch {
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

func thousands(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// measureDisk appends 4 KiB and syncs, again and again, in a file that was zero-filled before: the way the log writes.
func measureDisk(name string, during time.Duration) (*record, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	defer os.Remove(name)
	defer f.Close()
	const size = 32 << 20
	zero := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero, off); err != nil {
			return nil, err
		}
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	r := &record{}
	block := make([]byte, 4096)
	start := time.Now()
	for off := int64(0); time.Since(start) < during; off = (off + 4096) % size {
		began := time.Now()
		if _, err := f.WriteAt(block, off); err != nil {
			return nil, err
		}
		if err := syncData(f); err != nil {
			return nil, err
		}
		r.latencies = append(r.latencies, time.Since(began))
	}
	r.took = time.Since(start)
	slices.Sort(r.latencies)
	return r, nil
}

// puts has n clients write values one after the other, each on its own keys. They share at most 100 connections, evenly over the members.
func (c *cluster) puts(ctx context.Context, n, size int, during time.Duration) (*record, int) {
	connections := make([]*clientv3.Client, min(n, 100))
	for i := range connections {
		connections[i] = c.dial(c.members[i%len(c.members)].client)
		defer connections[i].Close()
	}
	var (
		mu     sync.Mutex
		r      record
		failed int
		group  sync.WaitGroup
		value  = strings.Repeat("v", size)
	)
	ctx, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	start := time.Now()
	for i := range n {
		group.Go(func() {
			var mine []time.Duration
			errors := 0
			for seq := 0; ctx.Err() == nil; seq++ {
				began := time.Now()
				_, err := connections[i%len(connections)].Put(ctx, fmt.Sprintf("bench/%d/%d", i, seq%1000), value)
				switch {
				case err == nil:
					mine = append(mine, time.Since(began))
				case ctx.Err() == nil:
					errors++
				}
			}
			mu.Lock()
			r.latencies = append(r.latencies, mine...)
			failed += errors
			mu.Unlock()
		})
	}
	group.Wait()
	r.took = time.Since(start)
	slices.Sort(r.latencies)
	return &r, failed
}

// failovers kills the leader again and again, and measures until the first write that another member acknowledges.
func (c *cluster) failovers(ctx context.Context, trials int, out io.Writer) (*record, error) {
	r := &record{}
	for range trials {
		leader, err := c.leader(ctx)
		if err != nil {
			return nil, err
		}
		took, err := c.failover(ctx, leader)
		if err != nil {
			return nil, err
		}
		r.latencies = append(r.latencies, took)
		if err := c.restart(ctx, leader); err != nil {
			return nil, err
		}
	}
	slices.Sort(r.latencies)
	return r, nil
}

// failover kills one member and returns when the first of the others has acknowledged a write.
func (c *cluster) failover(ctx context.Context, leader *member) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	written := make(chan time.Time, len(c.members))
	begin := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for _, m := range c.members {
		if m == leader {
			continue
		}
		client := c.dial(m.client)
		defer client.Close()
		if _, err := client.Put(ctx, "bench/warm", "up"); err != nil {
			return 0, fmt.Errorf("writing through %s before the leader is killed: %w", m.name, err)
		}
		group.Go(func() {
			<-begin
			for ctx.Err() == nil {
				try, end := context.WithTimeout(ctx, 5*time.Second)
				_, err := client.Put(try, "bench/failover", m.name)
				end()
				if err == nil {
					written <- time.Now()
					return
				}
			}
		})
	}
	killed := time.Now()
	leader.kill()
	close(begin)
	select {
	case at := <-written:
		return at.Sub(killed), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("no write succeeded within a minute of the leader's end")
	}
}

func (c *cluster) dial(endpoint string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		panic(err) // the endpoint is ours, and New does not connect
	}
	return client
}
