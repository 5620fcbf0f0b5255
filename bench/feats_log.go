package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/bench/ledger"
	"github.com/balsa-raft/balsa/bench/limit"
)

const logProposers = 1024

// measureLog fills a log while one of three members is away, brings that member up to date by log, and starts it again and again.
func measureLog(o featOptions, dir string) (figures []figure, err error) {
	proposers := min(logProposers, o.Entries)
	keepers := [3]*keeper{newKeeper(proposers, 0), newKeeper(proposers, 0), newKeeper(proposers, 0)}
	var third balsa.StateMachine = keepers[2]
	t, err := newTrio(dir, 1, func(int) balsa.Options { return balsa.Options{CompactBytes: 1 << 50} },
		func(host int, _ balsa.GroupID) balsa.StateMachine {
			if host == 2 {
				return third
			}
			return keepers[host]
		})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.lead(0, 0); err != nil {
		return nil, err
	}
	if err := t.stop(2); err != nil {
		return nil, err
	}
	began := time.Now()
	acked, err := fillLog(t.running[0][0], proposers, o.Entries, o.Size)
	if err != nil {
		return nil, err
	}
	total, megabytes := uint64(o.Entries), float64(o.Entries)*float64(o.Size)/1e6
	figures = append(figures, figure{What: "log filled by two of three members", Value: megabytes / time.Since(began).Seconds(), Unit: "MB/s"})
	disk, err := diskRate(dir)
	if err != nil {
		return nil, err
	}

	term := t.terms()
	began = time.Now()
	if err := t.start(2); err != nil {
		return nil, err
	}
	if err := until("the member that was away has everything", 5*time.Minute, func() bool { return keepers[2].applied() >= total }); err != nil {
		return nil, err
	}
	rate := megabytes / time.Since(began).Seconds()
	figures = append(figures,
		figure{What: "the disk: write and fdatasync of 1 MiB, fresh file", Value: disk.fresh, Unit: "MB/s"},
		figure{What: "the disk: write and fdatasync of 1 MiB, zero-filled file", Value: disk.filled, Unit: "MB/s"},
		figure{What: "member brought up to date by log", Value: rate, Unit: "MB/s"}.atLeast(min(200, disk.fresh)),
		figure{What: "elections while it was", Value: float64(t.terms() - term), Unit: ""}.atMost(0),
	)

	durable := &lasting{keeper: keepers[2]}
	durable.applied.Store(uint64(keepers[2].index))
	for _, kind := range []string{"a machine that has its state", "a machine that replays"} {
		for _, cold := range []bool{false, true} {
			if cold && !o.Cold {
				continue
			}
			if err := t.stop(2); err != nil {
				return nil, err
			}
			where := "log in the page cache"
			if cold {
				where = "log on the disk only"
				if err := dropCaches(); err != nil {
					fmt.Fprintln(os.Stderr, "not measured cold:", err)
					if err := t.start(2); err != nil {
						return nil, err
					}
					continue
				}
			}
			fresh := newKeeper(proposers, 0)
			if third = durable; kind == "a machine that replays" {
				third = fresh
			}
			began := time.Now()
			if err := t.start(2); err != nil {
				return nil, err
			}
			started := time.Since(began)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			err := t.running[2][0].ReadBarrier(ctx)
			cancel()
			if err != nil {
				return nil, err
			}
			took := time.Since(began)
			figures = append(figures,
				seconds(fmt.Sprintf("restart to a linearizable read, %s, %s", kind, where), took).atMost(2),
				seconds(fmt.Sprintf("of that: opening the log, %s, %s", kind, where), t.openedIn[2]),
				seconds(fmt.Sprintf("of that: until the group has started, %s, %s", kind, where), started),
			)
			if kind == "a machine that replays" {
				if err := fresh.check("the member that was started again", acked); err != nil {
					return nil, err
				}
			}
		}
	}
	for i, k := range keepers {
		if err := k.check(fmt.Sprintf("replica %d", i+1), acked); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// fillLog proposes so many entries, and returns how many of each proposer's were acknowledged: all.
func fillLog(group *balsa.Group, proposers, entries, size int) ([]promise, error) {
	acked := make([]promise, proposers)
	errs := make([]error, proposers)
	var left atomic.Int64
	left.Store(int64(entries))
	var wait sync.WaitGroup
	for p := range proposers {
		wait.Go(func() {
			command := ledger.NewCommand(max(size, ledger.MinCommand), 1, uint32(p))
			for left.Add(-1) >= 0 {
				ledger.SetNumber(command, acked[p].last+1)
				if _, err := group.Propose(context.Background(), append([]byte(nil), command...)); err != nil {
					errs[p] = err
					return
				}
				acked[p].last++
			}
		})
	}
	wait.Wait()
	return acked, errors.Join(errs...)
}

type diskRates struct{ fresh, filled float64 }

// diskRate measures how fast one file takes a sequence of large synced writes, in MB/s.
func diskRate(dir string) (rates diskRates, err error) {
	for _, d := range limit.Disks {
		rate := &rates.fresh
		switch d.Name {
		case "fresh":
		case "zero-filled":
			rate = &rates.filled
		default:
			continue
		}
		sub := filepath.Join(dir, "disk")
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return rates, err
		}
		done, err := d.Sequential(sub, 512<<20, 1<<20)
		if err != nil {
			return rates, err
		}
		*rate = done
	}
	return rates, nil
}

// dropCaches makes the next reads come from the disk, which needs the right to.
func dropCaches() error {
	if err := exec.Command("sync").Run(); err != nil { // what is not written yet is not dropped
		return err
	}
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0)
}
