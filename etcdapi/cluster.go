package etcdapi

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// clusterService is etcd's Cluster service. Changes are checked and made by the leader, one at a time: it alone knows which members
// answer it and how far they are, and two changes that were each checked without the other could do together what neither may. Other members pass the request on.
// As in etcd, the headers carry no revision.
type clusterService struct {
	*API
	pb.UnsafeClusterServer
}

func (s *clusterService) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if r.Linearizable {
		if err := s.barrier(ctx); err != nil {
			return nil, err
		}
	}
	state, err := s.status()
	if err != nil {
		return nil, err
	}
	return &pb.MemberListResponse{Header: s.header(0), Members: viewAll(state.Configuration)}, nil
}

func (s *clusterService) MemberAdd(ctx context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	now := time.Now()
	m, err := NewMember(MemberInfo{PeerURLs: r.PeerURLs}, "", &now)
	if err != nil {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	m.Learner = r.IsLearner
	if response, done, err := passOn(ctx, s.API, r, pb.ClusterClient.MemberAdd); done {
		if err != nil {
			return nil, err
		}
		response.Header = s.header(0)
		return response, nil
	}
	members, err := s.change(ctx, func(state *engine.Status) (raft.Change, error) {
		return raft.Change{Set: []raft.Member{m}}, mayAdd(state, m, s.MaxLearners)
	})
	if err != nil {
		return nil, err
	}
	return &pb.MemberAddResponse{Header: s.header(0), Member: view(m), Members: members}, nil
}

func (s *clusterService) MemberRemove(ctx context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	if response, done, err := passOn(ctx, s.API, r, pb.ClusterClient.MemberRemove); done {
		if err != nil {
			return nil, err
		}
		response.Header = s.header(0)
		return response, nil
	}
	id := raft.MemberID(r.ID)
	members, err := s.change(ctx, func(state *engine.Status) (raft.Change, error) {
		return raft.Change{Remove: []raft.MemberID{id}}, mayRemove(state, id)
	})
	if err != nil {
		return nil, err
	}
	return &pb.MemberRemoveResponse{Header: s.header(0), Members: members}, nil
}

func (s *clusterService) MemberUpdate(ctx context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	urls, err := ParsePeerURLs(r.PeerURLs)
	if err != nil {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	address, err := PeerAddress(urls[0])
	if err != nil {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	if response, done, err := passOn(ctx, s.API, r, pb.ClusterClient.MemberUpdate); done {
		if err != nil {
			return nil, err
		}
		response.Header = s.header(0)
		return response, nil
	}
	members, err := s.change(ctx, func(state *engine.Status) (raft.Change, error) {
		m, exists := find(state.Configuration, raft.MemberID(r.ID))
		if !exists {
			return raft.Change{}, rpctypes.ErrGRPCMemberNotFound
		}
		info, err := DecodeMeta(m.Meta)
		if err != nil {
			return raft.Change{}, status.Error(codes.FailedPrecondition, err.Error())
		}
		info.PeerURLs = urls
		meta := EncodeMeta(info)
		if m.Address == address && string(m.Meta) == string(meta) {
			// To be told what one knows is no error, nor is it a change.
			return raft.Change{}, nil
		}
		m.Address, m.Meta = address, meta
		return raft.Change{Set: []raft.Member{m}}, mayUpdate(state, m)
	})
	if err != nil {
		return nil, err
	}
	return &pb.MemberUpdateResponse{Header: s.header(0), Members: members}, nil
}

func (s *clusterService) MemberPromote(ctx context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	if response, done, err := passOn(ctx, s.API, r, pb.ClusterClient.MemberPromote); done {
		if err != nil {
			return nil, err
		}
		response.Header = s.header(0)
		return response, nil
	}
	id := raft.MemberID(r.ID)
	members, err := s.change(ctx, func(state *engine.Status) (raft.Change, error) {
		if state.Role != raft.Leader {
			// How far the learner is only the leader knows, and it could not be reached by its client URLs.
			return raft.Change{}, rpctypes.ErrGRPCTimeoutDueToConnectionLost
		}
		if err := mayPromote(state, id, s.MaxUnapplied); err != nil {
			return raft.Change{}, err
		}
		m, _ := find(state.Configuration, id)
		m.Learner, m.AutoPromote = false, false
		return raft.Change{Set: []raft.Member{m}}, nil
	})
	if err != nil {
		return nil, err
	}
	return &pb.MemberPromoteResponse{Header: s.header(0), Members: members}, nil
}

// Publish makes known under which name and client URLs this member serves. It returns at once if the configuration says so already, else
// once it does. Call it when the member has started; errors are gRPC statuses, of which Unavailable is worth another try.
func (a *API) Publish(ctx context.Context, name string, clientURLs []string) error {
	if !validText(name) || !validText(clientURLs...) {
		return status.Error(codes.InvalidArgument, "a member's name and client URLs have to be valid UTF-8")
	}
	self := &pb.Member{ID: a.memberID, Name: name, ClientURLs: clientURLs}
	_, err := a.publish(ctx, self)
	return err
}

// publish changes name and client URLs of a member that has started, at the leader.
func (a *API) publish(ctx context.Context, r *pb.Member) (*pb.MemberUpdateResponse, error) {
	if response, done, err := passOn(ctx, a, r, callPublish); done {
		return response, err
	}
	members, err := a.change(ctx, func(state *engine.Status) (raft.Change, error) {
		m, exists := find(state.Configuration, raft.MemberID(r.ID))
		if !exists {
			return raft.Change{}, rpctypes.ErrGRPCMemberNotFound
		}
		info, err := DecodeMeta(m.Meta)
		if err != nil {
			return raft.Change{}, status.Error(codes.FailedPrecondition, err.Error())
		}
		info.Name, info.ClientURLs = r.Name, r.ClientURLs
		meta := EncodeMeta(info)
		if string(meta) == string(m.Meta) {
			return raft.Change{}, nil
		}
		m.Meta = meta
		return raft.Change{Set: []raft.Member{m}}, nil
	})
	if err != nil {
		return nil, err
	}
	return &pb.MemberUpdateResponse{Header: a.header(0), Members: members}, nil
}

// change makes one change of the membership: it waits for its turn and for the latest configuration, lets plan check and choose, and
// carries it out. It returns the members afterwards. An empty change is none.
func (a *API) change(ctx context.Context, plan func(*engine.Status) (raft.Change, error)) ([]*pb.Member, error) {
	limited, cancel := a.limit(ctx)
	defer cancel()
	select {
	case a.changes <- struct{}{}:
		defer func() { <-a.changes }()
	case <-limited.Done():
		return nil, a.changeError(ctx, limited.Err())
	}
	if err := a.group.ReadBarrier(limited); err != nil {
		return nil, a.readError(ctx, err)
	}
	for attempt := 0; ; attempt++ {
		members, err := a.tryChange(limited, plan)
		// A member that has not answered for the blink of an eye is not down: give it two election timeouts.
		hopeful := isPassing(err) || (errors.Is(err, rpctypes.ErrGRPCUnhealthy) && attempt < 20)
		if hopeful && a.pause(limited) {
			continue
		}
		if err != nil {
			return nil, a.changeError(ctx, err)
		}
		return members, nil
	}
}

func (a *API) tryChange(ctx context.Context, plan func(*engine.Status) (raft.Change, error)) ([]*pb.Member, error) {
	before, err := a.status()
	if err != nil {
		return nil, err
	}
	change, err := plan(&before)
	if err != nil || len(change.Set)+len(change.Remove) == 0 {
		return viewAll(before.Configuration), err
	}
	if err := a.group.ChangeMembers(ctx, change); err != nil {
		return nil, err
	}
	after, err := a.status()
	return viewAll(after.Configuration), err
}

// isPassing tells whether a change that was refused may well be taken in a moment: another one is being made, or the leader is new.
func isPassing(err error) bool {
	return errors.Is(err, raft.ErrChangePending) || errors.Is(err, raft.ErrNotReady) || errors.Is(err, raft.ErrTransferring)
}

// pause waits a little before another try; false if there is no time for one.
func (a *API) pause(ctx context.Context) bool {
	timer := time.NewTimer(a.ElectionTimeout / 10)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// changeError says in etcd's words why a change of the membership failed.
func (a *API) changeError(ctx context.Context, err error) error {
	if _, isStatus := status.FromError(err); isStatus {
		return err
	}
	switch {
	case errors.Is(err, raft.ErrUnknownMember):
		return rpctypes.ErrGRPCMemberNotFound
	case isPassing(err):
		return rpctypes.ErrGRPCUnhealthy
	case errors.Is(err, raft.ErrBadChange):
		return status.Error(codes.InvalidArgument, "etcdserver: "+err.Error())
	}
	leader, _ := a.group.Leader()
	return a.writeError(ctx, leader, err)
}

// status asks the group what it knows.
func (a *API) status() (engine.Status, error) {
	state, err := a.group.Status()
	if err != nil {
		return engine.Status{}, rpctypes.ErrGRPCStopped
	}
	a.learner.observe(state)
	return state, nil
}
