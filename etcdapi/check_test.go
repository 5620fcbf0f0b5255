package etcdapi

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Short forms, so that the tables below read like transactions.

func put(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key)}}}
}

func del(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)},
	}}
}

func get(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
}

func ops(list ...*pb.RequestOp) []*pb.RequestOp { return list }

func txn(success, failure []*pb.RequestOp) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: success, Failure: failure}}}
}

func times(n int, op *pb.RequestOp) []*pb.RequestOp {
	list := make([]*pb.RequestOp, n)
	for i := range list {
		list[i] = op
	}
	return list
}

// wantStatus compares an error with the code and the text that a client sees.
func wantStatus(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if code == codes.OK {
		if err != nil {
			t.Errorf("got error %v, want none", err)
		}
		return
	}
	if got := status.Convert(err); got.Code() != code || got.Message() != text {
		t.Errorf("got %v %q, want %v %q", got.Code(), got.Message(), code, text)
	}
}

func TestEveryFaultyRequestHasEtcdsError(t *testing.T) {
	const (
		emptyKey   = "etcdserver: key is not provided"
		badSort    = "etcdserver: invalid sort option"
		value      = "etcdserver: value is provided"
		lease      = "etcdserver: lease is provided"
		tooMany    = "etcdserver: too many operations in txn request"
		duplicate  = "etcdserver: duplicate key given in txn request"
		noRequest  = "etcdserver: key not found"
		noSorts    = "RangeStream does not support custom sort orders"
		noFilters  = "RangeStream does not support revision filters"
		badRequest = codes.InvalidArgument
	)
	key := []byte("k")
	for name, test := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"range without a key":                       {checkRange(&pb.RangeRequest{}), badRequest, emptyKey},
		"range with an unknown order":               {checkRange(&pb.RangeRequest{Key: key, SortOrder: 3}), badRequest, badSort},
		"range with an unknown target":              {checkRange(&pb.RangeRequest{Key: key, SortTarget: -1}), badRequest, badSort},
		"range":                                     {checkRange(&pb.RangeRequest{Key: key, SortOrder: 2, SortTarget: 4}), codes.OK, ""},
		"stream in descending order":                {checkRangeStream(&pb.RangeRequest{Key: key, SortOrder: 2}), codes.Unimplemented, noSorts},
		"stream by version":                         {checkRangeStream(&pb.RangeRequest{Key: key, SortOrder: 1, SortTarget: 1}), codes.Unimplemented, noSorts},
		"stream by a target in no order":            {checkRangeStream(&pb.RangeRequest{Key: key, SortTarget: 1}), codes.OK, ""},
		"stream with a filter":                      {checkRangeStream(&pb.RangeRequest{Key: key, MaxModRevision: 1}), codes.Unimplemented, noFilters},
		"stream without a key":                      {checkRangeStream(&pb.RangeRequest{}), badRequest, emptyKey},
		"put without a key":                         {checkPut(&pb.PutRequest{Value: key, IgnoreValue: true}), badRequest, emptyKey},
		"put with a value to ignore":                {checkPut(&pb.PutRequest{Key: key, Value: key, IgnoreValue: true, Lease: 1, IgnoreLease: true}), badRequest, value},
		"put with a lease to ignore":                {checkPut(&pb.PutRequest{Key: key, Lease: 1, IgnoreLease: true}), badRequest, lease},
		"put":                                       {checkPut(&pb.PutRequest{Key: key, IgnoreLease: true, IgnoreValue: true}), codes.OK, ""},
		"delete without a key":                      {checkDeleteRange(&pb.DeleteRangeRequest{RangeEnd: key}), badRequest, emptyKey},
		"an empty transaction":                      {checkTxn(&pb.TxnRequest{}, 128), codes.OK, ""},
		"a compare without a key":                   {checkTxn(&pb.TxnRequest{Compare: []*pb.Compare{{}}}, 128), badRequest, emptyKey},
		"as many operations as allowed":             {checkTxn(&pb.TxnRequest{Success: times(128, get("k")), Failure: times(128, get("k"))}, 128), codes.OK, ""},
		"too many in the second branch":             {checkTxn(&pb.TxnRequest{Failure: times(129, get("k"))}, 128), badRequest, tooMany},
		"too many compares":                         {checkTxn(&pb.TxnRequest{Compare: make([]*pb.Compare, 129)}, 128), badRequest, tooMany},
		"what a level uses is missing below":        {checkTxn(&pb.TxnRequest{Success: ops(txn(times(128, get("k")), nil))}, 128), badRequest, tooMany},
		"siblings have an allowance each":           {checkTxn(&pb.TxnRequest{Success: times(64, txn(times(64, get("k")), nil))}, 128), codes.OK, ""},
		"too many comes before an empty key":        {checkTxn(&pb.TxnRequest{Success: times(129, get(""))}, 128), badRequest, tooMany},
		"an empty key comes before a duplicate":     {checkTxn(&pb.TxnRequest{Success: ops(put("a"), put("a"), put(""))}, 128), badRequest, emptyKey},
		"an operation without a request":            {checkTxn(&pb.TxnRequest{Success: ops(&pb.RequestOp{})}, 128), badRequest, noRequest},
		"a nested put without a key":                {checkTxn(&pb.TxnRequest{Failure: ops(txn(nil, ops(put(""))))}, 128), badRequest, emptyKey},
		"two puts of a key":                         {checkTxn(&pb.TxnRequest{Success: ops(put("a"), put("a"))}, 128), badRequest, duplicate},
		"two puts of a key in the second branch":    {checkTxn(&pb.TxnRequest{Failure: ops(put("a"), put("a"))}, 128), badRequest, duplicate},
		"a put in each branch":                      {checkTxn(&pb.TxnRequest{Success: ops(put("a")), Failure: ops(put("a"))}, 128), codes.OK, ""},
		"a put in a deleted range":                  {checkTxn(&pb.TxnRequest{Success: ops(put("b"), del("a", "c"))}, 128), badRequest, duplicate},
		"a put at the end of a deleted range":       {checkTxn(&pb.TxnRequest{Success: ops(put("c"), del("a", "c"))}, 128), codes.OK, ""},
		"a put of a deleted key":                    {checkTxn(&pb.TxnRequest{Success: ops(del("a", ""), put("a"))}, 128), badRequest, duplicate},
		"a put behind a deleted key":                {checkTxn(&pb.TxnRequest{Success: ops(del("a", ""), put("a\x00"))}, 128), codes.OK, ""},
		"two deletes of a key":                      {checkTxn(&pb.TxnRequest{Success: ops(del("a", ""), del("a", "z"))}, 128), codes.OK, ""},
		"a delete of all keys from one on":          {checkTxn(&pb.TxnRequest{Success: ops(del("a", "\x00"), put("b"))}, 128), codes.OK, ""},
		"a put and a nested one":                    {checkTxn(&pb.TxnRequest{Success: ops(put("a"), txn(nil, ops(put("a"))))}, 128), badRequest, duplicate},
		"puts in the branches of a nested one":      {checkTxn(&pb.TxnRequest{Success: ops(txn(ops(put("a")), ops(put("a"))))}, 128), codes.OK, ""},
		"puts in two nested ones":                   {checkTxn(&pb.TxnRequest{Success: ops(txn(ops(put("a")), nil), txn(nil, ops(put("a"))))}, 128), badRequest, duplicate},
		"a nested delete, then a put":               {checkTxn(&pb.TxnRequest{Success: ops(txn(ops(del("a", "")), nil), txn(ops(put("a")), nil))}, 128), badRequest, duplicate},
		"a nested put, then a delete":               {checkTxn(&pb.TxnRequest{Success: ops(txn(ops(put("a")), nil), txn(ops(del("a", "")), nil))}, 128), codes.OK, ""},
		"a nested put in a range of the level":      {checkTxn(&pb.TxnRequest{Success: ops(txn(ops(put("a")), nil), del("a", "b"))}, 128), badRequest, duplicate},
		"a put in a range of a nested one":          {checkTxn(&pb.TxnRequest{Success: ops(put("a"), txn(nil, ops(del("a", "b"))))}, 128), badRequest, duplicate},
		"a nested branch deletes what another puts": {checkTxn(&pb.TxnRequest{Success: ops(txn(ops(put("a")), ops(del("a", ""))))}, 128), codes.OK, ""},
	} {
		t.Run(name, func(t *testing.T) { wantStatus(t, test.err, test.code, test.text) })
	}
}

func TestReadOnlyTransactions(t *testing.T) {
	stale := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), Serializable: true}}}
	for name, test := range map[string]struct {
		txn                    *pb.TxnRequest
		readOnly, serializable bool
	}{
		"nothing":            {&pb.TxnRequest{}, true, true},
		"stale reads":        {&pb.TxnRequest{Success: ops(stale), Failure: ops(stale)}, true, true},
		"one fresh read":     {&pb.TxnRequest{Success: ops(stale), Failure: ops(get("a"))}, true, false},
		"a put":              {&pb.TxnRequest{Success: ops(stale), Failure: ops(put("a"))}, false, false},
		"a delete":           {&pb.TxnRequest{Success: ops(del("a", ""))}, false, false},
		"a nested read":      {&pb.TxnRequest{Success: ops(txn(ops(stale), nil))}, false, false},
		"an empty operation": {&pb.TxnRequest{Success: ops(&pb.RequestOp{})}, false, false},
	} {
		if got := isReadOnly(test.txn); got != test.readOnly {
			t.Errorf("%s: isReadOnly is %v", name, got)
		}
		if got := isSerializable(test.txn); got != test.serializable {
			t.Errorf("%s: isSerializable is %v", name, got)
		}
	}
}

// A request near the size limit must be checked in reasonable time: two hundred thousand deletes of nested transactions are merged into one set.
func TestHostileTransactionIsCheckedQuickly(t *testing.T) {
	var level func(depth int, prefix string) []*pb.RequestOp
	level = func(depth int, prefix string) []*pb.RequestOp {
		if depth == 0 {
			return ops(del(prefix, ""), put(prefix+"\xff"))
		}
		var list []*pb.RequestOp
		for i := range 46 {
			list = append(list, txn(level(depth-1, fmt.Sprintf("%s%02d", prefix, i)), nil))
		}
		return list
	}
	wantStatus(t, checkTxn(&pb.TxnRequest{Success: level(3, "")}, 46*3+2), codes.OK, "")
}

func BenchmarkCheckTxn(b *testing.B) {
	var list []*pb.RequestOp
	for i := range 64 {
		list = append(list, put(fmt.Sprintf("put-%d", i)), del(fmt.Sprintf("del-%d", i), ""))
	}
	r := &pb.TxnRequest{Success: list}
	b.ReportAllocs()
	for b.Loop() {
		if err := checkTxn(r, 128); err != nil {
			b.Fatal(err)
		}
	}
}
