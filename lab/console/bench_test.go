package console

import (
	"context"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/balsa-raft/balsa/raft"
)

// BenchmarkWrites has 64 clients write to three members in this process, alternately while a page looks and with no recorder and no page. The figure to look at is
// the ratio, from many short rounds: what else the machine does in the meantime meets both alike.
func BenchmarkWrites(b *testing.B) {
	const round = 500 * time.Millisecond
	watched, plain := startWith(b, true, false), startWith(b, false, false)
	for _, c := range []*cluster{watched, plain} {
		write(b, c, round) // until there is a leader, and files are there
	}
	var rates [2]float64
	for b.Loop() {
		web := httptest.NewServer(New(Options{Targets: watched.targets}))
		socket, _, err := websocket.Dial(context.Background(), web.URL+"/engine", nil)
		if err != nil {
			b.Fatal(err)
		}
		socket.SetReadLimit(64 << 20)
		go func() {
			for {
				if _, _, err := socket.Read(context.Background()); err != nil {
					return
				}
			}
		}()
		rates[0] += write(b, watched, round)
		_ = socket.CloseNow()
		web.Close()
		rates[1] += write(b, plain, round)
	}
	b.ReportMetric(rates[0]/float64(b.N), "watched/s")
	b.ReportMetric(rates[1]/float64(b.N), "plain/s")
	b.ReportMetric(rates[0]/rates[1], "ratio")
}

// write writes for a while at the leader, and tells how many writes a second there were.
func write(b *testing.B, c *cluster, d time.Duration) float64 {
	b.Helper()
	leader := -1
	for leader < 0 {
		for i, g := range c.groups {
			if id, _ := g.Leader(); id != raft.NoMember && id == g.Self() {
				leader = i
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var n atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for range 64 {
		all.Go(func() {
			for {
				if _, err := c.groups[leader].Propose(ctx, make([]byte, 100)); err != nil {
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(begin).Seconds()
}
