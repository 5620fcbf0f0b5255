package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/transport/wire"
)

// Options say how a Transport is made. Sink is required, and Listener or Listen; the zero value of any other field means its default.
type Options struct {
	// Listener accepts the peers' connections and becomes the Transport's, also when New fails. Without it the Transport listens at Listen
	// ("host:port"). Neither may be wrapped in TLS already.
	Listener net.Listener
	Listen   string
	// Advertise is the address that peers dial, and thereby this host's name. By default it is the listener's own address.
	Advertise string
	// Cluster is the id of the cluster. Hosts of different clusters do not talk to each other.
	Cluster uint64
	// Host is the incarnation of this host's data directory.
	Host uint64
	// TLS, when not nil, is used for both directions: it needs certificates to serve with, and authorities to check peers by. The name
	// that a peer's certificate has to show is the host part of its address, unless ServerName is set.
	TLS *tls.Config
	// Sink receives. Its methods are called from many goroutines, and must not call Close.
	Sink engine.Sink
	// OnPeer is called when a peer introduced itself, before any of its messages is delivered and before any is sent to it. An error refuses
	// the connection, and its text is sent to the peer as the reason. It is called for every connection of either direction, concurrently.
	OnPeer func(address string, host uint64) error
	// Logger is slog.Default() by default.
	Logger *slog.Logger

	// MaxFrameBytes bounds one frame in either direction: wire.DefaultMaxFrameBytes (4 MiB) by default. A larger message is dropped, and Raft
	// would send it again for ever: it has to be well above the largest command that the engine takes.
	MaxFrameBytes int
	// QueueBytes bounds what waits for one peer: 64 MiB by default. What does not fit is dropped and counted.
	QueueBytes int

	// HelloTimeout bounds connecting, and then the introduction: 2 s each by default.
	HelloTimeout time.Duration
	// PingInterval is how often an idle connection is probed: 500 ms by default. PeerTimeout is how long a connection may be
	// silent until it is given up: 3 s by default. It has to be at least twice the PingInterval.
	PingInterval, PeerTimeout time.Duration
	// RedialMin and RedialMax bound the pause between two attempts to reach a peer, which doubles each time: 10 ms and 500 ms by
	// default. Half of each pause is random.
	RedialMin, RedialMax time.Duration
	// ForgetAfter is how long a peer with no connection, and for which nothing was sent, is remembered: 1 minute by default.
	ForgetAfter time.Duration

	// Dial makes the connections to peers; by default a net.Dialer does. Tests put a proxy or a fault here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// withDefaults checks the options and fills in what was left out, but for the listener.
func (o Options) withDefaults() (Options, error) {
	if o.Sink == nil {
		return o, errors.New("transport: Options.Sink is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.MaxFrameBytes == 0 {
		o.MaxFrameBytes = wire.DefaultMaxFrameBytes
	}
	if o.MaxFrameBytes < wire.MinMaxFrameBytes || o.MaxFrameBytes > 1<<30 {
		return o, fmt.Errorf("transport: MaxFrameBytes is %d; it has to be from %d to %d", o.MaxFrameBytes, wire.MinMaxFrameBytes, 1<<30)
	}
	setDefault(&o.QueueBytes, 64<<20)
	setDefault(&o.HelloTimeout, 2*time.Second)
	setDefault(&o.PingInterval, 500*time.Millisecond)
	setDefault(&o.PeerTimeout, max(3*time.Second, 2*o.PingInterval))
	setDefault(&o.RedialMin, 10*time.Millisecond)
	setDefault(&o.RedialMax, max(500*time.Millisecond, o.RedialMin))
	setDefault(&o.ForgetAfter, time.Minute)
	if min(o.HelloTimeout, o.PingInterval, o.PeerTimeout, o.RedialMin, o.RedialMax, o.ForgetAfter) < 0 || o.QueueBytes < 0 {
		return o, errors.New("transport: a limit or a duration of the options is negative")
	}
	if o.PeerTimeout < 2*o.PingInterval {
		return o, fmt.Errorf("transport: PeerTimeout is %v; it has to be at least twice the PingInterval of %v", o.PeerTimeout, o.PingInterval)
	}
	if o.RedialMax < o.RedialMin {
		return o, fmt.Errorf("transport: RedialMax is %v, less than the RedialMin of %v", o.RedialMax, o.RedialMin)
	}
	return o, nil
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// listen opens the listener unless there is one, and settles the advertised address.
func (o *Options) listen() error {
	if o.Listener == nil {
		if o.Listen == "" {
			return errors.New("transport: neither Options.Listener nor Options.Listen is set")
		}
		listener, err := net.Listen("tcp", o.Listen)
		if err != nil {
			return fmt.Errorf("transport: cannot listen for peers: %w", err)
		}
		o.Listener = listener
	}
	if o.Advertise == "" {
		o.Advertise = o.Listener.Addr().String()
		if tcp, ok := o.Listener.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
			return fmt.Errorf("transport: listening at %v, which no peer can dial: set Options.Advertise", tcp)
		}
	}
	if len(o.Advertise) > wire.MaxAddressBytes {
		return fmt.Errorf("transport: the advertised address is longer than %d bytes", wire.MaxAddressBytes)
	}
	return nil
}
