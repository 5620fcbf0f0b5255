package transport

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/internal/freeport"
	"github.com/balsa-raft/balsa/raft"
)

func TestRestartedPeerIsReachedAgain(t *testing.T) {
	aSink, second := new(inbox), new(inbox)
	addresses, err := freeport.Addresses(1) // which nobody else gets between the two lives of b
	if err != nil {
		t.Fatal(err)
	}
	to := addresses[0]
	a, b := open(t, Options{Host: 1, Sink: aSink}), open(t, Options{Host: 2, Listen: to})
	a.Send([]engine.Envelope{numbered(to, 1)})
	eventually(t, "they are connected", func() bool { return status(b, a.Addr().String()).FramesIn == 1 })
	b.Close()
	eventually(t, "the end was noticed", func() bool { return !status(a, to).Connected && aSink.disconnections(to) > 0 })
	if !strings.Contains(status(a, to).LastError, "peer") {
		t.Errorf("status %+v", status(a, to))
	}
	open(t, Options{Host: 2, Listen: to, Sink: second})
	n := 1
	eventually(t, "messages arrive again", func() bool {
		n++
		a.Send([]engine.Envelope{numbered(to, n)})
		return second.count() > 0
	})
	if s := status(a, to); s.Host != 2 {
		t.Errorf("status %+v", s)
	}
}

// TestRedialsAreSpacedOut: the pause doubles from RedialMin to RedialMax, and at least half of it is kept.
func TestRedialsAreSpacedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		a := open(t, network.host("a", nil))
		tick := time.NewTicker(time.Millisecond) // something to send, always
		defer tick.Stop()
		for len(network.dials("bb")) < 12 {
			a.Send([]engine.Envelope{numbered("bb", 1)})
			<-tick.C
		}
		dials := network.dials("bb")
		pause := a.opt.RedialMin
		for i := 1; i < len(dials); i++ {
			if got := dials[i].Sub(dials[i-1]); got < pause/2 || got > pause+2*time.Millisecond {
				t.Errorf("pause %d took %v of virtual time; it has to be from %v to %v", i, got, pause/2, pause)
			}
			pause = min(2*pause, a.opt.RedialMax)
		}
		a.Close()
	})
}

// TestNothingToSendNothingToDial: a peer that is gone is left in peace until there is something for it.
func TestNothingToSendNothingToDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		a := open(t, network.host("a", nil))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		<-time.After(time.Minute / 2)
		if n := len(network.dials("bb")); n != 1 {
			t.Errorf("%d attempts for one message", n)
		}
		a.Close()
	})
}

// TestPeerThatShowsUpIsRedialledAtOnce: a restarted member has to hear its leader before its election timeout, whatever the pause had grown to.
func TestPeerThatShowsUpIsRedialledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		options := network.host("a", nil)
		options.RedialMax = time.Hour
		a := open(t, options)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for len(network.dials("bb")) < 15 {
			a.Send([]engine.Envelope{numbered("bb", 1)})
			<-tick.C
		}
		a.Send([]engine.Envelope{numbered("bb", 2)})
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		start := time.Now()
		b.Send([]engine.Envelope{numbered("a", 1)})
		eventually(t, "the message arrived", func() bool { return sink.count() > 0 })
		if took := time.Since(start); took > a.opt.RedialMin+time.Millisecond {
			t.Errorf("it took %v of virtual time", took)
		}
		a.Close()
		b.Close()
	})
}

// TestPeerThatShowsUpEndsAHangingAttempt: a host that lost power answers nothing at all, so that the attempt to reach it hangs until it times out, even if the
// host is back long before.
func TestPeerThatShowsUpEndsAHangingAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		options := network.host("a", nil)
		options.HelloTimeout = time.Hour
		var hung atomic.Bool
		options.Dial = func(ctx context.Context, kind, address string) (net.Conn, error) {
			if !hung.Swap(true) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return network.dial(ctx, kind, address)
		}
		a := open(t, options)
		a.Send([]engine.Envelope{numbered("bb", 1)})
		synctest.Wait()
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		b.Send([]engine.Envelope{numbered("a", 1)})
		synctest.Wait()
		if got := numbers(sink.all()); !slices.Equal(got, []int{1}) || status(a, "bb").Dropped > 0 {
			t.Errorf("got %v, status %+v", got, status(a, "bb"))
		}
		a.Close()
		b.Close()
	})
}

// TestPauseStartsOverAfterAGoodConnection: what it took to reach a peer once says nothing about the next time.
func TestPauseStartsOverAfterAGoodConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		var last net.Conn
		network.wrap = func(c net.Conn) net.Conn {
			last = c
			return c
		}
		a := open(t, network.host("a", nil))
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for len(network.dials("bb")) < 10 {
			a.Send([]engine.Envelope{numbered("bb", 1)})
			<-tick.C
		}
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		eventually(t, "they are connected", func() bool { return sink.count() > 0 })
		<-time.After(time.Minute)
		last.Close()
		synctest.Wait()
		start, before := time.Now(), sink.count()
		a.Send([]engine.Envelope{numbered("bb", 2)})
		eventually(t, "they are connected again", func() bool { return sink.count() > before })
		if took := time.Since(start); took > a.opt.RedialMin+time.Millisecond {
			t.Errorf("it took %v of virtual time", took)
		}
		a.Close()
		b.Close()
	})
}

// TestPeerThatDoesNotAnswerTheIntroduction: something accepts connections and says nothing.
func TestPeerThatDoesNotAnswerTheIntroduction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		silent := network.listen("bb")
		a := open(t, network.host("a", nil))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-discard(c)
		if took := time.Since(start); took != a.opt.HelloTimeout {
			t.Errorf("it was given up after %v of virtual time", took)
		}
		synctest.Wait()
		if s := status(a, "bb"); s.Dropped != 1 || !strings.Contains(s.LastError, "timeout") {
			t.Errorf("status %+v", s)
		}
		silent.Close()
		a.Close()
	})
}

// mutedConn is a connection whose network swallows everything, in both directions, once muted is set.
type mutedConn struct {
	net.Conn
	muted *atomic.Bool
}

func (c mutedConn) Write(b []byte) (int, error) {
	if c.muted.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c mutedConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.muted.Load() {
			return n, err
		}
	}
}

// TestSilenceIsNoticed: a cable is pulled, so that nobody is told. Both sides give up within PeerTimeout, and connect again when it is back.
func TestSilenceIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		var muted atomic.Bool
		network.wrap = func(c net.Conn) net.Conn { return mutedConn{c, &muted} }
		aSink, bSink := new(inbox), new(inbox)
		a, b := open(t, network.host("a", aSink)), open(t, network.host("bb", bSink))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		<-time.After(time.Minute)
		if s := status(a, "bb"); !s.Connected || aSink.disconnections("bb") > 0 {
			t.Fatalf("an idle connection did not last: %+v", s)
		}
		muted.Store(true)
		start := time.Now()
		eventually(t, "the dialler noticed", func() bool { return !status(a, "bb").Connected })
		eventually(t, "the acceptor noticed", func() bool { return !status(b, "a").Incoming })
		if took := time.Since(start); took > a.opt.PeerTimeout+time.Millisecond {
			t.Errorf("it took %v of virtual time", took)
		}
		synctest.Wait()
		// Whichever gives up first hangs up, which the other one may notice before its own time is over.
		if s, r := status(a, "bb"), status(b, "a"); !strings.Contains(s.LastError+r.LastError, "silent for 3s") {
			t.Errorf("status %+v and %+v", s, r)
		}
		if aSink.disconnections("bb") != 1 || bSink.disconnections("a") != 1 {
			t.Errorf("%d and %d disconnections", aSink.disconnections("bb"), bSink.disconnections("a"))
		}
		muted.Store(false)
		a.Send([]engine.Envelope{numbered("bb", 2)})
		eventually(t, "the message arrived", func() bool { return slices.Equal(numbers(bSink.all()), sequence(1, 2)) })
		a.Close()
		b.Close()
	})
}

// slowConn takes a tenth of a second for every kilobyte that is written.
type slowConn struct{ net.Conn }

func (c slowConn) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		<-time.After(100 * time.Millisecond)
		n, err := c.Conn.Write(b[:min(len(b), 1024)])
		written, b = written+n, b[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// TestSlowLinkIsNoSilence: while a large message crawls, the pings behind it wait for much longer than PeerTimeout.
func TestSlowLinkIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		network.wrap = func(c net.Conn) net.Conn { return slowConn{c} }
		aSink, bSink := new(inbox), new(inbox)
		a, b := open(t, network.host("a", aSink)), open(t, network.host("bb", bSink))
		data := make([]byte, 400<<10)
		start := time.Now()
		a.Send([]engine.Envelope{{Group: 1, To: "bb", Message: &engine.SnapshotChunk{Data: data, Sum: raft.Sum(data)}}})
		eventually(t, "the chunk arrived", func() bool { return bSink.count() == 1 })
		if took := time.Since(start); took < 10*a.opt.PeerTimeout {
			t.Errorf("it took %v of virtual time, which proves nothing", took)
		}
		if n := aSink.disconnections("bb") + bSink.disconnections("a"); n > 0 {
			t.Errorf("%d disconnections", n)
		}
		a.Close()
		b.Close()
	})
}

// TestNewConnectionReplacesTheOldOne: a peer that lost power dials again before we have noticed anything.
func TestNewConnectionReplacesTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		first, second := network.connect(t, "bb"), network.connect(t, "bb")
		peerByHand(t, first, "a", "bb")
		firstEnds := discard(first)
		peerByHand(t, second, "a", "bb")
		<-firstEnds
		go discard(second)
		if _, err := second.Write(frames(t, numbered("bb", 1))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := status(b, "a"); !s.Incoming || sink.count() != 1 || sink.disconnections("a") != 1 {
			t.Errorf("status %+v, %d messages, %d disconnections", s, sink.count(), sink.disconnections("a"))
		}
		b.Close()
	})
}

func TestIdlePeersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		a := open(t, network.host("a", nil))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		synctest.Wait()
		if len(a.Peers()) != 1 {
			t.Fatalf("the peers are %+v", a.Peers())
		}
		<-time.After(a.opt.ForgetAfter + time.Second)
		if len(a.Peers()) != 0 {
			t.Errorf("the peers are %+v", a.Peers())
		}
		b := open(t, network.host("bb", sink))
		a.Send([]engine.Envelope{numbered("bb", 2)})
		synctest.Wait()
		if sink.count() != 1 {
			t.Error("a peer that was forgotten cannot be reached again")
		}
		a.Close()
		b.Close()
	})
}
