package kv

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// keysOf is what a range found: keys, and values unless there are none, in order.
func keysOf(r *pb.RangeResponse) string {
	var found []string
	for _, kv := range r.Kvs {
		text := string(kv.Key)
		if len(kv.Value) > 0 {
			text += "=" + string(kv.Value)
		}
		found = append(found, text)
	}
	return strings.Join(found, " ")
}

// An empty store is at revision 1, and only what changes something makes a revision.
func TestRevisions(t *testing.T) {
	s := newStore(t)
	if s.Revision() != 1 || s.CompactedRevision() != -1 || s.AppliedIndex() != 0 {
		t.Fatalf("an empty store is at revision %d, compacted %d, applied %d", s.Revision(), s.CompactedRevision(), s.AppliedIndex())
	}
	if at := mustPut(t, s, "a", "1"); at != 2 {
		t.Fatalf("the first put made revision %d", at)
	}
	if r := mustDelete(t, s, "b", ""); r.Header.Revision != 2 || r.Deleted != 0 {
		t.Fatalf("a deletion of nothing answered %v", r)
	}
	if r := mustDelete(t, s, "a", ""); r.Header.Revision != 3 || r.Deleted != 1 {
		t.Fatalf("a deletion answered %v", r)
	}
	// A key that comes back begins anew.
	mustPut(t, s, "a", "2")
	mustPut(t, s, "a", "3")
	kv := mustRange(t, s, &pb.RangeRequest{Key: []byte("a")}).Kvs[0]
	if kv.CreateRevision != 4 || kv.ModRevision != 5 || kv.Version != 2 || string(kv.Value) != "3" {
		t.Fatalf("the key is %v", kv)
	}
	if s.AppliedIndex() != 5 {
		t.Fatalf("applied %d commands instead of 5", s.AppliedIndex())
	}
}

// filled has b=2 at revisions 2 and 5, a=9 at 3, c=1 at 4 and 6.
func filled(t *testing.T) *Store {
	s := newStore(t)
	mustPut(t, s, "b", "0")
	mustPut(t, s, "a", "9")
	mustPut(t, s, "c", "5")
	mustPut(t, s, "b", "2")
	mustPut(t, s, "c", "1")
	return s
}

func TestRange(t *testing.T) {
	s := filled(t)
	all := func(r *pb.RangeRequest) *pb.RangeRequest {
		r.Key, r.RangeEnd = []byte{0}, []byte{0}
		return r
	}
	for _, c := range []struct {
		name    string
		request *pb.RangeRequest
		want    string
		count   int64
		more    bool
	}{
		{"one key", &pb.RangeRequest{Key: []byte("b")}, "b=2", 1, false},
		{"a missing key", &pb.RangeRequest{Key: []byte("x")}, "", 0, false},
		{"a range without its end", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c")}, "a=9 b=2", 2, false},
		{"from a key on", &pb.RangeRequest{Key: []byte("b"), RangeEnd: []byte{0}}, "b=2 c=1", 2, false},
		{"an end before the start", &pb.RangeRequest{Key: []byte("c"), RangeEnd: []byte("a")}, "", 0, false},
		{"all", all(&pb.RangeRequest{}), "a=9 b=2 c=1", 3, false},
		{"the count ignores the limit", all(&pb.RangeRequest{Limit: 2}), "a=9 b=2", 3, true},
		{"a limit that is just enough", all(&pb.RangeRequest{Limit: 3}), "a=9 b=2 c=1", 3, false},
		{"the count alone", all(&pb.RangeRequest{CountOnly: true}), "", 3, false},
		{"keys alone", all(&pb.RangeRequest{KeysOnly: true}), "a b c", 3, false},
		{"the order comes before the limit", all(&pb.RangeRequest{Limit: 1, SortOrder: pb.RangeRequest_ASCEND, SortTarget: pb.RangeRequest_VALUE}), "c=1", 3, true},
		{"without an order the limit and one more come first", all(&pb.RangeRequest{Limit: 1, SortTarget: pb.RangeRequest_VALUE}), "b=2", 3, true},
		{"unless there is a filter", all(&pb.RangeRequest{Limit: 1, SortTarget: pb.RangeRequest_VALUE, MinModRevision: 1}), "c=1", 3, true},
		{"no order means ascending", all(&pb.RangeRequest{SortTarget: pb.RangeRequest_MOD}), "a=9 b=2 c=1", 3, false},
		{"descending", all(&pb.RangeRequest{SortOrder: pb.RangeRequest_DESCEND, SortTarget: pb.RangeRequest_CREATE}), "c=1 a=9 b=2", 3, false},
		{"values sort keys that come without them", all(&pb.RangeRequest{KeysOnly: true, SortTarget: pb.RangeRequest_VALUE}), "c b a", 3, false},
		{"filters come before the limit, not before the count", all(&pb.RangeRequest{Limit: 1, MinModRevision: 5}), "b=2", 3, true},
		{"created", all(&pb.RangeRequest{MinCreateRevision: 3, MaxCreateRevision: 3}), "a=9", 3, false},
		{"in the past", all(&pb.RangeRequest{Revision: 3}), "a=9 b=0", 2, false},
		{"one key in the past", &pb.RangeRequest{Key: []byte("c"), Revision: 4}, "c=5", 1, false},
		{"before the key was", &pb.RangeRequest{Key: []byte("c"), Revision: 3}, "", 0, false},
		{"below zero is now", all(&pb.RangeRequest{Revision: -7}), "a=9 b=2 c=1", 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := mustRange(t, s, c.request)
			if got := keysOf(r); got != c.want || r.Count != c.count || r.More != c.more || r.Header.Revision != 6 {
				t.Fatalf("found %q, count %d, more %t at %d; want %q, %d, %t at 6", got, r.Count, r.More, r.Header.Revision, c.want, c.count, c.more)
			}
		})
	}
	if _, err := s.Range(context.Background(), all(&pb.RangeRequest{Revision: 7})); !errors.Is(err, ErrFutureRev) {
		t.Fatalf("a revision that is not yet there: %v", err)
	}
}

func TestRangeStopsWithItsContext(t *testing.T) {
	s := newStore(t)
	var puts [][]byte
	for i := range 2 * checkEvery {
		puts = append(puts, PutCommand(&pb.PutRequest{Key: []byte{'k', byte(i >> 8), byte(i)}}))
	}
	applyAll(s, puts...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled range ended with %v", err)
	}
	// That is no failure of the store.
	mustRange(t, s, &pb.RangeRequest{Key: []byte("k")})
}

// A stream of a range comes in pieces that end with the header, and stops where the receiver does.
func TestRangeChunks(t *testing.T) {
	s := newStore(t)
	value := strings.Repeat("v", 300<<10)
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		mustPut(t, s, key, value)
	}
	request := &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}, Limit: 8}
	var chunks []*pb.RangeResponse
	if err := s.RangeChunks(context.Background(), request, func(c *pb.RangeResponse) error {
		chunks = append(chunks, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(chunks) != 2 || len(chunks[0].Kvs) != 4 || chunks[0].Header != nil || chunks[0].Count != 0 {
		t.Fatalf("%d chunks, the first with %d keys", len(chunks), len(chunks[0].Kvs))
	}
	if last := chunks[1]; len(last.Kvs) != 4 || !last.More || last.Count != 9 || last.Header.GetRevision() != 10 {
		t.Fatalf("the last chunk has %d keys, more %t, count %d, header %v", len(last.Kvs), last.More, last.Count, last.Header)
	}
	refused := errors.New("the receiver is gone")
	if err := s.RangeChunks(context.Background(), request, func(*pb.RangeResponse) error { return refused }); !errors.Is(err, refused) {
		t.Fatalf("the error of send came back as %v", err)
	}
	mustRange(t, s, request)
}

func TestPut(t *testing.T) {
	s := filled(t)
	for _, c := range []struct {
		name     string
		request  *pb.PutRequest
		err      error
		previous string
		value    string
	}{
		{"plain", &pb.PutRequest{Key: []byte("a"), Value: []byte("x")}, nil, "", "x"},
		{"previous", &pb.PutRequest{Key: []byte("a"), Value: []byte("y"), PrevKv: true}, nil, "x", "y"},
		{"previous of a new key", &pb.PutRequest{Key: []byte("n"), Value: []byte("y"), PrevKv: true}, nil, "", "y"},
		{"keep the value", &pb.PutRequest{Key: []byte("b"), IgnoreValue: true, PrevKv: true}, nil, "2", "2"},
		{"keep the lease", &pb.PutRequest{Key: []byte("b"), IgnoreLease: true, Value: []byte("z")}, nil, "", "z"},
		{"keep the value of nothing", &pb.PutRequest{Key: []byte("m"), IgnoreValue: true}, ErrKeyNotFound, "", ""},
		{"keep the lease of nothing", &pb.PutRequest{Key: []byte("m"), IgnoreLease: true}, ErrKeyNotFound, "", ""},
		{"a lease", &pb.PutRequest{Key: []byte("a"), Lease: 3}, ErrLeaseNotFound, "", ""},
		// etcd looks at the lease first, unless the put is part of a transaction.
		{"a lease, and the value of nothing", &pb.PutRequest{Key: []byte("m"), Lease: 3, IgnoreValue: true}, ErrLeaseNotFound, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.Revision()
			r, err := PutResponse(applyOne(s, PutCommand(c.request)))
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v instead of %v", err, c.err)
			}
			if err != nil {
				if s.Revision() != before {
					t.Fatalf("a refused put made revision %d", s.Revision())
				}
				return
			}
			if r.Header.Revision != before+1 || string(r.GetPrevKv().GetValue()) != c.previous {
				t.Fatalf("answered %v after revision %d, previous should be %q", r, before, c.previous)
			}
			if kv := mustRange(t, s, &pb.RangeRequest{Key: c.request.Key}).Kvs[0]; string(kv.Value) != c.value || kv.ModRevision != before+1 {
				t.Fatalf("the key is %v, its value should be %q", kv, c.value)
			}
		})
	}
}

func TestDeleteRange(t *testing.T) {
	s := filled(t)
	r, err := DeleteRangeResponse(applyOne(s, DeleteRangeCommand(&pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte("c"), PrevKv: true})))
	if err != nil {
		t.Fatal(err)
	}
	if r.Deleted != 2 || r.Header.Revision != 7 || len(r.PrevKvs) != 2 || string(r.PrevKvs[1].Value) != "2" {
		t.Fatalf("answered %v", r)
	}
	if got := keysOf(mustRange(t, s, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})); got != "c=1" {
		t.Fatalf("%q is left", got)
	}
	if got := keysOf(mustRange(t, s, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: 6})); got != "a=9 b=2 c=1" {
		t.Fatalf("before there was %q", got)
	}
}

func putOp(key, value string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}}
}

func rangeOp(key, end string, at int64) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end), Revision: at}}}
}

func deleteOp(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func txnOp(r *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
}

// Nested compares see the state before the transaction; reads see what it has written so far, and their revision is its own from its first change on.
func TestTxn(t *testing.T) {
	s := filled(t)
	valueIs := func(key, value string) *pb.Compare {
		return &pb.Compare{Key: []byte(key), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(value)}}
	}
	r, err := TxnResponse(applyOne(s, TxnCommand(&pb.TxnRequest{
		Compare: []*pb.Compare{valueIs("a", "9")},
		Success: []*pb.RequestOp{
			rangeOp("a", "", 0),
			putOp("a", "new"),
			rangeOp("a", "", 0),
			rangeOp("a", "", 6),
			txnOp(&pb.TxnRequest{
				Compare: []*pb.Compare{valueIs("a", "9")},
				Success: []*pb.RequestOp{deleteOp("b", "d"), rangeOp("a", "\x00", 0)},
			}),
		},
	})))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Succeeded || r.Header.Revision != 7 || s.Revision() != 7 {
		t.Fatalf("answered %v", r)
	}
	for i, want := range map[int]string{0: "a=9", 2: "a=new", 3: "a=9"} {
		if got := keysOf(r.Responses[i].GetResponseRange()); got != want {
			t.Errorf("read %d found %q instead of %q", i, got, want)
		}
	}
	if before, after := r.Responses[0].GetResponseRange().Header.Revision, r.Responses[2].GetResponseRange().Header.Revision; before != 6 || after != 7 {
		t.Errorf("the reads were at revisions %d and %d", before, after)
	}
	nested := r.Responses[4].GetResponseTxn()
	if !nested.Succeeded || nested.Responses[0].GetResponseDeleteRange().Deleted != 2 || keysOf(nested.Responses[1].GetResponseRange()) != "a=new" {
		t.Errorf("the nested transaction answered %v", nested)
	}
}

// A transaction that is refused has changed nothing, wherever its fault is.
func TestRefusedTxn(t *testing.T) {
	s := filled(t)
	mustCompact(t, s, 5)
	before := dump(t, s)
	for _, c := range []struct {
		name string
		bad  *pb.RequestOp
		want error
	}{
		{"compacted", rangeOp("a", "", 4), ErrCompacted},
		{"compacted, below zero", rangeOp("a", "", -1), ErrCompacted},
		{"its own revision", rangeOp("a", "", 7), ErrFutureRev},
		{"value of nothing", &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("x"), IgnoreValue: true}}}, ErrKeyNotFound},
		{"a lease", &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("x"), Lease: 1}}}, ErrLeaseNotFound},
		{"a lease, and the value of nothing",
			&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("x"), Lease: 1, IgnoreValue: true}}}, ErrLeaseNotFound},
		{"no operation", &pb.RequestOp{}, ErrInvalidCommand},
		{"no key", putOp("", "1"), ErrInvalidCommand},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := &pb.TxnRequest{Success: []*pb.RequestOp{putOp("x", "1"), deleteOp("a", "z"), txnOp(&pb.TxnRequest{Success: []*pb.RequestOp{c.bad}})}}
			if _, err := TxnResponse(applyOne(s, TxnCommand(request))); !errors.Is(err, c.want) {
				t.Fatalf("error %v instead of %v", err, c.want)
			}
			if after := dump(t, s); strings.SplitN(after, " ", 2)[1] != strings.SplitN(before, " ", 2)[1] {
				t.Fatalf("it changed\n%sto\n%s", before, after)
			}
		})
	}
}

// Of two faults the first one is told, whatever it is.
func TestRefusedTxnTellsItsFirstFault(t *testing.T) {
	s := filled(t)
	future := rangeOp("a", "", 99)
	missing := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("x"), IgnoreValue: true}}}
	for _, c := range []struct {
		ops  []*pb.RequestOp
		want error
	}{
		{[]*pb.RequestOp{future, missing}, ErrFutureRev},
		{[]*pb.RequestOp{missing, future}, ErrKeyNotFound},
		{[]*pb.RequestOp{txnOp(&pb.TxnRequest{Success: []*pb.RequestOp{future}}), missing}, ErrFutureRev},
	} {
		if _, err := TxnResponse(applyOne(s, TxnCommand(&pb.TxnRequest{Success: c.ops}))); !errors.Is(err, c.want) {
			t.Errorf("error %v instead of %v", err, c.want)
		}
	}
}

// etcd lets a transaction keep the value of a key that it has deleted before, where it does not see the overlap. There is none to keep then.
func TestTxnKeepsTheValueOfWhatItDeleted(t *testing.T) {
	s := filled(t)
	keep := func(r *pb.PutRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
	}
	response, err := TxnResponse(applyOne(s, TxnCommand(&pb.TxnRequest{Success: []*pb.RequestOp{
		deleteOp("a", "\x00"), keep(&pb.PutRequest{Key: []byte("a"), IgnoreValue: true, IgnoreLease: true, PrevKv: true}),
	}})))
	if err != nil {
		t.Fatal(err)
	}
	if put := response.Responses[1].GetResponsePut(); put.PrevKv != nil {
		t.Errorf("it replaced %v", put.PrevKv)
	}
	got, err := s.Range(t.Context(), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil || keysOf(got) != "a" || got.Kvs[0].Version != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCompaction(t *testing.T) {
	s := filled(t)
	mustDelete(t, s, "a", "") // 7
	for _, c := range []struct {
		at   int64
		want error
	}{{8, ErrFutureRev}, {-1, ErrCompacted}, {5, nil}, {5, ErrCompacted}, {4, ErrCompacted}, {7, nil}} {
		if _, err := CompactionResponse(applyOne(s, CompactionCommand(&pb.CompactionRequest{Revision: c.at}))); !errors.Is(err, c.want) {
			t.Fatalf("compacting at %d: %v instead of %v", c.at, err, c.want)
		}
	}
	if s.CompactedRevision() != 7 || s.Revision() != 7 {
		t.Fatalf("revision %d, compacted %d", s.Revision(), s.CompactedRevision())
	}
	for at, want := range map[int64]error{6: ErrCompacted, 7: nil, 8: ErrFutureRev} {
		if _, err := s.Range(context.Background(), &pb.RangeRequest{Key: []byte("a"), Revision: at}); !errors.Is(err, want) {
			t.Fatalf("reading at %d: %v instead of %v", at, err, want)
		}
	}
	if err := s.WaitCompacted(context.Background(), 8); !errors.Is(err, ErrFutureRev) {
		t.Fatalf("waiting for a compaction that was not: %v", err)
	}
	if err := s.WaitCompacted(context.Background(), 7); err != nil {
		t.Fatal(err)
	}
	if history, revisions := countKeys(t, s, prefixHistory), countKeys(t, s, prefixRevision); history != 2 || revisions != 1 {
		t.Fatalf("%d versions and %d revisions are left; only the deletion at 7 and what it deleted should be", history, revisions)
	}
}

// countKeys counts what the database has of one kind.
func countKeys(t *testing.T, s *Store, prefix byte) (n int) {
	t.Helper()
	g := s.current.Load()
	it, err := g.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for valid := it.SeekGE([]byte{prefix}); valid && it.Key()[0] == prefix; valid = it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// The hash of a revision does not change by what comes after it, nor by the removal of what is compacted.
func TestHashKV(t *testing.T) {
	s := filled(t)
	first, at, compacted, err := s.HashKV(5)
	if err != nil || at != 5 || compacted != -1 {
		t.Fatalf("at %d, compacted %d, error %v", at, compacted, err)
	}
	mustPut(t, s, "d", "1")
	if second, _, _, _ := s.HashKV(5); second != first {
		t.Fatalf("the hash of revision 5 changed from %08x to %08x", first, second)
	}
	if now, at, _, _ := s.HashKV(0); at != 7 || now == first {
		t.Fatalf("the hash of revision %d is %08x too", at, now)
	}
	mustCompact(t, s, 5)
	after, _, _, _ := s.HashKV(5)
	if after == first {
		t.Fatal("the hash has what cannot be read any more")
	}
	scrubAll(t, s)
	if again, _, compacted, _ := s.HashKV(5); again != after || compacted != 5 {
		t.Fatalf("the removal of history changed the hash from %08x to %08x", after, again)
	}
	for at, want := range map[int64]error{4: ErrCompacted, 8: ErrFutureRev} {
		if _, _, _, err := s.HashKV(at); !errors.Is(err, want) {
			t.Fatalf("the hash at %d: %v instead of %v", at, err, want)
		}
	}
}

func TestSettings(t *testing.T) {
	s := newStore(t)
	before := mustHash(t, s)
	for _, c := range []struct{ value, want string }{{"on", "on"}, {"off", "off"}, {"", ""}} {
		if err := MetaResponse(applyOne(s, MetaCommand("alarm", []byte(c.value)))); err != nil {
			t.Fatal(err)
		}
		got, err := s.Meta("alarm")
		if err != nil || string(got) != c.want {
			t.Fatalf("the setting is %q, error %v, after %q", got, err, c.value)
		}
		if changed := mustHash(t, s) != before; changed != (c.value != "") {
			t.Fatalf("after %q the hash has changed: %t", c.value, changed)
		}
	}
	if s.Revision() != 1 {
		t.Fatalf("settings made revision %d", s.Revision())
	}
}

// A transaction that only puts has a short result. It stands for the same response as the long one of a longer transaction does.
func TestShortAndLongResultsOfTransactionsSayTheSame(t *testing.T) {
	for puts := 0; puts <= maxShortPuts+1; puts++ {
		for _, succeeds := range []bool{true, false} {
			s := openStore(t, vfs.NewMem())
			r := &pb.TxnRequest{}
			for i := range puts {
				op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte{byte('a' + i)}}}}
				r.Success, r.Failure = append(r.Success, op), append(r.Failure, op)
			}
			if !succeeds {
				r.Compare = []*pb.Compare{{Key: []byte("a"), Target: pb.Compare_VERSION, Result: pb.Compare_GREATER}}
			}
			data := applyOne(s, TxnCommand(r))
			if short := code(data[0]) == codePuts; short != (puts <= maxShortPuts) {
				t.Fatalf("%d puts have a result of kind %d", puts, data[0])
			}
			response, err := TxnResponse(data)
			if err != nil {
				t.Fatal(err)
			}
			revision := int64(2)
			if puts == 0 {
				revision = 1
			}
			want := &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: revision}, Succeeded: succeeds}
			for range puts {
				want.Responses = append(want.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{
					ResponsePut: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: revision}},
				}})
			}
			if !proto.Equal(response, want) {
				t.Errorf("%d puts, succeeds %v: %v instead of %v", puts, succeeds, response, want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
