package kv

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// txn is a transaction in progress.
//
// It goes through three steps, as in etcd. First all compares, nested ones too, are decided on the state before the transaction, which fixes the branches.
// Then the operations on these branches are checked, so that what is carried out at last cannot fail half-way.
type txn struct {
	ctx  context.Context
	view *view
	// write carries out the changes; nil for transactions that only read.
	write *applier
}

// path says which branch was taken, here and in each transaction nested in that branch.
type path struct {
	succeeded bool
	nested    []path
}

// run carries out the transaction. The error is a refusal, which has changed nothing, or says that the store has failed.
func (t *txn) run(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	p, err := t.choose(r)
	if err != nil {
		return nil, err
	}
	return t.finish(r, p)
}

// choose finds the branches, and that all on them can be carried out.
func (t *txn) choose(r *pb.TxnRequest) (path, error) {
	p, err := t.decide(r)
	if err != nil {
		return p, err
	}
	return p, t.check(r, p)
}

// finish carries out what was chosen.
func (t *txn) finish(r *pb.TxnRequest, p path) (*pb.TxnResponse, error) {
	response, err := t.carryOut(r, p)
	if err != nil {
		return nil, err
	}
	response.Header.Revision = t.view.revision()
	return response, nil
}

func (t *txn) decide(r *pb.TxnRequest) (path, error) {
	p := path{succeeded: true}
	for _, c := range r.Compare {
		holds, err := t.compare(c)
		if err != nil {
			return p, err
		}
		if p.succeeded = holds; !holds {
			break
		}
	}
	for _, op := range p.branch(r) {
		if request, isTxn := op.GetRequest().(*pb.RequestOp_RequestTxn); isTxn {
			nested, err := t.decide(request.RequestTxn)
			if err != nil {
				return p, err
			}
			p.nested = append(p.nested, nested)
		}
	}
	return p, nil
}

func (p path) branch(r *pb.TxnRequest) []*pb.RequestOp {
	if p.succeeded {
		return r.Success
	}
	return r.Failure
}

// compare tells whether a compare holds: for all keys of its range. A key that is missing has zero for all numbers, and no value at all, so no compare of
// values holds for it.
func (t *txn) compare(c *pb.Compare) (bool, error) {
	if len(c.RangeEnd) == 0 {
		if r, known := t.view.pending.get(c.Key); known {
			return compareFound(c, &r), nil
		}
	}
	holds, found := true, false
	err := t.view.scan(t.ctx, keyRangeOf(c.Key, c.RangeEnd), 0, func(_ []byte, r *record) error {
		found = true
		if holds = compareRecord(c, r); !holds {
			return errEnough
		}
		return nil
	})
	switch {
	case err != nil && holds:
		return false, err
	case found:
		return holds, nil
	}
	return compareFound(c, &record{}), nil
}

// compareFound tells whether a compare holds for one key, whose record may not exist.
func compareFound(c *pb.Compare, r *record) bool {
	if !r.exists() && c.Target == pb.Compare_VALUE {
		return false
	}
	return compareRecord(c, r)
}

func compareRecord(c *pb.Compare, r *record) bool {
	var order int
	switch c.Target {
	case pb.Compare_VALUE:
		order = bytes.Compare(r.value, c.GetValue())
	case pb.Compare_VERSION:
		order = cmp.Compare(r.version, c.GetVersion())
	case pb.Compare_CREATE:
		order = cmp.Compare(r.created, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(r.changed.main, c.GetModRevision())
	case pb.Compare_LEASE:
		order = cmp.Compare(r.lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	case pb.Compare_LESS:
		return order < 0
	}
	return true
}

// check looks at all operations on the path, one after the other: the first one that cannot be carried out says why the transaction is refused.
func (t *txn) check(r *pb.TxnRequest, p path) error {
	nested := p.nested
	for _, op := range p.branch(r) {
		var err error
		switch request := op.GetRequest().(type) {
		case *pb.RequestOp_RequestRange:
			err = t.checkRange(request.RequestRange)
		case *pb.RequestOp_RequestPut:
			err = t.checkPut(putOf(request.RequestPut))
		case *pb.RequestOp_RequestTxn:
			err = t.check(request.RequestTxn, nested[0])
			nested = nested[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) checkPut(p put) error {
	if p.lease != 0 {
		return ErrLeaseNotFound
	}
	if p.ignoreValue || p.ignoreLease {
		exists := false
		err := t.view.point(p.key, func([]byte, *record) error {
			exists = true
			return nil
		})
		if err != nil {
			return err
		}
		if !exists {
			return ErrKeyNotFound
		}
	}
	return nil
}

// checkRange looks at the revision. Unlike in a request of its own a negative one is compacted as soon as anything is, as in etcd.
func (t *txn) checkRange(r *pb.RangeRequest) error {
	switch at := r.Revision; {
	case at == 0:
		return nil
	case at > t.view.state.revision:
		return ErrFutureRev
	case at < t.view.state.compacted:
		return ErrCompacted
	}
	return nil
}

// carryOut makes the changes and collects the responses. As in etcd, the header of a nested transaction is empty.
func (t *txn) carryOut(r *pb.TxnRequest, p path) (*pb.TxnResponse, error) {
	branch, nested := p.branch(r), p.nested
	response := &pb.TxnResponse{
		Header: &pb.ResponseHeader{}, Succeeded: p.succeeded, Responses: make([]*pb.ResponseOp, 0, len(branch)),
	}
	for _, op := range branch {
		if t.write != nil && !t.write.local {
			// Nobody here waits for the response: what only reads is passed over, and a put is carried out without making its own.
			switch request := op.Request.(type) {
			case *pb.RequestOp_RequestRange:
				continue
			case *pb.RequestOp_RequestPut:
				if err := t.write.set(putOf(request.RequestPut), nil); err != nil {
					return nil, err
				}
				continue
			}
		}
		answer := &pb.ResponseOp{}
		switch request := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			found, err := t.view.rangeKeys(t.ctx, request.RequestRange)
			if err != nil {
				return nil, err
			}
			answer.Response = &pb.ResponseOp_ResponseRange{ResponseRange: found}
		case *pb.RequestOp_RequestPut:
			if t.write == nil {
				return nil, fmt.Errorf("%w: a put in a transaction that only reads", ErrInvalidCommand)
			}
			put, err := t.write.put(putOf(request.RequestPut))
			if err != nil {
				return nil, err
			}
			answer.Response = &pb.ResponseOp_ResponsePut{ResponsePut: put}
		case *pb.RequestOp_RequestDeleteRange:
			if t.write == nil {
				return nil, fmt.Errorf("%w: a deletion in a transaction that only reads", ErrInvalidCommand)
			}
			deleted, err := t.write.deleteRange(request.RequestDeleteRange)
			if err != nil {
				return nil, err
			}
			answer.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: deleted}
		case *pb.RequestOp_RequestTxn:
			inner, err := t.carryOut(request.RequestTxn, nested[0])
			if err != nil {
				return nil, err
			}
			nested = nested[1:]
			answer.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: inner}
		}
		response.Responses = append(response.Responses, answer)
	}
	return response, nil
}
