// Package handover is for listeners of connections that somebody else accepted: a port that speaks two protocols hands each connection to the server of the one that the
// connection speaks, and a network in a test hands over what was dialled. It does not accept, and does not look into what comes.
package handover

import (
	"net"
	"sync"
)

// Listener is a net.Listener of what is offered to it. Its methods may be called from any goroutine.
type Listener struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// New makes a listener that says it has that address, with room for so many connections that nobody has accepted yet.
func New(address net.Addr, room int) *Listener {
	return &Listener{address: address, conns: make(chan net.Conn, room), closed: make(chan struct{})}
}

// Offer hands a connection over, and waits until somebody accepts it or there is room; false if the listener is closed before: the connection is still the caller's then.
// Else it is the listener's, and closed with it if nobody accepts it.
func (l *Listener) Offer(c net.Conn) bool { return l.OfferUntil(c, nil) }

// OfferUntil is Offer, and gives up when until is closed.
func (l *Listener) OfferUntil(c net.Conn, until <-chan struct{}) bool {
	select {
	case l.conns <- c:
		l.offered()
		return true
	case <-l.closed:
		return false
	case <-until:
		return false
	}
}

// TryOffer is Offer for who cannot wait: false if there is no room just now.
func (l *Listener) TryOffer(c net.Conn) bool {
	select {
	case l.conns <- c:
		l.offered()
		return true
	default:
		return false
	}
}

// offered closes what was put where nobody looks any more: Close may have come between.
func (l *Listener) offered() {
	select {
	case <-l.closed:
		l.empty()
	default:
	}
}

func (l *Listener) empty() {
	for {
		select {
		case c := <-l.conns:
			c.Close()
		default:
			return
		}
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: it ends Accept, and the connections that nobody accepted.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.empty()
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.address }

// Replay returns the connection as it was before seen was read from it. What it has beyond net.Conn is not there.
func Replay(c net.Conn, seen []byte) net.Conn { return &replayed{Conn: c, seen: seen} }

type replayed struct {
	net.Conn
	seen []byte
}

// Read implements net.Conn.
func (c *replayed) Read(b []byte) (int, error) {
	if len(c.seen) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.seen)
	c.seen = c.seen[n:]
	return n, nil
}
