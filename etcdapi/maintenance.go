package etcdapi

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// maintenanceService is etcd's Maintenance service. Its methods are about the one member that is asked.
type maintenanceService struct {
	*API
	pb.UnsafeMaintenanceServer
}

// Status tells how this member is, without a read barrier. There is no quota on the store's size, so none is reported.
func (s *maintenanceService) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	state, err := s.status()
	if err != nil {
		return nil, err
	}
	m, _ := find(state.Configuration, state.ID)
	total, inUse := s.store.Size()
	response := &pb.StatusResponse{
		Header:           s.header(s.store.Revision()),
		Version:          s.ServerVersion,
		StorageVersion:   s.storageVersion(),
		DbSize:           total,
		DbSizeInUse:      inUse,
		Leader:           uint64(state.Leader),
		RaftIndex:        uint64(state.Commit),
		RaftTerm:         uint64(state.Term),
		RaftAppliedIndex: uint64(state.Applied),
		IsLearner:        m.Learner,
		DowngradeInfo:    &pb.DowngradeInfo{},
	}
	if state.Leader == raft.NoMember {
		response.Errors = append(response.Errors, rpctypes.ErrNoLeader.Error())
	}
	if state.Faulty {
		response.Errors = append(response.Errors, "balsa: the disk lost entries of the log, which are being fetched from the leader: this member does not vote meanwhile")
	}
	return response, nil
}

// Hash is the hash of all that the store has.
func (s *maintenanceService) Hash(context.Context, *pb.HashRequest) (*pb.HashResponse, error) {
	hash, err := s.store.Hash()
	if err != nil {
		return nil, storeError(err)
	}
	return &pb.HashResponse{Header: s.header(s.store.Revision()), Hash: hash}, nil
}

// HashKV is the hash of the keys and values up to a revision, 0 being the current one. It is equal on all members that have that revision and have
// compacted up to the same one.
func (s *maintenanceService) HashKV(_ context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	hash, revision, compacted, err := s.store.HashKV(r.Revision)
	if err != nil {
		return nil, storeError(err)
	}
	return &pb.HashKVResponse{
		Header: s.header(s.store.Revision()), Hash: hash, HashRevision: revision, CompactRevision: compacted,
	}, nil
}

// MoveLeader hands the leadership to another voter. Only the leader takes it, as in etcd.
func (s *maintenanceService) MoveLeader(ctx context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	if leader, _ := s.group.Leader(); uint64(leader) != s.memberID {
		return nil, rpctypes.ErrGRPCNotLeader
	}
	state, err := s.status()
	if err != nil {
		return nil, err
	}
	target, exists := find(state.Configuration, raft.MemberID(r.TargetID))
	if !exists || target.Learner {
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	}
	if uint64(target.ID) == s.memberID {
		return &pb.MoveLeaderResponse{}, nil
	}
	limited, cancel := s.limit(ctx)
	defer cancel()
	switch err := s.group.TransferLeadership(limited, target.ID); {
	case err == nil:
		return &pb.MoveLeaderResponse{}, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, raft.ErrNotLeader):
		return nil, rpctypes.ErrGRPCNotLeader
	case errors.Is(err, raft.ErrUnknownMember), errors.Is(err, raft.ErrNotVoter):
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	case errors.Is(err, engine.ErrTransferFailed), errors.Is(err, context.DeadlineExceeded):
		return nil, status.Error(codes.Unknown, "etcdserver: request timed out, leader transfer took too long")
	default:
		leader, _ := s.group.Leader()
		return nil, s.writeError(ctx, leader, err)
	}
}

// Defragment succeeds at once. In etcd it rewrites the database file, which never shrinks by itself; here the store is a log-structured merge tree,
// whose compactions give space back all the time while it serves, so there is nothing left for an operator to do. As in etcd, there is no header.
func (s *maintenanceService) Defragment(context.Context, *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return &pb.DefragmentResponse{}, nil
}

// Alarm lists the alarms that are raised, and disarms them. None ever is: a full disk refuses writes for as long as it is full and no longer, and corruption
// stops the member that finds it. Raising one by hand is refused rather than forgotten.
func (s *maintenanceService) Alarm(_ context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	switch r.Action {
	case pb.AlarmRequest_GET, pb.AlarmRequest_DEACTIVATE:
		return &pb.AlarmResponse{Header: s.header(s.store.Revision())}, nil
	case pb.AlarmRequest_ACTIVATE:
		return nil, status.Error(codes.Unimplemented, "balsa: alarms cannot be raised by hand")
	}
	return nil, status.Errorf(codes.InvalidArgument, "balsa: unknown alarm action %d", r.Action)
}

// Downgrade is etcd's way back to an older version of etcd.
func (s *maintenanceService) Downgrade(context.Context, *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	return nil, status.Error(codes.Unimplemented, "balsa: there is no older version to downgrade to")
}
