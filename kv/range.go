package kv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Range answers a read from what has been applied on this member. The response belongs to the caller. It stops when the context does, ends with
// ErrCompacted or ErrFutureRev for revisions that are not there, and with any other error if the store has failed.
func (s *Store) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if response, done, err := s.rangePoint(r); done {
		return response, s.fail(err)
	}
	p, err := s.pin()
	if err != nil {
		return nil, err
	}
	response, err := p.rangeKeys(ctx, r)
	return response, s.fail(errors.Join(err, p.close()))
}

// rangePoint answers the most common read, one key at the current revision, without a snapshot, if it can.
//
// The revision is read before the key. A record that is not newer was the key's latest at that revision, whatever has been committed since. That there is
// no record only counts if no commit had begun. Everything else is left to a snapshot.
func (s *Store) rangePoint(r *pb.RangeRequest) (response *pb.RangeResponse, done bool, err error) {
	keys := keyRangeOf(r.Key, r.RangeEnd)
	if !keys.isPoint() || r.Revision > 0 || hasFilter(r) {
		return nil, false, nil
	}
	g, err := s.read()
	if err != nil {
		return nil, true, err
	}
	defer g.release()
	at := g.revision.Load()
	found, closer, err := getLatest(g.db, r.Key)
	if err != nil {
		return nil, true, err
	}
	response = &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: at}}
	if closer == nil {
		return response, g.pending.Load() == at, nil
	}
	if found.changed.main <= at {
		done = true
		response.Count = 1
		if !r.CountOnly {
			response.Kvs = []*mvccpb.KeyValue{copyKeyValue(r.Key, &found, r.KeysOnly)}
		}
	}
	return response, done, closer.Close()
}

// copyKeyValue makes etcd's form of a record in memory of its own.
func copyKeyValue(key []byte, r *record, keysOnly bool) *mvccpb.KeyValue {
	var memory []byte
	value := r.value
	if keysOnly {
		value = nil
	}
	memory = make([]byte, 0, len(key)+len(value))
	memory = append(append(memory, key...), value...)
	kv := r.keyValue(memory[:len(key):len(key)])
	kv.Value = nil
	if len(value) > 0 {
		kv.Value = memory[len(key):]
	}
	return kv
}

func hasFilter(r *pb.RangeRequest) bool {
	return r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
}

func passesFilter(r *pb.RangeRequest, found *record) bool {
	return (r.MaxModRevision == 0 || found.changed.main <= r.MaxModRevision) &&
		(r.MinModRevision == 0 || found.changed.main >= r.MinModRevision) &&
		(r.MaxCreateRevision == 0 || found.created <= r.MaxCreateRevision) &&
		(r.MinCreateRevision == 0 || found.created >= r.MinCreateRevision)
}

// sorting returns the order that was asked for, where ascending keys, in which they are found, are no order. A target other than the key
// without an order means ascending.
func sorting(r *pb.RangeRequest) (order pb.RangeRequest_SortOrder, needed bool) {
	order = r.SortOrder
	if order == pb.RangeRequest_NONE && r.SortTarget != pb.RangeRequest_KEY {
		order = pb.RangeRequest_ASCEND
	}
	inKeyOrder := r.SortTarget == pb.RangeRequest_KEY && order == pb.RangeRequest_ASCEND
	return order, order != pb.RangeRequest_NONE && !inKeyOrder
}

// rangeKeys carries out a range request: filters, then order, then limit. The count is of all keys of the range. As in etcd, a request that has a sort
// target but no order, and no filters, is answered from the first keys: those up to the limit and one more.
func (v *view) rangeKeys(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := v.check(r.Revision); err != nil {
		return nil, err
	}
	response := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: v.revision()}}
	order, sorted := sorting(r)
	ahead := r.Limit > 0 && (!sorted || (r.SortOrder == pb.RangeRequest_NONE && !hasFilter(r)))
	var pairs pairMaker
	err := v.scan(ctx, keyRangeOf(r.Key, r.RangeEnd), r.Revision, func(key []byte, found *record) error {
		response.Count++
		if r.CountOnly || response.More || !passesFilter(r, found) {
			return nil
		}
		if ahead && int64(len(response.Kvs)) == r.Limit {
			if response.More = true; !sorted {
				return nil
			}
		}
		// Values are wanted for sorting, even if only keys are returned.
		withValue := !r.KeysOnly || (sorted && r.SortTarget == pb.RangeRequest_VALUE)
		response.Kvs = append(response.Kvs, pairs.copy(key, found, withValue))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if sorted {
		sortPairs(response.Kvs, r.SortTarget, order)
		if r.Limit > 0 && int64(len(response.Kvs)) > r.Limit {
			response.Kvs, response.More = response.Kvs[:r.Limit], true
		}
		if r.KeysOnly {
			for _, kv := range response.Kvs {
				kv.Value = nil
			}
		}
	}
	return response, nil
}

// check is state.check, but the running command's own revision exists too.
func (v *view) check(at int64) error {
	if at == v.revision() {
		return nil
	}
	return v.state.check(at)
}

// sortPairs sorts what was found in the order of keys; equal ones stay in it.
func sortPairs(pairs []*mvccpb.KeyValue, target pb.RangeRequest_SortTarget, order pb.RangeRequest_SortOrder) {
	compare := func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) }
	switch target {
	case pb.RangeRequest_VERSION:
		compare = func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.Version, b.Version) }
	case pb.RangeRequest_CREATE:
		compare = func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.CreateRevision, b.CreateRevision) }
	case pb.RangeRequest_MOD:
		compare = func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.ModRevision, b.ModRevision) }
	case pb.RangeRequest_VALUE:
		compare = func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Value, b.Value) }
	}
	if order == pb.RangeRequest_DESCEND {
		ascending := compare
		compare = func(a, b *mvccpb.KeyValue) int { return ascending(b, a) }
	}
	slices.SortStableFunc(pairs, compare)
}

// pairMaker copies records to etcd's form, many in one piece of memory.
type pairMaker struct {
	memory []byte
	pairs  []mvccpb.KeyValue
}

const (
	pairMemory = 16 << 10
	pairSlab   = 64
)

func (m *pairMaker) copy(key []byte, r *record, withValue bool) *mvccpb.KeyValue {
	size := len(key)
	if withValue {
		size += len(r.value)
	}
	if size > pairMemory/4 {
		return copyKeyValue(key, r, !withValue)
	}
	if cap(m.memory)-len(m.memory) < size {
		// The first piece is small, because many ranges are.
		m.memory = make([]byte, 0, max(size, min(pairMemory, 2*cap(m.memory)), 512))
	}
	if len(m.pairs) == cap(m.pairs) {
		m.pairs = make([]mvccpb.KeyValue, 0, min(pairSlab, max(4, 2*cap(m.pairs))))
	}
	start := len(m.memory)
	m.memory = append(m.memory, key...)
	middle := len(m.memory)
	m.pairs = m.pairs[:len(m.pairs)+1]
	kv := &m.pairs[len(m.pairs)-1]
	kv.Key = m.memory[start:middle:middle]
	if withValue && len(r.value) > 0 {
		m.memory = append(m.memory, r.value...)
		kv.Value = m.memory[middle:len(m.memory):len(m.memory)]
	}
	kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease = r.created, r.changed.main, r.version, r.lease
	return kv
}

// chunkBytes is about how much one chunk of RangeChunks carries.
const chunkBytes = 1 << 20

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// RangeChunks is Range for results of any size: it hands them over in pieces of about 1 MiB, all of one revision, while memory for one piece is all that is
// used. The last piece has the header, more and count. Keys come in ascending order; other orders are not supported, and neither are the filters.
// It ends with the error of send if there is one. A piece may be kept by send.
func (s *Store) RangeChunks(ctx context.Context, r *pb.RangeRequest, send func(*pb.RangeResponse) error) error {
	p, err := s.pin()
	if err != nil {
		return err
	}
	sendErr, err := p.rangeChunks(ctx, r, send)
	if err = s.fail(errors.Join(err, p.close())); err != nil {
		return err
	}
	return sendErr
}

// rangeChunks tells an error of send from those of the store, which are something else.
func (v *view) rangeChunks(ctx context.Context, r *pb.RangeRequest, send func(*pb.RangeResponse) error) (sendErr, err error) {
	if err := v.check(r.Revision); err != nil {
		return nil, err
	}
	var (
		chunk = &pb.RangeResponse{}
		pairs pairMaker
		size  int
		sent  int64
		count int64
		more  bool
	)
	err = v.scan(ctx, keyRangeOf(r.Key, r.RangeEnd), r.Revision, func(key []byte, found *record) error {
		count++
		if r.CountOnly {
			return nil
		}
		if r.Limit > 0 && sent == r.Limit {
			more = true
			return nil
		}
		if size >= chunkBytes {
			if sendErr = send(chunk); sendErr != nil {
				return errEnough
			}
			chunk, pairs, size = &pb.RangeResponse{}, pairMaker{}, 0
		}
		chunk.Kvs = append(chunk.Kvs, pairs.copy(key, found, !r.KeysOnly))
		sent++
		size += len(key) + 32
		if !r.KeysOnly {
			size += len(found.value)
		}
		return nil
	})
	if sendErr != nil {
		return sendErr, nil
	}
	if err != nil {
		return nil, err
	}
	chunk.Header, chunk.More, chunk.Count = &pb.ResponseHeader{Revision: v.revision()}, more, count
	return send(chunk), nil
}

// ReadTxn carries out a transaction that only reads, at one revision of what has been applied on this member.
func (s *Store) ReadTxn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := checkTxn(r); err != nil {
		return nil, err
	}
	p, err := s.pin()
	if err != nil {
		return nil, err
	}
	t := txn{ctx: ctx, view: &p.view}
	response, err := t.run(r)
	return response, s.fail(errors.Join(err, p.close()))
}
