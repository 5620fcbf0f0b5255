package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

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
			c := newCluster(t, 3, nil)
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
