package raft

import (
	"fmt"
	"testing"
)

// BenchmarkPropose is a leader's turn: a batch of proposals goes into the log and to two followers, both acknowledge, all is committed and applied.
func BenchmarkPropose(b *testing.B) {
	for _, batch := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			c := benchCore(b)
			proposals := make([]Proposal, batch)
			data := make([]byte, 16)
			b.ReportAllocs()
			for b.Loop() {
				for i := range proposals {
					proposals[i] = Proposal{Kind: EntryCommand, Data: data}
				}
				first, term, err := c.Propose(proposals)
				if err != nil {
					b.Fatal(err)
				}
				out := c.Take()
				c.Synced(out.Seq)
				last := first + Index(batch) - 1
				for id := MemberID(2); id <= 3; id++ {
					c.Receive(&AppendReply{Header: head(id, term), Match: last, Round: 1})
				}
				out = c.Take()
				c.Applied(out.Committed[len(out.Committed)-1].Index)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
		})
	}
}

// BenchmarkFollow is a follower's turn: a request with a batch of entries is appended, written and acknowledged, and the one before applied.
func BenchmarkFollow(b *testing.B) {
	for _, batch := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			c, err := New(Config{ID: 1}, Restored{Snapshot: SnapshotMeta{Configuration: voters(1, 2, 3)}}, 0)
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, 16)
			list := make([]Entry, batch)
			b.ReportAllocs()
			var last Index
			for b.Loop() {
				m := &AppendRequest{Header: head(2, 1), PrevIndex: last, Commit: last, Round: 1, Entries: list}
				if last > 0 {
					m.PrevTerm = 1
				}
				for i := range list {
					last++
					list[i] = Entry{Term: 1, Index: last, Kind: EntryCommand, Data: data}
				}
				c.Receive(m)
				out := c.Take()
				c.Synced(out.Seq)
				if n := len(out.Committed); n > 0 {
					c.Applied(out.Committed[n-1].Index)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
		})
	}
}

// BenchmarkIdleTick is what an idle leader of three costs per heartbeat interval.
func BenchmarkIdleTick(b *testing.B) {
	c := benchCore(b)
	b.ReportAllocs()
	for b.Loop() {
		c.Tick(c.Deadline())
		out := c.Take()
		for _, m := range out.Messages {
			h := m.Head()
			c.Receive(&AppendReply{Header: head(h.To, h.Term), Match: 1, Round: m.(*AppendRequest).Round})
		}
	}
	if c.Role() != Leader {
		b.Fatal(c.Role())
	}
}

func benchCore(b *testing.B) *Core {
	c, err := New(Config{ID: 1, DisablePreVote: true}, Restored{Snapshot: SnapshotMeta{Configuration: voters(1, 2, 3)}}, 0)
	if err != nil {
		b.Fatal(err)
	}
	c.Campaign()
	c.Synced(c.Take().Seq)
	c.Receive(&VoteReply{Header: head(2, 1), Granted: true})
	c.Synced(c.Take().Seq)
	for id := MemberID(2); id <= 3; id++ {
		c.Receive(&AppendReply{Header: head(id, 1), Match: 1, Round: 1})
	}
	out := c.Take()
	c.Applied(out.Committed[len(out.Committed)-1].Index)
	return c
}
