package etcdapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/internal/handover"
)

// sniffTimeout is how long a client may take to say what it speaks.
const sniffTimeout = 10 * time.Second

// The first bytes of a connection tell which protocol it speaks: HTTP/2 begins with its preface, of which no HTTP/1 method is a beginning.
var (
	http2Preface = []byte("PRI ")
	http1Methods = [][]byte{
		[]byte("GET "), []byte("HEAD"), []byte("POST"), []byte("PUT "), []byte("DELE"), []byte("OPTI"), []byte("PATC"), []byte("TRAC"), []byte("CONN"),
	}
)

// splitter hands the connections of one listener to two servers by their first bytes, and closes those that speak neither protocol. After these
// four bytes it costs a connection one comparison per read.
type splitter struct {
	base         net.Listener
	http1, http2 *handover.Listener
	logger       *slog.Logger

	mu       sync.Mutex
	closed   bool
	sniffing map[net.Conn]struct{}
	running  sync.WaitGroup
}

func newSplitter(base net.Listener, logger *slog.Logger) *splitter {
	s := &splitter{base: base, logger: logger, sniffing: map[net.Conn]struct{}{}}
	s.http1, s.http2 = handover.New(base.Addr(), 0), handover.New(base.Addr(), 0)
	return s
}

// run accepts connections until the listener is closed.
func (s *splitter) run() error {
	defer s.running.Wait()
	for {
		conn, err := s.base.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() && !s.isClosed() {
				// Out of file descriptors, say: connections that end will free some.
				s.logger.Warn("cannot accept a client's connection", "error", err)
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return err
		}
		if !s.track(conn) {
			conn.Close()
			continue
		}
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			s.sniff(conn)
		}()
	}
}

// sniff reads a connection's first bytes and hands it on.
func (s *splitter) sniff(conn net.Conn) {
	head := make([]byte, len(http2Preface))
	err := conn.SetReadDeadline(time.Now().Add(sniffTimeout))
	if err == nil {
		_, err = io.ReadFull(conn, head)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	s.untrack(conn)
	to := s.protocol(head)
	if err != nil || to == nil || !to.Offer(handover.Replay(conn, head)) {
		conn.Close()
	}
}

func (s *splitter) protocol(head []byte) *handover.Listener {
	if bytes.Equal(head, http2Preface) {
		return s.http2
	}
	for _, method := range http1Methods {
		if bytes.Equal(head, method) {
			return s.http1
		}
	}
	return nil
}

func (s *splitter) track(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.sniffing[conn] = struct{}{}
	}
	return !s.closed
}

func (s *splitter) untrack(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sniffing, conn)
}

func (s *splitter) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// close ends everything that is not handed on yet.
func (s *splitter) close() {
	s.mu.Lock()
	s.closed = true
	for conn := range s.sniffing {
		conn.Close()
	}
	s.mu.Unlock()
	s.base.Close()
	s.http1.Close()
	s.http2.Close()
}
