package front

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// prefixSize is that of gRPC's prefix of a message: whether it is compressed, and its length.
const prefixSize = 5

// call is a request that is answered here. It is the context of the method that answers it.
type call struct {
	conn     *conn
	id       uint32 // of the stream
	method   Method
	quick    Quick           // nil if there is none
	values   context.Context // the metadata
	deadline time.Time
	timer    *time.Timer

	// The message with its prefix, first of the request and then of the answer.
	message *buffer
	// received says that the request is complete, and credit is how much of it the client was not told of that there is room for again.
	received bool
	credit   int

	// What is guarded by the connection: how much the client takes, and what of the answer it has not taken.
	sendWindow int64
	unsent     []byte
	blocked    bool // it is among the connection's blocked

	mu   sync.Mutex
	done chan struct{}
	err  error
	// giveUp ends the wait for an answer that somebody else knows.
	giveUp   func(error)
	began    time.Time // when that was begun to be waited for
	answered bool
}

// buffer is used again, unless it became large.
type buffer struct{ bytes []byte }

const maxKeptBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) free() {
	if cap(b.bytes) <= maxKeptBuffer {
		b.bytes = b.bytes[:0]
		buffers.Put(b)
	}
}

// Deadline implements context.Context.
func (c *call) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements context.Context.
func (c *call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value implements context.Context.
func (c *call) Value(key any) any { return c.values.Value(key) }

// cancel ends the context.
func (c *call) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	c.abandon(err)
}

// abandon gives up on an answer that is waited for; mu is held. What comes of it takes locks that the caller may have.
func (c *call) abandon(cause error) {
	if giveUp := c.giveUp; giveUp != nil {
		c.giveUp = nil
		go giveUp(cause)
	}
}

// limit is told the client's deadline.
func (c *call) limit(timeout, patience time.Duration) {
	c.deadline = time.Now().Add(timeout)
	if timeout < patience {
		c.timer = time.AfterFunc(timeout, func() { c.cancel(context.DeadlineExceeded) })
	}
}

// add takes a piece of the request, and says what is wrong with it.
func (c *call) add(piece []byte, last bool, longest int) error {
	c.message.bytes = append(c.message.bytes, piece...)
	if len(c.message.bytes) < prefixSize {
		if last {
			return status.Error(codes.Internal, "the request has no message")
		}
		return nil
	}
	if c.message.bytes[0] != 0 {
		return status.Error(codes.Internal, "grpc: compressed flag set with identity or empty encoding")
	}
	have, want := len(c.message.bytes)-prefixSize, int64(binary.BigEndian.Uint32(c.message.bytes[1:]))
	switch {
	case want > int64(longest):
		return status.Errorf(codes.ResourceExhausted, "grpc: received message larger than max (%d vs. %d)", want, longest)
	case int64(have) > want, last && int64(have) < want:
		return status.Errorf(codes.Internal, "the request has %d bytes instead of one message of %d", have, want)
	}
	return nil
}

// begin has the call answered by whoever knows the answer, without waiting for that; false if it needs a goroutine of its own.
func (c *call) begin() bool {
	if c.quick == nil || c.Err() != nil {
		return false
	}
	giveUp, taken := c.quick(c, c.message.bytes[prefixSize:], append(c.message.bytes[:0], 0, 0, 0, 0, 0))
	if !taken {
		return false
	}
	c.mu.Lock()
	if !c.answered {
		c.giveUp, c.began = giveUp, time.Now()
		if c.err != nil {
			c.abandon(c.err)
		}
	}
	c.mu.Unlock()
	c.conn.server.watch()
	return true
}

// isDue gives up on an answer that has been waited for longer than patience, and tells whether one is waited for.
func (c *call) isDue(now time.Time, patience time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.giveUp != nil
	if waiting && now.Sub(c.began) > patience {
		c.abandon(context.DeadlineExceeded)
	}
	return waiting
}

// Continue implements Request.
func (c *call) Continue(f func()) { c.conn.server.further.run(f) }

// Answer implements Request.
func (c *call) Answer(answer []byte, err error) {
	c.mu.Lock()
	c.answered, c.giveUp = true, nil
	c.mu.Unlock()
	c.finish(answer, err)
}

// serve answers the call, on a goroutine of its own.
func (c *call) serve() {
	c.finish(c.method(c, c.message.bytes[prefixSize:], append(c.message.bytes[:0], 0, 0, 0, 0, 0)))
}

func (c *call) finish(answer []byte, err error) {
	if err == nil {
		if size := len(answer) - prefixSize; int64(size) > maxAnswer {
			err = status.Errorf(codes.ResourceExhausted, "grpc: trying to send message larger than max (%d vs. %d)", size, maxAnswer)
		} else {
			binary.BigEndian.PutUint32(answer[1:], uint32(size))
			c.message.bytes = answer
		}
	}
	c.conn.answer(c, err)
}

const maxAnswer = 1<<31 - 1
