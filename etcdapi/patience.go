package etcdapi

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// patience bounds the time of requests. Those that begin within the same while share one channel, which is closed when the last of them has had its time: a timer and a
// context of its own would cost a request more than everything else that this package does for it.
//
// There are several lines of whiles beside each other, since whoever waits for a channel locks it.
type patience struct {
	timeout time.Duration
	lines   [16]atomic.Pointer[while]
	mu      sync.Mutex // held to begin a while
}

// while is a stretch of time in which requests begin.
type while struct {
	began time.Time
	over  chan struct{}
}

// whileLasts is how much longer than its time a request may wait.
const whileLasts = 250 * time.Millisecond

// until returns the channel for a request that begins now. It is closed after the timeout, and at most whileLasts later.
func (p *patience) until() <-chan struct{} {
	now := time.Now()
	current := &p.lines[rand.Uint32()%uint32(len(p.lines))]
	if w := current.Load(); w != nil && now.Sub(w.began) < whileLasts {
		return w.over
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := current.Load(); w != nil && now.Sub(w.began) < whileLasts {
		return w.over
	}
	w := &while{began: now, over: make(chan struct{})}
	current.Store(w)
	time.AfterFunc(p.timeout+whileLasts, func() { close(w.over) })
	return w.over
}
