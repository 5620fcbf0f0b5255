package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

func TestRefusalsNameTheReason(t *testing.T) {
	wiped := errors.New("member 2 is known with another data directory; replace it as a new member")
	tests := []struct {
		name string
		// change alters the options of the dialler a and of b.
		change func(a, b *Options)
		dial   string
		reason string
	}{
		{"another cluster", func(a, b *Options) { a.Cluster, b.Cluster = 1, 2 }, "bb",
			"refused by the peer: this host belongs to cluster 0000000000000002, the peer to 0000000000000001"},
		{"another name", func(a, b *Options) { b.Advertise = "somebody:2380" }, "bb",
			"refused by the peer: the host that was dialled as bb calls itself somebody:2380"},
		{"the acceptor does not want it", func(a, b *Options) { b.OnPeer = func(string, uint64) error { return wiped } }, "bb",
			"refused by the peer: " + wiped.Error()},
		{"the dialler does not want it", func(a, b *Options) { a.OnPeer = func(string, uint64) error { return wiped } }, "bb",
			"refused by this host: " + wiped.Error()},
		{"itself under another name", func(a, b *Options) { a.Advertise = "alias" }, "a",
			"refused by the peer: dialling a reached the dialler itself, alias"},
		{"itself", func(a, b *Options) {}, "a", "dialling a reached the dialler itself"},
		{"a copied data directory", func(a, b *Options) { a.Host, b.Host = 5, 5 }, "bb", "or a copy of its data directory"},
		{"nobody there", func(a, b *Options) {}, "nobody", "connection refused"},
		{"a name that is too long", func(a, b *Options) {}, strings.Repeat("x", 2000), "refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newMemory()
				aSink, bSink := new(inbox), new(inbox)
				optionsA, optionsB := network.host("a", aSink), network.host("bb", bSink)
				test.change(&optionsA, &optionsB)
				a, b := open(t, optionsA), open(t, optionsB)
				a.Send([]engine.Envelope{numbered(test.dial, 1), numbered(test.dial, 2)})
				synctest.Wait()
				s := status(a, test.dial)
				if !strings.Contains(s.LastError, test.reason) || s.LastErrorAt.IsZero() || s.Connected {
					t.Errorf("the status is %+v\nwant the reason %q", s, test.reason)
				}
				if s.Dropped != 2 || s.Queued != 0 {
					t.Errorf("%d messages dropped, %d bytes queued", s.Dropped, s.Queued)
				}
				if n := aSink.disconnections(test.dial); n != 1 {
					t.Errorf("the sink heard of %d broken connections", n)
				}
				if aSink.count()+bSink.count() > 0 {
					t.Error("a message was delivered all the same")
				}
				a.Close()
				b.Close()
			})
		})
	}
}

// TestAcceptorLearnsWhyItWasRefused: the dialler turns the acceptor away after that has agreed, and the acceptor shows why.
func TestAcceptorLearnsWhyItWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		optionsA := network.host("a", nil)
		optionsA.OnPeer = func(string, uint64) error { return errors.New("you were removed") }
		a, b := open(t, optionsA), open(t, network.host("bb", nil))
		a.Send([]engine.Envelope{numbered("bb", 1)})
		synctest.Wait()
		if s := status(b, "a"); !strings.Contains(s.LastError, "refused by the peer: you were removed") {
			t.Errorf("the status is %+v", s)
		}
		a.Close()
		b.Close()
	})
}

// TestStrangeIntroductionsAreAnswered drives the introduction by hand, with what no host of this build says.
func TestStrangeIntroductionsAreAnswered(t *testing.T) {
	tests := []struct {
		name   string
		hello  wire.Hello
		code   wire.RefusalCode
		reason string
	}{
		{"a later version", wire.Hello{MinVersion: wire.MaxVersion + 1, MaxVersion: wire.MaxVersion + 3, Address: "a"}, wire.RefusedVersion,
			fmt.Sprintf("versions %d to %d of the peer protocol, the peer %d to %d", wire.MinVersion, wire.MaxVersion, wire.MaxVersion+1, wire.MaxVersion+3)},
		{"no name", wire.Hello{MinVersion: 1, MaxVersion: 1}, wire.RefusedBad, "by which address it is dialled"},
		{"our own name", wire.Hello{MinVersion: 1, MaxVersion: 1, Address: "bb"}, wire.RefusedAddress, "reached the dialler itself"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newMemory()
				b := open(t, network.host("bb", nil))
				c := network.connect(t, "bb")
				test.hello.Host, test.hello.MaxFrameBytes, test.hello.Dialled = 9, 1<<20, "bb"
				first, err := introduction(&test.hello, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Write(first); err != nil {
					t.Fatal(err)
				}
				_, err = readIntroduction(c)
				var refusal *wire.Refusal
				if !errors.As(err, &refusal) || refusal.Code != test.code || !strings.Contains(refusal.Reason, test.reason) {
					t.Errorf("got %v, want %q", err, test.reason)
				}
				b.Close()
			})
		})
	}
}

func TestPeerIsJudgedBeforeItsMessagesAreDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		var mu sync.Mutex
		var story []string
		tell := func(event string) {
			mu.Lock()
			defer mu.Unlock()
			story = append(story, event)
		}
		options := network.host("bb", &inbox{onDeliver: func() { tell("delivered") }})
		options.OnPeer = func(address string, host uint64) error {
			tell(fmt.Sprintf("judged %s %d", address, host))
			return nil
		}
		optionsA := network.host("a", nil)
		optionsA.Host = 42
		a, b := open(t, optionsA), open(t, options)
		a.Send([]engine.Envelope{numbered("bb", 1)})
		synctest.Wait()
		a.Close()
		b.Close()
		if !slices.Equal(story, []string{"judged a 42", "delivered"}) {
			t.Errorf("the story is %q", story)
		}
	})
}

func TestOtherProtocolsAreRecognised(t *testing.T) {
	tests := []struct{ name, bytes, want string }{
		{"an HTTP client", "GET /health HTTP/1.1\r\n\r\n", "HTTP or gRPC"},
		{"an HTTP server", "HTTP/1.1 400 Bad Request\r\n", "HTTP or gRPC"},
		{"a gRPC client", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP or gRPC"},
		{"a TLS client", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "speaks TLS and this one does not"},
		{"a TLS alert", "\x15\x03\x03\x00\x02\x02\x46", "speaks TLS and this one does not"},
		{"anything", "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09", `begins with "\x00\x01\x02`},
		{"something short", "hi", `begins with "hi"`},
		{"a magic with another line end", strings.Replace(wire.Magic, "\r\n", "\n\n", 1) + "xx", "begins with"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readIntroduction(strings.NewReader(test.bytes))
			if !errors.Is(err, errNotBalsa) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := readIntroduction(strings.NewReader("")); !errors.Is(err, errSilent) {
		t.Errorf("nothing at all: %v", err)
	}
}

func TestIntroductionCutAnywhereIsAnError(t *testing.T) {
	whole, err := introduction(&wire.Hello{MinVersion: 1, MaxVersion: 1, MaxFrameBytes: 1 << 20, Address: "a", Dialled: "bb"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if hello, err := readIntroduction(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d bytes of %d gave %+v", n, len(whole), hello)
		}
	}
	r := bytes.NewReader(append(whole, "and more"...))
	if _, err := readIntroduction(r); err != nil || r.Len() != len("and more") {
		t.Errorf("%v; %d bytes are left of what follows", err, r.Len())
	}
}

// TestIntroductionIsBounded: a stranger's header that is right in form and claims gigabytes.
func TestIntroductionIsBounded(t *testing.T) {
	head := make([]byte, wire.HeaderSize)
	head[0] = byte(wire.KindHello)
	binary.LittleEndian.PutUint32(head[4:], 1<<31)
	binary.LittleEndian.PutUint32(head[16:], raft.Sum(head[:16]))
	if _, err := readIntroduction(strings.NewReader(wire.Magic + string(head))); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func FuzzIntroduction(f *testing.F) {
	whole, err := introduction(&wire.Hello{MinVersion: 1, MaxVersion: 1, MaxFrameBytes: 1 << 20, Address: "a", Dialled: "bb"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	refusal, err := introduction(nil, refuse(wire.RefusedHost, "because"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(refusal)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		hello, err := readIntroduction(bytes.NewReader(b))
		if (hello == nil) == (err == nil) {
			t.Fatalf("got %+v, %v", hello, err)
		}
		if len(b) > len(wire.Magic)+wire.HeaderSize { // the same with sums that are right
			b = append([]byte(wire.Magic), b[len(wire.Magic):]...)
			head, meta := b[len(wire.Magic):], b[len(wire.Magic)+wire.HeaderSize:]
			binary.LittleEndian.PutUint32(head[4:], uint32(len(meta)))
			binary.LittleEndian.PutUint32(head[12:], raft.Sum(meta))
			binary.LittleEndian.PutUint32(head[16:], raft.Sum(head[:16]))
			if hello, err := readIntroduction(bytes.NewReader(b)); (hello == nil) == (err == nil) {
				t.Fatalf("got %+v, %v", hello, err)
			}
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		want    string
	}{
		{"no sink", Options{Listen: "127.0.0.1:0"}, "Sink is missing"},
		{"no listener", Options{Sink: new(inbox)}, "neither Options.Listener nor Options.Listen"},
		{"a malformed address", Options{Sink: new(inbox), Listen: "nonsense"}, "cannot listen for peers"},
		{"no name", Options{Sink: new(inbox), Listen: "0.0.0.0:0"}, "set Options.Advertise"},
		{"a long name", Options{Sink: new(inbox), Listen: "127.0.0.1:0", Advertise: strings.Repeat("x", 2000)}, "longer than"},
		{"small frames", Options{Sink: new(inbox), Listen: "127.0.0.1:0", MaxFrameBytes: 100}, "MaxFrameBytes is 100"},
		{"a negative limit", Options{Sink: new(inbox), Listen: "127.0.0.1:0", QueueBytes: -1}, "negative"},
		{"a negative duration", Options{Sink: new(inbox), Listen: "127.0.0.1:0", HelloTimeout: -1}, "negative"},
		{"impatience", Options{Sink: new(inbox), Listen: "127.0.0.1:0", PingInterval: time.Second, PeerTimeout: time.Second}, "at least twice"},
		{"crossed pauses", Options{Sink: new(inbox), Listen: "127.0.0.1:0", RedialMin: 2, RedialMax: 1}, "less than the RedialMin"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			transport, err := New(test.options)
			if err == nil {
				transport.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	taken := open(t, Options{})
	if _, err := New(Options{Sink: new(inbox), Listen: taken.Addr().String()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
}
