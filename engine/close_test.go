package engine

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// TestEveryCallIsAnsweredWhenItsGroupCloses: callers wait on nothing but their own channel, so one that is forgotten would wait for ever. Calls come in
// all the time, at the leader, at a follower and where there is no leader, while the host is closed or the group is stopped.
func TestEveryCallIsAnsweredWhenItsGroupCloses(t *testing.T) {
	for name, end := range map[string]func(c *cluster, id raft.MemberID){
		"the host is closed": func(c *cluster, id raft.MemberID) { c.stop(id) },
		"the group is stopped": func(c *cluster, id raft.MemberID) {
			if err := c.hosts[id].Stop(1); err != nil {
				t.Error(err)
			}
		},
	} {
		for where := range 3 {
			// Who leads may change all the time, and a leader that is alone soon does not lead.
			c := newCluster(t, 3, func(o *Options) {
				o.Raft.HeartbeatInterval, o.Raft.ElectionTimeoutMin, o.Raft.ElectionTimeoutMax = 50*time.Millisecond, 150*time.Millisecond, 300*time.Millisecond
			})
			id := c.leader()
			switch where {
			case 1:
				id = id%3 + 1
			case 2:
				for other := range raft.MemberID(3) {
					if other+1 != id {
						c.stop(other + 1)
					}
				}
			}
			g := c.groups[id]
			var wait sync.WaitGroup
			var begun atomic.Int32
			for k := range 64 {
				wait.Go(func() {
					for err := error(nil); err == nil; {
						if begun.Add(1); k%4 == 0 {
							err = g.ReadBarrier(context.Background())
						} else {
							_, err = g.Propose(context.Background(), number(1))
						}
					}
				})
			}
			for begun.Load() < 64 {
				if _, err := g.Status(); err != nil {
					t.Fatal(err)
				}
			}
			end(c, id)
			t.Logf("%s, %d: everybody has to be answered", name, where)
			wait.Wait()
		}
	}
}

// counting is a machine that knows how many of its captured states are not closed. Capturing one says so, and waits.
type counting struct {
	silent
	open     atomic.Int32
	captures chan struct{}
	letGo    chan struct{}
}

func (m *counting) Snapshot() (SnapshotWriter, error) {
	m.open.Add(1)
	m.captures <- struct{}{}
	<-m.letGo
	return countingSnapshot{m}, nil
}

type countingSnapshot struct{ machine *counting }

func (s countingSnapshot) WriteTo(io.Writer) (int64, error) { return 0, nil }

func (s countingSnapshot) Close() error {
	s.machine.open.Add(-1)
	return nil
}

// TestACapturedStateIsClosedWhenItsGroupIs: a store waits for all that were captured before it closes, so one that is forgotten would keep the process from ending. The
// group is closed while the state is captured, and while other work is before it in the queue.
func TestACapturedStateIsClosedWhenItsGroupIs(t *testing.T) {
	for name, queued := range map[string]bool{"while it is captured": false, "before it is written": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, func(o *Options) { o.CompactEntries, o.KeepEntries = 1, 1 })
			c.leader()
			host, machine := c.hosts[1], &counting{captures: make(chan struct{}, 1), letGo: make(chan struct{})}
			first := raft.Configuration{Members: []raft.Member{{ID: 1, Address: addressOf(1)}}}
			g, err := host.Start(StartOptions{Group: 2, Self: 1, Bootstrap: first, Machine: machine})
			if err != nil {
				t.Fatal(err)
			}
			begun, goOn := make(chan struct{}), make(chan struct{})
			host.lengthy(func() {
				close(begun)
				<-goOn
			})
			<-begun
			go func() {
				for err := error(nil); err == nil; {
					_, err = g.Propose(context.Background(), number(1))
				}
			}()
			<-machine.captures
			if queued {
				close(machine.letGo)
				for isQueued := false; !isQueued; {
					if _, err := g.Status(); err != nil {
						t.Fatal(err)
					}
					host.jobs.mu.Lock()
					isQueued = len(host.jobs.lengthy) > 0
					host.jobs.mu.Unlock()
				}
			}
			closed := make(chan error)
			go func() { closed <- host.Close() }()
			<-g.Done()
			if !queued {
				close(machine.letGo)
			}
			<-host.closed
			close(goOn)
			if err := <-closed; err != nil {
				t.Error(err)
			}
			if n := machine.open.Load(); n != 0 {
				t.Errorf("%d captured states are not closed", n)
			}
		})
	}
}

// TestAGroupThatWasRemovedCanBeFoundedAnew: nothing of the one before is removed after that.
func TestAGroupThatWasRemovedCanBeFoundedAnew(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.leader()
	first := raft.Configuration{Members: []raft.Member{{ID: 1, Address: addressOf(1)}}}
	for round := range uint64(5) {
		machine := &adder{}
		g, err := c.hosts[1].Start(StartOptions{Group: 2, Self: 1, Bootstrap: first, Machine: machine})
		if err != nil {
			t.Fatal(err)
		}
		for range round + 1 {
			if _, err := g.Propose(context.Background(), number(1)); err != nil {
				t.Fatal(err)
			}
		}
		if sum := machine.state()[0]; sum != round+1 {
			t.Fatalf("a group that was founded anew has %d, want %d", sum, round+1)
		}
		if err := c.hosts[1].Remove(2); err != nil {
			t.Fatal(err)
		}
	}
	c.propose(1, 1)
}

// TestAGroupThatIsStartedAgainKnowsItsVote: a vote that was on its way to the disk when the group was stopped gets there, and so does the message that tells of it. A
// life that began without it would vote again in the same term.
func TestAGroupThatIsStartedAgainKnowsItsVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStepper(t, 3, nil)
		s.startAll()
		h, candidate := s.hosts[1], s.hosts[2].Group(1)
		s.drop, h.noSync = cut(1), true
		candidate.post(func() { candidate.core.Campaign() })
		s.settle()
		term := candidate.core.Term()
		if now := h.Group(1).core.Term(); now != term {
			t.Fatalf("member 2 is in term %d, and was asked for its vote in term %d", now, term)
		}
		if err := h.Stop(1); err != nil {
			t.Fatal(err)
		}
		var again *Group
		go func() {
			var err error
			if again, err = h.Start(StartOptions{Group: 1, Self: 2, Machine: &pile{}}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if again != nil {
			t.Errorf("it is started in term %d, before its vote in term %d is durable", again.core.Term(), term)
		}
		h.noSync = false
		s.settle()
		synctest.Wait()
		if again == nil || again.core.Term() != term {
			t.Fatalf("after that it is started as %v", again)
		}
		s.until("the candidate got the vote", func() bool { return candidate.isLeader() })
		if n := len(h.ended); n != 0 {
			t.Errorf("%d groups are remembered as ended", n)
		}
	})
}

// flushed is a machine whose Flush says that it has begun, and waits.
type flushed struct {
	silent
	begun, letGo chan struct{}
	running      atomic.Bool
}

func (m *flushed) DurableIndex() raft.Index { return 0 }

func (m *flushed) Flush() error {
	m.running.Store(true)
	close(m.begun)
	<-m.letGo
	m.running.Store(false)
	return nil
}

// TestAMachineIsNotFlushedAfterItsGroupIsStopped: its owner may have closed it. Stop waits for a Flush that has begun, and one that has not never does.
func TestAMachineIsNotFlushedAfterItsGroupIsStopped(t *testing.T) {
	for _, begun := range []bool{true, false} {
		s := newStepper(t, 1, func(o *Options) { o.CompactEntries, o.KeepEntries = 1, 1 })
		h, machine := s.hosts[0], &flushed{begun: make(chan struct{}), letGo: make(chan struct{})}
		first := raft.Configuration{Members: []raft.Member{{ID: 1, Address: addressOf(1)}}}
		g, err := h.Start(StartOptions{Group: 1, Self: 1, Bootstrap: first, Machine: machine})
		if err != nil {
			t.Fatal(err)
		}
		g.post(func() { g.core.Campaign() })
		for len(h.jobs.lengthy) == 0 {
			propose(g, number(1))
			h.Turn(s.now)
			h.Sync()
			for h.Apply() {
			}
		}
		flushes, stopped := make(chan struct{}), make(chan struct{})
		if begun {
			go func() {
				h.Background()
				close(flushes)
			}()
			<-machine.begun
		} else {
			close(machine.letGo)
		}
		go func() {
			defer close(stopped)
			if err := h.Stop(1); err != nil {
				t.Error(err)
			}
			if machine.running.Load() {
				t.Error("it is stopped while its machine is flushed")
			}
		}()
		if begun {
			for waits := false; !waits; runtime.Gosched() {
				select {
				case <-stopped:
					waits = true // it did not, and has said so
				default:
					if waits = !g.beside.TryRLock(); !waits {
						g.beside.RUnlock()
					}
				}
			}
			close(machine.letGo)
			<-flushes
		}
		<-stopped
		for !begun && h.Background() {
		}
		select {
		case <-machine.begun:
			if !begun {
				t.Error("the machine is flushed after its group was stopped")
			}
		default:
		}
	}
}
