package demo

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// How often the members are asked: now and then while all is calm, and often while there is no leader, so that the time an election took
// is measured to some milliseconds.
const (
	calmInterval = 200 * time.Millisecond
	keenInterval = 10 * time.Millisecond
	askTimeout   = 500 * time.Millisecond
)

// poll is what one member said of itself, or why it said nothing.
type poll struct {
	member int
	at     time.Time
	status *pb.StatusResponse
	err    error
}

// poller asks one member for its status, over and over.
type poller struct {
	member int
	client pb.MaintenanceClient
	conn   *grpc.ClientConn
	out    chan<- poll
}

func newPoller(member int, endpoint string, out chan<- poll) (*poller, error) {
	conn, err := grpc.NewClient("passthrough:///"+endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.2, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: askTimeout,
		}))
	if err != nil {
		return nil, err
	}
	return &poller{member: member, client: pb.NewMaintenanceClient(conn), conn: conn, out: out}, nil
}

// run polls until ctx ends. pace says how long to wait until the next time.
func (p *poller) run(ctx context.Context, pace func() time.Duration) {
	defer p.conn.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(ctx, askTimeout)
		status, err := p.client.Status(limited, &pb.StatusRequest{})
		cancel()
		select {
		case p.out <- poll{member: p.member, at: time.Now(), status: status, err: err}:
		case <-ctx.Done():
			return
		}
		timer.Reset(pace())
	}
}
