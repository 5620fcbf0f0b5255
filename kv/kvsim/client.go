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
		r := c.rangeRequest()
		if c.rng.IntN(3) == 0 {
			r.Revision = max(0, c.revision-int64(c.rng.IntN(20)))
		}
		query, err := proto.Marshal(r)
		if err != nil {
			panic(err)
		}
		if query == nil {
			query = []byte{}
		}
		return sim.Action{Query: query, Stale: c.rng.IntN(3) == 0, Text: "range " + text(r)}
	case kind < 12:
		r := c.put()
		return sim.Action{Command: kv.PutCommand(r), Text: "put " + text(r)}
	case kind < 14:
		r := &pb.DeleteRangeRequest{Key: c.key(), RangeEnd: c.end(), PrevKv: c.rng.IntN(2) == 0}
		return sim.Action{Command: kv.DeleteRangeCommand(r), Text: "delete " + text(r)}
	case kind < 19:
		r := c.txn(1)
		return sim.Action{Command: kv.TxnCommand(r), Text: "transaction " + text(r)}
	}
	r := &pb.CompactionRequest{Revision: max(0, c.revision-int64(c.rng.IntN(30)))}
	return sim.Action{Command: kv.CompactionCommand(r), Text: "compact " + text(r)}
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

func (c *client) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{
		Key: c.key(), RangeEnd: c.end(), Limit: int64(c.rng.IntN(4)), KeysOnly: c.rng.IntN(4) == 0, CountOnly: c.rng.IntN(8) == 0,
		SortOrder: pb.RangeRequest_SortOrder(c.rng.IntN(3)), SortTarget: pb.RangeRequest_SortTarget(c.rng.IntN(5)),
	}
	if c.rng.IntN(6) == 0 {
		r.MinModRevision = max(0, c.revision-5)
	}
	return r
}

// txn compares, and then does some things or others, in transactions within it too as deep as that.
func (c *client) txn(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range c.rng.IntN(3) {
		compare := &pb.Compare{Key: c.key(), Result: pb.Compare_CompareResult(c.rng.IntN(4))}
		if c.rng.IntN(2) == 0 {
			compare.Target, compare.TargetUnion = pb.Compare_VERSION, &pb.Compare_Version{Version: int64(c.rng.IntN(3))}
		} else {
			compare.Target, compare.TargetUnion = pb.Compare_MOD, &pb.Compare_ModRevision{ModRevision: c.revision - int64(c.rng.IntN(5))}
		}
		r.Compare = append(r.Compare, compare)
	}
	r.Success, r.Failure = c.operations(depth), c.operations(depth)
	return r
}

func (c *client) operations(depth int) (list []*pb.RequestOp) {
	for range c.rng.IntN(4) {
		op := &pb.RequestOp{}
		switch kind := c.rng.IntN(6); {
		case kind < 3:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: c.put()}
		case kind == 3:
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: c.key(), RangeEnd: c.end()}}
		case kind == 4 && depth > 0:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: c.txn(depth - 1)}
		default:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: c.rangeRequest()}
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
