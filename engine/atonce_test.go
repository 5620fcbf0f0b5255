package engine

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// quickWorker is a host of a group of one whose stages the test runs, but whose worker takes its turn at once if it is calm, as if Run had been called.
type quickWorker struct {
	t      *testing.T
	host   *Host
	group  *Group
	worker *worker
	stages chan Stage // what was notified
	now    time.Duration
}

func newQuickWorker(t *testing.T) *quickWorker {
	dir := t.TempDir()
	log, err := wal.Open(wal.Options{FS: wal.OSFS(), Dir: dir + "/wal", SegmentBytes: 1 << 20, Incarnation: 1})
	if err != nil {
		t.Fatal(err)
	}
	q := &quickWorker{t: t, stages: make(chan Stage, 1000), now: time.Second}
	network := meshPort{&mesh{sinks: map[string]Sink{}, cut: map[string]bool{}}, "self"}
	q.host, err = NewHost(Options{Log: log, FS: wal.OSFS(), SnapshotDir: dir + "/snap", Network: network, Address: "self", Check: true},
		func(stage Stage, _ int) { q.stages <- stage })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.host.Close() })
	q.worker = q.host.workers[0]
	q.worker.clock, q.worker.timer, q.worker.appliers = func() time.Duration { return q.now }, time.NewTimer(time.Hour), &appliers{most: 1}
	first := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "self"}}}
	if q.group, err = q.host.Start(StartOptions{Group: 1, Self: 1, Bootstrap: first, Machine: &adder{}}); err != nil {
		t.Fatal(err)
	}
	for leader, _ := q.group.Leader(); leader != 1 || q.group.AppliedIndex() == 0; leader, _ = q.group.Leader() {
		q.now += time.Second
		q.turn()
		q.host.Sync()
		q.host.Apply()
	}
	return q
}

// propose proposes, runs the stages except for turns, and tells whether the worker had to be woken.
func (q *quickWorker) propose(n uint64) (woken bool) {
	q.t.Helper()
	for len(q.stages) > 0 {
		q.run(<-q.stages)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := q.group.Propose(context.Background(), number(n))
		answered <- err
	}()
	for {
		select {
		case stage := <-q.stages:
			woken = woken || stage == StageTurn
			q.run(stage)
		case err := <-answered:
			if err != nil {
				q.t.Error(err)
			}
			return woken
		}
	}
}

func (q *quickWorker) run(stage Stage) {
	switch stage {
	case StageTurn:
		q.turn()
	case StageSync:
		q.host.Sync()
	case StageApply:
		q.host.Apply()
	}
}

// turn gives a turn as the worker's goroutine does.
func (q *quickWorker) turn() {
	q.worker.turning.Lock()
	defer q.worker.turning.Unlock()
	q.host.Turn(q.now)
}

// TestALoneRequestTakesTheTurnItself: while one proposes after the other, neither the request nor its disk wakes the worker; once there is more to do, they do.
func TestALoneRequestTakesTheTurnItself(t *testing.T) {
	q := newQuickWorker(t)
	q.propose(0)
	q.worker.calm.Store(0)
	if !q.propose(1) {
		t.Error("a worker that is not calm was not woken")
	}
	for n := uint64(2); !q.worker.isCalm(); n++ {
		q.propose(n)
	}
	// The disk may find the request still in its turn, and has to wake the worker then, but seldom.
	for n := uint64(100); q.propose(n); n++ {
		if n == 200 {
			t.Fatal("the worker was woken for each of many lone requests")
		}
	}

	// Somebody else has the turn: whoever brings something may not wait for that, and sees that there is another.
	for len(q.stages) > 0 {
		q.run(<-q.stages)
	}
	q.worker.turning.Lock()
	answered := make(chan error, 1)
	go func() {
		_, err := q.group.Propose(context.Background(), number(1))
		answered <- err
	}()
	if got := <-q.stages; got != StageTurn {
		t.Errorf("stage %d was notified, and not that of turns", got)
	}
	q.worker.turning.Unlock()
	for len(answered) == 0 {
		q.turn()
		q.host.Sync()
		q.host.Apply()
	}
}

// TestWhoCannotWaitTakesTheTurnOnlyIfItSaysSo: the first attempt of ProposeThen and ReadBarrierThen is in the turn; that of their twins is not.
func TestWhoCannotWaitTakesTheTurnOnlyIfItSaysSo(t *testing.T) {
	q := newQuickWorker(t)
	done := 0
	propose := func(begin func(data []byte, done func(Result, error))) (woken bool) {
		for len(q.stages) > 0 {
			q.run(<-q.stages)
		}
		q.worker.calm.Store(calmTurns)
		for want := done + 1; done < want; {
			if begin != nil {
				begin(number(1), func(_ Result, err error) {
					if done++; err != nil {
						t.Error(err)
					}
				})
				begin = nil
				woken = len(q.stages) > 0 && <-q.stages == StageTurn
			}
			q.turn()
			q.host.Sync()
			q.host.Apply()
		}
		return woken
	}
	if !propose(func(data []byte, done func(Result, error)) { q.group.ProposeAsync(data, done) }) {
		t.Error("ProposeAsync took a turn")
	}
	if propose(func(data []byte, done func(Result, error)) { q.group.ProposeThen(data, done) }) {
		t.Error("ProposeThen did not take the turn")
	}
	if !propose(func(_ []byte, done func(Result, error)) {
		q.group.ReadBarrierAsync(func(err error) { done(Result{}, err) })
	}) {
		t.Error("ReadBarrierAsync took a turn")
	}
	if propose(func(_ []byte, done func(Result, error)) {
		q.group.ReadBarrierThen(func(err error) { done(Result{}, err) })
	}) {
		t.Error("ReadBarrierThen did not take the turn")
	}
}

// TestAWorkerIsCalmWhileThereIsLittleToDo: what says that there is more than one request.
func TestAWorkerIsCalmWhileThereIsLittleToDo(t *testing.T) {
	entries := func(n int) Envelope { return Envelope{Message: &raft.AppendRequest{Entries: make([]raft.Entry, n)}} }
	for name, c := range map[string]struct {
		boxes []inbox
		calm  bool
	}{
		"nothing":                       {nil, true},
		"one request":                   {[]inbox{{calls: make([]*call, 1)}}, true},
		"two requests":                  {[]inbox{{calls: make([]*call, 2)}}, false},
		"a request and a read":          {[]inbox{{calls: make([]*call, 1), reads: make([]*readCall, 1)}}, false},
		"an entry":                      {[]inbox{{envelopes: []Envelope{entries(0), entries(1)}}}, true},
		"two entries":                   {[]inbox{{envelopes: []Envelope{entries(2)}}}, false},
		"a connection with many to say": {[]inbox{{envelopes: make([]Envelope, maxAtOnce+1)}}, false},
		"two groups":                    {make([]inbox, 2), false},
	} {
		w := &worker{}
		w.calm.Store(calmTurns)
		var run []*Group
		for _, box := range c.boxes {
			run = append(run, &Group{spare: box})
		}
		if w.soothe(run); w.isCalm() != c.calm {
			t.Errorf("%s: calm %t", name, w.isCalm())
		}
	}
}

// TestNobodyRecoversFromATurn: what goes wrong in a turn ends the process, also on the goroutine of a caller who would go on.
func TestNobodyRecoversFromATurn(t *testing.T) {
	if os.Getenv("BALSA_TURN_PANICS") == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestNobodyRecoversFromATurn$")
		child.Env = append(os.Environ(), "BALSA_TURN_PANICS=1")
		if out, err := child.CombinedOutput(); err == nil || !strings.Contains(string(out), "panic: an impossible state") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	q := newQuickWorker(t)
	q.worker.calm.Store(calmTurns)
	q.group.box.funcs = append(q.group.box.funcs, func() { panic("an impossible state") })
	q.worker.mu.Lock()
	q.group.enqueueLocked()
	q.worker.mu.Unlock()
	defer func() {
		recover()
		os.Exit(0)
	}()
	q.worker.atOnce()
}
