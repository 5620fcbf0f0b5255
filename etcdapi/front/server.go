package front

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Method answers one request: it appends the message of the answer to b and returns that, or an error of package status. It may block, and is given a goroutine for
// that. The request's message is its own until it appends to b, which has the same memory.
type Method func(ctx context.Context, message, b []byte) ([]byte, error)

// Quick begins to answer a request as a Method does, and does not wait for the answer: somebody else answers, maybe before Quick returns. giveUp makes that happen soon, with an
// error for the cause; it may be nil where the answer was given. False leaves the request to the method.
type Quick func(r Request, message, b []byte) (giveUp func(cause error), taken bool)

// Request is one that is answered by whoever knows the answer. It is the context of that, too.
type Request interface {
	context.Context
	// Answer is called once, with the message behind b, or with an error of package status. It does not wait.
	Answer(message []byte, err error)
	// Continue has f called on another goroutine, which may wait.
	Continue(f func())
}

// Options are what a server is made with.
type Options struct {
	// Methods are those that are answered here, by their full name such as /etcdserverpb.KV/Put.
	Methods map[string]Method
	// Quick are ways that go before methods of the same name.
	Quick map[string]Quick
	// Metadata names the headers that the methods look for in their context, as they would with grpc-go.
	Metadata []string
	// MaxMessageBytes bounds a request.
	MaxMessageBytes int
	// Patience is how long a method takes at most by itself. A deadline of the client's that is further away is not watched for.
	Patience time.Duration
	// MinPingInterval is how often a client with requests may send pings; who does so much more often is sent away.
	MinPingInterval time.Duration
}

// What a client may send before it has to wait for us: of one request, and of all together. The server behind has to be made with the same.
const (
	StreamWindow     = 256 << 10
	ConnectionWindow = 1 << 20
)

// Server serves connections.
type Server struct {
	options Options
	workers workers
	// further are the goroutines of requests that are continued.
	further further
	// watching says that the time of those that somebody else is to answer is looked after.
	watching atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	leaving   bool
	running   sync.WaitGroup // the goroutines of connections
}

// NewServer makes a server.
func NewServer(o Options) *Server {
	return &Server{options: o, listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{}}
}

// Serve accepts connections until the listener, which it owns, is closed. rest hands a connection to the server behind, false if that takes none any more.
func (s *Server) Serve(l net.Listener, rest func(net.Conn) bool) error {
	defer l.Close()
	s.mu.Lock()
	if s.leaving {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	for {
		tcp, err := l.Accept()
		if err != nil {
			return err
		}
		if !s.begin(newConn(s, tcp, rest)) {
			tcp.Close()
		}
	}
}

// begin lets a connection run.
func (s *Server) begin(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return false
	}
	s.conns[c] = struct{}{}
	s.running.Add(2)
	go func() {
		defer s.running.Done()
		c.read()
	}()
	go func() {
		defer s.running.Done()
		c.write()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	return true
}

// Drain takes no further connection and no further request, and lets those that run end.
func (s *Server) Drain() {
	for _, c := range s.leave() {
		c.leave()
	}
}

// Close ends all connections, and what runs on them.
func (s *Server) Close() {
	for _, c := range s.leave() {
		c.end(errors.New("the server is stopped"))
		c.tcp.Close() // who does not read does not hold it up
	}
	s.Wait()
	s.workers.stop()
	s.further.stop()
}

// watch sees to it that nobody waits for much longer than the patience for an answer that somebody else gives. Who begins to wait calls it.
func (s *Server) watch() {
	if !s.watching.Load() && s.watching.CompareAndSwap(false, true) {
		time.AfterFunc(s.options.Patience, s.sweep)
	}
}

func (s *Server) sweep() {
	if s.giveUpDue() {
		// Those who wait longest may be due soon: so who begins now may not be the one to say when to look next.
		time.AfterFunc(s.options.Patience/32, s.sweep)
		return
	}
	s.watching.Store(false)
	if s.giveUpDue() { // who began meanwhile relied on this sweep
		s.watch()
	}
}

// giveUpDue gives up on the answers that have been waited for too long, and tells whether any is waited for.
func (s *Server) giveUpDue() (waiting bool) {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	now := time.Now()
	for _, c := range conns {
		c.mu.Lock()
		for _, one := range c.calls {
			waiting = one.isDue(now, s.options.Patience) || waiting
		}
		c.mu.Unlock()
	}
	return waiting
}

// Wait returns when all connections have ended, which Drain makes them do.
func (s *Server) Wait() { s.running.Wait() }

func (s *Server) leave() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	for l := range s.listeners {
		l.Close()
	}
	var all []*conn
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}
