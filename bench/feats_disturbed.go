package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/balsa-raft/balsa"
)

const (
	steadyProposers = 64
	openProposers   = 256
	steadySize      = 256
	// catchesUp is the phase for which nothing was promised: a restart takes the processors of all three members.
	catchesUp = "it is back and catches up"
)

// bothLoads runs what is measured under a closed loop, and then under an open one at half the rate which that reached undisturbed.
func bothLoads(o featOptions, dir string, measure func(dir string, proposers int, rate float64) (*disturbed, error)) ([]figure, error) {
	var all []figure
	rate := o.Rate
	if len(o.Loads) == 0 || slices.Contains(o.Loads, "closed") {
		closed, err := measure(filepath.Join(dir, "closed"), steadyProposers, 0)
		if err != nil {
			return nil, fmt.Errorf("closed loop: %w", err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "closed")); err != nil {
			return nil, err
		}
		all = closed.figures("64 proposers")
		if rate == 0 {
			rate = closed.quiet.perSecond() / 2
		}
	}
	if len(o.Loads) == 0 || slices.Contains(o.Loads, "open") {
		open, err := measure(filepath.Join(dir, "open"), openProposers, rate)
		if err != nil {
			return nil, fmt.Errorf("open loop: %w", err)
		}
		all = append(all, open.figures("open loop at half the rate")...)
	}
	return all, nil
}

// disturbed is a load with a quiet phase, and phases in which something happened.
type disturbed struct {
	quiet     *phase
	others    []*phase
	elections uint64
	extra     []figure
}

func (d *disturbed) figures(load string) []figure {
	all := []figure{{What: load + ", quiet", Value: d.quiet.perSecond(), Unit: "/s"}, {What: load + ", quiet: p99", Value: d.quiet.at(99), Unit: "ms"}}
	worst, failed := d.quiet.at(100), d.quiet.failed
	for _, p := range d.others {
		if p.done == 0 || d.quiet.done == 0 {
			continue // it did not come to that, or to nothing else, in so short a time
		}
		name := load + ", " + p.name
		all = append(all,
			figure{What: name, Value: p.perSecond(), Unit: "/s"}, figure{What: name + ": p99", Value: p.at(99), Unit: "ms"},
		)
		ratio := figure{What: name + ": p99, of the quiet one", Value: p.at(99) / d.quiet.at(99), Unit: "times"}
		if p.name != catchesUp {
			ratio = ratio.atMost(2)
		}
		all = append(all, ratio)
		worst, failed = max(worst, p.at(100)), failed+p.failed
	}
	for i := range d.extra {
		d.extra[i].What = load + ", " + d.extra[i].What
	}
	return append(append(all, d.extra...),
		figure{What: load + ": greatest latency", Value: worst, Unit: "ms"}.atMost(500),
		figure{What: load + ": requests that failed", Value: float64(failed)}.atMost(0),
		figure{What: load + ": elections", Value: float64(d.elections)}.atMost(0),
	)
}

// startLed starts three hosts with one group, which the first leads.
func startLed(dir string, keepers *[3]*keeper, options func(int) balsa.Options) (*trio, error) {
	t, err := newTrio(dir, 1, options, func(host int, _ balsa.GroupID) balsa.StateMachine { return keepers[host] })
	if err != nil {
		return nil, err
	}
	if err := t.lead(0, 0); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func newKeepers(proposers int, ballast int64) *[3]*keeper {
	return &[3]*keeper{newKeeper(proposers, ballast), newKeeper(proposers, ballast), newKeeper(proposers, ballast)}
}

// settled waits until every keeper has all that was promised, and checks that.
func settled(keepers *[3]*keeper, promises []promise) error {
	var least uint64
	for i := range promises {
		least += promises[i].last - uint64(len(promises[i].unknown))
	}
	for i, k := range keepers {
		err := until("every replica has what was acknowledged", catchUp, func() bool { return k.applied() >= least })
		if err = errors.Join(err, k.check(fmt.Sprintf("replica %d", i+1), promises)); err != nil {
			return err
		}
	}
	return nil
}

// measureDown stops a follower and starts it again under the load, twice.
func measureDown(o featOptions, dir string) ([]figure, error) {
	return bothLoads(o, dir, func(dir string, proposers int, rate float64) (_ *disturbed, err error) {
		keepers := newKeepers(proposers, 0)
		t, err := startLed(dir, keepers, func(int) balsa.Options { return balsa.Options{CompactBytes: 1 << 50} })
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, t.close()) }()
		d := &disturbed{quiet: newPhase("quiet"), others: []*phase{newPhase("a member is down"), newPhase(catchesUp)}}
		term := t.terms()
		s := startSteady(t.running[0][0], proposers, steadySize, rate)
		time.Sleep(time.Second)
		for range 2 {
			s.during(d.quiet, o.Phase/2)
			s.enter(d.others[0])
			if err := t.stop(2); err != nil {
				return nil, err
			}
			time.Sleep(o.Phase / 2)
			// A new life of the member begins with an empty machine.
			keepers[2] = newKeeper(proposers, 0)
			s.enter(d.others[1])
			if err := t.start(2); err != nil {
				return nil, err
			}
			err := until("the member has caught up", catchUp, func() bool {
				return t.running[2][0].AppliedIndex()+1000 > t.running[0][0].CommitIndex()
			})
			if err != nil {
				return nil, err
			}
			time.Sleep(o.Phase / 4)
		}
		promises := s.stop()
		d.elections = t.terms() - term
		return d, settled(keepers, promises)
	})
}

// measureCompaction lets the log be compacted by snapshots while the load goes on, and tells the time in which the leader writes one from the rest.
func measureCompaction(o featOptions, dir string) ([]figure, error) {
	const state = 64 << 20
	return bothLoads(o, dir, func(dir string, proposers int, rate float64) (_ *disturbed, err error) {
		keepers := newKeepers(proposers, state)
		// A compaction every few seconds, so that there is time without one to compare with.
		t, err := startLed(dir, keepers, func(int) balsa.Options { return balsa.Options{CompactBytes: uint64(o.Phase.Seconds() * (16 << 20))} })
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, t.close()) }()
		d := &disturbed{quiet: newPhase("quiet"), others: []*phase{newPhase("a snapshot is written, and the log compacted")}}
		term := t.terms()
		s := startSteady(t.running[0][0], proposers, steadySize, rate)
		time.Sleep(time.Second)
		s.enter(d.quiet)
		first := keepers[0].captured.Load()
		// All three compact at about the same time: what one of them does meets the disk of all. A moment after the last counts too.
		for began, busy := time.Now(), (time.Time{}); time.Since(began) < 3*o.Phase; time.Sleep(time.Millisecond) {
			now := time.Now()
			if keepers[0].writing.Load()+keepers[1].writing.Load()+keepers[2].writing.Load() > 0 {
				busy = now
			}
			want := d.quiet
			if now.Sub(busy) < 100*time.Millisecond {
				want = d.others[0]
			}
			if s.phase.Load() != want {
				s.enter(want)
			}
		}
		promises := s.stop()
		d.elections = t.terms() - term
		d.extra = append(d.extra, figure{What: fmt.Sprintf("compactions by the leader, with a state of %d MiB", state>>20), Value: float64(keepers[0].captured.Load() - first)}.atLeast(1))
		return d, settled(keepers, promises)
	})
}

// measureSnapshot sends a large snapshot to a member behind a slow link, while the load goes on with the other two.
func measureSnapshot(o featOptions, dir string) ([]figure, error) {
	return bothLoads(o, dir, func(dir string, proposers int, rate float64) (_ *disturbed, err error) {
		keepers := newKeepers(proposers, o.Snapshot)
		bound, slow := uint64(4<<20), ""
		t, err := startLed(dir, keepers, func(int) balsa.Options {
			return balsa.Options{CompactBytes: bound, KeepEntries: 1, Dial: slowDial(&slow, o.Link)}
		})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, t.close()) }()
		slow = t.members[2].Address
		away, err := t.running[2][0].Status()
		if err != nil {
			return nil, err
		}
		if err := t.stop(2); err != nil {
			return nil, err
		}
		// The log is compacted away under the member that is not there: beyond what it has, which for a moment after it left the leader keeps for it.
		// Then the two others go on without further compactions: those are measured elsewhere.
		s := startSteady(t.running[0][0], proposers, steadySize, 0)
		compacted := func() bool {
			for i := range 2 {
				if status, err := t.running[i][0].Status(); err != nil || status.First <= away.Last+1 {
					return false
				}
			}
			return true
		}
		if err := until("the log is compacted", 2*time.Minute, compacted); err != nil {
			return nil, err
		}
		before := s.stop()
		bound = 1 << 50
		for i := range 2 {
			status, err := t.running[i][0].Status()
			for err == nil && status.SnapshotIndex == 0 {
				time.Sleep(10 * time.Millisecond)
				status, err = t.running[i][0].Status()
			}
			if err = errors.Join(err, t.stop(i)); err != nil {
				return nil, err
			}
			keepers[i] = newKeeper(proposers, o.Snapshot)
		}
		for i := range 2 {
			if err := t.start(i); err != nil {
				return nil, err
			}
		}
		if err := t.lead(0, 0); err != nil {
			return nil, err
		}
		// What is promised holds for all of it, from the member's start until it has caught up; what each part of it does is there to see.
		all := newPhase("a snapshot goes to a slow member")
		sent, restored, caught := newPhase("it is sent and staged"), newPhase("it is restored"), newPhase("what came meanwhile follows by log")
		d := &disturbed{quiet: newPhase("quiet, with two of three members"), others: []*phase{all}}
		term := t.terms()
		s = continueSteady(t.running[0][0], before, steadySize, rate)
		time.Sleep(time.Second)
		s.during(d.quiet, o.Phase)
		s.enter(sent)
		began := time.Now()
		keepers[2] = newKeeper(proposers, o.Snapshot)
		if err := t.start(2); err != nil {
			return nil, err
		}
		if err := until("the slow member is given the snapshot", 5*time.Minute, func() bool { return keepers[2].begun.Load() > 0 }); err != nil {
			return nil, err
		}
		s.enter(restored)
		if err := until("the slow member has the snapshot", 5*time.Minute, func() bool { return keepers[2].restored.Load() > 0 }); err != nil {
			return nil, err
		}
		d.extra = append(d.extra, seconds(fmt.Sprintf("a snapshot of %d MiB over a link of %d MiB/s", o.Snapshot>>20, o.Link>>20), time.Since(began)))
		// What came meanwhile follows by log, over the same link, and is part of it.
		s.enter(caught)
		err = until("the slow member has caught up", 2*time.Minute, func() bool { return t.running[2][0].AppliedIndex()+1000 > t.running[0][0].CommitIndex() })
		if err != nil {
			return nil, err
		}
		if err := t.stop(2); err != nil {
			return nil, err
		}
		s.during(d.quiet, o.Phase)
		promises := s.stop()
		for _, part := range []*phase{sent, restored, caught} {
			all.add(part)
			d.extra = append(d.extra, seconds(part.name+": takes", part.elapsed), figure{What: part.name + ": p99", Value: part.at(99), Unit: "ms"})
		}
		d.elections = t.terms() - term
		keepers[2] = newKeeper(proposers, o.Snapshot)
		if err := t.start(2); err != nil {
			return nil, err
		}
		return d, settled(keepers, promises)
	})
}

// slowDial connects, and lets only so many bytes a second through to one address.
func slowDial(slow *string, link int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil || address != *slow {
			return conn, err
		}
		return &slowConn{Conn: conn, rate: float64(link)}, nil
	}
}

// slowConn is a connection whose writes take the time that a slow link needs for them.
type slowConn struct {
	net.Conn
	rate float64

	mu   sync.Mutex
	free time.Time // when the link has room again
}

func (c *slowConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	written := 0
	for len(b) > 0 {
		piece := b[:min(len(b), 64<<10)]
		now := time.Now()
		if c.free.Before(now) {
			c.free = now
		}
		c.free = c.free.Add(time.Duration(float64(len(piece)) / c.rate * float64(time.Second)))
		time.Sleep(c.free.Sub(now))
		n, err := c.Conn.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}
