package transport

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

// TestFullQueueDropsAndCounts: what was queued first is what arrives, in order.
func TestFullQueueDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		reachable := make(chan struct{})
		sink := new(inbox)
		options := network.host("a", nil)
		weight := wire.Weight(numbered("bb", 1).Message)
		options.QueueBytes = 10 * weight
		options.Dial = func(ctx context.Context, kind, address string) (net.Conn, error) {
			select {
			case <-reachable:
				return network.dial(ctx, kind, address)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		a, b := open(t, options), open(t, network.host("bb", sink))
		for n := range 15 {
			a.Send([]engine.Envelope{numbered("bb", n)})
		}
		if s := status(a, "bb"); s.Queued != 10*weight || s.Dropped != 5 {
			t.Errorf("status %+v", s)
		}
		close(reachable)
		synctest.Wait()
		if got := numbers(sink.all()); !slices.Equal(got, sequence(0, 9)) {
			t.Errorf("got %v", got)
		}
		a.Send([]engine.Envelope{numbered("bb", 15)})
		synctest.Wait()
		if s := status(a, "bb"); s.Queued != 0 || s.Dropped != 5 || sink.count() != 11 {
			t.Errorf("status %+v", s)
		}
		a.Close()
		b.Close()
	})
}

// TestQueueCountsWhatIsBeingWritten: a peer that stops reading cannot make us hold two queues.
func TestQueueCountsWhatIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		options := network.host("a", nil)
		weight := wire.Weight(numbered("bb", 1).Message)
		options.QueueBytes = 10 * weight
		a := open(t, options)
		stuck := network.listen("bb")
		accepted := make(chan net.Conn, 1)
		go func() {
			if c, err := stuck.Accept(); err == nil {
				accepted <- c
			}
		}()
		a.Send([]engine.Envelope{numbered("bb", 0)})
		c := <-accepted
		if _, err := readIntroduction(c); err != nil {
			t.Fatal(err)
		}
		answer, err := introduction(&wire.Hello{MinVersion: 1, MaxVersion: 1, Host: 9, MaxFrameBytes: 1 << 20, Address: "bb", Dialled: "a"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(answer); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first message is being written, and nobody reads
		for n := 1; n < 20; n++ {
			a.Send([]engine.Envelope{numbered("bb", n)})
		}
		if s := status(a, "bb"); s.Queued != 10*weight || s.Dropped != 10 {
			t.Errorf("status %+v", s)
		}
		c.Close()
		synctest.Wait()
		if s := status(a, "bb"); s.Queued != 0 || s.Dropped != 20 {
			t.Errorf("after the end: status %+v", s)
		}
		stuck.Close()
		a.Close()
	})
}

// TestLargeMessageFitsAnIdleQueue: the bound of a queue must not make a message impossible that a frame may hold.
func TestLargeMessageFitsAnIdleQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		options := network.host("a", nil)
		options.QueueBytes = 1000
		a, b := open(t, options), open(t, network.host("bb", sink))
		data := make([]byte, 100_000)
		a.Send([]engine.Envelope{{To: "bb", Message: &engine.SnapshotChunk{Data: data, Sum: raft.Sum(data)}}})
		synctest.Wait()
		if sink.count() != 1 {
			t.Error("it did not arrive")
		}
		a.Close()
		b.Close()
	})
}

// TestMessagesTooLargeForThePeerAreDropped: the connection and everything else on it go on. The limit is that of the more modest host.
func TestMessagesTooLargeForThePeerAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		modest := network.host("bb", sink)
		modest.MaxFrameBytes = wire.MinMaxFrameBytes
		a, b := open(t, network.host("a", nil)), open(t, modest)
		data := make([]byte, wire.MinMaxFrameBytes)
		large := engine.Envelope{To: "bb", Message: &engine.SnapshotChunk{Data: data, Sum: raft.Sum(data)}}
		a.Send([]engine.Envelope{numbered("bb", 1), large, numbered("bb", 2)})
		synctest.Wait()
		if got := numbers(sink.all()); !slices.Equal(got, sequence(1, 2)) {
			t.Errorf("got %v", got)
		}
		if s := status(a, "bb"); !s.Connected || s.Dropped != 1 || s.FramesOut != 2 || !strings.Contains(s.LastError, "too large") {
			t.Errorf("status %+v", s)
		}
		a.Close()
		b.Close()
	})
}
