package transport

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/engine"
)

var _ engine.PromptNetwork = (*Transport)(nil)

// Transport sends envelopes to other hosts and delivers theirs to a Sink. Its methods may be called concurrently.
type Transport struct {
	opt Options // as completed by New, constant from then on

	// start is what the numbers of pings count from, in nanoseconds.
	start      time.Time
	complaints complaints
	strangers  strangers

	// ctx ends when Close begins; everything that waits, waits for that too.
	ctx        context.Context
	cancel     context.CancelFunc
	goroutines sync.WaitGroup

	// mu guards peers, and is taken before a peer's own lock.
	mu     sync.RWMutex
	peers  map[string]*peer
	closed bool
}

// New makes a Transport that listens at once: the Sink may be called before New returns. Whoever calls New calls Close.
func New(options Options) (*Transport, error) {
	o, err := options.withDefaults()
	if err == nil {
		err = o.listen()
	}
	if err != nil {
		if o.Listener != nil {
			o.Listener.Close()
		}
		return nil, err
	}
	t := &Transport{opt: o, start: time.Now(), peers: make(map[string]*peer)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.goroutines.Go(t.accept)
	return t, nil
}

// Addr is the address at which the Transport listens.
func (t *Transport) Addr() net.Addr { return t.opt.Listener.Addr() }

// Send implements engine.Network. It allocates nothing but what a longer queue needs.
func (t *Transport) Send(envelopes []engine.Envelope) { t.send(envelopes, false) }

// SendNow implements engine.PromptNetwork. What goes to one peer leaves together.
func (t *Transport) SendNow(envelopes []engine.Envelope) {
	if len(envelopes) > 2 {
		slices.SortStableFunc(envelopes, func(a, b engine.Envelope) int { return strings.Compare(a.To, b.To) })
	}
	t.send(envelopes, true)
}

func (t *Transport) send(envelopes []engine.Envelope, now bool) {
	for len(envelopes) > 0 {
		n := 1
		for n < len(envelopes) && envelopes[n].To == envelopes[0].To {
			n++
		}
		for {
			p := t.peer(envelopes[0].To)
			if p == nil {
				return // closed
			}
			if now && p.sendNow(envelopes[:n]) || p.enqueue(envelopes[:n]) {
				break
			}
			// The peer was forgotten between the two calls; the next look-up makes it anew.
		}
		envelopes = envelopes[n:]
	}
}

// peer gives the peer of that address, made if need be, or nil when the transport is closed.
func (t *Transport) peer(address string) *peer {
	t.mu.RLock()
	p := t.peers[address]
	t.mu.RUnlock()
	if p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	if p := t.peers[address]; p != nil {
		return p
	}
	p = newPeer(t, address)
	t.peers[address] = p
	t.goroutines.Go(p.run)
	return p
}

// Peers tells about every peer that the transport remembers, sorted by address.
func (t *Transport) Peers() []PeerStatus {
	t.mu.RLock()
	peers := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		peers = append(peers, p)
	}
	t.mu.RUnlock()
	return statusOf(peers)
}

// Close ends all connections and waits until nothing of the transport runs any more: the Sink and OnPeer are not called after it. What was
// queued for connected peers is still written if that takes no more than a moment. Further calls wait too, and do no harm.
func (t *Transport) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	var err error
	if first {
		err = t.opt.Listener.Close()
	}
	t.goroutines.Wait()
	return err
}
