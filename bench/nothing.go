package main

import (
	"context"
	"math"
	"net"
	"runtime"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// serveNothing is a gRPC server that answers etcd's requests without doing anything: what is left is what gRPC costs, the limit for everything that speaks it.
func serveNothing(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := grpc.NewServer(
		grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxConcurrentStreams(math.MaxUint32), grpc.NumStreamWorkers(uint32(4*runtime.GOMAXPROCS(0))),
		grpc.WriteBufferSize(64<<10), grpc.ReadBufferSize(64<<10),
	)
	pb.RegisterKVServer(s, nothing{})
	pb.RegisterMaintenanceServer(s, idle{})
	context.AfterFunc(ctx, s.Stop)
	return s.Serve(listener)
}

type nothing struct{ pb.UnimplementedKVServer }

var nothingHeader = &pb.ResponseHeader{ClusterId: 1, MemberId: 1, Revision: 1, RaftTerm: 1}

func (nothing) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{Header: nothingHeader}, nil
}

// nothingValue has the size that values have by default.
var nothingValue = make([]byte, valueSize)

func (nothing) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: nothingHeader, Kvs: []*mvccpb.KeyValue{{Key: r.Key, Value: nothingValue, Version: 1, CreateRevision: 1, ModRevision: 1}}, Count: 1}, nil
}

func (nothing) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	response := &pb.TxnResponse{Header: nothingHeader, Succeeded: true}
	for range r.Success {
		response.Responses = append(response.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: nothingHeader}}})
	}
	return response, nil
}

// idle says that it leads.
type idle struct {
	pb.UnimplementedMaintenanceServer
}

func (idle) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: nothingHeader, Leader: 1}, nil
}
