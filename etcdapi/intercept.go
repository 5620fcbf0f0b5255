package etcdapi

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// interceptUnary is what all unary methods have in common: they are counted and timed, learners refuse most of them, and a client may insist on
// a leader.
func (a *API) interceptUnary(ctx context.Context, r any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	start := time.Now()
	response, err := a.answer(ctx, r, handle)
	a.Metrics.handled(info.FullMethod, start, err)
	return response, err
}

func (a *API) answer(ctx context.Context, r any, handle grpc.UnaryHandler) (any, error) {
	if err := a.admit(ctx, learnerServes(r)); err != nil {
		return nil, err
	}
	return handle(ctx, r)
}

// admit refuses what a learner does not serve, at a learner, and what wants a leader, where there is none.
func (a *API) admit(ctx context.Context, learnerServes bool) error {
	if a.learner.is(a.group) && !learnerServes {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	return a.requireLeader(ctx)
}

// interceptStream is the same for streams. A learner serves one: its snapshot.
func (a *API) interceptStream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	start := time.Now()
	err := a.answerStream(service, stream, info, handle)
	a.Metrics.handled(info.FullMethod, start, err)
	return err
}

func (a *API) answerStream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if info.FullMethod != pb.Maintenance_Snapshot_FullMethodName && a.learner.is(a.group) {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	if err := a.requireLeader(stream.Context()); err != nil {
		return err
	}
	return handle(service, stream)
}

// requireLeader refuses a request whose client wants no answer from a member that is cut off from a leader.
func (a *API) requireLeader(ctx context.Context) error {
	wish := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	if len(wish) == 0 || wish[0] != rpctypes.MetadataHasLeader {
		return nil
	}
	if leader, _ := a.group.Leader(); leader == raft.NoMember {
		return rpctypes.ErrGRPCNoLeader
	}
	return nil
}

// learnerServes tells whether a learner answers the request: it may lag without bound, so it serves only what promises nothing.
func learnerServes(r any) bool {
	switch r := r.(type) {
	case *pb.StatusRequest:
		return true
	case *pb.RangeRequest:
		return r.Serializable
	}
	return false
}

// learnerState remembers whether this member is a learner, since asking the group may wait. A learner asks again for each request, because it
// becomes a voter without our doing; a voter becomes no learner through etcd's API, and every status that is asked for another reason is taken note of.
type learnerState struct{ known atomic.Uint32 }

const (
	learnerUnknown uint32 = iota
	learnerNo
	learnerYes
)

// isVoter tells whether this member is known not to be a learner, without asking.
func (l *learnerState) isVoter() bool { return l.known.Load() == learnerNo }

func (l *learnerState) is(g Group) bool {
	if l.known.Load() == learnerNo {
		return false
	}
	state, err := g.Status()
	if err != nil {
		return false // the group is closed; the request finds out by itself
	}
	l.observe(state)
	return l.known.Load() == learnerYes
}

func (l *learnerState) observe(state engine.Status) {
	m, exists := find(state.Configuration, state.ID)
	switch {
	case !exists:
		l.known.Store(learnerUnknown)
	case m.Learner:
		l.known.Store(learnerYes)
	default:
		l.known.Store(learnerNo)
	}
}

// unimplemented answers the methods of all services that are not registered.
func unimplemented(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "balsa: %s is not implemented: this server has etcd's KV, Cluster and Maintenance services; "+
		"Watch, Lease, Auth, Lock and Election are not there yet", method)
}
