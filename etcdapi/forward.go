package etcdapi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/raft"
)

// intendedKey is the metadata that goes with a request that one member passes on to another: for whom it is meant. A client URL may well be
// that of somebody else (http://localhost:2379 is anybody), who has to refuse it; and whoever gets one does not pass it on again.
const intendedKey = "balsa-intended-for"

func identity(clusterID, memberID uint64) string { return fmt.Sprintf("%x/%x", clusterID, memberID) }

// passOn has the leader answer a request of the Cluster service, through the leader's client URLs. done is false if this member should do
// it: it leads, or it knows no way to the leader.
func passOn[Request, Response any](ctx context.Context, a *API, r *Request,
	call func(pb.ClusterClient, context.Context, *Request, ...grpc.CallOption) (*Response, error),
) (response *Response, done bool, err error) {
	if intended := metadata.ValueFromIncomingContext(ctx, intendedKey); len(intended) > 0 {
		if intended[0] != identity(a.ClusterID, a.memberID) {
			return nil, true, rpctypes.ErrGRPCClusterIDMismatch
		}
		return nil, false, nil
	}
	leader, _ := a.group.Leader()
	if leader == raft.NoMember || uint64(leader) == a.memberID {
		return nil, false, nil
	}
	limited, cancel := a.limit(ctx)
	defer cancel()
	for _, target := range a.clientTargets(leader) {
		conn, err := a.forward.connect(limited, target, a)
		if err != nil {
			continue
		}
		outgoing := metadata.AppendToOutgoingContext(limited, intendedKey, identity(a.ClusterID, uint64(leader)))
		response, err := call(clusterClient{pb.NewClusterClient(conn), conn}, outgoing, r)
		switch {
		case err == nil:
			// The change is in the leader's log; what this member says next should know of it. It happened even if this fails.
			_ = a.group.ReadBarrier(limited)
			return response, true, nil
		case errors.Is(err, rpctypes.ErrGRPCClusterIDMismatch), status.Code(err) == codes.Unimplemented:
			continue
		case status.Code(err) == codes.Unavailable && !strings.HasPrefix(status.Convert(err).Message(), "etcdserver: "):
			// The connection broke after the request may have got through.
			return nil, true, rpctypes.ErrGRPCTimeoutDueToConnectionLost
		case status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil:
			return nil, true, rpctypes.ErrGRPCTimeout
		}
		return nil, true, err
	}
	return nil, false, nil
}

// clientTargets lists the addresses at which a member serves clients without TLS.
func (a *API) clientTargets(id raft.MemberID) []string {
	state, err := a.status()
	if err != nil {
		return nil
	}
	m, _ := find(state.Configuration, id)
	var targets []string
	for _, text := range view(m).ClientURLs {
		if u, err := url.Parse(text); err == nil && u.Scheme == "http" && u.Host != "" {
			targets = append(targets, u.Host)
		}
	}
	return targets
}

// forwarder keeps the connections to other members' client ports. There are as many as members that led, and few requests use them.
type forwarder struct {
	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn
	closed bool
}

func newForwarder() *forwarder { return &forwarder{conns: map[string]*grpc.ClientConn{}} }

// connect returns a connection that stands; no request is tried on any other, so that one that fails is known to have been sent.
func (f *forwarder) connect(ctx context.Context, target string, a *API) (*grpc.ClientConn, error) {
	conn, err := f.conn(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*a.ElectionTimeout)
	defer cancel()
	for {
		conn.Connect()
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return conn, nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			// It would sleep before it tries again; the next request shall not wait for that.
			f.drop(target, conn)
			return nil, fmt.Errorf("%s cannot be reached", target)
		default:
			if !conn.WaitForStateChange(ctx, state) {
				return nil, ctx.Err()
			}
		}
	}
}

func (f *forwarder) drop(target string, conn *grpc.ClientConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns[target] == conn {
		delete(f.conns, target)
	}
	// No request is on it, since it does not stand.
	conn.Close()
}

func (f *forwarder) conn(target string) (*grpc.ClientConn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("the API is closed")
	}
	if conn := f.conns[target]; conn != nil {
		return conn, nil
	}
	conn, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	f.conns[target] = conn
	return conn, nil
}

func (f *forwarder) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var errs []error
	for _, conn := range f.conns {
		errs = append(errs, conn.Close())
	}
	clear(f.conns)
	return errors.Join(errs...)
}

// clusterClient is etcd's client for the Cluster service, with the connection for what etcd's lacks.
type clusterClient struct {
	pb.ClusterClient
	conn *grpc.ClientConn
}

const (
	ownServiceName    = "balsa.Cluster"
	publishMethodName = "/" + ownServiceName + "/Publish"
)

func callPublish(c pb.ClusterClient, ctx context.Context, r *pb.Member, options ...grpc.CallOption) (*pb.MemberUpdateResponse, error) {
	response := new(pb.MemberUpdateResponse)
	err := c.(clusterClient).conn.Invoke(ctx, publishMethodName, r, response, options...)
	return response, err
}

// ownService is what members ask of each other on the client port and etcd has no method for: a member that has started publishes its name and
// client URLs through the leader, which makes one change at a time.
var ownService = grpc.ServiceDesc{
	ServiceName: ownServiceName,
	HandlerType: (*publisher)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Publish", Handler: func(
		service any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor,
	) (any, error) {
		request := new(pb.Member)
		if err := decode(request); err != nil {
			return nil, err
		}
		handle := func(ctx context.Context, r any) (any, error) { return service.(publisher).publish(ctx, r.(*pb.Member)) }
		if intercept == nil {
			return handle(ctx, request)
		}
		return intercept(ctx, request, &grpc.UnaryServerInfo{Server: service, FullMethod: publishMethodName}, handle)
	}}},
}

type publisher interface {
	publish(ctx context.Context, r *pb.Member) (*pb.MemberUpdateResponse, error)
}
