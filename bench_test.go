package balsa_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPropose is a group of three hosts in this process: real sockets, real disks, each write synced on a majority before it counts.
func BenchmarkPropose(b *testing.B) {
	for _, size := range []int{16, 1024} {
		for _, proposers := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%dB/%d", size, proposers), func(b *testing.B) {
				c := newTrio(b, plain)
				ctx := context.Background()
				if _, err := c.groups[0].Propose(ctx, nil); err != nil {
					b.Fatal(err)
				}
				group := c.groups[c.leader()-1]
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range proposers {
					wg.Go(func() {
						data := make([]byte, size)
						for left.Add(-1) >= 0 {
							if _, err := group.Propose(ctx, data); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
