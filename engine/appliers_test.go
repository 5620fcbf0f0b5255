package engine

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// stuck is a machine that does not return from Apply before it is let go.
type stuck struct {
	silent
	entered chan struct{}
	letGo   chan struct{}
}

func (m *stuck) Apply(entries []Entry) []Result {
	m.entered <- struct{}{}
	<-m.letGo
	return make([]Result, len(entries))
}

// TestMachinesThatBlockHoldUpNoOther: there may be more of them than goroutines that are kept for machines.
func TestMachinesThatBlockHoldUpNoOther(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.leader()
	host := c.hosts[1]
	alone := raft.Configuration{Members: []raft.Member{{ID: 1, Address: addressOf(1)}}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	letGo := make(chan struct{})
	release := sync.OnceFunc(func() { close(letGo) })
	t.Cleanup(release)
	answers := make(chan error)
	machines := make([]*stuck, 2*runtime.GOMAXPROCS(0)+1)
	for i := range machines {
		machines[i] = &stuck{entered: make(chan struct{}, 1), letGo: letGo}
		g, err := host.Start(StartOptions{Group: raft.GroupID(i + 2), Self: 1, Bootstrap: alone, Machine: machines[i]})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := g.Propose(ctx, number(1))
			answers <- err
		}()
	}
	for i, m := range machines {
		select {
		case <-m.entered:
		case <-ctx.Done():
			t.Fatalf("the machine of group %d waits for those that block", i+2)
		}
	}
	c.propose(1, 7)
	release()
	for range machines {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

// TestOnlyAppliersAreCounted: an applier that is about to end leaves what came in to the others that are counted.
func TestOnlyAppliersAreCounted(t *testing.T) {
	a := &appliers{most: 1}
	a.running.Store(1) // one that works all the time
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100_000 {
				if a.start(nil, false); a.running.Load() != 1 {
					t.Error("one was counted that was never begun")
					return
				}
			}
		})
	}
	wait.Wait()
}
