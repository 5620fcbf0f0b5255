package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/internal/handover"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox is a Sink that keeps everything.
type inbox struct {
	mu         sync.Mutex
	deliveries [][]engine.Envelope
	lost       []string
	// onDeliver, when not nil, is called at the start of every delivery.
	onDeliver func()
}

func (s *inbox) Deliver(envelopes []engine.Envelope) {
	if s.onDeliver != nil {
		s.onDeliver()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = append(s.deliveries, slices.Clone(envelopes))
}

func (s *inbox) Disconnected(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = append(s.lost, address)
}

// all gives what was delivered so far, in order.
func (s *inbox) all() []engine.Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.deliveries...)
}

func (s *inbox) count() int { return len(s.all()) }

// disconnections counts how often the connection to that address was reported as broken.
func (s *inbox) disconnections(address string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lost := range s.lost {
		if lost == address {
			n++
		}
	}
	return n
}

// eventually waits until the condition holds. In a synctest bubble that takes no time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	giveUp := time.NewTimer(time.Minute)
	defer giveUp.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-giveUp.C:
			t.Fatalf("it never happened that %s", what)
		}
	}
}

var quiet = slog.New(slog.DiscardHandler)

// open makes a transport that the test closes at its end. Unless the options say otherwise it listens on loopback, where time is real: there it takes nobody who
// starves for a while, or does not read for as long as the test wants, for gone.
func open(t *testing.T, o Options) *Transport {
	t.Helper()
	if o.Listener == nil {
		o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
		o.HelloTimeout, o.PingInterval, o.PeerTimeout = time.Minute, time.Minute, time.Hour
	}
	if o.Sink == nil {
		o.Sink = new(inbox)
	}
	if o.Logger == nil {
		o.Logger = quiet
	}
	transport, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { transport.Close() })
	return transport
}

// status gives what a transport says about one peer; the zero value if it does not know it.
func status(transport *Transport, address string) PeerStatus {
	for _, s := range transport.Peers() {
		if s.Address == address {
			return s
		}
	}
	return PeerStatus{}
}

// numbered makes a small message that can be told from others.
func numbered(to string, n int) engine.Envelope {
	return engine.Envelope{Group: 1, To: to, Message: &raft.ReadIndexRequest{Header: raft.Header{From: 1, To: 2, Term: 3}, ID: uint64(n)}}
}

// numbers gives back what numbered was called with.
func numbers(envelopes []engine.Envelope) (ns []int) {
	for _, e := range envelopes {
		if m, ok := e.Message.(*raft.ReadIndexRequest); ok {
			ns = append(ns, int(m.ID))
		}
	}
	return ns
}

// sequence gives from, from+1, ... up to and including to.
func sequence(from, to int) (ns []int) {
	for n := from; n <= to; n++ {
		ns = append(ns, n)
	}
	return ns
}

// memory is a network inside the test: it works in a synctest bubble, where real sockets cannot.
type memory struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
	// dials counts the attempts to reach each address, and dialled says when they were.
	dialled map[string][]time.Time
	// wrap, when not nil, puts something between the dialler and its connection.
	wrap func(net.Conn) net.Conn
}

func newMemory() *memory {
	return &memory{listeners: make(map[string]*memoryListener), dialled: make(map[string][]time.Time)}
}

type memoryListener struct {
	*handover.Listener
	network *memory
}

type memoryAddress string

func (a memoryAddress) Network() string { return "memory" }
func (a memoryAddress) String() string  { return string(a) }

func (n *memory) listen(address string) *memoryListener {
	l := &memoryListener{handover.New(memoryAddress(address), 0), n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[address] = l
	return l
}

// Close takes the listener off the network, too.
func (l *memoryListener) Close() error {
	l.network.mu.Lock()
	if address := l.Addr().String(); l.network.listeners[address] == l {
		delete(l.network.listeners, address)
	}
	l.network.mu.Unlock()
	return l.Listener.Close()
}

var errRefused = errors.New("connection refused")

func (n *memory) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled[address] = append(n.dialled[address], time.Now())
	l, wrap := n.listeners[address], n.wrap
	n.mu.Unlock()
	if l == nil {
		return nil, errRefused
	}
	near, far := net.Pipe()
	if !l.OfferUntil(far, ctx.Done()) {
		return nil, cmp.Or(ctx.Err(), errRefused)
	}
	if wrap != nil {
		return wrap(near), nil
	}
	return near, nil
}

func (n *memory) dials(address string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dialled[address])
}

// host gives the options of a host on this network.
func (n *memory) host(address string, sink engine.Sink) Options {
	return Options{Listener: n.listen(address), Dial: n.dial, Sink: sink, Logger: quiet, Host: uint64(len(address)) << 32}
}

// connect opens a connection to an address by hand.
func (n *memory) connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := n.dial(t.Context(), "memory", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// peerByHand is the dialling side of a connection that a test drives byte by byte, after the introduction.
func peerByHand(t *testing.T, c net.Conn, self, other string) *wire.Hello {
	t.Helper()
	first, err := introduction(&wire.Hello{MinVersion: 1, MaxVersion: 1, Host: 77, MaxFrameBytes: 1 << 20, Address: self, Dialled: other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(first); err != nil {
		t.Fatal(err)
	}
	hello, err := readIntroduction(c)
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

// discard reads a connection to its end, so that whoever writes to it is never held up, and then closes the channel it returns.
func discard(c net.Conn) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, c)
	}()
	return done
}

// frames encodes envelopes, one after the other.
func frames(t testing.TB, envelopes ...engine.Envelope) (b []byte) {
	t.Helper()
	for _, e := range envelopes {
		var err error
		if b, err = wire.AppendMessage(b, e.Group, e.Message); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// readToEnd reads until the other side closes, and fails the test if that is not how it ends.
func readToEnd(t *testing.T, c net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, os.ErrDeadlineExceeded) && !isReset(err) {
		t.Fatal(err)
	}
	return b
}
