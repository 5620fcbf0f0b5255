package balsa

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport"
	"github.com/balsa-raft/balsa/transport/wire"
	"github.com/balsa-raft/balsa/wal"
)

// Options say how a Host runs. Dir and Listen (or Listener) are required; the zero value of every other field means its default.
type Options struct {
	// Dir is the host's data directory; it is made if missing, and locked while the host is open.
	Dir string
	// Listen is the address, host:port, on which peers are accepted. Listener, if set, is used instead.
	Listen   string
	Listener net.Listener
	// Advertise is the address by which peers reach this host, written as in the members' Address. By default it is Listen as it is written, or, if that names no
	// port or all interfaces, and with Listener, the address that is listened on.
	Advertise string
	// Cluster is a number that all hosts of a deployment share; hosts with different ones refuse each other.
	Cluster uint64
	// TLS, if set, secures the connections between hosts, in both directions.
	TLS *tls.Config

	// HeartbeatInterval is 50 ms by default; election timeouts are drawn uniformly from 150-300 ms (paper, §9.3). The shortest has to be at least two heartbeats,
	// and the longest is twice the shortest by default.
	HeartbeatInterval, ElectionTimeoutMin, ElectionTimeoutMax time.Duration
	// LeaseReads lets leaders answer reads by lease instead of asking a majority: faster, but correct only where clocks drift
	// less than ClockDriftBound percent (10 by default) against each other (thesis §6.4.1).
	LeaseReads      bool
	ClockDriftBound int
	// QuiesceAfter lets a group without work fall silent, which makes ten thousand idle groups cheap; 0 keeps all awake. A silent group notices at its next
	// proposal or read that a member came back with an empty disk, and only then sends it what it lacks.
	QuiesceAfter time.Duration

	// CompactBytes and CompactEntries say how long a group's log may get before it is compacted: 64 MiB by default, any number of entries.
	// KeepEntries of them stay for members that were away for a moment: 5,000 by default.
	CompactBytes, CompactEntries, KeepEntries uint64
	// CachedBytes is how much of each group's entries stays in memory, beyond what is needed, for members that are behind: 8 MiB by default.
	CachedBytes uint64
	// SegmentBytes is the size of one file of the log: 64 MiB by default.
	SegmentBytes int64
	// MaxCommandBytes bounds one command: 8 MiB by default.
	MaxCommandBytes int
	// Workers is how many turns run in parallel, 1 by default; more help with many busy groups on many cores.
	Workers int

	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
	// Dial, if set, connects to peers instead of the operating system: for tests and for demonstrations that cut links.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Observe, if set, is told every group's events from within its turn: it must be quick, must not call the group, and may not keep the slice.
	Observe func(group GroupID, member MemberID, events []raft.Event)
}

// Host carries members of many groups: one directory, one log, one peer address. Its methods may be called from any goroutine.
type Host struct {
	engine    *engine.Host
	transport *transport.Transport
	log       *wal.Log
	advertise string
	logger    *slog.Logger
}

// lateNetwork lets the engine and the transport, which need each other, be made one after the other.
type lateNetwork struct{ transport *transport.Transport }

func (n *lateNetwork) Send(envelopes []engine.Envelope)    { n.transport.Send(envelopes) }
func (n *lateNetwork) SendNow(envelopes []engine.Envelope) { n.transport.SendNow(envelopes) }

// Open opens the data directory, recovers the log, and begins to listen for peers. Errors say what is wrong with the directory or the address and
// what to do; nothing in the directory is changed when it belongs to somebody else.
func Open(o Options) (*Host, error) {
	if o.Dir == "" {
		return nil, errors.New("balsa: Options.Dir is empty: a host needs a data directory")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxCommandBytes == 0 {
		o.MaxCommandBytes = 8 << 20
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	listener, err := listen(&o)
	if err != nil {
		return nil, err
	}
	host, err := open(o, listener)
	if err != nil {
		listener.Close()
		return nil, err
	}
	return host, nil
}

func listen(o *Options) (net.Listener, error) {
	if o.Listener != nil {
		if o.Advertise == "" {
			o.Advertise = o.Listener.Addr().String()
		}
		return o.Listener, nil
	}
	if o.Listen == "" {
		return nil, errors.New("balsa: Options.Listen is empty: a host needs an address for its peers, such as 127.0.0.1:2380")
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("balsa: listen for peers on %s: %w", o.Listen, err)
	}
	if o.Advertise == "" {
		o.Advertise = l.Addr().String()
		if host, port, err := net.SplitHostPort(o.Listen); err == nil && port != "0" && dialable(host) {
			o.Advertise = o.Listen
		}
	}
	return l, nil
}

// dialable tells whether a host to listen at is one that can be dialled, too.
func dialable(host string) bool {
	ip := net.ParseIP(host)
	return host != "" && (ip == nil || !ip.IsUnspecified())
}

// validate tells what is wrong with options, before anything is done.
func (o *Options) validate() error {
	const most = 1<<30 - wire.DefaultMaxFrameBytes // what a frame between hosts may hold
	switch {
	case o.MaxCommandBytes < 0 || o.MaxCommandBytes > most:
		return fmt.Errorf("balsa: Options.MaxCommandBytes is %d: it has to be from 1 to %d, or 0 for the default", o.MaxCommandBytes, most)
	case o.Workers < 0:
		return fmt.Errorf("balsa: Options.Workers is %d: it has to be 1 or more, or 0 for the default", o.Workers)
	case o.SegmentBytes < 0:
		return fmt.Errorf("balsa: Options.SegmentBytes is %d: it has to be positive, or 0 for the default", o.SegmentBytes)
	}
	c := o.timing()
	c.ID = 1 // any member's
	if err := c.Default().Validate(); err != nil {
		return fmt.Errorf("balsa: Options: %w", err)
	}
	return nil
}

// timing is what the groups' cores are given of the options.
func (o *Options) timing() raft.Config {
	return raft.Config{
		HeartbeatInterval: o.HeartbeatInterval, ElectionTimeoutMin: o.ElectionTimeoutMin, ElectionTimeoutMax: o.ElectionTimeoutMax,
		LeaseReads: o.LeaseReads, ClockDriftBound: o.ClockDriftBound, QuiesceAfter: o.QuiesceAfter,
		CommitDelay: min(commitDelay, cmp.Or(o.HeartbeatInterval, commitDelay)), MaxCachedBytes: o.CachedBytes,
	}
}

// commitDelay is much longer than the pause between one write and the next of somebody who waits for each, and hardly noticed by who watches a follower.
const commitDelay = 2 * time.Millisecond

func open(o Options, listener net.Listener) (*Host, error) {
	var seed [16]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	fsys := wal.OSFS()
	log, err := wal.Open(wal.Options{
		FS: fsys, Dir: filepath.Join(o.Dir, "wal"), SegmentBytes: o.SegmentBytes,
		Incarnation: binary.LittleEndian.Uint64(seed[:8]) | 1, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	network := &lateNetwork{}
	host, err := engine.NewHost(engine.Options{
		Log: log, FS: fsys, SnapshotDir: filepath.Join(o.Dir, "snap"), Network: network, Address: o.Advertise,
		Epoch: uint64(time.Now().UnixMilli()), Seed: binary.LittleEndian.Uint64(seed[8:]), Workers: o.Workers,
		Raft:            o.timing(),
		MaxCommandBytes: o.MaxCommandBytes, CompactBytes: o.CompactBytes, CompactEntries: o.CompactEntries, KeepEntries: o.KeepEntries,
		Logger: o.Logger, Observe: o.Observe,
	}, nil)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	peers, err := transport.New(transport.Options{
		Listener: listener, Advertise: o.Advertise, Cluster: o.Cluster, Host: log.Incarnation(), TLS: o.TLS, Sink: host, Logger: o.Logger,
		// A message that no frame holds would be dropped and sent again for ever, so the largest command comes on top of everything else that a frame may hold.
		MaxFrameBytes: o.MaxCommandBytes + wire.DefaultMaxFrameBytes, Dial: o.Dial,
	})
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	network.transport = peers
	start := time.Now()
	host.Run(func() time.Duration { return time.Since(start) })
	return &Host{engine: host, transport: peers, log: log, advertise: o.Advertise, logger: o.Logger}, nil
}

// Start founds a group, or goes on with it after a restart. Members are its first voters, the same list on every host; this host's own member is the
// one whose Address is Options.Advertise. After a restart the group knows its members itself, and only the own id is taken from the list.
func (h *Host) Start(group GroupID, members []Member, machine StateMachine) (*Group, error) {
	self := raft.NoMember
	for i := range members {
		if members[i].Address == h.advertise {
			self = members[i].ID
		}
	}
	if self == raft.NoMember {
		return nil, fmt.Errorf("balsa: start group %d: none of its %d members has this host's address %s, which is Options.Advertise, or without that what is listened on",
			group, len(members), h.advertise)
	}
	first := Configuration{Members: slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })}
	if err := first.Validate(); err != nil {
		return nil, fmt.Errorf("balsa: start group %d: %w", group, err)
	}
	return h.engine.Start(engine.StartOptions{Group: group, Self: self, Bootstrap: first, Machine: machine})
}

// Join carries a member that was, or is about to be, added to a running group by ChangeMembers. It waits for the leader to bring it up to date, and after a
// restart goes on from where it was.
func (h *Host) Join(group GroupID, self MemberID, machine StateMachine) (*Group, error) {
	return h.engine.Start(engine.StartOptions{Group: group, Self: self, Machine: machine})
}

// Has tells whether the data directory holds the group already.
func (h *Host) Has(group GroupID) bool {
	_, ok := h.log.State(group)
	return ok
}

// Group returns a running group, or nil.
func (h *Host) Group(id GroupID) *Group { return h.engine.Group(id) }

// Groups returns the running groups, by id.
func (h *Host) Groups() []*Group { return h.engine.Groups() }

// Address is the one by which peers reach this host.
func (h *Host) Address() string { return h.advertise }

// Incarnation was drawn when the data directory was made, and stays with it.
func (h *Host) Incarnation() uint64 { return h.log.Incarnation() }

// Peers tells of the connections to other hosts.
func (h *Host) Peers() []transport.PeerStatus { return h.transport.Peers() }

// Log gives access to the log's figures: bytes, fsyncs.
func (h *Host) Log() *wal.Log { return h.log }

// Failed is closed when the host had to stop by itself, because its disk or a machine failed; Err says why.
func (h *Host) Failed() <-chan struct{} { return h.engine.Failed() }

// Err says why the host stopped by itself, or nil.
func (h *Host) Err() error { return h.engine.Err() }

// Close stops the groups, the connections and the log. Requests that wait end in ErrClosed or ErrIndeterminate.
func (h *Host) Close() error {
	return errors.Join(h.transport.Close(), h.engine.Close())
}
