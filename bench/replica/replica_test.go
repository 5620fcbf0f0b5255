package replica

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/bench/ledger"
	"github.com/balsa-raft/balsa/bench/load"
)

// Every system runs, with one group and with several, and loses nothing. On a busy machine there may be an election in between, so that proposals fail.
func TestEverySystemRunsAndLosesNothing(t *testing.T) {
	for _, s := range Systems {
		for _, groups := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s with %d groups", s.Name, groups), func(t *testing.T) {
				const workers = 6
				book := ledger.New(Replicas, workers)
				c, err := s.Start(Options{Dir: t.TempDir(), Groups: groups, Applied: book.Applied})
				if err != nil {
					t.Fatal(err)
				}
				var numbers [workers]uint64
				out := load.Run(load.Load{Workers: workers, Measure: 100 * time.Millisecond}, func(worker int) error {
					group := worker % groups
					command := ledger.NewCommand(64, uint32(group), uint32(worker))
					numbers[worker]++
					ledger.SetNumber(command, numbers[worker])
					err := c.Propose(context.Background(), group, command)
					if err == nil {
						book.Acknowledged(worker, numbers[worker])
					}
					return err
				})
				for deadline := time.Now().Add(time.Minute); ; {
					if _, level := book.Level(); level {
						break
					}
					if time.Now().After(deadline) {
						t.Fatal("the replicas do not catch up")
					}
					<-time.After(time.Millisecond)
				}
				if term := c.Term(groups - 1); (term == 0) != s.Limit {
					t.Errorf("the term is %d", term)
				}
				if err := c.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				if err := book.Check(); err != nil || out.Done == 0 {
					t.Errorf("%d done, %d failed (%v): %v", out.Done, out.Failed, out.Error, err)
				}
			})
		}
	}
}
