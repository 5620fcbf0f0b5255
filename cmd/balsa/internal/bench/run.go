package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// figures are what was measured, and on what.
type figures struct {
	options
	machine  machine
	disk     *record
	loads    []*load
	failover *record
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := o.workplace()
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	f := &figures{options: o, machine: describeMachine(dir)}
	fmt.Fprintf(out, "%s\n", f.machine)
	if f.machine.inMemory() {
		fmt.Fprintf(out, "%s is in memory, where a sync costs nothing: choose a directory on a disk with --dir for figures that mean something.\n", dir)
	}
	if f.disk, err = measureDisk(filepath.Join(dir, "disk"), diskDuration); err != nil {
		return fmt.Errorf("measuring the disk in %s: %w", dir, err)
	}
	fmt.Fprintf(out, "\nThe disk alone: %s syncs/s of 4 KiB each, p50 %s, p99 %s (one thread, a file filled ahead).\n",
		thousands(f.disk.rate()), milliseconds(f.disk.at(0.5)), milliseconds(f.disk.at(0.99)))

	c, err := startCluster(ctx, dir, o.members)
	if err != nil {
		return err
	}
	defer c.stop()
	if o.duration > 0 {
		if err := f.measureLoads(ctx, c, out); err != nil {
			return err
		}
	}
	if o.trials > 0 {
		if err := f.measureFailovers(ctx, c, out); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nEvery acknowledged write was read back from every member, and their hashes are equal.\n")
	if o.markdown != "" {
		return f.writeMarkdown(o.markdown)
	}
	return nil
}

func (f *figures) measureLoads(ctx context.Context, c *cluster, out io.Writer) error {
	fmt.Fprintf(out, "\nWrites of %d bytes, for %v each:\n%8s %10s %10s %10s %8s\n", f.size, f.duration, "clients", "writes/s", "p50", "p99", "failed")
	for i, n := range f.clients {
		l, err := c.puts(ctx, i, n, f.size, f.duration)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%8s %10s %10s %10s %8d\n", thousands(float64(n)), thousands(l.rate()), milliseconds(l.at(0.5)), milliseconds(l.at(0.99)), l.failed)
		if l.failed > 0 {
			fmt.Fprintf(out, "%8s one of those that failed: %v\n", "", l.failure)
		}
		if err := c.verify(ctx, l); err != nil {
			return err
		}
		l.writers = nil
		f.loads = append(f.loads, l)
	}
	return nil
}

func (f *figures) measureFailovers(ctx context.Context, c *cluster, out io.Writer) (err error) {
	fmt.Fprintf(out, "\nFrom SIGKILL of the leader to the next successful write, %d times, in ms:\n", f.trials)
	f.failover, err = c.failovers(ctx, f.trials, func(i int, took time.Duration) {
		separator := " "
		if i%15 == 14 || i == f.trials-1 {
			separator = "\n"
		}
		fmt.Fprintf(out, "%4d%s", took.Milliseconds(), separator)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "median %s, nine in ten within %s, longest %s\n",
		milliseconds(f.failover.at(0.5)), milliseconds(f.failover.at(0.9)), milliseconds(f.failover.at(1)))
	return nil
}
