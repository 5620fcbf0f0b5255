package etcdapi

import (
	"context"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/etcdapi/front"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// The front's puts and transactions are answered as those of a second server that decodes and encodes with the library, one request after the other.
func TestQuickMethodsAnswerAsTheLibraryWould(t *testing.T) {
	quick, plain := newTestAPI(t, nil), newTestAPI(t, nil)
	s := &kvService{API: plain}
	long := map[string]front.Method{
		pb.KV_Put_FullMethodName:   frontMethod(plain, pb.KV_Put_FullMethodName, s.Put),
		pb.KV_Txn_FullMethodName:   frontMethod(plain, pb.KV_Txn_FullMethodName, s.Txn),
		pb.KV_Range_FullMethodName: frontMethod(plain, pb.KV_Range_FullMethodName, s.Range),
	}
	taken := map[string]int{}
	short := quick.quickMethods()
	quick.learner.is(quick.group) // asks the group, which no quick method does
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader))
	ask := func(what, name string, encoded []byte, response func() proto.Message) {
		t.Helper()
		// As in the front, the answer goes where the request was.
		memory := append([]byte("prefix"), encoded...)
		got, err, quickly := askQuick(ctx, short[name], memory[6:], memory[:6])
		if quickly {
			taken[name]++
		} else {
			got, err = quick.frontMethods()[name](ctx, memory[6:], memory[:6])
		}
		want, wantErr := long[name](ctx, encoded, []byte("prefix"))
		if status.Convert(err).String() != status.Convert(wantErr).String() {
			t.Errorf("%s: %v instead of %v", what, err, wantErr)
		}
		if err != nil || wantErr != nil {
			return
		}
		g, w := response(), response()
		if err := proto.Unmarshal(got[6:], g); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := proto.Unmarshal(want[6:], w); err != nil {
			t.Fatal(err)
		}
		if string(got[:6]) != "prefix" || !proto.Equal(g, w) {
			t.Errorf("%s: %v instead of %v", what, g, w)
		}
	}
	put := func(what string, r *pb.PutRequest, more ...byte) {
		t.Helper()
		ask(what, pb.KV_Put_FullMethodName, append(marshal(t, r), more...), func() proto.Message { return &pb.PutResponse{} })
	}
	txn := func(what string, r *pb.TxnRequest, more ...byte) {
		t.Helper()
		ask(what, pb.KV_Txn_FullMethodName, append(marshal(t, r), more...), func() proto.Message { return &pb.TxnResponse{} })
	}
	a, b := &pb.PutRequest{Key: []byte("a"), Value: []byte("1")}, &pb.PutRequest{Key: []byte("b"), Value: []byte("2"), PrevKv: true}
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 5)

	put("a put", a)
	put("a put over another", &pb.PutRequest{Key: []byte("a"), Value: []byte("2"), PrevKv: true})
	put("no value", &pb.PutRequest{Key: []byte("a"), IgnoreValue: true})
	put("a value and none", &pb.PutRequest{Key: []byte("a"), Value: []byte("3"), IgnoreValue: true})
	put("no such key", &pb.PutRequest{Key: []byte("x"), IgnoreValue: true})
	put("no key", &pb.PutRequest{Value: []byte("3")})
	put("a lease", &pb.PutRequest{Key: []byte("a"), Lease: 5})
	put("an unknown field", a, unknown...)
	put("a value in its place twice", a, protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), []byte("4"))...)
	put("a request cut short", a, 0x0a, 7)
	put("a large one", &pb.PutRequest{Key: []byte("a"), Value: make([]byte, quick.MaxRequestBytes)})

	compare := &pb.Compare{Key: []byte("a"), Target: pb.Compare_VALUE, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_Value{Value: []byte("4")}}
	op := func(r *pb.PutRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
	}
	read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a")}}}
	remove := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("a")}}}
	nested := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{op(a), op(a)}}}}
	txn("nothing", &pb.TxnRequest{})
	txn("compares alone", &pb.TxnRequest{Compare: []*pb.Compare{compare}})
	txn("a put", &pb.TxnRequest{Success: []*pb.RequestOp{op(a)}})
	txn("a compare that holds not", &pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{op(a)}})
	txn("a put if not", &pb.TxnRequest{Compare: []*pb.Compare{compare}, Failure: []*pb.RequestOp{op(a)}})
	txn("two puts, one over another", &pb.TxnRequest{Success: []*pb.RequestOp{op(a), op(b)}})
	txn("two puts over others", &pb.TxnRequest{Success: []*pb.RequestOp{op(a), op(b)}})
	txn("a key twice", &pb.TxnRequest{Success: []*pb.RequestOp{op(a), op(a)}})
	txn("a key twice if not", &pb.TxnRequest{Failure: []*pb.RequestOp{op(a), op(a)}})
	txn("a key twice in a nested one", &pb.TxnRequest{Success: []*pb.RequestOp{nested}})
	txn("a read and a put", &pb.TxnRequest{Success: []*pb.RequestOp{read, op(a)}})
	txn("a read", &pb.TxnRequest{Success: []*pb.RequestOp{read}})
	txn("a lease", &pb.TxnRequest{Success: []*pb.RequestOp{op(&pb.PutRequest{Key: []byte("a"), Lease: 5})}})
	txn("a put without a key", &pb.TxnRequest{Success: []*pb.RequestOp{op(&pb.PutRequest{})}})
	txn("a compare without a key", &pb.TxnRequest{Compare: []*pb.Compare{{}}, Success: []*pb.RequestOp{op(a)}})
	txn("an unknown field", &pb.TxnRequest{Success: []*pb.RequestOp{op(a)}}, unknown...)
	txn("an operation that is none", &pb.TxnRequest{Success: []*pb.RequestOp{op(a)}}, 0x12, 0)
	many := &pb.TxnRequest{}
	for range quick.MaxTxnOps + 1 {
		many.Success = append(many.Success, op(a))
	}
	txn("too many", many)
	txn("a deletion", &pb.TxnRequest{Success: []*pb.RequestOp{remove}})

	get := func(what string, r *pb.RangeRequest, more ...byte) {
		t.Helper()
		ask(what, pb.KV_Range_FullMethodName, append(marshal(t, r), more...), func() proto.Message { return &pb.RangeResponse{} })
	}
	get("a key", &pb.RangeRequest{Key: []byte("a")})
	get("no such key", &pb.RangeRequest{Key: []byte("x")})
	get("no key", &pb.RangeRequest{})
	get("a key twice", &pb.RangeRequest{Key: []byte("x")}, 0x0a, 1, 'a')
	get("a stale read", &pb.RangeRequest{Key: []byte("a"), Serializable: true})
	get("two keys", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c")})
	get("an old revision", &pb.RangeRequest{Key: []byte("a"), Revision: 1})
	get("a count", &pb.RangeRequest{Key: []byte("a"), CountOnly: true})
	get("an unknown field of a read", &pb.RangeRequest{Key: []byte("a")}, unknown...)
	get("a read cut short", &pb.RangeRequest{Key: []byte("a")}, 0x0a, 7)

	for _, each := range []*API{quick, plain} {
		each.solo().with(func() { each.solo().state.Leader = raft.NoMember })
	}
	put("a put without a leader", a)
	txn("a transaction without a leader", &pb.TxnRequest{Success: []*pb.RequestOp{op(a)}})
	get("a read without a leader", &pb.RangeRequest{Key: []byte("a")})
	for _, each := range []*API{quick, plain} {
		each.solo().with(func() {
			each.solo().state.Leader = 1
			each.solo().proposeErr, each.solo().barrierErr = engine.ErrIndeterminate, engine.ErrStopped
		})
	}
	put("a put that may have happened", a)
	txn("a transaction that may have happened", &pb.TxnRequest{Success: []*pb.RequestOp{op(a)}})
	get("a read of a group that has ended", &pb.RangeRequest{Key: []byte("a")})
	for name := range short {
		if taken[name] == 0 {
			t.Errorf("%s: no request was answered quickly", name)
		}
	}
}

// request is one of the front, answered once.
type request struct {
	context.Context
	answer chan error
	bytes  []byte
}

func (r *request) Answer(b []byte, err error) {
	r.bytes = b
	r.answer <- err
}

func (r *request) Continue(f func()) { go f() }

// askQuick waits for the answer of a quick method, false if it leaves the request to another.
func askQuick(ctx context.Context, method front.Quick, encoded, b []byte) ([]byte, error, bool) {
	r := &request{Context: ctx, answer: make(chan error, 1)}
	if _, taken := method(r, encoded, b); !taken {
		return nil, nil, false
	}
	err := <-r.answer
	return r.bytes, err, true
}

// Who gives up on a quick request is told what the library's way says, and what comes of it afterwards is nobody's.
func TestAQuickRequestIsGivenUp(t *testing.T) {
	api := newTestAPI(t, nil)
	api.learner.is(api.group)
	api.solo().hold = true
	r := &request{Context: t.Context(), answer: make(chan error, 1)}
	giveUp, taken := api.quickMethods()[pb.KV_Put_FullMethodName](r, marshal(t, &pb.PutRequest{Key: []byte("a")}), nil)
	if !taken {
		t.Fatal("not taken")
	}
	giveUp(context.DeadlineExceeded)
	if err := <-r.answer; err != rpctypes.ErrGRPCTimeout {
		t.Errorf("a put: %v", err)
	}

	group, pass := cutOff(t, api.solo().machine)
	api.group = group
	for range 100 {
		r = &request{Context: t.Context(), answer: make(chan error, 1)}
		giveUp, taken = api.quickMethods()[pb.KV_Range_FullMethodName](r, marshal(t, &pb.RangeRequest{Key: []byte("a")}), nil)
		if !taken {
			t.Fatal("not taken")
		}
		giveUp(context.DeadlineExceeded)
		if err := <-r.answer; err != rpctypes.ErrGRPCNoLeader {
			t.Errorf("a read: %v", err)
		}
		giveUp(context.Canceled)
		if len(r.answer) > 0 {
			t.Error("answered twice")
		}
	}
	if pass(time.Second); group.Load().Reads != 0 {
		t.Errorf("%d reads wait that nobody waits for", group.Load().Reads)
	}
}

// cutOff is a member of three that hears of no other, so that nobody leads; pass lets time pass for it.
func cutOff(t *testing.T, machine engine.StateMachine) (g *engine.Group, pass func(time.Duration)) {
	files := wal.NewMemFS()
	log, err := wal.Open(wal.Options{FS: files, Dir: "wal", SegmentBytes: 64 << 10, Incarnation: 1})
	if err != nil {
		t.Fatal(err)
	}
	host, err := engine.NewHost(engine.Options{Log: log, FS: files, SnapshotDir: "snap", Network: nowhere{}, Address: "1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	three := raft.Configuration{Members: []raft.Member{{ID: 1, Address: "1"}, {ID: 2, Address: "2"}, {ID: 3, Address: "3"}}}
	if g, err = host.Start(engine.StartOptions{Group: 1, Self: 1, Bootstrap: three, Machine: machine}); err != nil {
		t.Fatal(err)
	}
	now := time.Duration(0)
	pass = func(d time.Duration) {
		for end := now + d; now < end; {
			now += 5 * time.Millisecond
			host.Turn(now)
			host.Sync()
		}
	}
	pass(time.Second)
	return g, pass
}

// nowhere is a network that delivers nothing.
type nowhere struct{}

func (nowhere) Send([]engine.Envelope) {}

func TestALearnerRefusesQuickMethods(t *testing.T) {
	api := newTestAPI(t, nil)
	api.solo().state.Configuration.Members[0].Learner = true
	put := &pb.PutRequest{Key: []byte("a")}
	for name, m := range map[string]proto.Message{
		pb.KV_Range_FullMethodName: &pb.RangeRequest{Key: []byte("a")},
		pb.KV_Put_FullMethodName:   put,
		pb.KV_Txn_FullMethodName:   &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}}},
	} {
		if _, _, taken := askQuick(t.Context(), api.quickMethods()[name], marshal(t, m), nil); taken {
			t.Errorf("%s: taken", name)
		}
		if _, err := api.frontMethods()[name](t.Context(), marshal(t, m), nil); err != rpctypes.ErrGRPCNotSupportedForLearner {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is encoded by hand has the greatest values that there are, and none.
func TestEncodedHeadersAndPuts(t *testing.T) {
	for _, value := range []uint64{0, 1, 127, 128, math.MaxInt64, math.MaxUint64} {
		for puts := range 3 {
			api := newTestAPI(t, nil)
			api.ClusterID, api.memberID = value, value
			api.solo().state.Term = raft.Term(value)
			revision := int64(value)
			want := &pb.TxnResponse{Header: api.fill(&pb.ResponseHeader{Revision: revision}), Succeeded: puts > 1}
			for range puts {
				want.Responses = append(want.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{
					ResponsePut: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: revision}},
				}})
			}
			got := &pb.TxnResponse{}
			if err := proto.Unmarshal(appendPuts(api.appendHeader(nil, revision), revision, puts, puts > 1), got); err != nil || !proto.Equal(got, want) {
				t.Errorf("%v, %v instead of %v", got, err, want)
			}
		}
	}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
