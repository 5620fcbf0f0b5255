package lean

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// actor is a server that does what a test tells it to, frame by frame.
type actor struct {
	t       *testing.T
	conn    net.Conn
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	decoder *hpack.Decoder
}

// act starts a server that plays a part on each connection, and returns its address.
func act(t *testing.T, parts ...func(*actor)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, part := range parts {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			a := &actor{t: t, conn: conn, framer: http2.NewFramer(conn, conn)}
			a.encoder, a.decoder = hpack.NewEncoder(&a.block), hpack.NewDecoder(4096, nil)
			if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
				t.Errorf("no preface: %v", err)
			}
			part(a)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return listener.Addr().String()
}

// settle says what the server allows.
func (a *actor) settle(settings ...http2.Setting) { _ = a.framer.WriteSettings(settings...) }

// next reads until a frame of one kind, or returns nil when the client has closed the connection.
func next[F http2.Frame](a *actor) (found F) {
	for {
		frame, err := a.framer.ReadFrame()
		if err != nil {
			return found
		}
		if f, ok := frame.(*http2.HeadersFrame); ok {
			if _, err := a.decoder.DecodeFull(f.HeaderBlockFragment()); err != nil {
				a.t.Errorf("headers: %v", err)
			}
		}
		if f, ok := frame.(F); ok {
			return f
		}
	}
}

// request reads until the end of a request, and returns its stream, or 0.
func (a *actor) request() uint32 {
	for {
		f := next[*http2.DataFrame](a)
		if f == nil {
			return 0
		}
		if f.StreamEnded() {
			return f.StreamID
		}
	}
}

func (a *actor) fields(pairs ...string) []byte {
	a.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = a.encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(a.block.Bytes())
}

func (a *actor) headers(stream uint32, end bool, pairs ...string) {
	_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: a.fields(pairs...), EndHeaders: true, EndStream: end})
}

var good = []string{":status", "200", "content-type", "application/grpc"}

// message is one with gRPC's prefix.
func message(text string) []byte { return append([]byte{0, 0, 0, 0, byte(len(text))}, text...) }

// answer does all as it is to be.
func (a *actor) answer(stream uint32) {
	a.headers(stream, false, good...)
	_ = a.framer.WriteData(stream, false, message("fine"))
	a.headers(stream, true, "grpc-status", "0", "grpc-message", "")
}

// serveOn answers whatever comes.
func (a *actor) serveOn() {
	for stream := a.request(); stream != 0; stream = a.request() {
		a.answer(stream)
	}
}

func three() *errand {
	return &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1), put(2), put(300)}}
}

// What a server does wrong with one answer is an error of that request; the next ones on the same connection are answered.
func TestAWrongAnswerIsAnErrorOfItsOwn(t *testing.T) {
	for name, test := range map[string]struct {
		play func(a *actor, stream uint32)
		want codes.Code
		text string
	}{
		"the stream is refused":    {func(a *actor, s uint32) { _ = a.framer.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, codes.Unavailable, "REFUSED"},
		"the stream is cancelled":  {func(a *actor, s uint32) { _ = a.framer.WriteRSTStream(s, http2.ErrCodeCancel) }, codes.Canceled, ""},
		"the client is to be calm": {func(a *actor, s uint32) { _ = a.framer.WriteRSTStream(s, http2.ErrCodeEnhanceYourCalm) }, codes.ResourceExhausted, ""},
		"the server fails":         {func(a *actor, s uint32) { _ = a.framer.WriteRSTStream(s, http2.ErrCodeInternal) }, codes.Internal, ""},
		"trailers alone": {func(a *actor, s uint32) {
			a.headers(s, true, append(good, "grpc-status", "11", "grpc-message", "a%20b%2")...)
		}, codes.OutOfRange, "a%20b%2"},
		"a status that is no number": {func(a *actor, s uint32) { a.headers(s, true, append(good, "grpc-status", "fine")...) }, codes.Internal, "fine"},
		"no status":                  {func(a *actor, s uint32) { a.headers(s, true, good...) }, codes.Internal, "no grpc-status"},
		"fine, and no message":       {func(a *actor, s uint32) { a.headers(s, true, append(good, "grpc-status", "0")...) }, codes.Internal, "not one message"},
		"what answers is not gRPC":   {func(a *actor, s uint32) { a.headers(s, true, ":status", "503", "content-type", "text/html") }, codes.Unavailable, "503"},
		"a page in place of an answer": {func(a *actor, s uint32) {
			a.headers(s, false, ":status", "404")
			_ = a.framer.WriteData(s, true, []byte("<html>"))
		}, codes.Unimplemented, "404"},
		"it is compressed, it says": {func(a *actor, s uint32) { a.headers(s, false, append(good, "grpc-encoding", "gzip")...) }, codes.Internal, "gzip"},
		"the message comes first":   {func(a *actor, s uint32) { _ = a.framer.WriteData(s, false, message("early")) }, codes.Internal, "begins with its message"},
		"no trailers": {func(a *actor, s uint32) {
			a.headers(s, false, good...)
			_ = a.framer.WriteData(s, true, message("all"))
		}, codes.Internal, "without trailers"},
		"half a message": {func(a *actor, s uint32) {
			a.headers(s, false, good...)
			_ = a.framer.WriteData(s, false, message("all")[:6])
			a.headers(s, true, "grpc-status", "0")
		}, codes.Internal, "not one message"},
		"two messages": {func(a *actor, s uint32) {
			a.headers(s, false, good...)
			_ = a.framer.WriteData(s, false, append(message("one"), message("two")...))
			a.headers(s, true, "grpc-status", "0")
		}, codes.Internal, "not one message"},
		"a compressed message": {func(a *actor, s uint32) {
			a.headers(s, false, good...)
			_ = a.framer.WriteData(s, false, append([]byte{1}, message("all")[1:]...))
			a.headers(s, true, "grpc-status", "0")
		}, codes.Internal, "compressed"},
		"headers in the middle": {func(a *actor, s uint32) {
			a.headers(s, false, good...)
			a.headers(s, false, "grpc-status", "0")
		}, codes.Internal, "in its middle"},
		"a window that grows by nothing": {func(a *actor, s uint32) {
			_ = a.framer.WriteRawFrame(http2.FrameWindowUpdate, 0, s, make([]byte, 4))
		}, codes.Internal, "broke HTTP/2"},
		"a window that grows beyond all": {func(a *actor, s uint32) { _ = a.framer.WriteWindowUpdate(s, 1<<31-1) }, codes.Internal, "broke HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			address := act(t, func(a *actor) {
				a.settle()
				test.play(a, a.request())
				a.serveOn()
			})
			e := three()
			send(t, address, patience, e)
			if s := status.Convert(e.errs[0]); s.Code() != test.want || !strings.Contains(s.Message(), test.text) {
				t.Errorf("%v, want %v and %q", e.errs[0], test.want, test.text)
			}
			if e.errs[1] != nil || e.errs[2] != nil || string(e.answers[2]) != "fine" {
				t.Errorf("and then: %v %q", e.errs, e.answers)
			}
		})
	}
}

// What breaks the connection is an error of all that was asked on it; it is opened again, and what is asked then is answered.
func TestALostConnectionIsOpenedAgain(t *testing.T) {
	for name, play := range map[string]func(a *actor){
		"it is cut":                func(*actor) {},
		"it is cut within a frame": func(a *actor) { _, _ = a.conn.Write([]byte{0, 1, 0, 0, 0, 0}) },
		"a frame without end": func(a *actor) {
			_ = a.framer.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, firstFrame+1))
			next[*http2.GoAwayFrame](a)
		},
		"not HTTP/2": func(a *actor) {
			_, _ = io.WriteString(a.conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			next[*http2.GoAwayFrame](a)
		},
		"a stream that nobody began": func(a *actor) { a.headers(99, true, good...); next[*http2.GoAwayFrame](a) },
		"a pushed stream": func(a *actor) {
			_ = a.framer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
			next[*http2.GoAwayFrame](a)
		},
		"headers that do not decode": func(a *actor) {
			_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0x7f}, EndHeaders: true})
			next[*http2.GoAwayFrame](a)
		},
		"headers without end": func(a *actor) {
			_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.fields(good...)})
			for range longestHeaders/firstFrame + 1 {
				_ = a.framer.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, firstFrame))
			}
			next[*http2.GoAwayFrame](a)
		},
		"settings that are not allowed": func(a *actor) {
			a.settle(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
			next[*http2.GoAwayFrame](a)
		},
		"a window beyond all": func(a *actor) { _ = a.framer.WriteWindowUpdate(0, 1<<31-1); next[*http2.GoAwayFrame](a) },
		"it goes away": func(a *actor) {
			_ = a.framer.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings"))
			next[*http2.GoAwayFrame](a)
		},
	} {
		t.Run(name, func(t *testing.T) {
			address := act(t, func(a *actor) {
				a.settle()
				a.request()
				play(a)
			}, func(a *actor) {
				a.settle()
				a.serveOn()
			})
			e := three()
			send(t, address, patience, e)
			if status.Code(e.errs[0]) != codes.Unavailable || e.errs[1] != nil || e.errs[2] != nil {
				t.Errorf("%v", e.errs)
			}
		})
	}
}

// Of a server that goes away, what it has taken is answered, and what it has not is an error at once; what comes later is asked on another connection.
func TestAServerThatGoesAwayInTheMiddle(t *testing.T) {
	address := act(t, func(a *actor) {
		a.settle()
		first, second := a.request(), a.request()
		_ = a.framer.WriteGoAway(first, http2.ErrCodeNo, nil)
		a.answer(first)
		if second == 0 || a.request() != 0 {
			t.Error("it was asked again after it went away")
		}
	}, func(a *actor) {
		a.settle()
		a.serveOn()
	})
	a, b := three(), three()
	send(t, address, patience, a, b)
	if a.errs[0] != nil || status.Code(b.errs[0]) != codes.Unavailable || a.errs[1] != nil || b.errs[1] != nil {
		t.Errorf("%v, %v", a.errs, b.errs)
	}
}

// What a server may do with an answer makes no difference: pieces, padding, empty frames, headers in fragments, other frames between them.
func TestHoweverAnAnswerIsCutItIsTheSame(t *testing.T) {
	pinged := make(chan struct{})
	address := act(t, func(a *actor) {
		a.settle()
		stream := a.request()
		_ = a.framer.WritePing(false, [8]byte{1, 2, 3})
		a.headers(stream, false, ":status", "103", "link", "x")
		block := a.fields(good...)
		_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:1], PadLength: 3})
		_ = a.framer.WriteContinuation(stream, false, nil)
		_ = a.framer.WriteContinuation(stream, true, block[1:])
		for _, b := range message("fine") {
			_ = a.framer.WriteDataPadded(stream, false, []byte{b}, make([]byte, 200))
			_ = a.framer.WriteData(stream, false, nil)
			_ = a.framer.WriteRawFrame(0xee, 0xff, stream, []byte("not known"))
		}
		a.headers(stream, true, "grpc-status", "0")
		if f := next[*http2.PingFrame](a); f == nil || !f.IsAck() || f.Data != [8]byte{1, 2, 3} {
			t.Errorf("%v", f)
		}
		close(pinged)
		a.serveOn()
	})
	e := three()
	send(t, address, patience, e)
	<-pinged
	for i, err := range e.errs {
		if err != nil || string(e.answers[i]) != "fine" {
			t.Errorf("%v %q", err, e.answers[i])
		}
	}
}

// Windows of the server are kept to the byte, also when it changes its mind while requests wait.
func TestNoMoreIsSentThanTheServersWindows(t *testing.T) {
	address := act(t, func(a *actor) {
		a.settle(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: firstFrame})
		_ = a.framer.WriteWindowUpdate(0, 1<<20)
		f := next[*http2.DataFrame](a)
		if len(f.Data()) != 10 || f.StreamEnded() {
			t.Errorf("%d bytes came, ended %v", len(f.Data()), f.StreamEnded())
		}
		a.settle(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4}) // now its window is at -6
		_ = a.framer.WriteWindowUpdate(f.StreamID, 7)
		if f = next[*http2.DataFrame](a); len(f.Data()) != 1 {
			t.Errorf("%d bytes came", len(f.Data()))
		}
		_ = a.framer.WriteWindowUpdate(f.StreamID, 1<<20)
		stream := f.StreamID
		for f = next[*http2.DataFrame](a); !f.StreamEnded(); f = next[*http2.DataFrame](a) {
		}
		a.settle(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		a.answer(stream)
		a.serveOn()
	})
	e := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(100_000), put(1), put(1)}}
	send(t, address, patience, e)
	for _, err := range e.errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// A server that answers before it has all of the request gets no more of it.
func TestAnEarlyErrorEndsTheRequest(t *testing.T) {
	address := act(t, func(a *actor) {
		a.settle()
		f := next[*http2.DataFrame](a)
		a.headers(f.StreamID, true, append(good, "grpc-status", "8")...)
		if r := next[*http2.RSTStreamFrame](a); r == nil || r.StreamID != 1 {
			t.Errorf("%v", r)
		}
		_ = a.framer.WriteWindowUpdate(0, 1<<20)
		a.serveOn()
	})
	e := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(200_000), put(1), put(1)}}
	send(t, address, patience, e)
	if status.Code(e.errs[0]) != codes.ResourceExhausted || e.errs[1] != nil || e.errs[2] != nil {
		t.Errorf("%v", e.errs)
	}
}

// A server that knows of no limit is given up by us, and what it answers later harms nothing: its headers change what the next ones mean.
func TestWhatTakesTooLongIsGivenUp(t *testing.T) {
	address := act(t, func(a *actor) {
		a.settle()
		late := a.request()
		if r := next[*http2.RSTStreamFrame](a); r == nil || r.StreamID != late || r.ErrCode != http2.ErrCodeCancel {
			t.Errorf("%v", r)
		}
		a.headers(late, false, append(good, "x-first", "one", "x-second", "two")...)
		_ = a.framer.WriteData(late, false, message("late"))
		a.headers(late, true, "grpc-status", "0")
		a.serveOn()
	})
	e := three()
	send(t, address, 50*time.Millisecond, e)
	if status.Code(e.errs[0]) != codes.DeadlineExceeded || e.took[0] < 50*time.Millisecond || e.errs[1] != nil || string(e.answers[2]) != "fine" {
		t.Errorf("%v %q after %v", e.errs, e.answers, e.took)
	}
}

// A server that does not read what it is asked does not hold the client for good.
func TestAServerThatTakesNothingIsGivenUp(t *testing.T) {
	given := make(chan struct{})
	address := act(t, func(a *actor) {
		a.settle(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		_ = a.framer.WriteWindowUpdate(0, 1<<30)
		<-given
	})
	e := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(64 << 20)}}
	send(t, address, 200*time.Millisecond, e)
	close(given)
	if code := status.Code(e.errs[0]); code != codes.Unavailable && code != codes.DeadlineExceeded {
		t.Errorf("%v", e.errs)
	}
}

// Who does not speak HTTP/2 is no server.
func TestAServerThatSaysNothingRightIsNotOpened(t *testing.T) {
	for name, play := range map[string]func(a *actor){
		"it says nothing":        func(a *actor) { next[*http2.GoAwayFrame](a) },
		"it begins with another": func(a *actor) { _ = a.framer.WritePing(false, [8]byte{}) },
		"it hangs up":            func(*actor) {},
		"its settings are wrong": func(a *actor) { a.settle(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := Dial(act(t, play), 100*time.Millisecond); err == nil {
				t.Errorf("%v", c)
			}
		})
	}
}

// Whatever a server writes, the client neither panics nor goes on forever.
func FuzzWhatAServerWrites(f *testing.F) {
	var settings, whole bytes.Buffer
	_ = http2.NewFramer(&settings, nil).WriteSettings()
	a := &actor{framer: http2.NewFramer(&whole, nil)}
	a.encoder = hpack.NewEncoder(&a.block)
	a.answer(1)
	f.Add(whole.Bytes())
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add(slices.Concat(whole.Bytes()[:20], settings.Bytes()))
	f.Fuzz(func(t *testing.T, written []byte) {
		client, server := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, server) }() // until the pipe is closed
		go func() {
			_, _ = server.Write(slices.Concat(settings.Bytes(), written))
			server.Close()
		}()
		answered := 0
		l := newLink(client, "fuzz", patience, func(_ *call, _ []byte, _ error) { answered++ })
		defer l.close(errors.New("the end"))
		if err := l.greet(time.Now().Add(patience)); err != nil {
			return
		}
		e := three()
		for range 3 {
			if l.hasRoom() {
				l.ask(&call{client: e, asked: time.Now()})
			}
		}
		for err := error(nil); err == nil; err = l.receive(time.Now().Add(patience)) {
			l.out.bytes = l.out.bytes[:0] // nobody reads it
		}
		if answered+len(l.live) > 3 {
			t.Errorf("%d answers, and %d live", answered, len(l.live))
		}
	})
}
