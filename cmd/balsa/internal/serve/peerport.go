package serve

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/internal/handover"
)

// The peer port speaks two protocols: members exchange messages in Balsa's own, which begins with a magic; and whoever joins, and does not yet know
// who it is, asks by plain HTTP, which begins with "GET ". A splitListener tells them apart by that beginning.
//
// It does so only when the first bytes are read: the transport accepts every connection, with its own limits on strangers and on time, and a connection that
// turns out to be HTTP looks to it as if it had ended without a word.
type splitListener struct {
	conns chan acceptedConn
	bases []net.Listener
	web   *handover.Listener

	closeOnce sync.Once
	closed    chan struct{}
	running   sync.WaitGroup
}

type acceptedConn struct {
	conn net.Conn
	err  error
}

var httpBeginning = []byte("GET ")

// maxHanded bounds the HTTP connections that wait to be served.
const maxHanded = 16

// splitPeers listens on all bases at once. What speaks HTTP goes to the returned listener's web.
func splitPeers(bases []net.Listener) *splitListener {
	s := &splitListener{conns: make(chan acceptedConn), bases: bases, closed: make(chan struct{})}
	s.web = handover.New(bases[0].Addr(), maxHanded)
	for _, base := range bases {
		s.running.Go(func() { s.accept(base) })
	}
	return s
}

func (s *splitListener) accept(base net.Listener) {
	for {
		conn, err := base.Accept()
		if conn != nil {
			conn = &sniffedConn{Conn: conn, web: s.web}
		}
		select {
		case s.conns <- acceptedConn{conn, err}:
		case <-s.closed:
			if conn != nil {
				conn.Close()
			}
			return
		}
	}
}

// Accept gives the next connection of any of the bases.
func (s *splitListener) Accept() (net.Conn, error) {
	select {
	case a := <-s.conns:
		return a.conn, a.err
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// turnAway serves the port until the channel is closed, as long as there is no transport to do so: HTTP gets its answer, anybody else is
// told by a closed connection to come again. Members that start together ask each other who they are, so nobody may leave the others waiting.
func (s *splitListener) turnAway(until <-chan struct{}) {
	room := make(chan struct{}, 64)
	for {
		select {
		case a := <-s.conns:
			if a.err != nil {
				continue
			}
			select {
			case room <- struct{}{}:
				go func() {
					a.conn.SetDeadline(time.Now().Add(time.Second))
					_, _ = a.conn.Read(make([]byte, 1)) // hands HTTP over
					a.conn.Close()
					<-room
				}()
			default:
				a.conn.Close()
			}
		case <-until:
			return
		case <-s.closed:
			return
		}
	}
}

func (s *splitListener) Addr() net.Addr { return s.bases[0].Addr() }

func (s *splitListener) Close() error {
	var err error
	s.closeOnce.Do(func() {
		close(s.closed)
		s.web.Close()
		for _, base := range s.bases {
			if e := base.Close(); err == nil {
				err = e
			}
		}
	})
	s.running.Wait()
	return err
}

// sniffedConn looks at its first bytes. If they begin an HTTP request, the connection is handed to the web listener, and whoever reads here
// sees it end.
type sniffedConn struct {
	net.Conn
	web *handover.Listener

	mu     sync.Mutex
	known  bool   // the decision is made
	handed bool   // it was HTTP; the connection is no longer ours to close
	seen   []byte // read, but not yet delivered
}

func (c *sniffedConn) Read(b []byte) (int, error) {
	if c.known && len(c.seen) == 0 && !c.handed { // only the reader changes these
		return c.Conn.Read(b)
	}
	if !c.known {
		if err := c.sniff(); err != nil && len(c.seen) == 0 {
			return 0, err
		}
	}
	if c.handed {
		return 0, net.ErrClosed
	}
	n := copy(b, c.seen)
	c.seen = c.seen[n:]
	return n, nil
}

// sniff reads until the beginning tells.
func (c *sniffedConn) sniff() error {
	var start [4]byte
	n := 0
	for n < len(start) && bytes.HasPrefix(httpBeginning, start[:n]) {
		m, err := c.Conn.Read(start[n:])
		n += m
		if err != nil {
			c.known, c.seen = true, start[:n]
			return err
		}
	}
	c.seen = start[:n]
	if bytes.Equal(c.seen, httpBeginning) {
		c.mu.Lock()
		c.Conn.SetDeadline(time.Time{})
		c.handed = c.web.TryOffer(handover.Replay(c.Conn, c.seen))
		c.mu.Unlock()
	}
	c.known = true
	return nil
}

// Close closes the connection unless it was handed over.
func (c *sniffedConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handed {
		return nil
	}
	return c.Conn.Close()
}

// CloseWrite ends our half of the connection.
func (c *sniffedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// newPeerWeb is the HTTP server behind a peer port: it answers small questions and nothing else, within bounds.
func newPeerWeb(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       5 * time.Second,
		MaxHeaderBytes:    8 << 10,
	}
}
