package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/transport/wire"
)

const (
	// readBuffer is how much of a peer's stream is read ahead, in bytes; it bounds what of small frames is delivered at once.
	readBuffer = 128 << 10
	// maxDelivered bounds how many messages are delivered at once.
	maxDelivered = 512
	// maxKeptMeta is the length of a meta part, in bytes, up to which its buffer is kept for the next one.
	maxKeptMeta = 256 << 10
)

// incoming is a connection that a peer dialled, after the introduction: the peer's messages come over it.
type incoming struct {
	t    *Transport
	p    *peer
	conn net.Conn
	r    *bufio.Reader
	// batch is what was read and not yet delivered.
	batch []engine.Envelope
	meta  []byte

	// answer is where pongs are encoded, and answered when the last one left.
	answer   wire.Batch
	answered time.Time
}

func newIncoming(t *Transport, p *peer, conn net.Conn) *incoming {
	c := &incoming{t: t, p: p, conn: conn}
	c.r = bufio.NewReaderSize(&patientReader{conn: conn, patience: t.opt.PeerTimeout, after: c.afterRead}, readBuffer)
	return c
}

// run delivers the peer's messages until the connection ends, and says why it did.
func (c *incoming) run() error {
	for {
		err := c.readFrame()
		if err != nil || len(c.batch) >= maxDelivered || !c.nextIsHere() {
			c.deliver()
		}
		if err != nil {
			return err
		}
	}
}

func (c *incoming) deliver() {
	if len(c.batch) == 0 {
		return
	}
	c.p.framesIn.Add(uint64(len(c.batch)))
	c.t.opt.Sink.Deliver(c.batch)
	clear(c.batch)
	c.batch = c.batch[:0]
}

// nextIsHere tells whether the next frame can be read without waiting for the peer. What was read is delivered before such a wait, and not
// before: a follower that has fallen behind takes everything that has arrived into one turn, and one sync of its log.
func (c *incoming) nextIsHere() bool {
	if c.r.Buffered() < wire.HeaderSize {
		return false
	}
	b, _ := c.r.Peek(wire.HeaderSize)
	h, err := wire.ParseHeader(b, c.t.opt.MaxFrameBytes)
	return err == nil && c.r.Buffered() >= h.FrameSize()
}

// readFrame reads one frame: a message goes to the batch, anything else is dealt with.
func (c *incoming) readFrame() error {
	b, err := c.r.Peek(wire.HeaderSize)
	if err != nil {
		if len(b) > 0 && err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	h, err := wire.ParseHeader(b, c.t.opt.MaxFrameBytes)
	if err != nil {
		return err
	}
	c.r.Discard(wire.HeaderSize)
	if h.Kind.Control() && (h.Payload > 0 || h.FrameSize() > wire.MaxIntroductionBytes) {
		return fmt.Errorf("%w: %d bytes and %d of payload in a frame of kind %d", wire.ErrCorrupt, h.Meta, h.Payload, h.Kind)
	}
	meta, payload, err := c.readBody(h)
	if err != nil {
		return err
	}
	c.p.bytesIn.Add(uint64(h.FrameSize()))
	if h.Kind.Control() {
		return c.control(h, meta)
	}
	group, m, err := wire.Decode(h, meta, payload, c.t.opt.MaxFrameBytes)
	if err != nil {
		return err
	}
	c.batch = append(c.batch, engine.Envelope{Group: group, To: c.t.opt.Advertise, From: c.p.address, Message: m})
	return nil
}

// readBody reads the two parts that follow a header. The meta part is valid until the next call, the payload is made for this frame.
func (c *incoming) readBody(h wire.Header) (meta, payload []byte, err error) {
	if cap(c.meta) < int(h.Meta) || cap(c.meta) > maxKeptMeta {
		c.meta = make([]byte, h.Meta, max(h.Meta, 1<<10))
	}
	meta = c.meta[:h.Meta]
	if _, err := io.ReadFull(c.r, meta); err != nil {
		return nil, nil, unexpected(err)
	}
	if h.Payload == 0 {
		return meta, nil, nil
	}
	payload = make([]byte, h.Payload)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		return nil, nil, unexpected(err)
	}
	return meta, payload, nil
}

// unexpected makes the end of a stream inside a frame the error that it is.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// control deals with a frame of the connection itself.
func (c *incoming) control(h wire.Header, meta []byte) error {
	switch h.Kind {
	case wire.KindPing:
		number, err := wire.DecodeBeat(h, meta)
		if err != nil {
			return err
		}
		return c.pong(number, time.Now())
	case wire.KindRefusal:
		refusal, err := wire.DecodeRefusal(h, meta)
		if err != nil {
			return err
		}
		return refusal
	}
	return fmt.Errorf("%w: a frame of kind %d after the introduction", wire.ErrCorrupt, h.Kind)
}

// afterRead is called whenever bytes came in. While a long transfer keeps the peer's pings waiting in its queue, pongs without a number tell it that
// we are alive and take what it sends.
func (c *incoming) afterRead(now time.Time) error {
	if now.Sub(c.answered) < c.t.opt.PingInterval {
		return nil
	}
	return c.pong(0, now)
}

func (c *incoming) pong(number uint64, now time.Time) error {
	c.answered = now
	c.answer.AddPong(number)
	defer c.answer.Reset()
	if err := c.conn.SetWriteDeadline(now.Add(c.t.opt.PeerTimeout)); err != nil {
		return err
	}
	n, err := c.conn.Write(c.answer.Pieces()[0])
	c.p.bytesOut.Add(uint64(n))
	return err
}

// ended says whether the end of a connection is the ordinary one: the peer closed it, or we did.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}
