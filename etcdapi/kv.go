package etcdapi

import (
	"context"

	"google.golang.org/grpc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/kv"
)

// kvService is etcd's KV service.
type kvService struct {
	*API
	pb.UnsafeKVServer
}

// Range answers from the local store, after a read barrier unless a stale answer was asked for.
func (s *kvService) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := checkRange(r); err != nil {
		return nil, err
	}
	if !r.Serializable {
		if err := s.barrier(ctx); err != nil {
			return nil, err
		}
	}
	response, err := s.store.Range(ctx, r)
	if err != nil {
		return nil, storeError(err)
	}
	response.Header = s.fill(response.Header)
	return response, nil
}

// RangeStream is Range in chunks that bound the memory of both sides. All chunks are of one revision; the last one has the header.
func (s *kvService) RangeStream(r *pb.RangeRequest, stream grpc.ServerStreamingServer[pb.RangeStreamResponse]) error {
	if err := checkRangeStream(r); err != nil {
		return err
	}
	ctx := stream.Context()
	if !r.Serializable {
		if err := s.barrier(ctx); err != nil {
			return err
		}
	}
	return storeError(s.store.RangeChunks(ctx, r, func(chunk *pb.RangeResponse) error {
		if chunk.Header != nil {
			chunk.Header = s.fill(chunk.Header)
		}
		return stream.Send(&pb.RangeStreamResponse{RangeResponse: chunk})
	}))
}

func (s *kvService) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := checkPut(r); err != nil {
		return nil, err
	}
	data, err := s.propose(ctx, kv.PutCommand(r))
	if err != nil {
		return nil, err
	}
	return s.putResponse(data)
}

func (s *kvService) putResponse(data []byte) (*pb.PutResponse, error) {
	response, err := kv.PutResponse(data)
	if err != nil {
		return nil, storeError(err)
	}
	response.Header = s.fill(response.Header)
	return response, nil
}

func (s *kvService) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	if err := checkDeleteRange(r); err != nil {
		return nil, err
	}
	data, err := s.propose(ctx, kv.DeleteRangeCommand(r))
	if err != nil {
		return nil, err
	}
	response, err := kv.DeleteRangeResponse(data)
	if err != nil {
		return nil, storeError(err)
	}
	response.Header = s.fill(response.Header)
	return response, nil
}

// Txn makes all its changes at one revision, or none. One that only reads does not go through the log.
func (s *kvService) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := checkTxn(r, s.MaxTxnOps); err != nil {
		return nil, err
	}
	if isReadOnly(r) {
		return s.readTxn(ctx, r)
	}
	data, err := s.propose(ctx, kv.TxnCommand(r))
	if err != nil {
		return nil, err
	}
	return s.txnResponse(data)
}

func (s *kvService) readTxn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if !isSerializable(r) {
		if err := s.barrier(ctx); err != nil {
			return nil, err
		}
	}
	response, err := s.store.ReadTxn(ctx, r)
	if err != nil {
		return nil, storeError(err)
	}
	response.Header = s.fill(response.Header)
	return response, nil
}

func (s *kvService) txnResponse(data []byte) (*pb.TxnResponse, error) {
	response, err := kv.TxnResponse(data)
	if err != nil {
		return nil, storeError(err)
	}
	response.Header = s.fill(response.Header)
	return response, nil
}

// Compact forgets the history below a revision. With physical set it waits until this member has removed it from its disk.
func (s *kvService) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	data, err := s.propose(ctx, kv.CompactionCommand(r))
	if err != nil {
		return nil, err
	}
	response, err := kv.CompactionResponse(data)
	if err != nil {
		return nil, storeError(err)
	}
	if r.Physical {
		if err := s.store.WaitCompacted(ctx, r.Revision); err != nil {
			return nil, storeError(err)
		}
	}
	response.Header = s.fill(response.Header)
	return response, nil
}

// barrier waits until the local store may answer a linearizable read.
func (a *API) barrier(ctx context.Context) error {
	if err := a.group.ReadBarrierUntil(ctx, a.patience.until()); err != nil {
		return a.readError(ctx, err)
	}
	return nil
}

// propose replicates a command within the time that a request has, and returns its result.
func (a *API) propose(ctx context.Context, command []byte) ([]byte, error) {
	if err := a.mayPropose(command); err != nil {
		return nil, err
	}
	leader, _ := a.group.Leader()
	result, err := a.group.ProposeUntil(ctx, a.patience.until(), command)
	if err != nil {
		a.Metrics.proposalFailed()
		return nil, a.writeError(ctx, leader, err)
	}
	return result.Data, nil
}

func (a *API) mayPropose(command []byte) error {
	if len(command) > a.MaxRequestBytes {
		return rpctypes.ErrGRPCRequestTooLarge
	}
	// The applied index is read first: it can only be passed by a commit index that is read later.
	applied := a.group.AppliedIndex()
	if commit := a.group.CommitIndex(); commit > applied && uint64(commit-applied) > a.MaxUnapplied {
		return rpctypes.ErrGRPCRequestTooManyRequests
	}
	return nil
}
