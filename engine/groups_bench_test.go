package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// BenchmarkGroups is what three hosts do for one command in each of many groups, a third of which each leads, without sockets, disks and goroutines. A command
// comes in a group every 18 ms, as it does when a thousand groups are busy.
func BenchmarkGroups(b *testing.B) {
	for _, groups := range []int{1, 48, 1000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			c := newCrowd(b, groups)
			c.round(b)
			b.ReportAllocs()
			c.sent = 0
			for b.Loop() {
				c.round(b)
			}
			b.ReportMetric(float64(c.sent)/float64(b.N*groups), "messages/command")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*groups), "ns/command")
		})
	}
}

// crowd is three hosts with the same groups. What they send lies in a list until it is delivered; their disks forget.
type crowd struct {
	hosts [3]*crowdHost
	lead  []*Group // of each group, its leader
	calls []*call
	now   time.Duration
	data  []byte
	sent  int // messages
}

type crowdHost struct {
	*Host
	crowd *crowd
	out   []Envelope
	spare []Envelope
}

// Send implements Network.
func (h *crowdHost) Send(envelopes []Envelope) {
	h.crowd.sent += len(envelopes)
	for _, e := range envelopes {
		e.From = h.options.Address
		h.out = append(h.out, e)
	}
}

func newCrowd(t testing.TB, groups int) *crowd {
	c := &crowd{data: make([]byte, 16)}
	var first raft.Configuration
	for i := range c.hosts {
		id := raft.MemberID(i + 1)
		first.Members = append(first.Members, raft.Member{ID: id, Address: addressOf(id)})
	}
	for i := range c.hosts {
		h := &crowdHost{crowd: c}
		log, err := wal.Open(wal.Options{FS: nullFS{wal.NewMemFS()}, Dir: "wal", Incarnation: uint64(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		h.Host, err = NewHost(Options{
			Log: log, FS: wal.NewMemFS(), SnapshotDir: "snap", Network: h, Address: addressOf(raft.MemberID(i + 1)), Epoch: 1, Seed: uint64(i),
			Raft: raft.Config{CommitDelay: 2 * time.Millisecond},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		c.hosts[i] = h
		for g := range groups {
			if _, err := h.Start(StartOptions{Group: raft.GroupID(g + 1), Self: raft.MemberID(i + 1), Bootstrap: first, Machine: &silent{}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for g := range groups {
		c.lead = append(c.lead, c.hosts[g%3].Group(raft.GroupID(g+1)))
	}
	for range 100 {
		all := true
		for _, g := range c.lead {
			if !g.isLeader() {
				all = false
				g.post(func() { g.core.Campaign() })
			}
		}
		for range 8 {
			c.settle()
		}
		c.now += time.Millisecond
		if all {
			return c
		}
	}
	t.Fatal("not every group has the leader that it should have")
	return nil
}

// deliver takes what a host has sent to the others.
func (c *crowd) deliver(from *crowdHost) {
	sent := from.out
	from.out = from.spare[:0]
	for _, to := range c.hosts {
		address := to.options.Address
		n := 0
		for i := range sent {
			if sent[i].To == address {
				sent[n], sent[i] = sent[i], sent[n]
				n++
			}
		}
		if n > 0 {
			to.Deliver(sent[:n])
		}
		sent = sent[n:]
	}
	from.spare = sent[:0]
}

// settle gives every host its stages in turn, and delivers what they send.
func (c *crowd) settle() {
	for _, h := range c.hosts {
		h.Turn(c.now)
		c.deliver(h)
	}
	for _, h := range c.hosts {
		if h.Sync() {
			h.Turn(c.now)
		}
		c.deliver(h)
	}
	for _, h := range c.hosts {
		for h.Apply() {
		}
		for h.Background() {
		}
	}
}

// round has every group propose a command, replicate, apply and answer it.
func (c *crowd) round(t testing.TB) {
	size := int64(len(c.data)) + raft.EntryOverhead
	c.calls = c.calls[:0]
	for _, g := range c.lead {
		call := newCall(callPropose)
		call.data = c.data
		c.calls = append(c.calls, call)
		if err := g.enqueue(call, size); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 {
		c.now += 3 * time.Millisecond
		c.settle()
	}
	for i, call := range c.calls {
		select {
		case o := <-call.done:
			if o.err != nil {
				t.Fatal(o.err)
			}
		default:
			t.Fatal("a proposal has no answer")
		}
		callPool.Put(call)
		c.lead[i].pendingBytes.Add(-size)
	}
}
