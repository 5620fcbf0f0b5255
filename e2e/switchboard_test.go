package e2e

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// switchboard stands between the members: each advertises one of its lines instead of its own address, so that a test can cut members off. It knows
// who calls because a member introduces itself with the address it advertises.
type switchboard struct {
	t *testing.T

	mu    sync.Mutex
	cutAt map[string]bool
	open  map[net.Conn]string // by which lines' cuts a connection ends; both ends' lines, joined
	lines []string
}

func newSwitchboard(t *testing.T) *switchboard {
	return &switchboard{t: t, cutAt: map[string]bool{}, open: map[net.Conn]string{}}
}

// add opens a line to the member that listens at that address, and returns the line's own address.
func (s *switchboard) add(to string) string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	line := l.Addr().String()
	s.mu.Lock()
	s.lines = append(s.lines, line)
	s.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.connect(conn, line, to)
		}
	}()
	return line
}

// connect passes on what is said, once the caller has introduced itself.
func (s *switchboard) connect(caller net.Conn, line, to string) {
	defer caller.Close()
	first := make([]byte, 4096)
	n, err := caller.Read(first)
	if err != nil {
		return
	}
	from := ""
	s.mu.Lock()
	for _, other := range s.lines {
		if other != line && bytes.Contains(first[:n], []byte(other)) {
			from = other
		}
	}
	s.mu.Unlock()
	callee, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer callee.Close()
	if !s.register(caller, callee, line, from) {
		return
	}
	defer s.forget(caller, callee)
	if _, err := callee.Write(first[:n]); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		io.Copy(caller, callee)
		caller.Close()
		close(done)
	}()
	io.Copy(callee, caller)
	callee.Close()
	<-done
}

func (s *switchboard) register(caller, callee net.Conn, line, from string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cutAt[line] || s.cutAt[from] {
		return false
	}
	s.open[caller], s.open[callee] = line+" "+from, line+" "+from
	return true
}

func (s *switchboard) forget(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		delete(s.open, c)
	}
}

// cut separates the member that advertises the line from all others, in both directions.
func (s *switchboard) cut(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutAt[line] = true
	for conn, lines := range s.open {
		if bytes.Contains([]byte(lines), []byte(line)) {
			conn.Close()
		}
	}
}

// heal connects everybody again.
func (s *switchboard) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cutAt)
}
