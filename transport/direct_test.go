package transport

import (
	"slices"
	"testing"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// TestWhatIsSentAtOnceNeedsNoWriter: with a connection that is idle, a message is on its way when SendNow returns.
func TestWhatIsSentAtOnceNeedsNoWriter(t *testing.T) {
	sink := new(inbox)
	a, b := open(t, Options{Host: 1}), open(t, Options{Host: 2, Sink: sink})
	to := b.Addr().String()
	a.Send([]engine.Envelope{numbered(to, 0)})
	eventually(t, "the connection stands", func() bool { return sink.count() == 1 })
	p := a.peer(to)
	idle := func() {
		eventually(t, "the connection is idle", func() bool {
			if !p.sending.TryLock() {
				return false
			}
			defer p.sending.Unlock()
			return p.direct != nil && len(p.wake) == 0 && !p.hasQueued()
		})
	}
	idle()
	last := 0
	for inARow := 0; inARow < 100; inARow++ {
		last++
		written := p.framesOut.Load()
		a.SendNow([]engine.Envelope{numbered(to, last)})
		if p.framesOut.Load() != written+1 {
			// The writer, which was woken before, looked just then whether there is more to do. It has nothing to wake for afterwards.
			if last > 1000 {
				t.Fatal("of a thousand messages no hundred in a row were written when SendNow returned")
			}
			inARow = -1
			idle()
		}
	}
	eventually(t, "everything arrived", func() bool { return sink.count() == last+1 })
	if got := numbers(sink.all()); !slices.Equal(got, sequence(0, last)) {
		t.Errorf("got %v", got)
	}
}

// TestWhatIsNotTakenAtOnceFollows: a peer that does not read makes a write stop in the middle of a message. Its rest, and what was sent meanwhile, arrive in order.
func TestWhatIsNotTakenAtOnceFollows(t *testing.T) {
	read := make(chan struct{})
	sink := &inbox{onDeliver: func() { <-read }}
	a, b := open(t, Options{Host: 1, QueueBytes: 64 << 20}), open(t, Options{Host: 2, Sink: sink})
	to := b.Addr().String()
	a.Send([]engine.Envelope{numbered(to, 0)})
	p := a.peer(to)
	const messages = 4000 // of 7 KiB: more than the buffers of a loopback connection take
	for n := 1; n <= messages; n++ {
		data := make([]byte, 7<<10)
		for i := range data {
			data[i] = byte(n + i)
		}
		a.SendNow([]engine.Envelope{{Group: 1, To: to, Message: &engine.ForwardRequest{
			Header: raft.Header{From: 1, To: 2, Term: 3}, ID: uint64(n), Op: engine.ForwardProposal, Sum: raft.Sum(data), Data: data,
		}}})
	}
	if !p.hasQueued() {
		t.Fatal("all was taken: the test needs more messages")
	}
	close(read)
	eventually(t, "everything arrived", func() bool { return sink.count() == messages+1 })
	for n, e := range sink.all()[1:] {
		if m := e.Message.(*engine.ForwardRequest); m.ID != uint64(n+1) || m.Sum != raft.Sum(m.Data) {
			t.Fatalf("message %d came in the place of %d, or damaged", m.ID, n+1)
		}
	}
	eventually(t, "all are counted", func() bool { return status(a, to).FramesOut == messages+1 })
	if s := status(a, to); s.Dropped != 0 {
		t.Errorf("%d were dropped", s.Dropped)
	}
}
