package compat

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// requests draws requests for a pair: few keys, so that they meet; every option; and, now and then, what has to be refused.
type requests struct {
	t    *rapid.T
	pair *pair
}

// keys are close to each other in every way that ranges tell apart.
var keys = [][]byte{{}, []byte("a"), []byte("aa"), []byte("ab"), []byte("b"), []byte("b\x00"), []byte("c"), {0}, {0xff}, []byte("c\xff")}

// rarely is true in one of n cases. It shrinks to false.
func (g requests) rarely(n int, what string) bool {
	return rapid.IntRange(0, n-1).Draw(g.t, what) == n-1
}

// key is empty once in a while, which is no key.
func (g requests) key() []byte {
	if g.rarely(40, "empty key") {
		return keys[0]
	}
	return rapid.SampledFrom(keys[1:]).Draw(g.t, "key")
}

// rangeEnd is nothing (one key), a key, the key after one, or all that follows.
func (g requests) rangeEnd() []byte {
	switch rapid.IntRange(0, 4).Draw(g.t, "range end") {
	case 0, 1:
		return nil
	case 2:
		return rapid.SampledFrom(keys).Draw(g.t, "end")
	case 3:
		return append(bytes.Clone(rapid.SampledFrom(keys[1:]).Draw(g.t, "end")), 0)
	}
	return []byte{0}
}

func (g requests) value() []byte {
	switch {
	case g.rarely(60, "a large value"):
		// Twice the limit, or more than gRPC lets through.
		return make([]byte, rapid.SampledFrom([]int{2 * maxRequestBytes, 3*maxRequestBytes/4 - 200, maxRequestBytes + 600<<10}).Draw(g.t, "size"))
	case g.rarely(8, "no value"):
		return nil
	}
	return rapid.SampledFrom([][]byte{[]byte("x"), []byte("y"), []byte("z"), {0}, []byte("xx")}).Draw(g.t, "value")
}

// revision is near the ends of what can be read.
func (g requests) revision() int64 {
	from := rapid.SampledFrom([]int64{g.pair.current, g.pair.compacted}).Draw(g.t, "revision of")
	if g.rarely(30, "a far revision") {
		return rapid.SampledFrom([]int64{-1, -1 << 63, 1<<63 - 1, from + 1000}).Draw(g.t, "far revision")
	}
	return from + rapid.Int64Range(-3, 2).Draw(g.t, "distance")
}

// maybeRevision is 0, the current one, most of the time.
func (g requests) maybeRevision(what string) int64 {
	if g.rarely(3, what) {
		return g.revision()
	}
	return 0
}

func (g requests) flag(what string) bool { return g.rarely(4, what) }

func (g requests) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{
		Key: g.key(), RangeEnd: g.rangeEnd(), Revision: g.maybeRevision("at a revision"),
		Serializable: g.flag("serializable"), KeysOnly: g.flag("keys only"), CountOnly: g.flag("count only"),
	}
	if g.flag("limited") {
		r.Limit = rapid.Int64Range(-1, 4).Draw(g.t, "limit")
	}
	if g.flag("ordered") {
		r.SortOrder = pb.RangeRequest_SortOrder(rapid.IntRange(0, 2).Draw(g.t, "order"))
		r.SortTarget = pb.RangeRequest_SortTarget(rapid.IntRange(0, 4).Draw(g.t, "target"))
		if g.rarely(20, "an unknown order") {
			r.SortOrder += 3
		}
		if g.rarely(20, "an unknown target") {
			r.SortTarget = -1
		}
	}
	if g.flag("filtered") {
		for _, bound := range []*int64{&r.MinModRevision, &r.MaxModRevision, &r.MinCreateRevision, &r.MaxCreateRevision} {
			*bound = g.maybeRevision("bound")
		}
	}
	return r
}

func (g requests) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), Value: g.value(), PrevKv: g.flag("previous")}
	if r.IgnoreValue = g.flag("ignore value"); r.IgnoreValue && !g.rarely(8, "value all the same") {
		r.Value = nil
	}
	r.IgnoreLease = g.flag("ignore lease")
	if g.rarely(20, "an unknown lease") {
		r.Lease = rapid.SampledFrom([]int64{1, -1, 1 << 60}).Draw(g.t, "lease")
	}
	return r
}

func (g requests) deleteRange() *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: g.key(), RangeEnd: g.rangeEnd(), PrevKv: g.flag("previous")}
}

// size is how many compares or operations a transaction has: often few, sometimes as many as it may or one more.
func (g requests) size(what string) int {
	if g.rarely(25, what+" at the limit") {
		return maxTxnOps + rapid.IntRange(-1, 1).Draw(g.t, "beside the limit")
	}
	return rapid.IntRange(0, 3).Draw(g.t, what)
}

func (g requests) txn(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range g.size("compares") {
		r.Compare = append(r.Compare, g.compare())
	}
	for range g.size("success") {
		r.Success = append(r.Success, g.op(depth))
	}
	for range g.size("failure") {
		r.Failure = append(r.Failure, g.op(depth))
	}
	return r
}

func (g requests) op(depth int) *pb.RequestOp {
	switch kind := rapid.IntRange(0, 9).Draw(g.t, "operation"); {
	case kind < 3:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put()}}
	case kind < 6:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.rangeRequest()}}
	case kind < 8:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deleteRange()}}
	case kind == 8 && depth > 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txn(depth - 1)}}
	case g.rarely(10, "no operation"):
		return &pb.RequestOp{}
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put()}}
}

func (g requests) compare() *pb.Compare {
	c := &pb.Compare{
		Key: g.key(), Result: pb.Compare_CompareResult(rapid.IntRange(0, 3).Draw(g.t, "result")),
		Target: pb.Compare_CompareTarget(rapid.IntRange(0, 4).Draw(g.t, "target")),
	}
	if g.flag("compare a range") {
		c.RangeEnd = g.rangeEnd()
	}
	operand := c.Target
	switch {
	case g.rarely(30, "another operand than the target"):
		operand = pb.Compare_CompareTarget(rapid.IntRange(0, 5).Draw(g.t, "operand"))
	case g.rarely(60, "an unknown result"):
		c.Result = 7
	case g.rarely(60, "an unknown target"):
		c.Target = 7
	}
	switch operand {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: rapid.Int64Range(-1, 3).Draw(g.t, "version")}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.maybeRevision("created")}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.maybeRevision("changed")}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: rapid.Int64Range(-1, 1).Draw(g.t, "lease")}
	}
	return c
}

// step draws the next request. lastWriter is the member that answered the last write: it has what was written, others may not have it yet, so it is the one
// to ask for answers that may be stale.
func (g requests) step(lastWriter int) step {
	member := rapid.IntRange(0, len(g.pair.conns)-1).Draw(g.t, "member")
	switch kind := rapid.IntRange(0, 19).Draw(g.t, "request"); {
	case kind < 6:
		return step{member: member, request: g.put()}
	case kind < 10:
		r := g.rangeRequest()
		s := step{member: member, request: r, stream: g.flag("as a stream")}
		if s.stream && r.SortOrder == pb.RangeRequest_NONE {
			r.SortTarget = pb.RangeRequest_KEY // etcd sorts each chunk for itself, of whatever size that is
		}
		if r.Serializable {
			s.member = lastWriter
		}
		return s
	case kind < 12:
		return step{member: member, request: g.deleteRange()}
	case kind < 18:
		r := g.txn(2)
		if deletes(r) {
			keepNothing(r)
		}
		if onlySerializable(r) {
			member = lastWriter
		}
		return step{member: member, request: r}
	case kind == 18:
		return step{member: lastWriter, request: &pb.HashKVRequest{Revision: g.hashRevision()}}
	}
	return step{member: member, request: &pb.CompactionRequest{Revision: g.compactRevision(), Physical: g.flag("physical")}}
}

// hashRevision is one above the compacted revision. etcd remembers the hashes that it took when it compacted, so what it says for those revisions depends on
// how far its compaction has come.
func (g requests) hashRevision() int64 {
	if r := g.maybeRevision("hash at a revision"); r > g.pair.compacted {
		return r
	}
	return 0
}

// compactRevision is not 0: etcd would remember the hash of revision 0, and answer with it when it is asked for the current one.
func (g requests) compactRevision() int64 {
	if r := g.revision(); r != 0 {
		return r
	}
	return 1
}

// onlySerializable tells whether a transaction may be answered from what one member has: it reads, or does nothing at all.
func onlySerializable(r *pb.TxnRequest) bool {
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if read := op.GetRequestRange(); read == nil || !read.Serializable {
				return false
			}
		}
	}
	return true
}

func isWrite(request proto.Message) bool {
	switch request.(type) {
	case *pb.PutRequest, *pb.DeleteRangeRequest, *pb.TxnRequest, *pb.CompactionRequest:
		return true
	}
	return false
}

// deletes tells whether a transaction may delete.
func deletes(r *pb.TxnRequest) bool {
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if op.GetRequestDeleteRange() != nil || op.GetRequestTxn() != nil && deletes(op.GetRequestTxn()) {
				return true
			}
		}
	}
	return false
}

// keepNothing has all puts of a transaction bring a value and a lease of their own. etcd 3.7 panics, and its members with it, when a transaction keeps the
// value of a key that it has deleted before, which its checks let through for nested transactions and for deletions of all keys from one on.
func keepNothing(r *pb.TxnRequest) {
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if put := op.GetRequestPut(); put != nil {
				put.IgnoreValue, put.IgnoreLease = false, false
			}
			if nested := op.GetRequestTxn(); nested != nil {
				keepNothing(nested)
			}
		}
	}
}
