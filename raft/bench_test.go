package raft

import (
	"fmt"
	"testing"
)

// BenchmarkPropose is a leader's turn: a batch of proposals goes into the log and to two followers, both acknowledge, all is committed and applied.
func BenchmarkPropose(b *testing.B) {
	for _, batch := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			c := benchCore(b)
			proposals := make([]Proposal, batch)
			data := make([]byte, 16)
			b.ReportAllocs()
			for b.Loop() {
				benchPropose(b, c, proposals, data)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
		})
	}
}

func benchPropose(b testing.TB, c *Core, proposals []Proposal, data []byte) {
	for i := range proposals {
		proposals[i] = Proposal{Kind: EntryCommand, Data: data}
	}
	first, term, err := c.Propose(proposals)
	if err != nil {
		b.Fatal(err)
	}
	out := c.Take()
	c.Synced(out.Seq)
	last := first + Index(len(proposals)) - 1
	for id := MemberID(2); id <= 3; id++ {
		c.Receive(&AppendReply{Header: head(id, term), Match: last, Round: 1})
	}
	out = c.Take()
	c.Applied(out.Committed[len(out.Committed)-1].Index)
}

// BenchmarkFollow is a follower's turn: a request with a batch of entries is appended, written and acknowledged, and the one before applied.
func BenchmarkFollow(b *testing.B) {
	for _, batch := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f := newBenchFollower(b, batch)
			b.ReportAllocs()
			for b.Loop() {
				f.receive()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
		})
	}
}

// A step allocates for its messages and for its batch, and nothing for an entry: an allocation for each would be a thousand here.
func TestAStepAllocatesNothingForAnEntry(t *testing.T) {
	const batch, allowed = 1000, 50
	c, f := benchCore(t), newBenchFollower(t, batch)
	proposals, data := make([]Proposal, batch), make([]byte, 16)
	if n := testing.AllocsPerRun(50, func() { benchPropose(t, c, proposals, data) }); n > allowed {
		t.Errorf("a leader makes %v allocations for %d entries, more than %d", n, batch, allowed)
	}
	if n := testing.AllocsPerRun(50, f.receive); n > allowed {
		t.Errorf("a follower makes %v allocations for %d entries, more than %d", n, batch, allowed)
	}
}

// benchFollower gets one request after the other.
type benchFollower struct {
	core *Core
	list []Entry
	data []byte
	last Index
}

func newBenchFollower(b testing.TB, batch int) *benchFollower {
	c, err := New(Config{ID: 1}, Restored{Snapshot: SnapshotMeta{Configuration: voters(1, 2, 3)}}, 0)
	if err != nil {
		b.Fatal(err)
	}
	return &benchFollower{core: c, list: make([]Entry, batch), data: make([]byte, 16)}
}

func (f *benchFollower) receive() {
	m := &AppendRequest{Header: head(2, 1), PrevIndex: f.last, Commit: f.last, Round: 1, Entries: f.list}
	if f.last > 0 {
		m.PrevTerm = 1
	}
	for i := range f.list {
		f.last++
		f.list[i] = Entry{Term: 1, Index: f.last, Kind: EntryCommand, Data: f.data}
	}
	f.core.Receive(m)
	out := f.core.Take()
	f.core.Synced(out.Seq)
	if n := len(out.Committed); n > 0 {
		f.core.Applied(out.Committed[n-1].Index)
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

func benchCore(b testing.TB) *Core {
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
