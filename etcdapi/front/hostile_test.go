package front

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/balsa-raft/balsa/internal/handover"
)

// actor is a client that does what a test tells it to, frame by frame.
type actor struct {
	t       testing.TB
	conn    net.Conn
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	decoder *hpack.Decoder
}

func act(t testing.TB, h *house) *actor {
	t.Helper()
	conn, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	a := &actor{t: t, conn: conn, framer: http2.NewFramer(conn, conn), decoder: hpack.NewDecoder(tableSize, nil)}
	a.framer.AllowIllegalWrites = true
	a.encoder = hpack.NewEncoder(&a.block)
	return a
}

// greet opens the connection as it is to be.
func (a *actor) greet(settings ...http2.Setting) {
	_, _ = io.WriteString(a.conn, http2.ClientPreface)
	_ = a.framer.WriteSettings(settings...)
}

var wellFormed = []string{":method", "POST", ":scheme", "http", ":path", "/front.Test/Echo", ":authority", "x", "content-type", "application/grpc", "te", "trailers"}

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

// echo is a request for an echo: a message with gRPC's prefix.
func echo(text string) []byte {
	message := append([]byte{10, byte(len(text))}, text...)
	return append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
}

func (a *actor) ask(stream uint32, text string) {
	a.headers(stream, false, wellFormed...)
	_ = a.framer.WriteData(stream, true, echo(text))
}

// hear reads until the end of a stream, or of the connection, and says how it came: the status of gRPC, the code of a reset, or that of the server's leave.
func (a *actor) hear(stream uint32) (outcome string, message []byte) {
	code := ""
	for {
		frame, err := a.framer.ReadFrame()
		if err != nil {
			return "gone" + code, message
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			fields, err := a.decoder.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				a.t.Errorf("headers: %v", err)
			}
			if f.StreamID == stream && f.StreamEnded() {
				for _, field := range fields {
					if field.Name == "grpc-status" {
						return "status " + field.Value, message
					}
				}
				return "no status", message
			}
		case *http2.DataFrame:
			if f.StreamID == stream {
				message = append(message, f.Data()...)
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return "reset " + f.ErrCode.String(), message
			}
		case *http2.GoAwayFrame:
			code = " " + f.ErrCode.String()
		}
	}
}

// TestHostileClients: what a client does wrong costs it the stream or the connection, and the next client nothing.
func TestHostileClients(t *testing.T) {
	h := open(t, listen(t))
	for _, test := range []struct {
		what string
		do   func(a *actor)
		want string
	}{
		{"well behaved", func(a *actor) { a.greet(); a.ask(1, "x") }, "status 0"},
		{"no settings first", func(a *actor) { _, _ = io.WriteString(a.conn, http2.ClientPreface); a.ask(1, "x") }, "gone PROTOCOL_ERROR"},
		{"no preface", func(a *actor) { _, _ = io.WriteString(a.conn, strings.Repeat("PRI x", 10)) }, "gone"},
		{"a frame that is too long", func(a *actor) {
			a.greet()
			a.headers(1, false, wellFormed...)
			_ = a.framer.WriteData(1, true, make([]byte, 20_000))
		}, "gone FRAME_SIZE_ERROR"},
		{"an even stream", func(a *actor) { a.greet(); a.ask(2, "x") }, "gone PROTOCOL_ERROR"},
		{"a stream again", func(a *actor) { a.greet(); a.headers(1, false, wellFormed...); a.ask(1, "x") }, "gone PROTOCOL_ERROR"},
		{"an older stream", func(a *actor) { a.greet(); a.ask(3, "x"); a.headers(1, false, wellFormed...) }, "gone PROTOCOL_ERROR"},
		{"data of a stream that is not open", func(a *actor) { a.greet(); _ = a.framer.WriteData(1, true, echo("x")) }, "gone PROTOCOL_ERROR"},
		{"data after the end", func(a *actor) {
			a.greet()
			a.headers(1, false, append(wellFormed[:4:4], ":path", "/front.Test/Wait", ":authority", "x", "content-type", "application/grpc")...)
			_ = a.framer.WriteData(1, true, echo("x"))
			_ = a.framer.WriteData(1, true, echo("x"))
		}, "gone STREAM_CLOSED"},
		{"garbage in headers", func(a *actor) {
			a.greet()
			_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "gone COMPRESSION_ERROR"},
		{"a ping among headers", func(a *actor) {
			a.greet()
			_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.fields(wellFormed...)})
			_ = a.framer.WritePing(false, [8]byte{})
		}, "gone PROTOCOL_ERROR"},
		{"headers in pieces", func(a *actor) {
			a.greet()
			block := a.fields(wellFormed...)
			_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:5]})
			_ = a.framer.WriteContinuation(1, false, block[5:9])
			_ = a.framer.WriteContinuation(1, true, block[9:])
			_ = a.framer.WriteDataPadded(1, true, echo("x"), make([]byte, 7))
		}, "status 0"},
		{"endless headers", func(a *actor) {
			a.greet()
			_ = a.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0}})
			for range 2 * maxHeaders / firstFrame {
				if a.framer.WriteContinuation(1, false, make([]byte, firstFrame)) != nil {
					break
				}
			}
		}, "gone ENHANCE_YOUR_CALM"},
		{"headers that unpack to too much", func(a *actor) {
			a.greet()
			a.headers(1, false, append(wellFormed[:len(wellFormed):len(wellFormed)], "big", strings.Repeat("x", 3000))...)
			pairs := wellFormed[:len(wellFormed):len(wellFormed)]
			for range 1000 {
				pairs = append(pairs, "big", strings.Repeat("x", 3000))
			}
			a.headers(3, false, pairs...)
			_ = a.framer.WriteRSTStream(3, http2.ErrCodeCancel)
			_ = a.framer.WriteData(1, true, echo("x"))
		}, "status 0"},
		{"no message", func(a *actor) { a.greet(); a.headers(1, false, wellFormed...); _ = a.framer.WriteData(1, true, nil) }, "status 13"},
		{"half a message", func(a *actor) {
			a.greet()
			a.headers(1, false, wellFormed...)
			_ = a.framer.WriteData(1, true, echo("x")[:6])
		}, "status 13"},
		{"more than a message", func(a *actor) {
			a.greet()
			a.headers(1, false, wellFormed...)
			_ = a.framer.WriteData(1, false, append(echo("x"), 1))
		}, "status 13"},
		{"a compressed message without a word", func(a *actor) {
			a.greet()
			a.headers(1, false, wellFormed...)
			_ = a.framer.WriteData(1, true, append([]byte{1}, echo("x")[1:]...))
		}, "status 13"},
		{"a message of 4 GB", func(a *actor) {
			a.greet()
			a.headers(1, false, wellFormed...)
			_ = a.framer.WriteData(1, false, []byte{0, 255, 255, 255, 255})
		}, "status 8"},
		{"settings that cannot be", func(a *actor) { a.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}) }, "gone FLOW_CONTROL_ERROR"},
		{"a window beyond all", func(a *actor) { a.greet(); _ = a.framer.WriteWindowUpdate(0, maxWindow) }, "gone FLOW_CONTROL_ERROR"},
		{"a window of nothing", func(a *actor) { a.greet(); _ = a.framer.WriteWindowUpdate(0, 0) }, "gone PROTOCOL_ERROR"},
		{"a stream's window beyond all", func(a *actor) {
			a.greet()
			a.headers(1, false, wellFormed...)
			_ = a.framer.WriteWindowUpdate(1, maxWindow)
		}, "reset FLOW_CONTROL_ERROR"},
		{"too many pings", func(a *actor) {
			a.greet()
			for range 10 {
				_ = a.framer.WritePing(false, [8]byte{})
			}
		}, "gone ENHANCE_YOUR_CALM"},
		{"a push", func(a *actor) {
			a.greet()
			_ = a.framer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		}, "gone PROTOCOL_ERROR"},
		{"frames that nobody knows", func(a *actor) {
			a.greet()
			_ = a.framer.WriteRawFrame(0xee, 0xff, 77, []byte("what?"))
			_ = a.framer.WritePriority(9, http2.PriorityParam{StreamDep: 3})
			a.ask(1, "x")
		}, "status 0"},
		{"another method than POST", func(a *actor) {
			a.greet()
			a.headers(1, true, ":method", "GET", ":scheme", "http", ":path", "/front.Test/Echo", ":authority", "x", "content-type", "application/grpc")
		}, "status 13"}, // from behind
	} {
		a := act(t, h)
		test.do(a)
		if got, _ := a.hear(1); got != test.want {
			t.Errorf("%s: %s, want %s", test.what, got, test.want)
		}
	}
	good := act(t, h)
	good.greet()
	good.ask(1, "still there?")
	if got, message := good.hear(1); got != "status 0" || !bytes.Equal(message, echo("still there?")) {
		t.Errorf("after all of them: %s, %q", got, message)
	}
}

// TestTheTableOfHeadersBecomesSmaller: HPACK's table is shared by what the front and the server behind answer, and follows the client's setting.
func TestTheTableOfHeadersBecomesSmaller(t *testing.T) {
	a := act(t, open(t, listen(t)))
	a.greet()
	stream := uint32(1)
	for _, size := range []uint32{4096, 0, 50, 4096, 100_000} {
		_ = a.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
		a.decoder.SetAllowedMaxDynamicTableSize(size)
		for range 3 {
			a.ask(stream, "x")
			if got, _ := a.hear(stream); got != "status 0" {
				t.Fatalf("with %d: %s", size, got)
			}
			a.headers(stream+2, true, append(wellFormed[:4:4], ":path", "/front.Test/Other", ":authority", "x", "content-type", "application/grpc")...)
			if got, _ := a.hear(stream + 2); got != "status 0" {
				t.Fatalf("with %d from behind: %s", size, got)
			}
			stream += 4
		}
	}
}

// TestWhoDoesNotReadIsNotListenedTo: what a client asks for and does not take is bounded.
func TestWhoDoesNotReadIsNotListenedTo(t *testing.T) {
	l := handover.New(&net.TCPAddr{}, 0)
	h := open(t, l)
	ours, theirs := net.Pipe() // where nothing is taken that is not read
	if !l.Offer(theirs) {
		t.Fatal("nobody takes the connection")
	}
	written := make(chan int)
	go func() {
		_, _ = io.WriteString(ours, http2.ClientPreface)
		n := 0
		for framer := http2.NewFramer(ours, nil); framer.WriteSettings() == nil; n++ { // each is acknowledged
		}
		written <- n
	}()
	unwritten := func() int {
		h.front.mu.Lock()
		defer h.front.mu.Unlock()
		for c := range h.front.conns {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.out)
		}
		return 0
	}
	for unwritten() <= maxUnwritten {
		runtime.Gosched()
	}
	ours.Close()
	// As much may be in the write that is under way, and in the buffer for reading.
	if n := <-written; n*frameHeader > 2*maxUnwritten+2*readBuffer {
		t.Errorf("%d settings were taken", n)
	}
}

// FuzzFrames feeds a connection with what follows the preface.
func FuzzFrames(f *testing.F) {
	record := func(do func(a *actor)) []byte {
		var b bytes.Buffer
		a := &actor{framer: http2.NewFramer(&b, nil)}
		a.encoder = hpack.NewEncoder(&a.block)
		_ = a.framer.WriteSettings()
		do(a)
		return b.Bytes()
	}
	f.Add(record(func(a *actor) { a.ask(1, "x"); a.ask(3, "y") }))
	f.Add(record(func(a *actor) {
		a.headers(1, true, ":method", "GET", ":path", "/other", ":authority", "x", "content-type", "application/grpc")
		_ = a.framer.WriteWindowUpdate(1, 10)
		_ = a.framer.WriteRSTStream(1, http2.ErrCodeCancel)
	}))
	f.Add(record(func(a *actor) {
		a.headers(1, false, wellFormed...)
		_ = a.framer.WriteDataPadded(1, false, echo("x")[:3], []byte{0, 0})
		_ = a.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 10})
		_ = a.framer.WriteDataPadded(1, true, echo("x")[3:], nil)
		_ = a.framer.WritePing(false, [8]byte{1})
	}))
	f.Fuzz(func(t *testing.T, frames []byte) {
		l := handover.New(&net.TCPAddr{}, 0)
		open(t, l)
		ours, theirs := net.Pipe()
		if !l.Offer(theirs) {
			t.Fatal("nobody takes the connection")
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(io.Discard, ours)
		}()
		_, _ = io.WriteString(ours, http2.ClientPreface)
		_, _ = ours.Write(frames)
		ours.Close()
		<-read
	})
}
