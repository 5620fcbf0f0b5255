package compat

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/balsa-raft/balsa/internal/freeport"
)

// The limits that both sides run with: small, so that random requests meet them.
const (
	maxTxnOps       = 6
	maxRequestBytes = 8 << 10
)

// subjectFlags are the same limits for `balsa serve`, and steady timing: no election may get between two requests.
var subjectFlags = slices.Concat(steady, []string{"--max-txn-ops", fmt.Sprint(maxTxnOps), "--max-request-bytes", fmt.Sprint(maxRequestBytes)})

// oracle is a real etcd of one member, in this process. It does not sync its disk: it is asked what is right, not what is durable.
type oracle struct {
	server *embed.Etcd
	client string
	conn   *grpc.ClientConn
}

func startOracle(dir string) (_ *oracle, err error) {
	addresses, err := freeport.Addresses(2)
	if err != nil {
		return nil, err
	}
	client, peer := url.URL{Scheme: "http", Host: addresses[0]}, url.URL{Scheme: "http", Host: addresses[1]}
	config := embed.NewConfig()
	config.Dir = dir
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.MaxTxnOps, config.MaxRequestBytes = maxTxnOps, maxRequestBytes
	config.TickMs, config.ElectionMs = 10, 100
	config.UnsafeNoFsync = true
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("etcd does not start: %w", err)
	}
	o := &oracle{server: server, client: client.Host}
	defer func() {
		if err != nil {
			o.stop()
		}
	}()
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return nil, fmt.Errorf("etcd ends at its start: %w", err)
	case <-time.After(limit):
		return nil, errors.New("etcd does not serve")
	}
	o.conn, err = connect(client.Host)
	return o, err
}

func (o *oracle) stop() {
	if o.conn != nil {
		o.conn.Close()
	}
	o.server.Close()
}

// connect is a bare connection, which tries nothing twice and shows every error as it came.
func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.WaitForReady(true)))
}

// call asks one thing of a server, within the limit of everything.
func call(conn *grpc.ClientConn, method string, request, response any) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return conn.Invoke(ctx, method, request, response)
}
