package etcdapi

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// The checks below are made in etcd's order, because a request with two faults has to be answered with the same one of them.

func checkRange(r *pb.RangeRequest) error {
	if len(r.GetKey()) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	if _, known := pb.RangeRequest_SortOrder_name[int32(r.SortOrder)]; !known {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	if _, known := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]; !known {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	return nil
}

// checkRangeStream refuses what cannot be answered in one pass over the keys, with etcd's texts.
func checkRangeStream(r *pb.RangeRequest) error {
	if err := checkRange(r); err != nil {
		return err
	}
	inKeyOrder := r.SortOrder == pb.RangeRequest_NONE ||
		(r.SortTarget == pb.RangeRequest_KEY && r.SortOrder == pb.RangeRequest_ASCEND)
	if !inKeyOrder {
		return status.Error(codes.Unimplemented, "RangeStream does not support custom sort orders")
	}
	if r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0 {
		return status.Error(codes.Unimplemented, "RangeStream does not support revision filters")
	}
	return nil
}

func checkPut(r *pb.PutRequest) error {
	switch {
	case len(r.GetKey()) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case r.IgnoreValue && len(r.Value) != 0:
		return rpctypes.ErrGRPCValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

func checkDeleteRange(r *pb.DeleteRangeRequest) error {
	if len(r.GetKey()) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	return nil
}

// checkTxn checks a transaction with all that is nested in it. A level costs as many operations as the longest of its three lists has; what
// that leaves of maxOps is the allowance of every transaction nested in it.
func checkTxn(r *pb.TxnRequest, maxOps int) error {
	if err := checkTxnOps(r, maxOps); err != nil {
		return err
	}
	// Overlaps are looked for only now that the sizes are known to be bounded.
	if err := checkWrites(r.GetSuccess()); err != nil {
		return err
	}
	return checkWrites(r.GetFailure())
}

func checkWrites(branch []*pb.RequestOp) error {
	if len(branch) == 0 || len(branch) == 1 && branch[0].GetRequestTxn() == nil {
		return nil // There is nothing that it could write twice.
	}
	_, _, err := collectWrites(branch)
	return err
}

func checkTxnOps(r *pb.TxnRequest, maxOps int) error {
	ops := max(len(r.GetCompare()), len(r.GetSuccess()), len(r.GetFailure()))
	if ops > maxOps {
		return rpctypes.ErrGRPCTooManyOps
	}
	for _, c := range r.GetCompare() {
		if len(c.GetKey()) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, branch := range [...][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range branch {
			if err := checkOp(op, maxOps-ops); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOp(op *pb.RequestOp, maxOps int) error {
	switch request := op.GetRequest().(type) {
	case *pb.RequestOp_RequestRange:
		return checkRange(request.RequestRange)
	case *pb.RequestOp_RequestPut:
		return checkPut(request.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return checkDeleteRange(request.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return checkTxnOps(request.RequestTxn, maxOps)
	default:
		// An operation without a request: etcd answers it as if its key were missing.
		return rpctypes.ErrGRPCKeyNotFound
	}
}

// isReadOnly tells whether the transaction is answered without the log. As in etcd, a nested transaction counts as a write even if
// it only reads.
func isReadOnly(r *pb.TxnRequest) bool {
	return onlyRanges(r, func(*pb.RangeRequest) bool { return true })
}

// isSerializable tells whether a read-only transaction may be answered from the local store as it is.
func isSerializable(r *pb.TxnRequest) bool {
	return onlyRanges(r, func(read *pb.RangeRequest) bool { return read.Serializable })
}

func onlyRanges(r *pb.TxnRequest, accept func(*pb.RangeRequest) bool) bool {
	for _, branch := range [...][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range branch {
			if read := op.GetRequestRange(); read == nil || !accept(read) {
				return false
			}
		}
	}
	return true
}
