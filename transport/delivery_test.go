package transport

import (
	"bytes"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire/wiretest"
)

func TestEveryKindOfMessageArrivesAsItWasSent(t *testing.T) {
	sink := new(inbox)
	a, b := open(t, Options{Host: 1}), open(t, Options{Host: 2, Sink: sink})
	from, to := a.Addr().String(), b.Addr().String()
	r := wiretest.Random(1)
	var sent []engine.Envelope
	for _, like := range wiretest.Kinds() {
		for range 20 {
			sent = append(sent, engine.Envelope{Group: raft.GroupID(r.Uint64()), To: to, Message: wiretest.Message(r, like)})
		}
	}
	a.Send(sent)
	eventually(t, "everything arrived", func() bool { return sink.count() == len(sent) })
	for i, got := range sink.all() {
		want := sent[i]
		want.From = from
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("sent %+v: %+v\ncame %+v: %+v", want, want.Message, got, got.Message)
		}
	}
}

func TestLargeDataArriveIntact(t *testing.T) {
	sink := new(inbox)
	a, b := open(t, Options{Host: 1}), open(t, Options{Host: 2, Sink: sink})
	to := b.Addr().String()
	var sent []engine.Envelope
	for i, size := range []int{1, 100_000, 0, copyBelow, copyBelow - 1, 1 << 20, 7, readBuffer, 900_000} {
		data := bytes.Repeat([]byte{byte(i + 1)}, size)
		sent = append(sent,
			engine.Envelope{Group: 1, To: to, Message: &engine.SnapshotChunk{Data: data, Sum: raft.Sum(data)}},
			engine.Envelope{Group: 2, To: to, Message: &raft.AppendRequest{Entries: []raft.Entry{
				{Index: 1, Data: data, Sum: raft.Sum(data)}, {Index: 2, Data: data[:size/2], Sum: raft.Sum(data[:size/2])}}}})
	}
	a.Send(sent)
	eventually(t, "everything arrived", func() bool { return sink.count() == len(sent) })
	eventually(t, "all are counted", func() bool { return status(a, to).FramesOut == uint64(len(sent)) })
	for i, got := range sink.all() {
		switch want := sent[i].Message.(type) {
		case *engine.SnapshotChunk:
			if m := got.Message.(*engine.SnapshotChunk); !bytes.Equal(m.Data, want.Data) {
				t.Errorf("message %d: %d bytes came of %d", i, len(m.Data), len(want.Data))
			}
		case *raft.AppendRequest:
			m := got.Message.(*raft.AppendRequest)
			for k := range want.Entries {
				if !bytes.Equal(m.Entries[k].Data, want.Entries[k].Data) {
					t.Errorf("message %d, entry %d: %d bytes came of %d", i, k, len(m.Entries[k].Data), len(want.Entries[k].Data))
				}
			}
		}
	}
}

// TestOrderIsKept: many goroutines send to many peers; what one goroutine sent to one peer comes in its order.
func TestOrderIsKept(t *testing.T) {
	for name, send := range map[string]func(*Transport, []engine.Envelope){
		"queued": (*Transport).Send, "at once": (*Transport).SendNow,
		"mixed": func(a *Transport, envelopes []engine.Envelope) {
			if envelopes[0].Message.(*raft.ReadIndexRequest).ID%3 == 0 {
				a.Send(envelopes)
			} else {
				a.SendNow(envelopes)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { testOrderIsKept(t, send) })
	}
}

func testOrderIsKept(t *testing.T, send func(*Transport, []engine.Envelope)) {
	const senders, messages = 4, 2000
	sinks := []*inbox{new(inbox), new(inbox)}
	a := open(t, Options{Host: 1})
	var addresses []string
	for i, sink := range sinks {
		addresses = append(addresses, open(t, Options{Host: uint64(i + 2), Sink: sink}).Addr().String())
	}
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for n := range messages {
				var batch []engine.Envelope
				for _, to := range addresses {
					e := numbered(to, n)
					e.Group = raft.GroupID(s)
					batch = append(batch, e)
				}
				send(a, batch)
			}
		})
	}
	sending.Wait()
	for i, sink := range sinks {
		eventually(t, "everything arrived", func() bool { return sink.count() == senders*messages })
		bySender := make(map[raft.GroupID][]engine.Envelope)
		for _, e := range sink.all() {
			bySender[e.Group] = append(bySender[e.Group], e)
		}
		for s, envelopes := range bySender {
			if !slices.Equal(numbers(envelopes), sequence(0, messages-1)) {
				t.Errorf("peer %d got the messages of sender %d out of order, or not all of them", i, s)
			}
		}
	}
}

// TestWhatHasArrivedIsDeliveredAtOnce: a follower whose turn takes long gets everything that came meanwhile in one go.
func TestWhatHasArrivedIsDeliveredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		busy := make(chan struct{})
		sink := &inbox{onDeliver: func() { <-busy }}
		a, b := open(t, network.host("a", nil)), open(t, network.host("bb", sink))
		a.Send([]engine.Envelope{numbered("bb", 0)})
		synctest.Wait() // the sink is busy with the first message
		for n := 1; n <= 100; n++ {
			a.Send([]engine.Envelope{numbered("bb", n)})
		}
		synctest.Wait()
		close(busy)
		eventually(t, "everything arrived", func() bool { return sink.count() == 101 })
		if len(sink.deliveries) > 3 {
			t.Errorf("%d deliveries", len(sink.deliveries))
		}
		if !slices.Equal(numbers(sink.all()), sequence(0, 100)) {
			t.Error("out of order")
		}
		a.Close()
		b.Close()
	})
}

// TestCloseWritesWhatIsQueued: the peer is busy when Close begins, and has messages written and queued for it.
func TestCloseWritesWhatIsQueued(t *testing.T) {
	for range 10 { // which of closing and being woken the writer sees first is left to chance
		synctest.Test(t, func(t *testing.T) {
			network := newMemory()
			busy := make(chan struct{})
			sink := &inbox{onDeliver: func() { <-busy }}
			a, b := open(t, network.host("a", nil)), open(t, network.host("bb", sink))
			for n := range 3 {
				a.Send([]engine.Envelope{numbered("bb", n)})
				synctest.Wait()
			}
			closed := make(chan error)
			go func() { closed <- a.Close() }()
			synctest.Wait()
			close(busy)
			if err := <-closed; err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if got := numbers(sink.all()); !slices.Equal(got, sequence(0, 2)) {
				t.Errorf("got %v", got)
			}
			b.Close()
		})
	}
}

// TestCloseDoesNotWaitForAPeerThatDoesNotRead: what is queued for it is worth a moment, no more.
func TestCloseDoesNotWaitForAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		busy := make(chan struct{})
		a, b := open(t, network.host("a", nil)), open(t, network.host("bb", &inbox{onDeliver: func() { <-busy }}))
		for n := range 3 {
			a.Send([]engine.Envelope{numbered("bb", n)})
			synctest.Wait()
		}
		start := time.Now()
		a.Close()
		if took := time.Since(start); took > partingTime {
			t.Errorf("it took %v of virtual time", took)
		}
		close(busy)
		b.Close()
	})
}

func TestClosedTransportDoesNothing(t *testing.T) {
	sink := new(inbox)
	a, b := open(t, Options{Host: 1, Sink: sink}), open(t, Options{Host: 2})
	to := b.Addr().String()
	a.Send([]engine.Envelope{numbered(to, 1)})
	eventually(t, "they are connected", func() bool { return status(a, to).FramesOut == 1 })
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	a.Send([]engine.Envelope{numbered(to, 2), numbered("nobody:1", 3)})
	if err := a.Close(); err != nil {
		t.Error("the second Close:", err)
	}
	if n := sink.disconnections(to); n != 0 {
		t.Errorf("Close was reported as %d broken connections", n)
	}
	if peers := a.Peers(); len(peers) > 1 {
		t.Errorf("a peer was made after Close: %+v", peers)
	}
}

func TestStatusCounts(t *testing.T) {
	aSink, bSink := new(inbox), new(inbox)
	a, b := open(t, Options{Host: 11, Sink: aSink}), open(t, Options{Host: 22, Sink: bSink})
	from, to := a.Addr().String(), b.Addr().String()
	for n := range 5 {
		a.Send([]engine.Envelope{numbered(to, n)})
	}
	b.Send([]engine.Envelope{numbered(from, 0)})
	eventually(t, "everything arrived", func() bool { return bSink.count() == 5 && aSink.count() == 1 })
	eventually(t, "the counts agree", func() bool {
		s, r := status(a, to), status(b, from)
		return s.FramesOut == 5 && r.FramesIn == 5 && s.FramesIn == 1 && r.FramesOut == 1 && s.BytesOut > 0 && r.BytesIn > 0 && s.Queued == 0
	})
	eventually(t, "the round trip was measured", func() bool { return status(a, to).RTT > 0 })
	if s := status(a, to); !s.Connected || !s.Incoming || s.Host != 22 || s.Dropped != 0 || s.LastError != "" || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
}
