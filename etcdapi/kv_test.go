package etcdapi

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/balsa-raft/balsa/engine"
)

// script runs the calls one after the other and compares what each answers, as one line.
func script(t *testing.T, lines []line) {
	t.Helper()
	for _, l := range lines {
		if got := l.call(); got != l.want {
			t.Errorf("%s\n got %s\nwant %s", l.what, got, l.want)
		}
	}
}

type line struct {
	what string
	call func() string
	want string
}

// show writes an answer in one line: the revision, then what it found or its error.
func show[R interface{ GetHeader() *pb.ResponseHeader }](r R, err error, rest func(R) string) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("@%d %s", r.GetHeader().Revision, rest(r))
}

func showRange(r *pb.RangeResponse) string {
	var text strings.Builder
	for _, kv := range r.Kvs {
		fmt.Fprintf(&text, "%s=%s[%d,%d,%d] ", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version)
	}
	fmt.Fprintf(&text, "of %d", r.Count)
	if r.More {
		text.WriteString(", more")
	}
	return text.String()
}

func TestKeysThroughEtcdsClient(t *testing.T) {
	client := newClient(t, serve(t, newTestAPI(t, nil)))
	ctx := t.Context()
	put := func(key, value string, o ...clientv3.OpOption) func() string {
		return func() string {
			r, err := client.Put(ctx, key, value, o...)
			return show((*pb.PutResponse)(r), err, func(r *pb.PutResponse) string {
				if r.PrevKv == nil {
					return "put"
				}
				return "put over " + string(r.PrevKv.Value)
			})
		}
	}
	get := func(key string, o ...clientv3.OpOption) func() string {
		return func() string {
			r, err := client.Get(ctx, key, o...)
			return show((*pb.RangeResponse)(r), err, showRange)
		}
	}
	del := func(key string, o ...clientv3.OpOption) func() string {
		return func() string {
			r, err := client.Delete(ctx, key, o...)
			return show((*pb.DeleteRangeResponse)(r), err, func(r *pb.DeleteRangeResponse) string {
				return fmt.Sprintf("deleted %d, %d shown", r.Deleted, len(r.PrevKvs))
			})
		}
	}
	compact := func(revision int64, o ...clientv3.CompactOption) func() string {
		return func() string {
			r, err := client.Compact(ctx, revision, o...)
			return show((*pb.CompactionResponse)(r), err, func(*pb.CompactionResponse) string { return "compacted" })
		}
	}
	script(t, []line{
		{"an empty store", get("a"), "@1 of 0"},
		{"put a", put("a", "1"), "@2 put"},
		{"put a again", put("a", "2", clientv3.WithPrevKV()), "@3 put over 1"},
		{"put b", put("b", "3"), "@4 put"},
		{"get a", get("a"), "@4 a=2[2,3,2] of 1"},
		{"get a of then", get("a", clientv3.WithRev(2)), "@4 a=1[2,2,1] of 1"},
		{"all", get("", clientv3.WithPrefix()), "@4 a=2[2,3,2] b=3[4,4,1] of 2"},
		{"all from b on", get("b", clientv3.WithFromKey()), "@4 b=3[4,4,1] of 1"},
		{"the first", get("a", clientv3.WithRange("c"), clientv3.WithLimit(1)), "@4 a=2[2,3,2] of 2, more"},
		{"descending", get("a", clientv3.WithRange("c"), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)), "@4 b=3[4,4,1] a=2[2,3,2] of 2"},
		{"stale", get("a", clientv3.WithSerializable()), "@4 a=2[2,3,2] of 1"},
		{"count", get("a", clientv3.WithRange("c"), clientv3.WithCountOnly()), "@4 of 2"},
		{"keys only", get("a", clientv3.WithKeysOnly()), "@4 a=[2,3,2] of 1"},
		{"the value stays", put("a", "", clientv3.WithIgnoreValue()), "@5 put"},
		{"get it", get("a"), "@5 a=2[2,5,3] of 1"},
		{"no value to stay", put("c", "", clientv3.WithIgnoreValue()), "etcdserver: key not found"},
		{"an unknown lease", put("c", "1", clientv3.WithLease(9)), "etcdserver: requested lease not found"},
		{"delete nothing", del("x"), "@5 deleted 0, 0 shown"},
		{"delete all", del("a", clientv3.WithFromKey(), clientv3.WithPrevKV()), "@6 deleted 2, 2 shown"},
		{"get nothing", get("a"), "@6 of 0"},
		{"get what was", get("a", clientv3.WithRev(5)), "@6 a=2[2,5,3] of 1"},
		{"get the future", get("a", clientv3.WithRev(7)), "etcdserver: mvcc: required revision is a future revision"},
		{"compact the future", compact(7), "etcdserver: mvcc: required revision is a future revision"},
		{"compact", compact(5, clientv3.WithCompactPhysical()), "@6 compacted"},
		{"compact the past", compact(5), "etcdserver: mvcc: required revision has been compacted"},
		{"get what is forgotten", get("a", clientv3.WithRev(4)), "etcdserver: mvcc: required revision has been compacted"},
		{"get the last that is not", get("a", clientv3.WithRev(5)), "@6 a=2[2,5,3] of 1"},
		{"no key", put("", "1"), "etcdserver: key is not provided"},
	})
}

func TestHeadersNameClusterMemberAndTerm(t *testing.T) {
	client := newClient(t, serve(t, newTestAPI(t, nil)))
	r, err := client.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Header; h.ClusterId != testCluster || h.MemberId != 1 || h.RaftTerm != 7 || h.Revision != 1 {
		t.Errorf("got %v", h)
	}
}

func TestTransactionsThroughEtcdsClient(t *testing.T) {
	client := newClient(t, serve(t, newTestAPI(t, nil)))
	ctx := t.Context()
	r, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision("a"), "=", 0)).
		Then(clientv3.OpPut("a", "1"), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("b", "2")}, nil), clientv3.OpGet("b")).
		Commit()
	if err != nil {
		t.Fatal(err)
	}
	if !r.Succeeded || r.Header.Revision != 2 || len(r.Responses) != 3 || string(r.Responses[2].GetResponseRange().Kvs[0].Value) != "2" {
		t.Errorf("got %v", r)
	}
	if _, err := client.Txn(ctx).Then(clientv3.OpPut("a", "1"), clientv3.OpPut("a", "2")).Commit(); err != rpctypes.ErrDuplicateKey {
		t.Errorf("two puts of a key: %v", err)
	}
}

func TestOnlyFreshReadsWaitForTheBarrier(t *testing.T) {
	a := newTestAPI(t, nil)
	client := newClient(t, serve(t, a))
	ctx := t.Context()
	stale := clientv3.OpGet("a", clientv3.WithSerializable())
	for name, test := range map[string]struct {
		call     func() error
		barriers int
	}{
		"a fresh read":     {func() error { _, err := client.Get(ctx, "a"); return err }, 1},
		"a stale read":     {func() error { _, err := client.Do(ctx, stale); return err }, 0},
		"a fresh read txn": {func() error { _, err := client.Txn(ctx).Then(stale, clientv3.OpGet("b")).Commit(); return err }, 1},
		"a stale read txn": {func() error { _, err := client.Txn(ctx).Then(stale).Else(stale).Commit(); return err }, 0},
		"a fresh list":     {func() error { _, err := client.MemberList(ctx); return err }, 1},
		"a stale list":     {func() error { _, err := client.MemberList(ctx, clientv3.WithSerializable()); return err }, 0},
		"a write":          {func() error { _, err := client.Put(ctx, "a", "1"); return err }, 0},
		"status":           {func() error { _, err := client.Status(ctx, client.Endpoints()[0]); return err }, 0},
		"a nested read only": {func() error {
			_, err := client.Txn(ctx).Then(clientv3.OpTxn(nil, []clientv3.Op{stale}, nil)).Commit()
			return err
		}, 0},
	} {
		a.solo().with(func() { a.solo().barriers = 0 })
		if err := test.call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		a.solo().with(func() {
			if a.solo().barriers != test.barriers {
				t.Errorf("%s waited for %d barriers, want %d", name, a.solo().barriers, test.barriers)
			}
		})
	}
}

func TestRangeStreamsInChunksOfOneRevision(t *testing.T) {
	client := newClient(t, serve(t, newTestAPI(t, nil)))
	ctx := t.Context()
	const keys = 1000
	for i := range keys {
		if _, err := client.Put(ctx, fmt.Sprintf("k%04d", i), strings.Repeat("v", 100)); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := pb.NewKVClient(client.ActiveConnection()).RangeStream(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: keys - 1})
	if err != nil {
		t.Fatal(err)
	}
	var found int
	var last *pb.RangeResponse
	for {
		chunk, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && (last.Header != nil || last.More || last.Count != 0) {
			t.Fatalf("a chunk before the last has what is the last's: %v, more %v, count %d", last.Header, last.More, last.Count)
		}
		last = chunk.RangeResponse
		for _, kv := range last.Kvs {
			if want := fmt.Sprintf("k%04d", found); string(kv.Key) != want {
				t.Fatalf("got key %s, want %s", kv.Key, want)
			}
			found++
		}
	}
	if found != keys-1 || !last.More || last.Count != keys || last.Header.GetRevision() != keys+1 || last.Header.GetClusterId() != testCluster {
		t.Errorf("got %d keys; the last chunk says more %v, count %d, %v", found, last.More, last.Count, last.Header)
	}
	stream, err = pb.NewKVClient(client.ActiveConnection()).RangeStream(ctx, &pb.RangeRequest{Key: []byte{0}, SortOrder: 2})
	if err == nil {
		_, err = stream.Recv()
	}
	wantStatus(t, err, codes.Unimplemented, "RangeStream does not support custom sort orders")
}

func TestWritesBeyondTheLimitsAreRefused(t *testing.T) {
	a := newTestAPI(t, func(o *Options) { o.MaxRequestBytes = 1000 })
	client := newClient(t, serve(t, a))
	ctx := t.Context()
	if _, err := client.Put(ctx, "a", strings.Repeat("v", 900)); err != nil {
		t.Error(err)
	}
	if _, err := client.Put(ctx, "a", strings.Repeat("v", 1000)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("a large put: %v", err)
	}
	_, err := client.Put(ctx, "a", strings.Repeat("v", 600<<10))
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "received message larger than max") {
		t.Errorf("a put larger than any message: %v", err)
	}
	a.solo().with(func() { a.solo().state.Commit += 101 })
	if _, err := client.Put(ctx, "a", "1"); err != rpctypes.ErrTooManyRequests {
		t.Errorf("a put behind a backlog: %v", err)
	}
	if _, err := client.Get(ctx, "a"); err != nil {
		t.Errorf("a get behind a backlog: %v", err)
	}
}

func TestARequestThatHangsTimesOut(t *testing.T) {
	a := newTestAPI(t, nil)
	a.solo().hold = true
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := (&kvService{API: a}).Put(ctx, &pb.PutRequest{Key: []byte("a")})
	wantStatus(t, err, codes.DeadlineExceeded, "context deadline exceeded")
	// A client whose patience ends later than ours gets our timeout.
	hasty := newTestAPI(t, nil)
	hasty.solo().hold = true
	hasty.patience.timeout = 10*time.Millisecond - whileLasts
	_, err = (&kvService{API: hasty}).Put(t.Context(), &pb.PutRequest{Key: []byte("a")})
	wantStatus(t, err, codes.Unavailable, "etcdserver: request timed out")
	limited, stop := a.limit(t.Context())
	defer stop()
	deadline, bounded := limited.Deadline()
	if left := time.Until(deadline); !bounded || left > a.requestTimeout() {
		t.Errorf("a request without a deadline has %v", left)
	}
	if short, _ := a.limit(ctx); short != ctx {
		t.Error("a request with a near deadline got another")
	}
}

func TestClientsMayInsistOnALeader(t *testing.T) {
	a := newTestAPI(t, nil)
	client := newClient(t, serve(t, a))
	insist := clientv3.WithRequireLeader(t.Context())
	if _, err := client.Get(insist, "a", clientv3.WithSerializable()); err != nil {
		t.Errorf("with a leader: %v", err)
	}
	a.solo().with(func() { a.solo().state.Leader = 0 })
	service := &kvService{API: a}
	call := func(ctx context.Context) error {
		_, err := a.answer(ctx, &pb.RangeRequest{Key: []byte("a"), Serializable: true}, func(ctx context.Context, r any) (any, error) {
			return service.Range(ctx, r.(*pb.RangeRequest))
		})
		return err
	}
	with := func(value string) context.Context {
		return metadata.NewIncomingContext(t.Context(), metadata.Pairs(rpctypes.MetadataRequireLeaderKey, value))
	}
	wantStatus(t, call(with(rpctypes.MetadataHasLeader)), codes.Unavailable, "etcdserver: no leader")
	wantStatus(t, call(with("whatever")), codes.OK, "")
	wantStatus(t, call(t.Context()), codes.OK, "")
}

func TestALearnerServesStatusAndStaleReadsOnly(t *testing.T) {
	a := newTestAPI(t, nil)
	g := a.solo()
	g.state.Configuration.Members[0].Learner = true
	client := newClient(t, serve(t, a))
	ctx := t.Context()
	// What rpctypes has no client side error for arrives as a plain status.
	refused := func(err error) bool {
		return status.Convert(err).Message() == "etcdserver: rpc not supported for learner" || err == rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)
	}
	check := func(what string, err error, want bool) {
		t.Helper()
		if refused(err) == want || (want && err != nil) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	_, err := client.Get(ctx, "a", clientv3.WithSerializable())
	check("a stale read", err, true)
	s, err := client.Status(ctx, client.Endpoints()[0])
	check("status", err, true)
	if err == nil && !s.IsLearner {
		t.Error("the status does not say that this is a learner")
	}
	_, err = client.Get(ctx, "a")
	check("a fresh read", err, false)
	_, err = client.Put(ctx, "a", "1")
	check("a write", err, false)
	_, err = client.MemberList(ctx)
	check("a list", err, false)
	g.with(func() { g.state.Configuration.Members[0].Learner = false })
	_, err = client.Put(ctx, "a", "1")
	check("a write after its promotion", err, true)
}

func TestServicesThatAreNotThereSayWhich(t *testing.T) {
	client := newClient(t, serve(t, newTestAPI(t, nil)))
	ctx := t.Context()
	for what, call := range map[string]func() error{
		"/etcdserverpb.Lease/LeaseGrant": func() error { _, err := client.Grant(ctx, 10); return err },
		"/etcdserverpb.Auth/AuthEnable":  func() error { _, err := client.AuthEnable(ctx); return err },
		"/etcdserverpb.Watch/Watch":      func() error { r := <-client.Watch(ctx, "a"); return r.Err() },
		"/v3lockpb.Lock/Lock": func() error {
			return client.ActiveConnection().Invoke(ctx, "/v3lockpb.Lock/Lock", &pb.StatusRequest{}, &pb.StatusResponse{})
		},
		"/v3electionpb.Election/Campaign": func() error {
			return client.ActiveConnection().Invoke(ctx, "/v3electionpb.Election/Campaign", &pb.StatusRequest{}, &pb.StatusResponse{})
		},
	} {
		err := call()
		var text string
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, "balsa: "+what+" is not implemented") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestErrorsOfWritesReachTheClient(t *testing.T) {
	a := newTestAPI(t, nil)
	client := newClient(t, serve(t, a))
	for err, want := range map[error]error{
		engine.ErrIndeterminate: rpctypes.ErrTimeoutDueToConnectionLost,
		engine.ErrOverloaded:    rpctypes.ErrTooManyRequests,
		engine.ErrFull:          rpctypes.ErrNoSpace,
		engine.ErrClosed:        rpctypes.ErrStopped,
	} {
		a.solo().with(func() { a.solo().proposeErr = err })
		if _, got := client.Put(t.Context(), "a", "1"); got != want {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}
