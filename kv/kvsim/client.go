package kvsim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/balsa-raft/balsa/kv"
	"github.com/balsa-raft/balsa/sim"
)

// client makes up requests on few keys, so that they meet. It knows a revision of which it was told.
type client struct {
	rng      *rand.Rand
	number   int
	count    int
	revision int64
}

// Client implements sim.Application.
func (Application) Client(number int, rng *rand.Rand) sim.Client {
	return &client{rng: rng, number: number, revision: 1}
}

func (c *client) key() []byte {
	keys := []string{"a", "aa", "a\x00", "a\xff", "b", "b\x00b", "c", "\x00", "\xff\xff"}
	return []byte(keys[c.rng.IntN(len(keys))])
}

func (c *client) end() []byte {
	ends := []string{"", "", "", "\x00", "a\x00", "b", "c", "\xff"}
	return []byte(ends[c.rng.IntN(len(ends))])
}

// value is one that nobody else writes.
func (c *client) value() []byte {
	c.count++
	return fmt.Appendf(nil, "%d.%d", c.number, c.count)
}

// Next implements sim.Client.
func (c *client) Next() sim.Action {
	switch kind := c.rng.IntN(20); {
	case kind < 6:
		return c.query()
	case kind < 12:
		r := c.put()
		return sim.Action{Command: kv.PutCommand(r), Text: "put " + text(r)}
	case kind < 14:
		r := c.deletion()
		return sim.Action{Command: kv.DeleteRangeCommand(r), Text: "delete " + text(r)}
	case kind < 19:
		r := c.txn(1, c.operations)
		return sim.Action{Command: kv.TxnCommand(r), Text: "transaction " + text(r)}
	}
	r := &pb.CompactionRequest{Revision: max(0, c.revision-int64(c.rng.IntN(30)))}
	return sim.Action{Command: kv.CompactionCommand(r), Text: "compact " + text(r)}
}

// What a query asks for, by its first byte: a range, a range in chunks, or a transaction that only reads. The request follows.
const (
	askRange  = 'r'
	askChunks = 'c'
	askTxn    = 't'
)

// query makes up a read, of now or of the past.
func (c *client) query() sim.Action {
	kind, how := byte(askRange), "range "
	var m proto.Message
	switch r := c.pastRange(); c.rng.IntN(6) {
	case 0:
		// A chunk goes out as soon as it is full, so there are no orders and no filters.
		kind, how, m = askChunks, "range in chunks ", &pb.RangeRequest{
			Key: r.Key, RangeEnd: r.RangeEnd, Limit: r.Limit, Revision: r.Revision, KeysOnly: r.KeysOnly, CountOnly: r.CountOnly,
		}
	case 1:
		kind, how, m = askTxn, "read in a transaction ", c.txn(1, c.reads)
	default:
		m = r
	}
	query, err := proto.MarshalOptions{}.MarshalAppend([]byte{kind}, m)
	if err != nil {
		panic(err)
	}
	return sim.Action{Query: query, Stale: c.rng.IntN(3) == 0, Text: how + text(m)}
}

// text tells a request. The library puts in spaces at random, from one build to the next, which must not show in a trace.
func text(m proto.Message) string {
	return strings.ReplaceAll(prototext.MarshalOptions{}.Format(m), "  ", " ")
}

func (c *client) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: c.key(), Value: c.value(), PrevKv: c.rng.IntN(2) == 0}
	switch c.rng.IntN(12) {
	case 0:
		r.IgnoreValue, r.Value = true, nil
	case 1:
		r.Lease = 7 // which nobody has granted
	}
	return r
}

func (c *client) deletion() *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: c.key(), RangeEnd: c.end(), PrevKv: c.rng.IntN(2) == 0}
}

func (c *client) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{
		Key: c.key(), RangeEnd: c.end(), Limit: int64(c.rng.IntN(4)), KeysOnly: c.rng.IntN(4) == 0, CountOnly: c.rng.IntN(8) == 0,
		SortOrder: pb.RangeRequest_SortOrder(c.rng.IntN(3)), SortTarget: pb.RangeRequest_SortTarget(c.rng.IntN(5)),
	}
	switch before := max(0, c.revision-int64(c.rng.IntN(8))); c.rng.IntN(16) {
	case 0:
		r.MinModRevision = before
	case 1:
		r.MaxModRevision = before
	case 2:
		r.MinCreateRevision = before
	case 3:
		r.MaxCreateRevision = before
	}
	return r
}

// pastRange may be at a revision of its own: one that was, or that will be before long.
func (c *client) pastRange() *pb.RangeRequest {
	r := c.rangeRequest()
	if c.rng.IntN(3) == 0 {
		r.Revision = max(0, c.revision+2-int64(c.rng.IntN(22)))
	}
	return r
}

// compare compares a key, or all keys of a range, with what they may well be.
func (c *client) compare() *pb.Compare {
	r := &pb.Compare{Key: c.key(), Result: pb.Compare_CompareResult(c.rng.IntN(4))}
	if c.rng.IntN(3) == 0 {
		r.RangeEnd = c.end()
	}
	switch c.rng.IntN(8) {
	case 0, 1, 2:
		r.Target, r.TargetUnion = pb.Compare_VERSION, &pb.Compare_Version{Version: int64(c.rng.IntN(3))}
	case 3, 4:
		r.Target, r.TargetUnion = pb.Compare_MOD, &pb.Compare_ModRevision{ModRevision: c.revision - int64(c.rng.IntN(5))}
	case 5:
		r.Target, r.TargetUnion = pb.Compare_CREATE, &pb.Compare_CreateRevision{CreateRevision: max(0, c.revision-int64(c.rng.IntN(8)))}
	case 6:
		r.Target, r.TargetUnion = pb.Compare_VALUE, &pb.Compare_Value{Value: fmt.Appendf(nil, "%d.%d", c.number, max(1, c.count-c.rng.IntN(3)))}
	default:
		r.Target, r.TargetUnion = pb.Compare_LEASE, &pb.Compare_Lease{Lease: int64(c.rng.IntN(2))}
	}
	return r
}

// txn compares, and then does some things or others, in transactions within it too as deep as that.
func (c *client) txn(depth int, operations func(depth int) []*pb.RequestOp) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range c.rng.IntN(3) {
		r.Compare = append(r.Compare, c.compare())
	}
	r.Success, r.Failure = operations(depth), operations(depth)
	return r
}

// reads are operations that change nothing.
func (c *client) reads(depth int) (list []*pb.RequestOp) {
	for range c.rng.IntN(3) {
		op := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: c.pastRange()}}
		if depth > 0 && c.rng.IntN(4) == 0 {
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: c.txn(depth-1, c.reads)}
		}
		list = append(list, op)
	}
	return list
}

func (c *client) operations(depth int) (list []*pb.RequestOp) {
	for range c.rng.IntN(4) {
		op := &pb.RequestOp{}
		switch kind := c.rng.IntN(6); {
		case kind < 3:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: c.put()}
		case kind == 3:
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: c.deletion()}
		case kind == 4 && depth > 0:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: c.txn(depth-1, c.operations)}
		default:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: c.pastRange()}
		}
		list = append(list, op)
	}
	return list
}

// Ended implements sim.Client: the client remembers the revision.
func (c *client) Ended(a *sim.Action, outcome sim.Outcome, answer []byte) {
	if outcome != sim.OutcomeDone || len(answer) < 3 || string(answer[:3]) != "ok " {
		return
	}
	// Every response has its header as its first field, and the response to a compaction has nothing else.
	var response pb.CompactionResponse
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer[3:], &response); err == nil && response.Header != nil {
		c.revision = max(c.revision, response.Header.Revision)
	}
}

// Crashed implements sim.Client.
func (c *client) Crashed() { c.revision = 1 }
