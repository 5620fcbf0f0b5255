package transport

import (
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

// PeerStatus tells about another host, as seen from here.
type PeerStatus struct {
	Address string
	// Host is the incarnation with which the peer last introduced itself; 0 if it has not yet.
	Host uint64
	// Connected says that our connection to the peer is up, and Since from when on that is as it is.
	Connected bool
	Since     time.Time
	// Incoming says that the peer's connection to us is up.
	Incoming bool
	// What was written to and read from the peer. The frames are messages, the bytes are all.
	FramesOut, BytesOut uint64
	FramesIn, BytesIn   uint64
	// Dropped is how many messages to the peer were never written.
	Dropped uint64
	// Queued is how much waits for the peer, in bytes.
	Queued int
	// LastError is what went wrong last, the peer's reason for a refusal included, and when; "" if nothing ever did.
	LastError   string
	LastErrorAt time.Time
	// RTT is the latest time from a ping to its answer; 0 until there is one.
	RTT time.Duration
}

// peer is another host: the queue of what is to be sent to it, and what we know about it.
type peer struct {
	t       *Transport
	address string

	// wake has a token when the queue may have become non-empty; nudge has one when the peer has just shown that it is alive.
	wake, nudge chan struct{}

	framesOut, bytesOut, framesIn, bytesIn, dropped atomic.Uint64
	rtt                                             atomic.Int64

	// sending is held by who writes to the peer's connection, and taken before mu. It guards direct, which is nil while there is no connection, or none that can do so.
	sending sync.Mutex
	direct  *direct

	mu    sync.Mutex
	queue []item
	// spare is the queue's other slice: the two change places whenever the queue is taken.
	spare []item
	// weight is that of the queue and of what the writer has taken from it but not yet written.
	weight int
	// forgotten says that the peer is no longer among the transport's peers, and nobody reads its queue.
	forgotten bool
	// incoming is the peer's connection to us, nil if there is none.
	incoming *adopted
	status   PeerStatus // the fields that are not counted above
}

// adopted is a peer's connection to us while its messages are delivered; ended is closed when that is over.
type adopted struct {
	conn  net.Conn
	ended chan struct{}
}

type item struct {
	group   raft.GroupID
	message raft.Message
}

func newPeer(t *Transport, address string) *peer {
	p := &peer{t: t, address: address, wake: make(chan struct{}, 1), nudge: make(chan struct{}, 1)}
	p.status = PeerStatus{Address: address, Since: time.Now()}
	return p
}

// enqueue adds to the queue what fits, and counts the rest as dropped. False says that the peer was forgotten, and nothing was done.
func (p *peer) enqueue(envelopes []engine.Envelope) bool {
	p.mu.Lock()
	if p.forgotten {
		p.mu.Unlock()
		return false
	}
	wasEmpty := len(p.queue) == 0
	dropped := 0
	for i := range envelopes {
		w := wire.Weight(envelopes[i].Message)
		// One message always fits into an idle queue, so that a large one is slow rather than impossible.
		if p.weight > 0 && p.weight+w > p.t.opt.QueueBytes {
			dropped++
			continue
		}
		p.weight += w
		p.queue = append(p.queue, item{envelopes[i].Group, envelopes[i].Message})
	}
	isFirst := wasEmpty && len(p.queue) > 0
	p.mu.Unlock()
	if dropped > 0 {
		p.dropped.Add(uint64(dropped))
		p.complain("queue", "messages to a peer dropped, its queue is full", nil, "dropped", dropped, "limit_bytes", p.t.opt.QueueBytes)
	}
	if isFirst {
		p.signal()
	}
	return true
}

// signal wakes the writer.
func (p *peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *peer) hasQueued() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// take gives everything queued. The slice has to be given back to release, with the weight.
func (p *peer) take() (items []item, weight int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	items = p.queue
	p.queue, p.spare = p.spare[:0], nil
	return items, p.weight
}

// maxKeptItems is the capacity up to which a queue's slice is kept for the next use.
const maxKeptItems = 1 << 14

// release says that what take gave has been written, or given up.
func (p *peer) release(items []item, weight int) {
	clear(items)
	p.mu.Lock()
	p.weight -= weight
	if cap(items) <= maxKeptItems {
		p.spare = items[:0]
	}
	p.mu.Unlock()
}

// drop empties the queue and tells how many messages that cost.
func (p *peer) drop() int {
	items, weight := p.take()
	n := len(items)
	p.release(items, weight)
	p.dropped.Add(uint64(n))
	return n
}

// forget removes the peer from the transport's if nothing is queued and it has no connection to us. False if it stays.
func (p *peer) forget() bool {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 || p.incoming != nil {
		return false
	}
	p.forgotten = true
	delete(p.t.peers, p.address)
	return true
}

// adopt makes c the peer's connection to us, after the end of the one before it: the peer would not have dialled if that were alive. So what the
// peer sends stays in order across its connections, with gaps only. Nil says that the peer was forgotten.
func (p *peer) adopt(c net.Conn, host uint64) *adopted {
	current := &adopted{conn: c, ended: make(chan struct{})}
	for {
		p.mu.Lock()
		if p.forgotten {
			p.mu.Unlock()
			return nil
		}
		old := p.incoming
		if old == nil {
			p.incoming = current
			p.status.Host = host
			p.mu.Unlock()
			break
		}
		p.mu.Unlock()
		old.conn.Close()
		<-old.ended
	}
	select {
	case p.nudge <- struct{}{}:
	default:
	}
	return current
}

// end makes room for the peer's next connection to us.
func (a *adopted) end(p *peer) {
	p.mu.Lock()
	p.incoming = nil
	p.mu.Unlock()
	close(a.ended)
}

// setConnected notes that our connection to the peer came up.
func (p *peer) setConnected(host uint64) {
	p.mu.Lock()
	p.status.Connected, p.status.Since, p.status.Host = true, time.Now(), host
	p.mu.Unlock()
}

// setFailed notes that our connection to the peer broke or did not come about.
func (p *peer) setFailed(err error) {
	now := time.Now()
	p.mu.Lock()
	if p.status.Connected {
		p.status.Connected, p.status.Since = false, now
	}
	p.status.LastError, p.status.LastErrorAt = err.Error(), now
	p.mu.Unlock()
	p.rtt.Store(0)
}

// setError notes an error that left our connection to the peer as it is.
func (p *peer) setError(err error) {
	p.mu.Lock()
	p.status.LastError, p.status.LastErrorAt = err.Error(), time.Now()
	p.mu.Unlock()
}

// complain logs a warning about the peer, at a bounded rate for each subject.
func (p *peer) complain(subject, message string, err error, attributes ...any) {
	attributes = append(attributes, "peer", p.address)
	if err != nil {
		attributes = append(attributes, "error", err)
	}
	p.t.complain(subject+" "+p.address, message, attributes...)
}

func (p *peer) currentStatus() PeerStatus {
	p.mu.Lock()
	s := p.status
	s.Incoming, s.Queued = p.incoming != nil, p.weight
	p.mu.Unlock()
	s.FramesOut, s.BytesOut = p.framesOut.Load(), p.bytesOut.Load()
	s.FramesIn, s.BytesIn = p.framesIn.Load(), p.bytesIn.Load()
	s.Dropped, s.RTT = p.dropped.Load(), time.Duration(p.rtt.Load())
	return s
}

func statusOf(peers []*peer) []PeerStatus {
	statuses := make([]PeerStatus, len(peers))
	for i, p := range peers {
		statuses[i] = p.currentStatus()
	}
	slices.SortFunc(statuses, func(a, b PeerStatus) int { return strings.Compare(a.Address, b.Address) })
	return statuses
}
