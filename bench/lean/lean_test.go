package lean

import (
	"bytes"
	"context"
	"math"
	"net"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// patience is how long a request may take where that is not what is tested.
const patience = time.Minute

// errand is a client with requests that are to be made one after the other, and what came of them.
type errand struct {
	method   string
	requests [][]byte
	done     *countdown
	answers  [][]byte
	errs     []error
	took     []time.Duration
	asked    int
}

func (e *errand) Ask(message []byte) (string, []byte) {
	r := e.requests[min(e.asked, len(e.requests)-1)]
	e.asked++
	return e.method, append(message, r...)
}

func (e *errand) Answer(message []byte, took time.Duration, err error) error {
	if len(e.answers) == len(e.requests) {
		return err
	}
	e.answers, e.errs, e.took = append(e.answers, bytes.Clone(message)), append(e.errs, err), append(e.took, took)
	if len(e.answers) == len(e.requests) {
		e.done.left--
	}
	return err
}

// countdown is a closed loop that ends when every errand is done.
type countdown struct{ left int }

func (c *countdown) Due(now time.Time) time.Time { return now }
func (c *countdown) Ended() bool                 { return c.left == 0 }

// send drives the errands on one connection.
func send(t *testing.T, address string, limit time.Duration, errands ...*errand) {
	t.Helper()
	c, err := Dial(address, limit)
	if err != nil {
		t.Fatal(err)
	}
	done := &countdown{left: len(errands)}
	clients := make([]Client, len(errands))
	for i, e := range errands {
		e.done, clients[i] = done, e
	}
	c.Drive(done, clients)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func put(size int) []byte {
	return encoded(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, size)})
}

func encoded(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // it is ours
	}
	return b
}

// mirror answers with what it was asked: a range with so many bytes as its limit says, a put with the status that its lease says.
type mirror struct {
	pb.UnimplementedKVServer
}

func (mirror) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if r.Lease != 0 {
		return nil, status.Error(codes.Code(r.Lease), string(r.Key))
	}
	return &pb.PutResponse{Header: &pb.ResponseHeader{Revision: int64(len(r.Value)), MemberId: 7}}, nil
}

func (mirror) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: uint64(r.Limit)}, Kvs: nil, Count: int64(len(bytes.Repeat(r.Key, 2)))}, nil
}

func (mirror) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	return &pb.CompactionResponse{}, nil
}

func (mirror) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	response := &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 9}, Succeeded: true}
	for _, op := range r.Success {
		if size := op.GetRequestRange().GetLimit(); size > 0 {
			response.Responses = append(response.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{
				Header: &pb.ResponseHeader{Revision: size},
			}}})
		}
	}
	return response, nil
}

// serve starts grpc-go's server.
func serve(t *testing.T, service pb.KVServer, options ...grpc.ServerOption) (string, *grpc.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(append(options, grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxRecvMsgSize(math.MaxInt32))...)
	pb.RegisterKVServer(s, service)
	go func() { _ = s.Serve(listener) }() // it ends with Stop
	t.Cleanup(s.Stop)
	return listener.Addr().String(), s
}

// Whatever is asked, both clients are answered the same.
func TestItIsAnsweredAsGRPCGoIs(t *testing.T) {
	address, _ := serve(t, mirror{})
	requests := map[string][]proto.Message{
		pb.KV_Put_FullMethodName: {
			&pb.PutRequest{}, &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 300)}, &pb.PutRequest{Value: make([]byte, 1<<20)},
			&pb.PutRequest{Lease: 5, Key: []byte("etcdserver: not found")}, &pb.PutRequest{Lease: 14, Key: []byte("100% größer\n")}, &pb.PutRequest{Lease: 3},
			&pb.PutRequest{Lease: 8, Key: []byte("%zz")}, &pb.PutRequest{Lease: 99, Key: []byte("no such code")},
		},
		pb.KV_Range_FullMethodName:       {&pb.RangeRequest{Key: []byte("one"), Limit: 3}, &pb.RangeRequest{Key: make([]byte, 100_000)}},
		pb.KV_Txn_FullMethodName:         {&pb.TxnRequest{}, &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Limit: 4}}}}}},
		pb.KV_Compact_FullMethodName:     {&pb.CompactionRequest{}},
		pb.KV_DeleteRange_FullMethodName: {&pb.DeleteRangeRequest{}},
		"/etcdserverpb.KV/Nothing":       {&pb.PutRequest{}},
		"/no/Service":                    {&pb.PutRequest{}},
	}
	var errands []*errand
	for method, each := range requests {
		e := &errand{method: method}
		for _, r := range each {
			e.requests = append(e.requests, encoded(r), encoded(r)) // the second time the headers are but references
		}
		errands = append(errands, e)
	}
	send(t, address, patience, errands...)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, e := range errands {
		for i := range e.requests {
			var want raw
			wantErr := conn.Invoke(t.Context(), e.method, raw(e.requests[i]), &want, grpc.ForceCodec(rawCodec{}))
			if status.Code(e.errs[i]) != status.Code(wantErr) || status.Convert(e.errs[i]).Message() != status.Convert(wantErr).Message() {
				t.Errorf("%s, request %d: %v, and grpc-go %v", e.method, i, e.errs[i], wantErr)
			}
			if wantErr == nil && !bytes.Equal(e.answers[i], want) {
				t.Errorf("%s, request %d: %x, and grpc-go %x", e.method, i, e.answers[i], want)
			}
		}
	}
}

// raw is a message as it is on the wire.
type raw []byte

type rawCodec struct{}

func (rawCodec) Name() string                       { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error)      { return v.(raw), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*raw) = bytes.Clone(data); return nil }

// large answers ranges with a message of so many bytes as the limit says.
type large struct{ pb.UnimplementedKVServer }

func (large) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	op := &pb.RangeResponse{Header: &pb.ResponseHeader{}, Count: r.Limit}
	op.ProtoReflect().SetUnknown(append([]byte{0xfa, 0x07}, appendLong(nil, int(r.Limit))...)) // a field that nobody knows
	return op, nil
}

func (large) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{}, nil
}

func appendLong(b []byte, size int) []byte {
	n := uint64(size)
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(append(b, byte(n)), bytes.Repeat([]byte{0x5a}, size)...)
}

// Answers that are larger than both windows come whole, several at once and between small ones, and so do requests that are larger than the server's windows.
func TestMessagesLargerThanTheWindowsComeWhole(t *testing.T) {
	address, _ := serve(t, large{})
	errands := []*errand{{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1), put(3 << 20), put(1), put(1 << 20)}}}
	sizes := []int{1, linkWindow + 100_000, streamWindow * 2, 16384, 16385, 65535, 0}
	for range 3 {
		e := &errand{method: pb.KV_Range_FullMethodName}
		for _, size := range sizes {
			e.requests = append(e.requests, encoded(&pb.RangeRequest{Limit: int64(size)}))
		}
		errands = append(errands, e)
	}
	send(t, address, patience, errands...)
	for i, e := range errands {
		for j, err := range e.errs {
			if err != nil {
				t.Fatalf("errand %d, request %d: %v", i, j, err)
			}
			if i == 0 {
				continue
			}
			r := &pb.RangeResponse{}
			if err := proto.Unmarshal(e.answers[j], r); err != nil || r.Count != int64(sizes[j]) || len(r.ProtoReflect().GetUnknown()) < sizes[j] {
				t.Errorf("errand %d, %d bytes: %d bytes came, %v", i, sizes[j], len(e.answers[j]), err)
			}
		}
	}
}

// A server that lets few streams live at the same time is not asked for more, and refuses none.
func TestTheServersLimitOfStreamsIsKept(t *testing.T) {
	address, _ := serve(t, mirror{}, grpc.MaxConcurrentStreams(2), grpc.NumStreamWorkers(2))
	var errands []*errand
	for range 9 {
		errands = append(errands, &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1), put(2), put(3)}})
	}
	send(t, address, patience, errands...)
	for i, e := range errands {
		for j, err := range e.errs {
			if err != nil {
				t.Errorf("errand %d, request %d: %v", i, j, err)
			}
		}
	}
}

// The server's settings may forbid what requests need: that is an error of each request.
func TestHeadersThatTheServerDoesNotTakeAreAnError(t *testing.T) {
	address, _ := serve(t, mirror{}, grpc.MaxHeaderListSize(100))
	e := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1), put(1)}}
	send(t, address, patience, e)
	for _, err := range e.errs {
		if status.Code(err) != codes.Internal {
			t.Errorf("%v", err)
		}
	}
}

// A decoder that remembers nothing gets all headers every time.
func TestAServerWithoutAHeaderTableUnderstands(t *testing.T) {
	for _, size := range []uint32{0, 60, 4096} {
		address, _ := serve(t, mirror{}, grpc.HeaderTableSize(size))
		a := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1), put(2), put(3), put(4)}}
		b := &errand{method: pb.KV_Txn_FullMethodName, requests: [][]byte{nil, nil, nil, nil}}
		send(t, address, patience, a, b)
		for i, err := range append(a.errs, b.errs...) {
			if err != nil {
				t.Errorf("table of %d bytes, request %d: %v", size, i, err)
			}
		}
	}
}

// slow answers when it is let.
type slow struct {
	mirror
	came, let chan struct{}
}

func (s *slow) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	s.came <- struct{}{}
	<-s.let
	return s.mirror.Put(ctx, r)
}

// A server that stops with grace answers what it has taken, and says that it goes away; what comes later fails, since nobody listens.
func TestAServerThatStopsWithGraceAnswersFirst(t *testing.T) {
	service := &slow{came: make(chan struct{}), let: make(chan struct{})}
	address, server := serve(t, service)
	a := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1), put(2)}}
	b := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1), put(2)}}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-service.came
		<-service.came
		go func() {
			close(service.let)
			for range service.came { // what was asked before the client knew
			}
		}()
		server.GracefulStop()
	}()
	send(t, address, patience, a, b)
	<-stopped
	close(service.came)
	for i, e := range []*errand{a, b} {
		if e.errs[0] != nil || e.errs[1] != nil && status.Code(e.errs[1]) != codes.Unavailable {
			t.Errorf("errand %d: %v", i, e.errs)
		}
	}
}

// A server that knows how long its answer is worth something ends the request by itself.
func TestTheServerIsToldOfTheLimit(t *testing.T) {
	service := &slow{came: make(chan struct{}, 1), let: make(chan struct{})}
	address, _ := serve(t, service)
	e := &errand{method: pb.KV_Put_FullMethodName, requests: [][]byte{put(1)}}
	send(t, address, 100*time.Millisecond, e)
	close(service.let)
	if status.Code(e.errs[0]) != codes.DeadlineExceeded || e.took[0] < 100*time.Millisecond {
		t.Errorf("%v after %v", e.errs, e.took)
	}
}

func TestNobodyThereIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := Dial(address, patience); err == nil {
		t.Errorf("connected to nobody: %v", c)
	}
}

// schedule is an open loop with times that are fixed.
type schedule struct {
	*countdown
	start time.Time
	every time.Duration
	n     int
}

func (s *schedule) Due(time.Time) time.Time {
	s.n++
	return s.start.Add(time.Duration(s.n-1) * s.every)
}

// In an open loop a request counts from when it was due, however late it was asked, and none is asked before.
func TestAnOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	const n, every = 20, 5 * time.Millisecond
	address, _ := serve(t, mirror{})
	c, err := Dial(address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	e := &errand{method: pb.KV_Put_FullMethodName, done: &countdown{left: 1}}
	for range n {
		e.requests = append(e.requests, put(1))
	}
	late := 200 * time.Millisecond
	began := time.Now()
	c.Drive(&schedule{countdown: e.done, start: began.Add(-late), every: every}, []Client{e})
	if e.took[0] < late || e.errs[0] != nil {
		t.Errorf("the first request was due %v before, and counts %v, %v", late, e.took[0], e.errs[0])
	}
	e = &errand{method: e.method, requests: e.requests, done: &countdown{left: 1}}
	began = time.Now()
	c.Drive(&schedule{countdown: e.done, start: began, every: every}, []Client{e})
	if took := time.Since(began); took < (n-1)*every {
		t.Errorf("%d requests were asked in %v, and the last was due after %v", n, took, (n-1)*every)
	}
}
