package engine

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// BenchmarkLeaderTurn is what a leader of three does for a batch of proposals, without sockets, disk and goroutines: from the inbox into the log, to two followers
// and the disk, and from their acknowledgements to the machine and the callers.
func BenchmarkLeaderTurn(b *testing.B) {
	for _, batch := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			l := newLone(b)
			l.lead(b)
			b.ReportAllocs()
			for b.Loop() {
				l.propose(b, batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
		})
	}
}

// BenchmarkFollowerTurn is a follower's part of the same: a request with a batch of entries is appended, written and acknowledged, and the one before applied.
func BenchmarkFollowerTurn(b *testing.B) {
	for _, batch := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			l := newLone(b)
			b.ReportAllocs()
			for b.Loop() {
				l.follow(b, batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
		})
	}
}

// What a turn allocates is for the turn and its messages: batching makes it small for an entry. An allocation for each entry would be a thousand here.
func TestATurnAllocatesNothingForAnEntry(t *testing.T) {
	const batch, allowed = 1000, 100
	leader, follower := newLone(t), newLone(t)
	leader.lead(t)
	for range 100 { // what grows has grown
		leader.propose(t, batch)
		follower.follow(t, batch)
	}
	if n := testing.AllocsPerRun(20, func() { leader.propose(t, batch) }); n > allowed {
		t.Errorf("a leader's turn with %d entries makes %v allocations, more than %d", batch, n, allowed)
	}
	if n := testing.AllocsPerRun(20, func() { follower.follow(t, batch) }); n > allowed {
		t.Errorf("a follower's turn with %d entries makes %v allocations, more than %d", batch, n, allowed)
	}
}

// lone is a host whose disk forgets and whose peers are made up: they grant every vote and acknowledge every entry. The caller gives it its stages.
type lone struct {
	host    *Host
	group   *Group
	now     time.Duration
	replies []Envelope // what the peers will have answered
	calls   []*call
	last    raft.Index // of a follower's log
	data    []byte
}

func newLone(t testing.TB) *lone {
	l := &lone{data: make([]byte, 16)}
	log, err := wal.Open(wal.Options{FS: nullFS{wal.NewMemFS()}, Dir: "wal", Incarnation: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.host, err = NewHost(Options{
		Log: log, FS: wal.NewMemFS(), SnapshotDir: "snap", Network: l, Address: addressOf(1), Epoch: 1, Seed: 1,
		Raft: raft.Config{DisablePreVote: true}, KeepEntries: 1, CompactEntries: 64 << 10,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.host.Close() })
	var first raft.Configuration
	for id := raft.MemberID(1); id <= 3; id++ {
		first.Members = append(first.Members, raft.Member{ID: id, Address: addressOf(id)})
	}
	if l.group, err = l.host.Start(StartOptions{Group: 1, Self: 1, Bootstrap: first, Machine: &silent{}}); err != nil {
		t.Fatal(err)
	}
	return l
}

// Send implements Network.
func (l *lone) Send(envelopes []Envelope) {
	for i := range envelopes {
		head := *envelopes[i].Message.Head()
		from, to := head.To, head.From
		head.From, head.To = from, to
		var reply raft.Message
		switch m := envelopes[i].Message.(type) {
		case *raft.VoteRequest:
			reply = &raft.VoteReply{Header: head, Granted: true}
		case *raft.AppendRequest:
			reply = &raft.AppendReply{Header: head, Match: m.PrevIndex + raft.Index(len(m.Entries)), Round: m.Round}
		default:
			continue
		}
		l.replies = append(l.replies, Envelope{Group: 1, From: addressOf(from), Message: reply})
	}
}

// stages gives the host everything that it has to do.
func (l *lone) stages() {
	l.host.Turn(l.now)
	l.host.Sync()
	if len(l.replies) > 0 {
		l.host.Deliver(l.replies)
		clear(l.replies)
		l.replies = l.replies[:0]
	}
	l.host.Turn(l.now)
	for l.host.Apply() {
	}
	for l.host.Background() {
	}
}

func (l *lone) lead(t testing.TB) {
	l.group.post(func() { l.group.core.Campaign() })
	for range 100 {
		if l.stages(); l.group.isLeader() && l.group.AppliedIndex() > 0 {
			return
		}
	}
	t.Fatal("it does not become the leader")
}

// propose has n commands proposed, replicated, applied and answered.
func (l *lone) propose(t testing.TB, n int) {
	size := int64(len(l.data)) + raft.EntryOverhead
	l.calls = l.calls[:0]
	for range n {
		c := newCall(callPropose)
		c.data = l.data
		l.calls = append(l.calls, c)
		if err := l.group.enqueue(c, size); err != nil {
			t.Fatal(err)
		}
	}
	l.stages()
	for _, c := range l.calls {
		select {
		case o := <-c.done:
			if o.err != nil {
				t.Fatal(o.err)
			}
		default:
			t.Fatal("a proposal has no answer, though everybody has acknowledged it")
		}
		callPool.Put(c)
	}
	l.group.pendingBytes.Add(-size * int64(n))
}

// follow has n entries come from a leader.
func (l *lone) follow(t testing.TB, n int) {
	m := &raft.AppendRequest{Header: raft.Header{From: 2, To: 1, Term: 1}, PrevIndex: l.last, Commit: l.last, Round: 1, Entries: make([]raft.Entry, n)}
	if l.last > 0 {
		m.PrevTerm = 1
	}
	for i := range m.Entries {
		l.last++
		m.Entries[i] = raft.Entry{Term: 1, Index: l.last, Kind: raft.EntryCommand, Data: l.data}
	}
	envelope := [1]Envelope{{Group: 1, From: addressOf(2), Message: m}}
	l.host.Deliver(envelope[:])
	l.stages()
	if l.group.AppliedIndex() != l.last-raft.Index(n) {
		t.Fatalf("applied %d after an entry at %d was committed", l.group.AppliedIndex(), l.last-raft.Index(n))
	}
}

// silent is a machine that does nothing and answers nothing.
type silent struct{ results []Result }

func (s *silent) Apply(entries []Entry) []Result {
	for len(s.results) < len(entries) {
		s.results = append(s.results, Result{})
	}
	return s.results[:len(entries)]
}

func (s *silent) Snapshot() (SnapshotWriter, error) { return pileSnapshot(nil), nil }
func (s *silent) Restore(io.Reader) error           { return nil }

// nullFS forgets what is written, for measuring all but the disk.
type nullFS struct{ wal.FS }

type nullFile struct{ wal.File }

func (n nullFS) Create(name string) (wal.File, error) {
	f, err := n.FS.Create(name)
	return nullFile{f}, err
}

func (nullFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (nullFile) Sync() error                            { return nil }
