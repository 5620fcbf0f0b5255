package front

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// conn is a client's connection. One goroutine reads it, and does all that a frame asks for; another one writes what has gathered meanwhile, by whoever.
type conn struct {
	server *Server
	tcp    net.Conn
	offer  func(net.Conn) bool

	// The reading goroutine's.
	in      *bufio.Reader
	decoder *hpack.Decoder
	headers requestHeaders
	credit  int // of the connection's window
	strikes int
	pinged  time.Time

	mu    sync.Mutex
	wake  sync.Cond // there is something to write, or nothing will come any more
	room  sync.Cond // what there was to write has become less
	out   []byte
	calls map[uint32]*call
	rest  *rest // nil until it is needed
	last  uint32
	// leaving says that no further request is taken; ended why the connection ends, as soon as out is written.
	leaving bool
	ended   error
	// answered says that something was since the client's last ping.
	answered bool

	answers      answerHeaders
	frameSize    int   // the most that a frame to the client may have
	sendWindow   int64 // what the client takes yet
	streamWindow int64 // what it takes of a new stream
	// blocked are the answers that lack sendWindow, in the order in which they get it, and maybe some that nobody waits for any more. What lacks its own stream's is not here: a client
	// could have us look at all of them again for each byte that it takes.
	blocked []*call
}

// What HTTP/2 has before anybody says otherwise.
const (
	firstWindow = 65535
	firstFrame  = 16384
	frameHeader = 9
	maxWindow   = 1<<31 - 1
)

const (
	readBuffer = 20 << 10 // a frame fits in
	// maxUnwritten is how much may wait to be written while we still read what the client wants: who does not read is not listened to either.
	maxUnwritten = 1 << 20
	maxKeptOut   = 64 << 10
	// greetTimeout is how long a client may take to open a connection.
	greetTimeout = 2 * time.Minute
	// flushTimeout is how long the end of a connection waits for its last frames to be taken.
	flushTimeout = time.Second
)

func newConn(s *Server, tcp net.Conn, offer func(net.Conn) bool) *conn {
	c := &conn{
		server: s, tcp: tcp, offer: offer, in: bufio.NewReaderSize(tcp, readBuffer), calls: map[uint32]*call{},
		frameSize: firstFrame, sendWindow: firstWindow, streamWindow: firstWindow,
	}
	c.wake.L, c.room.L = &c.mu, &c.mu
	c.decoder = hpack.NewDecoder(tableSize, c.headers.add)
	c.decoder.SetMaxStringLength(maxHeaders)
	c.answers.init()
	return c
}

// write writes until the connection has ended.
func (c *conn) write() {
	var spare []byte
	c.mu.Lock()
	for {
		for len(c.out) == 0 && c.ended == nil {
			c.wake.Wait()
		}
		if len(c.out) == 0 {
			break
		}
		if len(c.calls) > 1 { // Others may be about to be answered: one write for all.
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
		}
		out := c.out
		c.out = spare[:0]
		c.room.Broadcast()
		c.mu.Unlock()
		_, err := c.tcp.Write(out)
		if spare = out; cap(spare) > maxKeptOut {
			spare = nil
		}
		c.mu.Lock()
		if err != nil {
			c.endLocked(err)
			c.out = nil
		}
	}
	c.mu.Unlock()
	c.tcp.Close()
}

// end closes the connection once what waits is written, and ends all that runs on it.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(err)
}

func (c *conn) endLocked(err error) {
	if c.ended != nil {
		return
	}
	c.ended = err
	_ = c.tcp.SetWriteDeadline(time.Now().Add(flushTimeout)) // for a write that is under way, too
	for id, one := range c.calls {
		delete(c.calls, id)
		one.cancel(context.Canceled)
	}
	c.blocked = nil
	if c.rest != nil {
		c.rest.hangUp()
	}
	c.wake.Signal()
	c.room.Broadcast()
}

// leave tells the client that it can ask no more here, and ends the connection when all is answered.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving || c.ended != nil {
		return
	}
	c.leaving = true
	c.goAway(http2.ErrCodeNo, "")
	c.endIfIdle()
}

func (c *conn) endIfIdle() {
	if c.leaving && len(c.calls) == 0 && (c.rest == nil || c.rest.isDone() && len(c.rest.waiting) == 0) {
		c.endLocked(net.ErrClosed)
	}
}

// What follows appends frames to what is written; mu is held.

func (c *conn) frame(kind http2.FrameType, flags http2.Flags, id uint32, length int) {
	if len(c.out) == 0 {
		c.wake.Signal()
	}
	c.out = appendFrameHeader(c.out, kind, flags, id, length)
}

func (c *conn) goAway(code http2.ErrCode, why string) {
	c.frame(http2.FrameGoAway, 0, 0, 8+len(why))
	c.out = append(appendUint32(appendUint32(c.out, c.last), uint32(code)), why...)
}

func (c *conn) reset(id uint32, code http2.ErrCode) {
	c.frame(http2.FrameRSTStream, 0, id, 4)
	c.out = appendUint32(c.out, uint32(code))
}

func (c *conn) windowUpdate(id uint32, n int) {
	c.frame(http2.FrameWindowUpdate, 0, id, 4)
	c.out = appendUint32(c.out, uint32(n))
}

// headersFrame writes a block of headers in as many frames as it takes.
func (c *conn) headersFrame(id uint32, block []byte, flags http2.Flags) {
	kind := http2.FrameHeaders
	for {
		piece := block[:min(len(block), c.frameSize)]
		block = block[len(piece):]
		if len(block) == 0 {
			flags |= http2.FlagHeadersEndHeaders
		}
		c.frame(kind, flags, id, len(piece))
		c.out = append(c.out, piece...)
		if len(block) == 0 {
			return
		}
		kind, flags = http2.FrameContinuation, 0
	}
}

// answer ends a call, unless that has been done already.
func (c *conn) answer(one *call, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[one.id] != one {
		return
	}
	c.answered = true
	if err != nil {
		c.refuse(one, err)
		return
	}
	c.headersFrame(one.id, c.answers.begin(), 0)
	one.unsent = one.message.bytes
	c.proceed(one)
}

// refuse ends a call with an error, also one whose request has not come to its end; mu is held.
func (c *conn) refuse(one *call, err error) {
	c.headersFrame(one.id, c.answers.failure(err), http2.FlagHeadersEndStream)
	if !one.received {
		c.reset(one.id, http2.ErrCodeNo)
	}
	one.message.free()
	c.forget(one)
}

// send writes of an answer what the client takes, and tells whether that was all; mu is held.
func (c *conn) send(one *call) bool {
	for len(one.unsent) > 0 {
		n := int(min(int64(len(one.unsent)), int64(c.frameSize), one.sendWindow, c.sendWindow))
		if n <= 0 {
			return false
		}
		c.frame(http2.FrameData, 0, one.id, n)
		c.out = append(c.out, one.unsent[:n]...)
		one.unsent = one.unsent[n:]
		one.sendWindow -= int64(n)
		c.sendWindow -= int64(n)
	}
	c.headersFrame(one.id, c.answers.end(), http2.FlagHeadersEndStream)
	one.message.free()
	c.forget(one)
	return true
}

// proceed goes on with an answer whose stream the client may take more of; mu is held.
func (c *conn) proceed(one *call) {
	if one.blocked || c.send(one) || one.sendWindow <= 0 {
		return
	}
	one.blocked = true
	if c.blocked = append(c.blocked, one); len(c.blocked) > 2*len(c.calls) {
		c.blocked = slices.DeleteFunc(c.blocked, func(one *call) bool { return c.calls[one.id] != one })
	}
}

func (c *conn) forget(one *call) {
	delete(c.calls, one.id)
	if one.timer != nil {
		one.timer.Stop()
	}
	c.endIfIdle()
}

// unblock goes on with what waited for the connection's window, as far as that goes; mu is held.
func (c *conn) unblock() {
	if c.rest != nil {
		c.rest.unblock()
	}
	blocked := c.blocked
	for len(blocked) > 0 && c.sendWindow > 0 {
		one := blocked[0]
		if c.calls[one.id] == one && !c.send(one) && one.sendWindow > 0 {
			break
		}
		one.blocked = false
		blocked[0] = nil
		blocked = blocked[1:]
	}
	c.blocked = blocked
}

func appendUint32(b []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(b, n) }

func appendFrameHeader(b []byte, kind http2.FrameType, flags http2.Flags, id uint32, length int) []byte {
	return appendUint32(append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags)), id)
}
