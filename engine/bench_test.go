package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPropose is a group of three in one process, without sockets: what the turns themselves cost.
func BenchmarkPropose(b *testing.B) {
	for _, proposers := range []int{1, 64, 1024} {
		b.Run(map[int]string{1: "1", 64: "64", 1024: "1024"}[proposers], func(b *testing.B) {
			c := newCluster(b, 3, func(o *Options) { o.Check = false })
			leader := c.groups[c.leader()]
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range proposers {
				wg.Go(func() {
					data := number(1)
					for left.Add(-1) >= 0 {
						if _, err := leader.Propose(context.Background(), data); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
