package transport

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/internal/hostile"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

// TestGarbageOnThePort: whatever it is, the connection is closed, and honest peers are served meanwhile.
func TestGarbageOnThePort(t *testing.T) {
	sink := new(inbox)
	a, b := open(t, Options{Host: 1}), open(t, Options{Host: 2, Sink: sink})
	to := b.Addr().String()
	garbage := []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x16\x03\x01\x00\x05hello",
		strings.Repeat("\x00", 1000),
		wire.Magic + strings.Repeat("\xff", 1000),
		wire.Magic + string(wire.AppendRefusal(nil, &wire.Refusal{Code: 1, Reason: "I am the one who dialled"})),
		wire.Magic + string(frames(t, numbered(to, 5))), // a message before the introduction
	}
	for i, bytes := range garbage {
		c, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, bytes); err != nil {
			t.Fatal(err)
		}
		readToEnd(t, c)
		c.Close()
		a.Send([]engine.Envelope{numbered(to, i)})
	}
	eventually(t, "the honest messages arrived", func() bool { return sink.count() == len(garbage) })
	if got := numbers(sink.all()); !slices.Equal(got, sequence(0, len(garbage)-1)) {
		t.Errorf("got %v", got)
	}
}

// TestStreamCutAnywhereDeliversWholeFramesOnly ends a peer's stream after every number of bytes.
func TestStreamCutAnywhereDeliversWholeFramesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		data := []byte("the data of an entry")
		one := frames(t, numbered("bb", 1))
		two := frames(t, engine.Envelope{Group: 1, Message: &raft.AppendRequest{Entries: []raft.Entry{{Index: 1, Data: data, Sum: raft.Sum(data)}}}})
		whole := slices.Concat(one, two)
		for n := range len(whole) + 1 {
			before, lost := sink.count(), sink.disconnections("a")
			c := network.connect(t, "bb")
			peerByHand(t, c, "a", "bb")
			closed := discard(c)
			if _, err := c.Write(whole[:n]); err != nil {
				t.Fatal(err)
			}
			c.Close()
			<-closed
			synctest.Wait()
			want := 0
			if n >= len(one) {
				want++
			}
			if n == len(whole) {
				want++
			}
			if got := sink.count() - before; got != want {
				t.Errorf("after %d bytes of %d, %d messages were delivered, not %d", n, len(whole), got, want)
			}
			if sink.disconnections("a") != lost+1 {
				t.Errorf("after %d bytes, the end of the connection was not reported", n)
			}
		}
		b.Close()
	})
}

// TestCompleteMessagesDoNotWaitForWhatFollows: the rest of the next frame may take its time.
func TestCompleteMessagesDoNotWaitForWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		c := network.connect(t, "bb")
		peerByHand(t, c, "a", "bb")
		go discard(c)
		whole := frames(t, numbered("bb", 1), numbered("bb", 2), numbered("bb", 3))
		if _, err := c.Write(whole[:len(whole)-1]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := numbers(sink.all()); !slices.Equal(got, sequence(1, 2)) {
			t.Errorf("got %v", got)
		}
		if _, err := c.Write(whole[len(whole)-1:]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := numbers(sink.all()); !slices.Equal(got, sequence(1, 3)) {
			t.Errorf("got %v", got)
		}
		b.Close()
	})
}

// TestDamagedStreamEndsTheConnection flips a bit in every byte of a stream: never does a wrong message come out.
func TestDamagedStreamEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		data := []byte("the data of an entry")
		one := frames(t, numbered("bb", 1))
		whole := slices.Concat(one, frames(t, engine.Envelope{Group: 1,
			Message: &raft.AppendRequest{Entries: []raft.Entry{{Index: 1, Data: data, Sum: raft.Sum(data)}}}}))
		for i := range whole {
			before := sink.count()
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << (i % 8)
			c := network.connect(t, "bb")
			peerByHand(t, c, "a", "bb")
			closed := discard(c)
			c.Write(damaged) // fails where the other side hangs up before the end
			<-closed         // it hangs up, not we
			synctest.Wait()
			want := 0
			if i >= len(one) {
				want = 1
			}
			if got := sink.count() - before; got != want {
				t.Errorf("with byte %d of %d damaged, %d messages were delivered, not %d", i, len(whole), got, want)
			}
			if s := status(b, "a"); s.LastError == "" {
				t.Errorf("byte %d: the status does not say what was wrong", i)
			}
		}
		b.Close()
	})
}

func TestControlFramesThatDoNotBelong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		hello, err := wire.AppendHello(nil, &wire.Hello{MinVersion: 1, MaxVersion: 1, MaxFrameBytes: 1 << 20, Address: "a", Dialled: "bb"})
		if err != nil {
			t.Fatal(err)
		}
		var pong, ping wire.Batch
		pong.AddPong(1)
		ping.AddPing(1)
		stuffed := append(bytes.Clone(ping.Pieces()[0]), "payload"...)
		stuffed[8] = byte(len("payload"))
		putSum(stuffed[16:], raft.Sum(stuffed[:16]))
		for _, frame := range [][]byte{hello, pong.Pieces()[0], stuffed, wire.AppendRefusal(nil, refuse(wire.RefusedHost, "go away"))} {
			c := network.connect(t, "bb")
			peerByHand(t, c, "a", "bb")
			closed := discard(c)
			start := time.Now()
			if _, err := c.Write(frame); err != nil {
				t.Fatal(err)
			}
			<-closed
			if time.Since(start) > 0 {
				t.Errorf("a frame of kind %d did not end the connection; silence did", frame[0])
			}
		}
		synctest.Wait()
		if s := status(b, "a"); s.LastError != "refused by the peer: go away" {
			t.Errorf("the status is %+v", s)
		}
		b.Close()
	})
}

// TestSlowStrangersAreCutOff: saying a byte now and then does not extend the time for an introduction.
func TestSlowStrangersAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		options := network.host("bb", nil)
		options.HelloTimeout = 2 * time.Second
		b := open(t, options)
		start := time.Now()
		c := network.connect(t, "bb")
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		sent := 0
		for whole := wire.Magic + strings.Repeat("x", 1000); ; sent++ {
			if _, err := io.WriteString(c, whole[sent:sent+1]); err != nil {
				break
			}
			<-tick.C
		}
		if took := time.Since(start); took < options.HelloTimeout || took > options.HelloTimeout+time.Second {
			t.Errorf("it was cut off after %v of virtual time and %d bytes", took, sent)
		}
		b.Close()
	})
}

// TestSilentPeersAreCutOff: a peer that introduced itself and then says nothing, not even a ping.
func TestSilentPeersAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		b := open(t, network.host("bb", sink))
		c := network.connect(t, "bb")
		peerByHand(t, c, "a", "bb")
		start := time.Now()
		<-discard(c)
		synctest.Wait()
		if took := time.Since(start); took > b.opt.PeerTimeout {
			t.Errorf("it took %v of virtual time", took)
		}
		if s := status(b, "a"); s.Incoming || !strings.Contains(s.LastError, "silent for 3s") || sink.disconnections("a") != 1 {
			t.Errorf("the status is %+v", s)
		}
		b.Close()
	})
}

// TestStrangersAreBounded: when many hold connections open and say nothing, the oldest go, and an honest peer still gets in.
func TestStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		sink := new(inbox)
		options := network.host("bb", sink)
		options.HelloTimeout = time.Hour
		b := open(t, options)
		var gone atomic.Int32
		for range maxStrangers + 10 {
			c := network.connect(t, "bb")
			go func() {
				io.Copy(io.Discard, c)
				gone.Add(1)
			}()
			synctest.Wait()
		}
		if n := gone.Load(); n != 10 {
			t.Errorf("%d connections were closed, not 10", n)
		}
		a := open(t, network.host("a", nil))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		synctest.Wait()
		if sink.count() != 1 {
			t.Error("the honest peer did not get in")
		}
		for range maxStrangers + 10 {
			network.connect(t, "bb")
			synctest.Wait()
		}
		if s := status(a, "bb"); !s.Connected || sink.disconnections("a") > 0 {
			t.Error("strangers made an introduced peer's connection go")
		}
		a.Close()
		b.Close()
	})
}

// TestPeersAreBounded: claiming ever new addresses does not make a host remember them all.
func TestPeersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		b := open(t, network.host("bb", nil))
		b.mu.Lock()
		for n := range maxPeers {
			b.peers[strings.Repeat("x", n)] = newPeer(b, "")
		}
		b.mu.Unlock()
		a := open(t, network.host("a", nil))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		synctest.Wait()
		if s := status(a, "bb"); !strings.Contains(s.LastError, "4096 peers already") {
			t.Errorf("the status is %+v", s)
		}
		a.Close()
		b.Close()
	})
}

// byteConn is a connection on which bytes have arrived, and nothing more will.
type byteConn struct {
	net.Conn
	*bytes.Reader
}

func (c byteConn) Read(b []byte) (int, error)         { return c.Reader.Read(b) }
func (c byteConn) Write(b []byte) (int, error)        { return len(b), nil }
func (c byteConn) SetReadDeadline(t time.Time) error  { return nil }
func (c byteConn) SetWriteDeadline(t time.Time) error { return nil }

// FuzzStream reads arbitrary bytes as an introduced peer's stream, as they are and with the sums of the first frame put right.
func FuzzStream(f *testing.F) {
	data := []byte("data")
	f.Add(frames(f, numbered("b", 1), numbered("b", 2)))
	f.Add(frames(f, engine.Envelope{Message: &raft.AppendRequest{Entries: []raft.Entry{{Index: 1, Data: data, Sum: raft.Sum(data)}}}}))
	var beats wire.Batch
	beats.AddPing(1)
	f.Add(bytes.Clone(beats.Pieces()[0]))
	f.Fuzz(func(t *testing.T, b []byte) {
		options, err := Options{Sink: new(inbox), Logger: quiet, MaxFrameBytes: wire.MinMaxFrameBytes}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		transport := &Transport{opt: options, start: time.Now()}
		for _, stream := range [][]byte{b, withSums(b)} {
			// Two buffers for what is read ahead and the batch that is delivered, and twice the frame limit.
			var c *incoming
			hostile.Within(t, 2*readBuffer+2*wire.MinMaxFrameBytes+64*len(stream), func() {
				c = newIncoming(transport, newPeer(transport, "a"), byteConn{Reader: bytes.NewReader(stream)})
				if err := c.run(); err == nil {
					t.Fatal("the stream never ended")
				}
			})
			if cap(c.meta) > max(wire.MinMaxFrameBytes, 1<<10) {
				t.Fatalf("the meta part has room for %d bytes", cap(c.meta))
			}
		}
	})
}

// withSums corrects the sums of a stream's first frame, as far as there is one.
func withSums(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < wire.HeaderSize {
		return b
	}
	meta := b[wire.HeaderSize:]
	if n := int(b[4]) | int(b[5])<<8; n < len(meta) {
		meta = meta[:n]
	}
	b[6], b[7] = 0, 0
	putSum(b[12:], raft.Sum(meta))
	putSum(b[16:], raft.Sum(b[:16]))
	return b
}

func putSum(b []byte, sum uint32) {
	for i := range 4 {
		b[i] = byte(sum >> (8 * i))
	}
}
