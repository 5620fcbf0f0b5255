package etcdapi

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/balsa-raft/balsa/etcdapi/front"
	"github.com/balsa-raft/balsa/internal/handover"
)

// grpcOverhead is how much larger than a write a gRPC message may be: 512 KiB, as in etcd.
const grpcOverhead = 512 << 10

// minPingInterval is how often a client that waits for something may send pings, as in etcd.
const minPingInterval = 5 * time.Second

// ServerOptions are what a gRPC server for the API is made with: etcd's limits, and the checks that all methods have in common.
func (a *API) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(a.interceptUnary),
		grpc.StreamInterceptor(a.interceptStream),
		grpc.UnknownServiceHandler(unimplemented),
		grpc.MaxRecvMsgSize(a.MaxRequestBytes + grpcOverhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.InitialWindowSize(front.StreamWindow),
		grpc.InitialConnWindowSize(front.ConnectionWindow),
	}
}

// Server serves the API on a client port: gRPC, and HTTP/1 for health and metrics. It does not own the group or the store.
//
// What most requests are is answered by the front, and only the rest by grpc-go.
type Server struct {
	front  *front.Server
	grpc   *grpc.Server
	http   *http.Server
	health *health.Server
	logger *slog.Logger
}

// NewServer makes a server with the API registered. metrics, if not nil, are what /metrics shows.
func NewServer(a *API, metrics prometheus.Gatherer) *Server {
	s := &Server{
		front: front.NewServer(front.Options{
			Methods:         a.frontMethods(),
			Quick:           a.quickMethods(),
			Metadata:        []string{rpctypes.MetadataRequireLeaderKey},
			MaxMessageBytes: a.MaxRequestBytes + grpcOverhead,
			Patience:        a.requestTimeout() + whileLasts,
			MinPingInterval: minPingInterval,
		}),
		grpc:   grpc.NewServer(a.ServerOptions()...),
		health: health.NewServer(),
		logger: a.Logger,
		http: &http.Server{
			Handler:           a.Handler(metrics),
			ReadHeaderTimeout: sniffTimeout,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(a.Logger.Handler(), slog.LevelDebug),
		},
	}
	a.Register(s.grpc)
	healthpb.RegisterHealthServer(s.grpc, s.health)
	return s
}

// GRPC is the gRPC server, for whoever wants to register more services before Serve.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

// Serve accepts connections until the listener is closed or the server is stopped, which returns nil. It owns the listener. It may be called for several
// listeners, once each.
func (s *Server) Serve(l net.Listener) error {
	split := newSplitter(l, s.logger)
	behind := handover.New(l.Addr(), 0)
	results := make(chan error, 4)
	go func() { results <- s.front.Serve(split.http2, behind.Offer) }()
	go func() { results <- s.grpc.Serve(behind) }()
	go func() { results <- s.http.Serve(split.http1) }()
	go func() { results <- split.run() }()
	// Whichever ends first takes the others with it.
	first := <-results
	split.close()
	behind.Close()
	errs := []error{first, <-results, <-results, <-results}
	for i, err := range errs {
		if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// Stop ends serving: it takes no further request, and lets those that run end until ctx does; what is left then is cut off.
func (s *Server) Stop(ctx context.Context) {
	s.health.Shutdown()
	done := make(chan struct{})
	s.front.Drain()
	go func() {
		s.grpc.GracefulStop()
		s.front.Wait()
		close(done)
	}()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
	}
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
	}
	s.front.Close()
	<-done
}
