// Package freeport finds loopback ports for tests and measurements that start servers as processes of their own, which therefore have to be told where to listen.
//
// Asking the system for any port and letting it go again does not do: until the server listens, the system may give the same port to an outgoing
// connection, and on a busy machine it does. The ports given here lie below those that the system hands out by itself, so that nobody gets one
// who did not ask for it by number. Nor does another program that asks here: each has blocks of ports to itself, as long as it runs, also while nobody listens at them
// because a server is being started or started again.
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

// block is how many ports a program takes at once. Who listens at the first of them, and does nothing else there, has the others.
const (
	block  = 250
	blocks = (last - first) / block
)

var (
	mu sync.Mutex
	// next is the next port of the block that is given out now, and end the first behind it.
	next, end int
	// guards are the listeners at the first ports of this program's blocks, which end with it.
	guards = map[int]net.Listener{}
	// start is the block with which the search for one begins.
	start = rand.IntN(blocks)
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

// Run returns a port that is free together with those at the given offsets above it, which are less than a block. They are as many as the largest offset apart from
// what it returns next.
func Run(offsets ...int) (int, error) {
	mu.Lock()
	defer mu.Unlock()
	widest := 0
	for _, offset := range offsets {
		widest = max(widest, offset)
	}
	for range blocks + 1 {
		for next+widest < end {
			port := next
			next++
			if free(port, offsets) {
				next = port + widest + 1
				return port, nil
			}
		}
		takeBlock()
	}
	return 0, fmt.Errorf("no free port from %d to %d on 127.0.0.1", first, last)
}

// takeBlock goes on to the next block that no other program has, if there is one.
func takeBlock() {
	for range blocks {
		port := first + start%blocks*block
		start++
		if guards[port] == nil {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				continue
			}
			guards[port] = l
		}
		next, end = port+1, port+block
		return
	}
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
