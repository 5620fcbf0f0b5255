package transport

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// counter is a Sink that only counts, and says when it has counted enough.
type counter struct {
	left atomic.Int64
	done chan struct{}
}

func (c *counter) Deliver(envelopes []engine.Envelope) {
	if c.left.Add(-int64(len(envelopes))) == 0 {
		c.done <- struct{}{}
	}
}

func (c *counter) Disconnected(string) {}

// BenchmarkAppends sends AppendRequests over loopback, as fast as they are taken. One operation is one message.
func BenchmarkAppends(b *testing.B) {
	for _, shape := range []struct{ entries, size int }{{0, 0}, {1, 256}, {64, 16}, {64, 1024}, {1, 1 << 20}} {
		b.Run(fmt.Sprintf("entries=%d/bytes=%d", shape.entries, shape.size), func(b *testing.B) {
			benchmarkAppends(b, shape.entries, shape.size)
		})
	}
}

func benchmarkAppends(b *testing.B, entries, size int) {
	sink := &counter{done: make(chan struct{}, 1)}
	sender, receiver := benchmarkHost(b, 1, new(counter)), benchmarkHost(b, 2, sink)
	defer sender.Close()
	defer receiver.Close()
	m := &raft.AppendRequest{Header: raft.Header{From: 1, To: 2, Term: 7}, PrevIndex: 1 << 20, PrevTerm: 7, Commit: 1 << 20, Round: 1 << 20}
	for i := range entries {
		data := bytes.Repeat([]byte{byte(i)}, size)
		m.Entries = append(m.Entries, raft.Entry{Term: 7, Index: raft.Index(1<<20 + 1 + i), Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data})
	}
	envelope := []engine.Envelope{{Group: 1, To: receiver.Addr().String(), Message: m}}
	// A window as the core's keeps the queue from dropping: so many messages are under way at once, at most.
	window := max(1, min(256, (16<<20)/max(1, entries*size)))
	b.SetBytes(int64(entries * size))
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; {
		n := min(window, b.N-sent)
		sink.left.Store(int64(n))
		for range n {
			sender.Send(envelope)
		}
		<-sink.done
		sent += n
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)*float64(entries)/b.Elapsed().Seconds(), "entries/s")
}

func benchmarkHost(b *testing.B, host uint64, sink engine.Sink) *Transport {
	t, err := New(Options{Listen: "127.0.0.1:0", Host: host, Sink: sink, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// BenchmarkRoundTrip sends one heartbeat and waits for the answer. One operation is both.
func BenchmarkRoundTrip(b *testing.B) {
	there, back := &counter{done: make(chan struct{}, 1)}, &counter{done: make(chan struct{}, 1)}
	first, second := benchmarkHost(b, 1, back), benchmarkHost(b, 2, there)
	defer first.Close()
	defer second.Close()
	request := []engine.Envelope{{Group: 1, To: second.Addr().String(), Message: &raft.AppendRequest{}}}
	reply := []engine.Envelope{{Group: 1, To: first.Addr().String(), Message: &raft.AppendReply{}}}
	b.ReportAllocs()
	for b.Loop() {
		there.left.Store(1)
		back.left.Store(1)
		first.Send(request)
		<-there.done
		second.Send(reply)
		<-back.done
	}
}
