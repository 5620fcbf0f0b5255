package lean

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// A server may send so much before it has to wait for us: of one answer, and of all together.
	streamWindow = 4 << 20
	linkWindow   = 16 << 20
	// What HTTP/2 has before anybody says otherwise.
	firstWindow  = 65535
	firstFrame   = 16384
	frameHeader  = 9
	mostStreamID = math.MaxInt32
	// longestHeaders is how much an answer's headers may have.
	longestHeaders = 64 << 10
	bufferSize     = 64 << 10
)

// link is an HTTP/2 connection from when it is opened until it is lost.
type link struct {
	tcp    net.Conn
	in     *bufio.Reader
	out    outgoing
	framer *http2.Framer
	finish func(one *call, message []byte, err error)

	live    map[uint32]*call // by stream
	nextID  uint32
	leaving error     // why no more can be asked on this connection
	wakes   time.Time // the deadline for reading

	// What the server said.
	settled    bool
	mostLive   uint32
	theirFrame uint32
	headerList uint32 // what our headers may have
	sendWindow int64
	callWindow int64
	blocked    []uint32 // streams that wait for flow control, in order

	recvWindow int64

	requests requestHeaders
	decoder  *hpack.Decoder
	// The headers that are being read: of which stream, how much of them came, and whether nothing comes after them.
	reading    uint32
	readBytes  int
	readEnding bool
	fieldsOf   *call // while a piece of them is decoded
}

// outgoing gathers what is to be written.
type outgoing struct{ bytes []byte }

func (o *outgoing) Write(p []byte) (int, error) {
	o.bytes = append(o.bytes, p...)
	return len(p), nil
}

// open connects, and waits until the server has said what it allows.
func open(address string, limit time.Duration, finish func(*call, []byte, error)) (*link, error) {
	deadline := time.Now().Add(limit)
	tcp, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return nil, err
	}
	l := newLink(tcp, address, limit, finish)
	if err := l.greet(deadline); err != nil {
		l.close(err)
		return nil, fmt.Errorf("begin HTTP/2 with %s: %w", address, err)
	}
	return l, nil
}

func newLink(tcp net.Conn, address string, limit time.Duration, finish func(*call, []byte, error)) *link {
	l := &link{
		tcp: tcp, in: bufio.NewReaderSize(tcp, bufferSize), finish: finish, live: map[uint32]*call{}, nextID: 1,
		mostLive: math.MaxUint32, theirFrame: firstFrame, headerList: math.MaxUint32, sendWindow: firstWindow, callWindow: firstWindow, recvWindow: linkWindow,
	}
	l.framer = http2.NewFramer(&l.out, l.in)
	l.framer.SetReuseFrames()
	l.framer.SetMaxReadFrameSize(firstFrame)
	l.decoder = hpack.NewDecoder(4096, l.field)
	l.decoder.SetMaxStringLength(longestHeaders)
	l.requests.init(address, limit)
	return l
}

// greet says who we are and what we allow, and waits until the server has done so.
func (l *link) greet(deadline time.Time) error {
	l.out.bytes = append(l.out.bytes, http2.ClientPreface...)
	// What is written into memory does not fail.
	_ = l.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow})
	_ = l.framer.WriteWindowUpdate(0, linkWindow-firstWindow)
	if err := l.tcp.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	for !l.settled {
		if !time.Now().Before(deadline) {
			return errors.New("the server says nothing")
		}
		if err := l.receive(deadline); err != nil {
			return err
		}
	}
	return nil
}

// close tells the server why, if it is to blame, and closes the connection.
func (l *link) close(why error) {
	var fault http2.ConnectionError
	if errors.As(why, &fault) {
		_ = l.framer.WriteGoAway(0, http2.ErrCode(fault), nil)
		_ = l.tcp.SetWriteDeadline(time.Now().Add(sweepEvery))
		_ = l.flush() // the connection ends in any case
	}
	_ = l.tcp.Close()
}

func (l *link) flush() error {
	if len(l.out.bytes) == 0 {
		return nil
	}
	_, err := l.tcp.Write(l.out.bytes)
	l.out.bytes = l.out.bytes[:0]
	return err
}

// receive waits until a frame came or it is time to wake, and handles all that have come.
func (l *link) receive(wake time.Time) error {
	if wake != l.wakes {
		if err := l.tcp.SetReadDeadline(wake); err != nil {
			return err
		}
		l.wakes = wake
	}
	for first := true; first || l.in.Buffered() >= frameHeader; first = false {
		// A frame is read only when all of it has come, since a deadline in the middle of it would leave the rest without its beginning.
		size, err := l.frameSize()
		if size == 0 || err != nil {
			return awake(err)
		}
		if !first && l.in.Buffered() < size {
			return nil
		}
		if _, err := l.in.Peek(size); err != nil {
			return awake(err)
		}
		frame, err := l.framer.ReadFrame()
		if err == nil {
			err = l.handle(frame)
		}
		if fault, ofStream := errors.AsType[http2.StreamError](err); ofStream {
			l.refuse(fault)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awake makes nothing of a deadline that has passed: it was time to wake.
func awake(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// frameSize is that of the next frame with its header, for which it waits.
func (l *link) frameSize() (int, error) {
	header, err := l.in.Peek(frameHeader)
	if err != nil {
		return 0, err
	}
	length := int(binary.BigEndian.Uint32(header) >> 8)
	if length > firstFrame {
		return 0, http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	return frameHeader + length, nil
}

// refuse ends a stream on which the server did what it must not.
func (l *link) refuse(fault http2.StreamError) {
	_ = l.framer.WriteRSTStream(fault.StreamID, fault.Code)
	if one := l.live[fault.StreamID]; one != nil {
		l.end(one, nil, status.Errorf(codes.Internal, "the server broke HTTP/2: %v", fault))
	}
}

// end takes a stream from those that are live, and tells its client.
func (l *link) end(one *call, message []byte, err error) {
	delete(l.live, one.id)
	one.unsent = nil
	l.finish(one, message, err)
}

// sweep ends what took too long.
func (l *link) sweep(now time.Time) {
	for id, one := range l.live {
		if took := now.Sub(one.asked); took > l.requests.limit {
			_ = l.framer.WriteRSTStream(id, http2.ErrCodeCancel)
			l.end(one, nil, status.Errorf(codes.DeadlineExceeded, "no answer after %v", took.Round(time.Millisecond)))
		}
	}
}

// handle does what a frame asks for. An error ends the connection, except for one of a stream.
func (l *link) handle(frame http2.Frame) error {
	if _, isSettings := frame.(*http2.SettingsFrame); !l.settled && !isSettings {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	switch f := frame.(type) {
	case *http2.DataFrame:
		return l.data(f)
	case *http2.HeadersFrame:
		one, err := l.stream(f.StreamID)
		if err != nil {
			return err
		}
		l.reading, l.readBytes, l.readEnding = f.StreamID, 0, f.StreamEnded()
		if one != nil {
			one.answer.beginHeaders()
		}
		return l.headers(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.ContinuationFrame:
		return l.headers(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.RSTStreamFrame:
		one, err := l.stream(f.StreamID)
		if one != nil {
			code := codeOfReset(f.ErrCode)
			if code == codes.Canceled && time.Since(one.asked) >= l.requests.limit {
				code = codes.DeadlineExceeded // it knows the limit, too
			}
			l.end(one, nil, status.Errorf(code, "the server ended the stream: %v", f.ErrCode))
		}
		return err
	case *http2.SettingsFrame:
		return l.settings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = l.framer.WritePing(true, f.Data)
		}
		return nil
	case *http2.WindowUpdateFrame:
		return l.windowUpdate(f)
	case *http2.GoAwayFrame:
		return l.goAway(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // we said that we take none
	}
	return nil // what is not known is to be ignored, RFC 9113 §4.1
}

// stream is the call of a stream, or nil if it has ended; a server speaks of no others.
func (l *link) stream(id uint32) (*call, error) {
	if id%2 == 0 || id >= l.nextID {
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return l.live[id], nil
}

// data takes a part of an answer, and gives the window back that it took once half of that is gone.
func (l *link) data(f *http2.DataFrame) error {
	size := int64(f.Length)
	if l.recvWindow -= size; l.recvWindow < linkWindow/2 {
		_ = l.framer.WriteWindowUpdate(0, uint32(linkWindow-l.recvWindow))
		l.recvWindow = linkWindow
	}
	one, err := l.stream(f.StreamID)
	if one == nil || err != nil {
		return err
	}
	if one.recvWindow -= size; one.recvWindow < streamWindow/2 && !f.StreamEnded() {
		_ = l.framer.WriteWindowUpdate(f.StreamID, uint32(streamWindow-one.recvWindow))
		one.recvWindow = streamWindow
	}
	if err := one.answer.add(f.Data()); err != nil {
		_ = l.framer.WriteRSTStream(f.StreamID, http2.ErrCodeCancel)
		l.end(one, nil, err)
		return nil
	}
	if f.StreamEnded() {
		l.end(one, nil, status.Error(codes.Internal, "the answer ends without trailers"))
	}
	return nil
}

// headers takes a piece of a header block. It has to go through the decoder also if its stream is gone, since later ones refer to it.
func (l *link) headers(fragment []byte, last bool) error {
	if l.readBytes += len(fragment); l.readBytes > longestHeaders {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	one := l.live[l.reading]
	l.fieldsOf = one
	_, err := l.decoder.Write(fragment)
	if err == nil && last {
		err = l.decoder.Close()
	}
	if err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !last || one == nil {
		return nil
	}
	done, err := one.answer.endHeaders(l.readEnding)
	if !done {
		return nil
	}
	if !l.readEnding || len(one.unsent) > 0 {
		_ = l.framer.WriteRSTStream(one.id, http2.ErrCodeCancel)
	}
	if err != nil {
		l.end(one, nil, err)
		return nil
	}
	l.end(one, one.answer.message(), nil)
	return nil
}

// field is told of each header.
func (l *link) field(f hpack.HeaderField) {
	if l.fieldsOf != nil {
		l.fieldsOf.answer.field(f)
	}
}

func (l *link) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			l.requests.resize(s.Val)
		case http2.SettingMaxConcurrentStreams:
			l.mostLive = s.Val
		case http2.SettingMaxFrameSize:
			l.theirFrame = s.Val
		case http2.SettingMaxHeaderListSize:
			l.headerList = s.Val
		case http2.SettingInitialWindowSize:
			// RFC 9113 §6.9.2: it counts for the streams that are there as well, whose windows may become negative.
			change := int64(s.Val) - l.callWindow
			l.callWindow = int64(s.Val)
			for _, one := range l.live {
				if one.sendWindow += change; one.sendWindow > math.MaxInt32 {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.settled = true
	_ = l.framer.WriteSettingsAck()
	l.unblock()
	return nil
}

func (l *link) windowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if l.sendWindow += int64(f.Increment); l.sendWindow > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	} else {
		one, err := l.stream(f.StreamID)
		if one == nil || err != nil {
			return err
		}
		if one.sendWindow += int64(f.Increment); one.sendWindow > math.MaxInt32 {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
		}
	}
	l.unblock()
	return nil
}

// goAway ends what the server has not looked at; what it has is still answered.
func (l *link) goAway(f *http2.GoAwayFrame) error {
	l.leaving = fmt.Errorf("the server goes away: %v %s", f.ErrCode, f.DebugData())
	for id, one := range l.live {
		if id > f.LastStreamID {
			l.end(one, nil, status.Error(codes.Unavailable, l.leaving.Error()))
		}
	}
	return nil
}
