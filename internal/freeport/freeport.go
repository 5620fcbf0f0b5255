// Package freeport finds loopback ports for tests and measurements that start servers as processes of their own, which therefore have to be told where to listen.
//
// Asking the system for any port and letting it go again does not do: until the server listens, the system may give the same port to an outgoing
// connection, and on a busy machine it does. The ports given here lie below those that the system hands out by itself, so that nobody gets one
// who did not ask for it by number. It holds no port: two programs that ask for the same number at the same time are still possible, and unlikely,
// since each begins at a random place.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The range: above the well-known services, below Linux's ephemeral ports (32768 by default) and those of other systems.
const (
	first = 15000
	last  = 32000
)

var (
	mu   sync.Mutex
	next = first + rand.IntN(last-first)
)

// Addresses returns n addresses, 127.0.0.1:port, that nobody listens at now, and that it has not returned before unless it had to begin again.
func Addresses(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range n {
		port, err := Run(0)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return addresses, nil
}

// Run returns a port that is free together with those at the given offsets above it. They are as many as the largest offset apart from what it
// returns next.
func Run(offsets ...int) (int, error) {
	mu.Lock()
	defer mu.Unlock()
	widest := 0
	for _, offset := range offsets {
		widest = max(widest, offset)
	}
	for range last - first {
		if next+widest >= last {
			next = first
		}
		port := next
		next++
		if free(port, offsets) {
			next = port + widest + 1
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d on 127.0.0.1", first, last)
}

func free(port int, offsets []int) bool {
	for _, offset := range offsets {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+offset))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
