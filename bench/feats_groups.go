package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/bench/gauge"
	"github.com/balsa-raft/balsa/bench/ledger"
)

// measureIdle starts many groups on three hosts, waits until they have fallen silent, and looks at what they cost. Then every group is woken by a proposal.
func measureIdle(o featOptions, dir string) (figures []figure, err error) {
	before := heap()
	keepers := map[balsa.GroupID]*[3]*keeper{}
	for g := range o.Groups {
		keepers[balsa.GroupID(g+1)] = &[3]*keeper{newKeeper(1, 0), newKeeper(1, 0), newKeeper(1, 0)}
	}
	machines := heap()
	began := time.Now()
	t, err := newTrio(dir, o.Groups, func(int) balsa.Options { return balsa.Options{QuiesceAfter: time.Second} },
		func(host int, group balsa.GroupID) balsa.StateMachine { return keepers[group][host] })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	for g := range o.Groups {
		if _, err := t.leader(g); err != nil {
			return nil, err
		}
	}
	figures = append(figures, seconds("from nothing until every group has a leader", time.Since(began)))
	// Silence is when nobody uses the processor any more.
	for quiet := 0; quiet < 3; {
		used, err := cpuDuring(500 * time.Millisecond)
		if err != nil {
			return nil, err
		}
		if quiet++; used > 50*time.Millisecond {
			quiet = 0
		}
		if time.Since(began) > 3*time.Minute {
			return nil, fmt.Errorf("the groups do not fall silent: %v of processor time in half a second", used)
		}
	}
	figures = append(figures, seconds("from nothing until all are silent", time.Since(began)))
	term := t.terms()
	used, err := cpuDuring(o.Phase)
	if err != nil {
		return nil, err
	}
	after := heap()
	replicas := float64(3 * o.Groups)
	figures = append(figures,
		figure{What: "processor time of one host", Value: 100 * used.Seconds() / o.Phase.Seconds() / 3, Unit: "% of a core"}.atMost(1),
		figure{What: "memory of one group on one host, without its machine", Value: float64(after-machines) / replicas / 1024, Unit: "KiB"}.atMost(20),
		figure{What: "elections meanwhile", Value: float64(t.terms() - term)}.atMost(0),
		figure{What: "memory of one machine", Value: float64(machines-before) / replicas / 1024, Unit: "KiB"},
	)
	if figures, err = wakeAll(figures, o, t); err != nil {
		return nil, err
	}
	for g, replicas := range keepers {
		for i, k := range replicas {
			err := until("every replica has what was acknowledged", catchUp, func() bool { return k.applied() >= 1 })
			if err = errors.Join(err, k.check(fmt.Sprintf("replica %d of group %d", i+1, g), []promise{{last: 1}})); err != nil {
				return nil, err
			}
		}
	}
	return figures, nil
}

// wakeAll proposes to every group, one after the other.
func wakeAll(figures []figure, o featOptions, t *trio) ([]figure, error) {
	began := time.Now()
	for g := range o.Groups {
		leader, err := t.leader(g)
		if err != nil {
			return nil, err
		}
		command := ledger.NewCommand(ledger.MinCommand, uint32(g+1), 0)
		ledger.SetNumber(command, 1)
		ctx, cancel := context.WithTimeout(context.Background(), catchUp)
		_, err = t.running[leader][g].Propose(ctx, command)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("group %d does not wake: %w", g+1, err)
		}
	}
	return append(figures, figure{What: "time to wake a group with a proposal, mean, one after the other", Value: time.Since(began).Seconds() * 1e3 / float64(o.Groups), Unit: "ms"}), nil
}

// heap is what the program holds in memory, after collecting: objects and stacks.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// cpuDuring sleeps, and returns how much processor time this process used meanwhile.
func cpuDuring(d time.Duration) (time.Duration, error) {
	before, err := gauge.CPU(os.Getpid())
	if err != nil {
		return 0, err
	}
	time.Sleep(d)
	after, err := gauge.CPU(os.Getpid())
	return after - before, err
}

// measureBusy runs the same load over one group and over many, in turn.
func measureBusy(o featOptions, dir string) ([]figure, error) {
	var figures []figure
	for _, size := range []int{16, 1024} {
		var rates [2]float64
		for i, groups := range []int{1, o.BusyGroups} {
			s := Spec{Level: levelLibrary, System: "balsa", Load: "propose", Workers: 1024, Size: size, Groups: groups, Warmup: time.Second, Measure: o.Phase}
			r, err := measureApart(context.Background(), s, fmt.Sprintf("%s/%d-%d", dir, size, groups), nil)
			if err == nil && r.Failure != "" {
				err = errors.New(r.Failure)
			}
			if err != nil {
				return nil, fmt.Errorf("%v: %w", s, err)
			}
			rates[i] = r.PerSecond
			what := fmt.Sprintf("%s of %d bytes, %s", plural(1024, "proposers"), size, plural(groups, "groups"))
			figures = append(figures,
				figure{What: what, Value: r.PerSecond, Unit: "/s"}, figure{What: what + ": p99", Value: r.P99 / 1000, Unit: "ms"},
				figure{What: what + ": greatest latency", Value: r.Worst / 1000, Unit: "ms"}.atMost(500),
				figure{What: what + ": elections", Value: float64(r.Elections)}.atMost(0),
				figure{What: what + ": processor time", Value: r.CPU, Unit: "µs each"}, figure{What: what + ": fsyncs", Value: r.Syncs, Unit: "each"},
			)
		}
		figures = append(figures, figure{What: fmt.Sprintf("of one group's throughput, %s keep, %d bytes", plural(o.BusyGroups, "groups"), size), Value: 100 * rates[1] / rates[0], Unit: "%"}.atLeast(85))
	}
	return figures, nil
}
