package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rest is the connection to the server behind, as that one has it: it reads what the client asks for that is not answered here, and writes the answers.
type rest struct {
	conn *conn

	// The reading goroutine of conn encodes what the client asks for.
	encoder *hpack.Encoder
	block   bytes.Buffer

	// What goes to the server.
	mu     sync.Mutex
	more   sync.Cond
	less   sync.Cond
	in     []byte
	hungUp bool // nothing more comes
	closed bool // the server wants nothing more

	// What comes from it: a frame that is not there as a whole, headers that are not, and what the client does not take yet, in order. The last is guarded by conn.
	partial []byte
	decoder *hpack.Decoder
	headers pieceOfAnswer
	started []byte
	waiting []pieceOfAnswer
}

// pieceOfAnswer is a frame of the server's, with the fields of one that has headers.
type pieceOfAnswer struct {
	header
	payload []byte
	fields  []hpack.HeaderField
}

// restWindow is how much of answers waits here for the client.
const restWindow = 1 << 20

func newRest(c *conn) (*rest, error) {
	r := &rest{conn: c}
	r.more.L, r.less.L = &r.mu, &r.mu
	r.encoder = hpack.NewEncoder(&r.block)
	r.decoder = hpack.NewDecoder(tableSize, func(f hpack.HeaderField) { r.headers.fields = append(r.headers.fields, f) })
	if !c.offer(r) {
		return nil, errors.New("the server behind takes no connections any more")
	}
	return r, nil
}

// begin says what a client says first.
func (r *rest) begin() {
	r.conn.mu.Lock()
	window := uint32(r.conn.streamWindow)
	r.conn.mu.Unlock()
	b := appendFrameHeader([]byte(http2.ClientPreface), http2.FrameSettings, 0, 0, 6)
	b = appendUint32(append(b, 0, byte(http2.SettingInitialWindowSize)), window)
	b = appendUint32(appendFrameHeader(b, http2.FrameWindowUpdate, 0, 0, 4), restWindow-firstWindow)
	r.put(b)
}

// put passes bytes on to the server.
func (r *rest) put(b ...[]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.hungUp {
		return // nobody will read it
	}
	for _, each := range b {
		r.in = append(r.in, each...)
	}
	r.more.Signal()
}

// await waits while the server has much to read; for the goroutine that reads from the client.
func (r *rest) await() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.in) > maxUnwritten && !r.closed && !r.hungUp {
		r.less.Wait()
	}
}

// open begins a stream.
func (r *rest) open(h *requestHeaders) error {
	r.await()
	r.block.Reset()
	for _, f := range h.fields {
		_ = r.encoder.WriteField(f) // into memory
	}
	var b []byte
	kind, flags, block := http2.FrameHeaders, http2.Flags(0), r.block.Bytes()
	if h.ending {
		flags |= http2.FlagHeadersEndStream
	}
	for first := true; first || len(block) > 0; first = false {
		piece := block[:min(len(block), firstFrame)]
		if block = block[len(piece):]; len(block) == 0 {
			flags |= http2.FlagHeadersEndHeaders
		}
		b = append(appendFrameHeader(b, kind, flags, h.id, len(piece)), piece...)
		kind, flags = http2.FrameContinuation, 0
	}
	r.put(b)
	return nil
}

// frame passes a frame on as it is.
func (r *rest) frame(h header, payload []byte) error {
	r.await()
	r.put(appendFrameHeader(nil, h.kind, h.flags, h.id, len(payload)), payload)
	return nil
}

// settle passes a setting on.
func (r *rest) settle(s http2.Setting) {
	b := appendFrameHeader(nil, http2.FrameSettings, 0, 0, 6)
	r.put(appendUint32(append(b, byte(s.ID>>8), byte(s.ID)), s.Val))
}

// hangUp lets the server see the end of the connection.
func (r *rest) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hungUp = true
	r.more.Broadcast()
	r.less.Broadcast()
}

// isDone tells whether the server has closed the connection.
func (r *rest) isDone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Read implements net.Conn for the server.
func (r *rest) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.in) == 0 && !r.hungUp && !r.closed {
		r.more.Wait()
	}
	if r.closed {
		return 0, net.ErrClosed
	}
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.in)
	if r.in = r.in[n:]; len(r.in) == 0 {
		r.in = nil
	}
	r.less.Signal()
	return n, nil
}

// Write implements net.Conn for the server.
func (r *rest) Write(p []byte) (int, error) {
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return 0, net.ErrClosed
	}
	r.partial = append(r.partial, p...)
	b := r.partial
	for len(b) >= frameHeader {
		h := parseHeader(b)
		if len(b) < frameHeader+h.length {
			break
		}
		if err := r.take(h, b[frameHeader:frameHeader+h.length]); err != nil {
			c.endLocked(err)
			return 0, err
		}
		b = b[frameHeader+h.length:]
	}
	if r.partial = append(r.partial[:0], b...); len(b) == 0 && cap(r.partial) > maxKeptBuffer {
		r.partial = nil
	}
	return len(p), nil
}

// Close implements net.Conn for the server. It does so when all is answered and there is to be no more, or when something is wrong with what the client has sent.
func (r *rest) Close() error {
	r.mu.Lock()
	r.closed = true
	r.more.Broadcast()
	r.less.Broadcast()
	r.mu.Unlock()
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leaving {
		c.endLocked(net.ErrClosed)
	}
	c.endIfIdle()
	return nil
}

// What else net.Conn has. The server sets a deadline for the preface, which is there.

func (r *rest) LocalAddr() net.Addr              { return r.conn.tcp.LocalAddr() }
func (r *rest) RemoteAddr() net.Addr             { return r.conn.tcp.RemoteAddr() }
func (r *rest) SetDeadline(time.Time) error      { return nil }
func (r *rest) SetReadDeadline(time.Time) error  { return nil }
func (r *rest) SetWriteDeadline(time.Time) error { return nil }

// take passes a frame of the server's on, or does what concerns this connection alone; conn's mu is held.
func (r *rest) take(h header, payload []byte) error {
	switch h.kind {
	case http2.FramePing:
		if !h.has(http2.FlagPingAck) {
			r.put(appendFrameHeader(nil, http2.FramePing, http2.FlagPingAck, 0, len(payload)), payload)
		}
	case http2.FrameWindowUpdate:
		if h.id != 0 && len(payload) == 4 {
			r.conn.windowUpdate(h.id, int(binary.BigEndian.Uint32(payload)&math.MaxInt32))
		}
	case http2.FrameHeaders, http2.FrameContinuation:
		if h.kind == http2.FrameHeaders {
			r.headers, r.started = pieceOfAnswer{header: h}, nil
		}
		r.started = append(r.started, payload...)
		if !h.has(http2.FlagHeadersEndHeaders) {
			return nil
		}
		if _, err := r.decoder.Write(r.started); err != nil {
			return err
		}
		if err := r.decoder.Close(); err != nil {
			return err
		}
		r.pass(r.headers)
		r.headers = pieceOfAnswer{}
	case http2.FrameData, http2.FrameRSTStream:
		r.pass(pieceOfAnswer{header: h, payload: payload})
	}
	return nil // settings, which were ours before, and the server's leave, which is
}

// pass writes a piece, or keeps a copy of it until the client takes what was before it.
func (r *rest) pass(p pieceOfAnswer) {
	if len(r.waiting) == 0 && r.emit(&p) {
		return
	}
	p.payload = bytes.Clone(p.payload)
	r.waiting = append(r.waiting, p)
}

// unblock goes on with what waits; conn's mu is held.
func (r *rest) unblock() {
	for len(r.waiting) > 0 {
		if !r.emit(&r.waiting[0]) {
			return
		}
		r.waiting[0] = pieceOfAnswer{}
		r.waiting = r.waiting[1:]
	}
	r.waiting = nil
	r.conn.endIfIdle()
}

// emit writes a piece to the client, and tells whether it could be all of it.
func (r *rest) emit(p *pieceOfAnswer) bool {
	c := r.conn
	switch p.kind {
	case http2.FrameHeaders:
		c.answered = true
		c.headersFrame(p.id, c.answers.block(p.fields), p.flags&http2.FlagHeadersEndStream)
		return true
	case http2.FrameRSTStream:
		c.frame(p.kind, 0, p.id, len(p.payload))
		c.out = append(c.out, p.payload...)
		return true
	}
	c.answered = true
	for {
		n := int(min(int64(len(p.payload)), int64(c.frameSize), c.sendWindow))
		if n <= 0 && len(p.payload) > 0 {
			return false
		}
		last := n == len(p.payload)
		flags := http2.Flags(0)
		if last {
			flags = p.flags & http2.FlagDataEndStream
		}
		c.frame(http2.FrameData, flags, p.id, n)
		c.out = append(c.out, p.payload[:n]...)
		p.payload = p.payload[n:]
		c.sendWindow -= int64(n)
		if n > 0 {
			r.put(appendUint32(appendFrameHeader(nil, http2.FrameWindowUpdate, 0, 0, 4), uint32(n)))
		}
		if last {
			return true
		}
	}
}
