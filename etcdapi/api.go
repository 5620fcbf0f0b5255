package etcdapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/version"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// Group is the replicated group that the API serves, as it needs it. An engine.Group is one.
type Group interface {
	// Self is this member, Leader who leads, raft.NoMember if that is not known, and in which term. CommitIndex and AppliedIndex are this
	// member's. They are asked for every request and do not wait.
	Self() raft.MemberID
	Leader() (raft.MemberID, raft.Term)
	CommitIndex() raft.Index
	AppliedIndex() raft.Index
	// Status is a copy of all this member knows. It may wait.
	Status() (engine.Status, error)

	// ProposeUntil replicates a command and returns what applying it gave, once it is applied here. A member that does not lead forwards it. It ends with ctx and
	// when until is closed.
	ProposeUntil(ctx context.Context, until <-chan struct{}, command []byte) (engine.Result, error)
	// ProposeThen is the same without waiting: done is told the outcome, once, and must be quick; giveUp makes that happen soon.
	ProposeThen(command []byte, done func(engine.Result, error)) (giveUp func(cause error))
	// ReadBarrier returns once the local store has applied everything that was acknowledged anywhere before the call.
	ReadBarrier(ctx context.Context) error
	ReadBarrierUntil(ctx context.Context, until <-chan struct{}) error
	// ReadBarrierThen is the same without waiting, as ProposeThen.
	ReadBarrierThen(done func(error)) (giveUp func(cause error))
	// ChangeMembers changes the configuration and returns once the change is in force here.
	ChangeMembers(ctx context.Context, change raft.Change) error
	// TransferLeadership moves the leadership and returns once it has moved.
	TransferLeadership(ctx context.Context, to raft.MemberID) error
}

// Store is the local key-value store that the group's commands are applied to, as the API reads it. *kv.Store is one.
type Store interface {
	Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error)
	RangeChunks(ctx context.Context, r *pb.RangeRequest, send func(*pb.RangeResponse) error) error
	ReadTxn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error)
	Revision() int64
	WaitCompacted(ctx context.Context, revision int64) error
	HashKV(revision int64) (hash uint32, hashRevision, compactRevision int64, err error)
	Hash() (uint32, error)
	Size() (total, inUse int64)
	Backup(ctx context.Context) (engine.SnapshotWriter, error)
}

// Options are what the API is made with. Group, Store and ClusterID are required; the zero value of any other field means its default.
type Options struct {
	Group     Group
	Store     Store
	ClusterID uint64

	// MaxRequestBytes bounds one write: 1.5 MiB by default, as in etcd. MaxTxnOps bounds the operations of a transaction: 128 by default.
	MaxRequestBytes int
	MaxTxnOps       int
	// MaxLearners bounds how many learners the cluster takes: 1 by default, as in etcd.
	MaxLearners int
	// MaxUnapplied is the backlog of committed but unapplied entries beyond which writes are refused: 5,000 by default, as in etcd.
	MaxUnapplied uint64
	// ElectionTimeout is the longest one. A request is given 5 s, and two of them for an election meanwhile.
	ElectionTimeout time.Duration

	// ServerVersion is the etcd version whose behaviour clients may expect: that of the API package by default. Clients
	// compare it to decide which features they can use. ProductVersion is our own; it is told beside it, in /version.
	ServerVersion  string
	ProductVersion string

	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
	// Metrics counts and times the requests; nil does not.
	Metrics *Metrics
	// HTTP is what the client port answers to HTTP/1 beyond the API's own, by path.
	HTTP map[string]http.Handler
}

func (o *Options) setDefaults() error {
	if o.Group == nil || o.Store == nil || o.ClusterID == 0 {
		return errors.New("etcdapi: the options need a group, a store and a cluster ID")
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 3 << 19
	}
	if o.MaxTxnOps == 0 {
		o.MaxTxnOps = 128
	}
	if o.MaxLearners == 0 {
		o.MaxLearners = 1
	}
	if o.MaxUnapplied == 0 {
		o.MaxUnapplied = 5000
	}
	if o.ElectionTimeout == 0 {
		o.ElectionTimeout = 300 * time.Millisecond
	}
	if o.ServerVersion == "" {
		o.ServerVersion = version.Version
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// API is the etcd v3 API of one member. Its methods may be called from any goroutine.
type API struct {
	Options
	group    Group
	store    Store
	memberID uint64
	forward  *forwarder
	patience patience
	learner  learnerState
	changes  chan struct{} // holds a token while a membership change is checked and made
}

// New makes the API of the member that the group is. Close it when its servers have stopped.
func New(o Options) (*API, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	return &API{
		Options:  o,
		group:    o.Group,
		store:    o.Store,
		memberID: uint64(o.Group.Self()),
		forward:  newForwarder(),
		patience: patience{timeout: o.requestTimeout()},
		changes:  make(chan struct{}, 1),
	}, nil
}

// Register adds the services to a gRPC server. The server should have been made with ServerOptions, which carry the checks that are
// the same for all methods.
func (a *API) Register(s *grpc.Server) {
	pb.RegisterKVServer(s, &kvService{API: a})
	pb.RegisterClusterServer(s, &clusterService{API: a})
	pb.RegisterMaintenanceServer(s, &maintenanceService{API: a})
	s.RegisterService(&ownService, a)
}

// Close drops the connections to other members. It does not stop servers.
func (a *API) Close() error { return a.forward.close() }

// header returns a response's header, for a state of the given revision.
func (a *API) header(revision int64) *pb.ResponseHeader {
	return a.fill(&pb.ResponseHeader{Revision: revision})
}

// fill completes a header that has the revision.
func (a *API) fill(h *pb.ResponseHeader) *pb.ResponseHeader {
	if h == nil {
		h = &pb.ResponseHeader{}
	}
	h.ClusterId = a.ClusterID
	h.MemberId = a.memberID
	_, term := a.group.Leader()
	h.RaftTerm = uint64(term)
	return h
}
