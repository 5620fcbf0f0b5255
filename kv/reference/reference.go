// Package reference is etcd's key-value semantics in the plainest form, for tests and simulations to compare the store with: every state there ever was
// is kept as a whole, and every read looks at all of one. It shares nothing with the store but the requests. It is slow, and never forgets.
package reference

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// Refusals are the errors that the model answers with: those of whom it is compared with.
type Refusals struct{ Compacted, FutureRev, KeyNotFound, LeaseNotFound error }

// Model is the state of all keys, at every revision.
type Model struct {
	refusals  Refusals
	states    map[int64]map[string]*mvccpb.KeyValue // by revision; a state never changes
	revision  int64
	compacted int64
}

// New makes a model without keys.
func New(refusals Refusals) *Model {
	return &Model{refusals: refusals, states: map[int64]map[string]*mvccpb.KeyValue{1: {}}, revision: 1, compacted: -1}
}

// Revision is that of the last change, Compacted the oldest that can be read, -1 if nothing was ever compacted.
func (m *Model) Revision() int64 { return m.revision }

// Compacted is the oldest revision that can be read, -1 if nothing was ever compacted.
func (m *Model) Compacted() int64 { return m.compacted }

// Clone returns a model of its own in the same state.
func (m *Model) Clone() *Model {
	c := *m
	c.states = maps.Clone(m.states)
	return &c
}

// Forget drops the states that nobody can read any more.
func (m *Model) Forget() {
	maps.DeleteFunc(m.states, func(revision int64, _ map[string]*mvccpb.KeyValue) bool {
		return revision < m.compacted && revision < m.revision
	})
}

// Range answers a read of the current state, or of an earlier one.
func (m *Model) Range(r *pb.RangeRequest) (*pb.RangeResponse, error) { return m.begin().readRange(r) }

// ReadTxn answers a transaction that only reads.
func (m *Model) ReadTxn(r *pb.TxnRequest) (*pb.TxnResponse, error) { return m.begin().txn(r) }

// change is a command in progress: the state that it makes, and whether it differs.
type change struct {
	model   *Model
	state   map[string]*mvccpb.KeyValue
	changed bool
}

func (m *Model) begin() *change {
	c := &change{model: m, state: map[string]*mvccpb.KeyValue{}}
	for key, kv := range m.states[m.revision] {
		c.state[key] = kv
	}
	return c
}

func (c *change) end() {
	if c.changed {
		c.model.revision++
		c.model.states[c.model.revision] = c.state
	}
}

func (c *change) revision() int64 {
	if c.changed {
		return c.model.revision + 1
	}
	return c.model.revision
}

func inRange(key string, start, end []byte) bool {
	switch {
	case len(end) == 0:
		return key == string(start)
	case bytes.Equal(end, []byte{0}):
		return key >= string(start)
	}
	return key >= string(start) && key < string(end)
}

// matching returns copies in the order of keys.
func matching(state map[string]*mvccpb.KeyValue, start, end []byte) []*mvccpb.KeyValue {
	var found []*mvccpb.KeyValue
	for key, kv := range state {
		if inRange(key, start, end) {
			found = append(found, proto.Clone(kv).(*mvccpb.KeyValue))
		}
	}
	slices.SortFunc(found, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	return found
}

func header(revision int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: revision} }

func (c *change) readRange(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	state := c.state
	switch {
	case r.Revision > c.revision():
		return nil, c.model.refusals.FutureRev
	case r.Revision > 0 && r.Revision < c.model.compacted:
		return nil, c.model.refusals.Compacted
	case r.Revision > 0 && r.Revision <= c.model.revision:
		state = c.model.states[r.Revision]
	}
	all := matching(state, r.Key, r.RangeEnd)
	response := &pb.RangeResponse{Header: header(c.revision()), Count: int64(len(all))}
	if r.CountOnly {
		return response, nil
	}
	outside := func(n, low, high int64) bool { return (low != 0 && n < low) || (high != 0 && n > high) }
	all = slices.DeleteFunc(all, func(kv *mvccpb.KeyValue) bool {
		return outside(kv.ModRevision, r.MinModRevision, r.MaxModRevision) || outside(kv.CreateRevision, r.MinCreateRevision, r.MaxCreateRevision)
	})
	filtered := r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
	if r.Limit > 0 && r.SortOrder == pb.RangeRequest_NONE && !filtered && int64(len(all)) > r.Limit {
		all = all[:r.Limit+1]
	}
	slices.SortStableFunc(all, func(a, b *mvccpb.KeyValue) int {
		if r.SortOrder == pb.RangeRequest_DESCEND {
			a, b = b, a
		}
		switch r.SortTarget {
		case pb.RangeRequest_VERSION:
			return cmp.Compare(a.Version, b.Version)
		case pb.RangeRequest_CREATE:
			return cmp.Compare(a.CreateRevision, b.CreateRevision)
		case pb.RangeRequest_MOD:
			return cmp.Compare(a.ModRevision, b.ModRevision)
		case pb.RangeRequest_VALUE:
			return bytes.Compare(a.Value, b.Value)
		}
		return bytes.Compare(a.Key, b.Key)
	})
	if r.Limit > 0 && int64(len(all)) > r.Limit {
		all, response.More = all[:r.Limit], true
	}
	for _, kv := range all {
		if r.KeysOnly {
			kv.Value = nil
		}
	}
	response.Kvs = all
	return response, nil
}

func (c *change) put(r *pb.PutRequest) *pb.PutResponse {
	previous := c.state[string(r.Key)]
	at := c.model.revision + 1
	next := &mvccpb.KeyValue{Key: r.Key, Value: r.Value, CreateRevision: at, ModRevision: at, Version: 1}
	response := &pb.PutResponse{Header: header(at)}
	if previous != nil {
		next.CreateRevision, next.Version = previous.CreateRevision, previous.Version+1
		if r.IgnoreValue {
			next.Value = previous.Value
		}
		if r.PrevKv {
			response.PrevKv = previous
		}
	}
	c.state[string(r.Key)], c.changed = next, true
	return response
}

func (c *change) refusePut(r *pb.PutRequest, state map[string]*mvccpb.KeyValue) error {
	if r.Lease != 0 {
		return c.model.refusals.LeaseNotFound
	}
	if (r.IgnoreValue || r.IgnoreLease) && state[string(r.Key)] == nil {
		return c.model.refusals.KeyNotFound
	}
	return nil
}

func (c *change) deleteRange(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	response := &pb.DeleteRangeResponse{}
	for _, kv := range matching(c.state, r.Key, r.RangeEnd) {
		delete(c.state, string(kv.Key))
		c.changed = true
		response.Deleted++
		if r.PrevKv {
			response.PrevKvs = append(response.PrevKvs, kv)
		}
	}
	response.Header = header(c.revision())
	return response
}

func (c *change) holds(compare *pb.Compare) bool {
	found := matching(c.model.states[c.model.revision], compare.Key, compare.RangeEnd)
	if len(found) == 0 {
		if compare.Target == pb.Compare_VALUE {
			return false
		}
		found = []*mvccpb.KeyValue{{}}
	}
	for _, kv := range found {
		order := map[pb.Compare_CompareTarget]int{
			pb.Compare_VERSION: cmp.Compare(kv.Version, compare.GetVersion()),
			pb.Compare_CREATE:  cmp.Compare(kv.CreateRevision, compare.GetCreateRevision()),
			pb.Compare_MOD:     cmp.Compare(kv.ModRevision, compare.GetModRevision()),
			pb.Compare_VALUE:   bytes.Compare(kv.Value, compare.GetValue()),
			pb.Compare_LEASE:   cmp.Compare(kv.Lease, compare.GetLease()),
		}[compare.Target]
		holds := map[pb.Compare_CompareResult]bool{
			pb.Compare_EQUAL: order == 0, pb.Compare_NOT_EQUAL: order != 0, pb.Compare_GREATER: order > 0, pb.Compare_LESS: order < 0,
		}[compare.Result]
		if !holds {
			return false
		}
	}
	return true
}

// flat returns the operations that a transaction comes to, those of nested ones in their places.
func (c *change) flat(r *pb.TxnRequest) (ops []*pb.RequestOp) {
	for _, op := range c.branch(r) {
		if nested := op.GetRequestTxn(); nested != nil {
			ops = append(ops, c.flat(nested)...)
		} else {
			ops = append(ops, op)
		}
	}
	return ops
}

func (c *change) branch(r *pb.TxnRequest) []*pb.RequestOp {
	for _, compare := range r.Compare {
		if !c.holds(compare) {
			return r.Failure
		}
	}
	return r.Success
}

func (c *change) txn(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	ops := c.flat(r)
	for _, op := range ops {
		if p := op.GetRequestPut(); p != nil {
			if err := c.refusePut(p, c.state); err != nil {
				return nil, err
			}
		}
		if read := op.GetRequestRange(); read != nil && read.Revision != 0 {
			switch {
			case read.Revision > c.model.revision:
				return nil, c.model.refusals.FutureRev
			case read.Revision < c.model.compacted:
				return nil, c.model.refusals.Compacted
			}
		}
	}
	response := c.execute(r)
	response.Header = header(c.revision())
	return response, nil
}

func (c *change) execute(r *pb.TxnRequest) *pb.TxnResponse {
	response := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: true}
	for _, compare := range r.Compare {
		response.Succeeded = response.Succeeded && c.holds(compare)
	}
	for _, op := range c.branch(r) {
		answer := &pb.ResponseOp{}
		switch {
		case op.GetRequestRange() != nil:
			found, err := c.readRange(op.GetRequestRange())
			if err != nil {
				panic(err)
			}
			answer.Response = &pb.ResponseOp_ResponseRange{ResponseRange: found}
		case op.GetRequestPut() != nil:
			answer.Response = &pb.ResponseOp_ResponsePut{ResponsePut: c.put(op.GetRequestPut())}
		case op.GetRequestDeleteRange() != nil:
			answer.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: c.deleteRange(op.GetRequestDeleteRange())}
		case op.GetRequestTxn() != nil:
			answer.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: c.execute(op.GetRequestTxn())}
		}
		response.Responses = append(response.Responses, answer)
	}
	return response
}

func (m *Model) compact(at int64) error {
	switch {
	case at <= m.compacted:
		return m.refusals.Compacted
	case at > m.revision:
		return m.refusals.FutureRev
	}
	m.compacted = at
	return nil
}

// Apply carries out one request: the response of the same kind, or why it is refused.
func (m *Model) Apply(request proto.Message) (proto.Message, error) {
	c := m.begin()
	defer c.end()
	switch r := request.(type) {
	case *pb.PutRequest:
		if err := c.refusePut(r, c.state); err != nil {
			return nil, err
		}
		return c.put(r), nil
	case *pb.DeleteRangeRequest:
		return c.deleteRange(r), nil
	case *pb.TxnRequest:
		return c.txn(r)
	case *pb.CompactionRequest:
		if err := m.compact(r.Revision); err != nil {
			return nil, err
		}
		return &pb.CompactionResponse{Header: header(m.revision)}, nil
	}
	panic("unknown request")
}
