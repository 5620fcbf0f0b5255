package front

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"

	"golang.org/x/net/http2"
)

// read serves the client until the connection ends.
func (c *conn) read() {
	err := c.begin()
	for err == nil {
		err = c.next()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if code := http2.ConnectionError(0); errors.As(err, &code) && c.ended == nil {
		c.goAway(http2.ErrCode(code), "")
	}
	c.endLocked(err)
}

// begin exchanges what opens a connection.
func (c *conn) begin() error {
	if err := c.tcp.SetReadDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.in, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return errors.New("the connection does not begin with HTTP/2's preface")
	}
	c.mu.Lock()
	c.frame(http2.FrameSettings, 0, 0, 12)
	c.out = appendUint32(append(c.out, 0, byte(http2.SettingInitialWindowSize)), StreamWindow)
	c.out = appendUint32(append(c.out, 0, byte(http2.SettingMaxHeaderListSize)), maxHeaders)
	c.windowUpdate(0, ConnectionWindow-firstWindow)
	c.mu.Unlock()
	h, payload, err := c.nextFrame()
	if err != nil {
		return err
	}
	if h.kind != http2.FrameSettings || h.has(http2.FlagSettingsAck) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if err := c.take(h, payload); err != nil {
		return err
	}
	return c.tcp.SetReadDeadline(time.Time{})
}

// header is that of a frame.
type header struct {
	kind   http2.FrameType
	flags  http2.Flags
	id     uint32
	length int
}

func (h header) has(flag http2.Flags) bool { return h.flags&flag != 0 }

func parseHeader(b []byte) header {
	return header{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: http2.FrameType(b[3]), flags: http2.Flags(b[4]),
		id: binary.BigEndian.Uint32(b[5:]) & math.MaxInt32,
	}
}

// nextFrame reads one. Its payload is valid until the next call.
func (c *conn) nextFrame() (header, []byte, error) {
	b, err := c.in.Peek(frameHeader)
	if err != nil {
		return header{}, nil, err
	}
	h := parseHeader(b)
	if h.length > firstFrame {
		return h, nil, http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	if b, err = c.in.Peek(frameHeader + h.length); err != nil {
		return h, nil, err
	}
	_, _ = c.in.Discard(len(b))
	return h, b[frameHeader:], nil
}

func (c *conn) next() error {
	h, payload, err := c.nextFrame()
	if err != nil {
		return err
	}
	c.mu.Lock()
	for len(c.out) > maxUnwritten && c.ended == nil {
		c.room.Wait()
	}
	err = c.ended
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.take(h, payload)
}

// take does what a frame asks for. What is wrong with it ends the connection.
func (c *conn) take(h header, payload []byte) error {
	if (c.headers.id != 0) != (h.kind == http2.FrameContinuation) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	switch h.kind {
	case http2.FrameData, http2.FrameHeaders, http2.FramePriority, http2.FrameRSTStream, http2.FrameContinuation:
		if h.id == 0 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	case http2.FrameSettings, http2.FramePing, http2.FrameGoAway:
		if h.id != 0 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	}
	if h.id > c.last { // only we change it
		switch h.kind {
		case http2.FrameData, http2.FrameRSTStream, http2.FrameWindowUpdate:
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	}
	switch h.kind {
	case http2.FrameHeaders:
		return c.takeHeaders(h, payload)
	case http2.FrameContinuation:
		return c.takeBlock(h, payload)
	case http2.FrameData:
		return c.takeData(h, payload)
	case http2.FrameRSTStream:
		return c.takeReset(h, payload)
	case http2.FrameSettings:
		return c.takeSettings(h, payload)
	case http2.FramePing:
		return c.takePing(h, payload)
	case http2.FrameWindowUpdate:
		return c.takeWindowUpdate(h, payload)
	case http2.FramePushPromise:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil // priorities, the client's leave, and what is not known
}

// unpad takes the padding from a payload.
func unpad(h header, payload []byte) ([]byte, error) {
	if !h.has(http2.FlagDataPadded) {
		return payload, nil
	}
	if len(payload) == 0 || int(payload[0]) > len(payload)-1 {
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return payload[1 : len(payload)-int(payload[0])], nil
}

func (c *conn) takeHeaders(h header, payload []byte) error {
	block, err := unpad(h, payload)
	if err != nil {
		return err
	}
	if h.has(http2.FlagHeadersPriority) {
		if len(block) < 5 {
			return http2.ConnectionError(http2.ErrCodeFrameSize)
		}
		block = block[5:]
	}
	// A request of gRPC has no trailers, so each block of headers begins a stream.
	if h.id%2 == 0 || h.id <= c.last {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.headers.id, c.headers.ending = h.id, h.has(http2.FlagHeadersEndStream)
	return c.takeBlock(h, block)
}

func (c *conn) takeBlock(h header, block []byte) error {
	if h.id != c.headers.id {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if !h.has(http2.FlagHeadersEndHeaders) || len(c.headers.block) > 0 {
		if len(c.headers.block)+len(block) > maxHeaders {
			return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
		}
		c.headers.block = append(c.headers.block, block...)
		if len(block) == 0 && !h.has(http2.FlagHeadersEndHeaders) {
			return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm) // a flood of nothing
		}
		block = c.headers.block
	}
	if !h.has(http2.FlagHeadersEndHeaders) {
		return nil
	}
	if _, err := c.decoder.Write(block); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if err := c.decoder.Close(); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	defer c.headers.reset()
	return c.open(&c.headers)
}

// open begins a stream.
func (c *conn) open(h *requestHeaders) error {
	var one *call
	if h.size <= maxHeaders {
		one = h.judge(&c.server.options)
	}
	c.mu.Lock()
	switch {
	case c.ended != nil:
		c.mu.Unlock()
		return c.ended
	case c.leaving, h.size > maxHeaders:
		code := http2.ErrCodeRefusedStream
		if c.last = h.id; !c.leaving {
			code = http2.ErrCodeEnhanceYourCalm
		}
		c.reset(h.id, code)
		c.mu.Unlock()
		return nil
	}
	c.last = h.id
	if one == nil {
		c.mu.Unlock()
		return c.pass(h)
	}
	one.conn, one.id, one.sendWindow, one.message = c, h.id, c.streamWindow, buffers.Get().(*buffer)
	c.calls[h.id] = one
	c.mu.Unlock()
	return nil
}

// pass begins a stream at the server behind.
func (c *conn) pass(h *requestHeaders) error {
	if c.rest == nil {
		r, err := newRest(c)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.rest = r
		if c.ended != nil {
			r.hangUp()
		}
		c.mu.Unlock()
		r.begin()
	}
	return c.rest.open(h)
}

func (c *conn) takeData(h header, payload []byte) error {
	data, err := unpad(h, payload)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.credit += len(payload); c.credit >= ConnectionWindow/4 {
		c.windowUpdate(0, c.credit)
		c.credit = 0
	}
	one := c.calls[h.id]
	if one == nil {
		c.mu.Unlock()
		if c.rest != nil {
			return c.rest.frame(h, payload)
		}
		return nil // of a stream that has ended
	}
	whole, err := c.takePiece(one, h, data, len(payload))
	c.mu.Unlock()
	if whole && !one.begin() {
		c.server.workers.run(one)
	}
	return err
}

// takePiece takes data of a request, and tells whether it is complete; mu is held.
func (c *conn) takePiece(one *call, h header, data []byte, size int) (whole bool, err error) {
	last := h.has(http2.FlagDataEndStream)
	if one.received {
		return false, http2.ConnectionError(http2.ErrCodeStreamClosed)
	}
	if one.credit += size; one.credit >= StreamWindow/4 && !last {
		c.windowUpdate(h.id, one.credit)
		one.credit = 0
	}
	one.received = last
	if err := one.add(data, last, c.server.options.MaxMessageBytes); err != nil {
		c.refuse(one, err)
		return false, nil
	}
	return last, nil
}

func (c *conn) takeReset(h header, payload []byte) error {
	if len(payload) != 4 {
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	c.mu.Lock()
	if one := c.calls[h.id]; one != nil {
		one.cancel(context.Canceled)
		c.forget(one)
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	if c.rest != nil {
		return c.rest.frame(h, payload)
	}
	return nil
}

func (c *conn) takeSettings(h header, payload []byte) error {
	if h.has(http2.FlagSettingsAck) {
		if len(payload) > 0 {
			return http2.ConnectionError(http2.ErrCodeFrameSize)
		}
		return nil
	}
	if len(payload)%6 != 0 {
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.streamWindow
	for b := payload; len(b) > 0; b = b[6:] {
		s := http2.Setting{ID: http2.SettingID(binary.BigEndian.Uint16(b)), Val: binary.BigEndian.Uint32(b[2:])}
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.answers.resize(s.Val)
		case http2.SettingMaxFrameSize:
			c.frameSize = int(min(s.Val, firstFrame)) // larger ones gain nothing
		case http2.SettingInitialWindowSize:
			// RFC 9113 §6.9.2: it counts for the streams that are there as well, whose windows may become negative.
			change := int64(s.Val) - c.streamWindow
			c.streamWindow = int64(s.Val)
			for _, one := range c.calls {
				if one.sendWindow += change; one.sendWindow > maxWindow {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
			if c.rest != nil {
				c.rest.settle(s)
			}
		}
	}
	c.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	if c.streamWindow > before {
		for _, one := range c.calls {
			if len(one.unsent) > 0 {
				c.proceed(one)
			}
		}
	}
	return nil
}

func (c *conn) takeWindowUpdate(h header, payload []byte) error {
	if len(payload) != 4 {
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	n := int64(binary.BigEndian.Uint32(payload) & math.MaxInt32)
	c.mu.Lock()
	if h.id == 0 {
		defer c.mu.Unlock()
		if n == 0 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		if c.sendWindow += n; c.sendWindow > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.unblock()
		return nil
	}
	one := c.calls[h.id]
	if one == nil {
		c.mu.Unlock()
		if c.rest != nil {
			return c.rest.frame(h, payload)
		}
		return nil
	}
	defer c.mu.Unlock()
	if one.sendWindow += n; n == 0 || one.sendWindow > maxWindow {
		code := http2.ErrCodeFlowControl
		if n == 0 {
			code = http2.ErrCodeProtocol
		}
		c.reset(h.id, code)
		one.cancel(context.Canceled)
		c.forget(one)
		return nil
	}
	if len(one.unsent) > 0 {
		c.proceed(one)
	}
	return nil
}

// What a client's pings may cost: RFC 9113 leaves it to us, and gRPC says that a client without requests sends hardly any.
const (
	maxStrikes       = 2
	idlePingInterval = 2 * time.Hour
)

func (c *conn) takePing(h header, payload []byte) error {
	if len(payload) != 8 {
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	if h.has(http2.FlagPingAck) {
		return nil
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frame(http2.FramePing, http2.FlagPingAck, 0, len(payload))
	c.out = append(c.out, payload...)
	interval := c.server.options.MinPingInterval
	if len(c.calls) == 0 && c.rest == nil {
		interval = idlePingInterval
	}
	switch {
	case c.answered:
		c.answered, c.strikes = false, 0
	case now.Sub(c.pinged) < interval:
		c.strikes++
	}
	c.pinged = now
	if c.strikes > maxStrikes {
		c.goAway(http2.ErrCodeEnhanceYourCalm, "too_many_pings")
		return errors.New("too many pings")
	}
	return nil
}
