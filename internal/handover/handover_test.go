package handover

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

type counted struct {
	net.Conn
	closed chan struct{}
}

func (c counted) Close() error { close(c.closed); return nil }

// TestWhatIsOfferedIsAcceptedOrClosed: nobody keeps a connection that was on its way when the listener was closed.
func TestWhatIsOfferedIsAcceptedOrClosed(t *testing.T) {
	for room := range 4 {
		for range 200 {
			l := New(&net.TCPAddr{}, room)
			var work sync.WaitGroup
			for k := range 8 {
				work.Go(func() {
					c := counted{closed: make(chan struct{})}
					offer := l.Offer
					if k%2 == 1 {
						offer = l.TryOffer
					}
					if offer(c) {
						<-c.closed
					}
				})
			}
			work.Go(func() {
				for range 3 {
					if c, err := l.Accept(); err == nil {
						c.Close()
					}
				}
				l.Close()
				l.Close()
			})
			work.Wait()
			if c, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("a closed listener gives %v, %v", c, err)
			}
		}
	}
}

func TestAnOfferWaitsForRoomUntilItMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(&net.TCPAddr{}, 1)
		first, second := counted{closed: make(chan struct{})}, counted{closed: make(chan struct{})}
		if !l.TryOffer(first) || l.TryOffer(second) {
			t.Error("there is room for one")
		}
		until, answer := make(chan struct{}), make(chan bool, 1)
		go func() { answer <- l.OfferUntil(second, until) }()
		synctest.Wait()
		select {
		case took := <-answer:
			t.Fatalf("without room it is answered %v", took)
		default:
		}
		close(until)
		if <-answer {
			t.Error("it is taken although there is no room")
		}
		if c, err := l.Accept(); err != nil || c != first {
			t.Errorf("accepted %v, %v", c, err)
		}
	})
}

func TestAReplayedConnectionBeginsWithWhatWasSeen(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		io.WriteString(far, " world")
		far.Close()
	}()
	got, err := io.ReadAll(Replay(near, []byte("hello")))
	if string(got) != "hello world" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
