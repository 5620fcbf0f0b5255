package front

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/balsa-raft/balsa/internal/handover"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const longest = 2 << 20

// house is a server with a front, whose methods say who answers them.
type house struct {
	front   *Server
	grpc    *grpc.Server
	address string
	entered chan context.Context // of requests that wait
	later   chan later           // what was begun
}

// later is a request whose answer the test knows.
type later struct {
	Request
	message, b []byte
	gaveUp     chan error
}

// echo answers with what was asked, or with the error.
func (l later) echo(err error) {
	if err != nil {
		l.Answer(nil, status.FromContextError(err).Err())
		return
	}
	l.Answer(append(l.b, l.message...), nil)
}

// begin is a Quick that leaves it to the test to answer, answers at once, or leaves it to the method, which says that it was asked.
func (h *house) begin(r Request, message, b []byte) (func(error), bool) {
	m := &wrapperspb.BytesValue{}
	if err := proto.Unmarshal(message, m); err != nil {
		panic(err)
	}
	one := later{r, bytes.Clone(message), b, make(chan error, 1)}
	switch string(m.Value) {
	case "now":
		one.echo(nil)
		return nil, true
	case "not":
		return nil, false
	}
	h.later <- one
	return func(cause error) { one.gaveUp <- cause }, true
}

// open starts a house on a listener.
func open(t testing.TB, l net.Listener) *house { return openWith(t, l, time.Hour) }

// openWith is open with that much patience.
func openWith(t testing.TB, l net.Listener, patience time.Duration) *house {
	h := &house{entered: make(chan context.Context, 100), later: make(chan later, 100), address: l.Addr().String()}
	method := func(name string, serve func(context.Context, []byte) (proto.Message, error)) (string, Method) {
		return "/front.Test/" + name, func(ctx context.Context, message, b []byte) ([]byte, error) {
			m := &wrapperspb.BytesValue{}
			if err := proto.Unmarshal(message, m); err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			answer, err := serve(ctx, m.Value)
			if err != nil {
				return nil, err
			}
			return proto.MarshalOptions{}.MarshalAppend(b, answer)
		}
	}
	methods := map[string]Method{}
	add := func(name string, m Method) { methods[name] = m }
	add(method("Echo", func(_ context.Context, b []byte) (proto.Message, error) { return wrapperspb.Bytes(b), nil }))
	add(method("Large", func(_ context.Context, b []byte) (proto.Message, error) {
		return wrapperspb.Bytes(bytes.Repeat(b, 1<<20)), nil
	}))
	add(method("Fail", func(_ context.Context, b []byte) (proto.Message, error) {
		return nil, status.Error(codes.DataLoss, string(b))
	}))
	add(method("Name", func(ctx context.Context, _ []byte) (proto.Message, error) {
		return wrapperspb.Bytes([]byte(strings.Join(metadata.ValueFromIncomingContext(ctx, "name"), ","))), nil
	}))
	add(method("Wait", func(ctx context.Context, _ []byte) (proto.Message, error) {
		h.entered <- ctx
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}))
	add(method("Later", func(context.Context, []byte) (proto.Message, error) {
		return wrapperspb.Bytes([]byte("the method")), nil
	}))
	h.front = NewServer(Options{
		Methods: methods, Quick: map[string]Quick{"/front.Test/Later": h.begin},
		Metadata: []string{"name"}, MaxMessageBytes: longest, Patience: patience, MinPingInterval: time.Hour,
	})
	// The server behind sends back what it gets, or "behind" for a method that the front should have answered, and as much as is asked for by "/front.Test/Flood".
	h.grpc = grpc.NewServer(grpc.InitialWindowSize(StreamWindow), grpc.InitialConnWindowSize(ConnectionWindow), grpc.MaxRecvMsgSize(longest),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			name, _ := grpc.MethodFromServerStream(s)
			for m := new(wrapperspb.BytesValue); ; {
				switch err := s.RecvMsg(m); {
				case errors.Is(err, io.EOF):
					return nil
				case err != nil:
					return err
				case name == "/front.Test/Flood":
					for range 64 {
						if err := s.SendMsg(wrapperspb.Bytes(bytes.Repeat(m.Value, 100<<10))); err != nil {
							return err
						}
					}
				case name != "/front.Test/Stream":
					m.Value = []byte("behind")
					fallthrough
				default:
					if err := s.SendMsg(m); err != nil {
						return err
					}
				}
			}
		}))
	behind := handover.New(&net.TCPAddr{}, 0)
	var running sync.WaitGroup
	running.Go(func() { _ = h.front.Serve(l, behind.Offer) })
	running.Go(func() { _ = h.grpc.Serve(behind) })
	t.Cleanup(func() {
		h.front.Close()
		h.grpc.Stop()
		behind.Close()
		running.Wait()
	})
	return h
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t testing.TB, h *house, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(h.address, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func ask(ctx context.Context, c *grpc.ClientConn, method string, request []byte, options ...grpc.CallOption) ([]byte, error) {
	answer := &wrapperspb.BytesValue{}
	err := c.Invoke(ctx, "/front.Test/"+method, wrapperspb.Bytes(request), answer, options...)
	return answer.Value, err
}

func TestManyRequestsOfAllSizesAtTheSameTime(t *testing.T) {
	c := dial(t, open(t, listen(t)))
	var clients sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			for n := range 20 {
				size := []int{0, 1, 300, 16384, 40_000}[(i+n)%5]
				method := []string{"Echo", "Echo", "Stream"}[(i+n)%3] // the last is the server's behind
				request := bytes.Repeat([]byte{byte(i), byte(n)}, size)
				answer, err := ask(t.Context(), c, method, request)
				if err != nil || !bytes.Equal(answer, request) {
					t.Errorf("%s of %d bytes: %d bytes, %v", method, size, len(answer), err)
				}
			}
		})
	}
	clients.Wait()
}

// TestAnswersWaitForTheirClients: an answer is larger than all that a client takes at a time, of the front and of the server behind, while others are asked for.
func TestAnswersWaitForTheirClients(t *testing.T) {
	h := open(t, listen(t))
	c := dial(t, h, grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	var clients sync.WaitGroup
	clients.Go(func() {
		stream, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/front.Test/Flood")
		if err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(stream.SendMsg(wrapperspb.Bytes([]byte("x"))), stream.CloseSend()); err != nil {
			t.Error(err)
		}
		for n := 0; ; n++ {
			m := &wrapperspb.BytesValue{}
			if err := stream.RecvMsg(m); err != nil || len(m.Value) != 100<<10 {
				if n != 64 || !errors.Is(err, io.EOF) {
					t.Errorf("message %d has %d bytes: %v", n, len(m.Value), err)
				}
				return
			}
		}
	})
	for range 4 {
		clients.Go(func() {
			for range 3 {
				if answer, err := ask(t.Context(), c, "Large", []byte("abcd")); err != nil || len(answer) != 4<<20 {
					t.Errorf("%d bytes, %v", len(answer), err)
				}
			}
		})
	}
	clients.Wait()
}

func TestAStreamGoesThroughInBothDirections(t *testing.T) {
	c := dial(t, open(t, listen(t)))
	stream, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/front.Test/Stream")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		want := bytes.Repeat([]byte{byte(n)}, n*1000)
		m := &wrapperspb.BytesValue{}
		if err := errors.Join(stream.SendMsg(wrapperspb.Bytes(want)), stream.RecvMsg(m)); err != nil || !bytes.Equal(m.Value, want) {
			t.Fatalf("message %d: %d bytes, %v", n, len(m.Value), err)
		}
		if _, err := ask(t.Context(), c, "Echo", want); err != nil { // beside it
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&emptypb.Empty{}); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestWhatIsUnusualIsAnsweredBehind(t *testing.T) {
	c := dial(t, open(t, listen(t)))
	if answer, err := ask(t.Context(), c, "Echo", []byte("plain")); err != nil || string(answer) != "plain" {
		t.Errorf("plain: %q, %v", answer, err)
	}
	if answer, err := ask(t.Context(), c, "Echo", []byte("small"), grpc.UseCompressor(gzip.Name)); err != nil || string(answer) != "behind" {
		t.Errorf("compressed: %q, %v", answer, err)
	}
	if answer, err := ask(t.Context(), c, "Nobody's", nil); err != nil || string(answer) != "behind" {
		t.Errorf("another method: %q, %v", answer, err)
	}
}

func TestErrorsReachTheClient(t *testing.T) {
	c := dial(t, open(t, listen(t)))
	for _, text := range []string{"", "plain", "100% naïve\nand 漢字"} {
		if _, err := ask(t.Context(), c, "Fail", []byte(text)); status.Code(err) != codes.DataLoss || status.Convert(err).Message() != text {
			t.Errorf("%q became %v", text, err)
		}
	}
	_, err := ask(t.Context(), c, "Echo", make([]byte, longest+1))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a request that is too large: %v", err)
	}
	if answer, err := ask(t.Context(), c, "Echo", []byte("afterwards")); err != nil || string(answer) != "afterwards" {
		t.Errorf("afterwards: %q, %v", answer, err)
	}
}

func TestMetadataThatIsLookedForIsFound(t *testing.T) {
	c := dial(t, open(t, listen(t)))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "name", "a", "other", "b", "name", "c")
	if answer, err := ask(ctx, c, "Name", nil); err != nil || string(answer) != "a,c" {
		t.Errorf("got %q, %v", answer, err)
	}
}

// TestWhoGivesUpIsNotServedOn: the method's context ends when the client gives up, when its time is over, and when its connection is.
func TestWhoGivesUpIsNotServedOn(t *testing.T) {
	h := open(t, listen(t))
	c := dial(t, h)
	wait := func(ctx context.Context) <-chan error {
		answered := make(chan error, 1)
		go func() {
			_, err := ask(ctx, c, "Wait", nil)
			answered <- err
		}()
		return answered
	}
	ctx, cancel := context.WithCancel(t.Context())
	answered := wait(ctx)
	inside := <-h.entered
	cancel()
	<-inside.Done()
	if err := <-answered; status.Code(err) != codes.Canceled || inside.Err() != context.Canceled {
		t.Errorf("cancelled: %v, and inside %v", err, inside.Err())
	}

	inside = nil
	for inside == nil { // It may be too late before it has come in.
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		answered = wait(ctx)
		select {
		case inside = <-h.entered:
		case err := <-answered:
			if status.Code(err) != codes.DeadlineExceeded {
				t.Fatalf("too late before it has come in: %v", err)
			}
		}
	}
	if deadline, ok := inside.Deadline(); !ok || time.Until(deadline) > 50*time.Millisecond {
		t.Errorf("the deadline inside is %v", deadline)
	}
	<-inside.Done()
	if err := <-answered; status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("too late: %v", err)
	}

	answered = wait(t.Context())
	inside = <-h.entered
	c.Close()
	<-inside.Done()
	if err := <-answered; status.Code(err) != codes.Canceled {
		t.Errorf("closed: %v", err)
	}
}

// TestLeavingLetsAllEnd: requests and streams that have begun end well; new ones find no one.
func TestLeavingLetsAllEnd(t *testing.T) {
	l := listen(t)
	h := open(t, l)
	c := dial(t, h)
	stream, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/front.Test/Stream")
	if err != nil {
		t.Fatal(err)
	}
	m := &wrapperspb.BytesValue{}
	if err := errors.Join(stream.SendMsg(m), stream.RecvMsg(m)); err != nil {
		t.Fatal(err)
	}
	idle := dial(t, h)
	if _, err := ask(t.Context(), idle, "Echo", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := ask(ctx, c, "Wait", nil)
		answered <- err
	}()
	<-h.entered
	h.front.Drain()
	stopped := make(chan struct{})
	go func() {
		h.grpc.GracefulStop()
		h.front.Wait()
		close(stopped)
	}()
	if _, err := ask(t.Context(), idle, "Echo", nil); status.Code(err) != codes.Unavailable {
		t.Errorf("a new request: %v", err)
	}
	if err := errors.Join(stream.SendMsg(m), stream.RecvMsg(m), stream.CloseSend()); err != nil {
		t.Errorf("the stream: %v", err)
	}
	if err := stream.RecvMsg(m); !errors.Is(err, io.EOF) {
		t.Errorf("the stream's end: %v", err)
	}
	select {
	case <-stopped:
		t.Error("it did not wait for a request")
	default:
	}
	cancel()
	<-answered
	<-stopped
}

func TestTimeouts(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond, "5u": 5 * time.Microsecond, "99999999n": 99999999,
		"99999999H": math.MaxInt64 / time.Hour * time.Hour,
	} {
		if got, err := parseTimeout(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "S", "1", "1s", "-1S", "123456789S", "1.5S"} {
		if got, err := parseTimeout(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func BenchmarkRequests(b *testing.B) {
	for _, method := range []string{"Echo", "Stream"} {
		b.Run(fmt.Sprintf("method=%s", method), func(b *testing.B) {
			c := dial(b, open(b, listen(b)))
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := ask(b.Context(), c, method, make([]byte, 256)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
