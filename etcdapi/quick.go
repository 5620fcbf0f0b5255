package etcdapi

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/etcdapi/front"
)

// frontMethods are those that the front answers: what clients ask for all the time. They are the same methods as grpc-go's, behind the same interceptor.
func (a *API) frontMethods() map[string]front.Method {
	s := &kvService{API: a}
	return map[string]front.Method{
		pb.KV_Range_FullMethodName:       frontMethod(a, pb.KV_Range_FullMethodName, s.Range),
		pb.KV_Put_FullMethodName:         frontMethod(a, pb.KV_Put_FullMethodName, s.Put),
		pb.KV_DeleteRange_FullMethodName: frontMethod(a, pb.KV_DeleteRange_FullMethodName, s.DeleteRange),
		pb.KV_Txn_FullMethodName:         frontMethod(a, pb.KV_Txn_FullMethodName, s.Txn),
	}
}

// frontMethod makes a method of the front from one that grpc-go would call.
func frontMethod[request any, message interface {
	*request
	proto.Message
}, response proto.Message](a *API, name string, method func(context.Context, message) (response, error)) front.Method {
	info := &grpc.UnaryServerInfo{FullMethod: name}
	handle := func(ctx context.Context, r any) (any, error) { return method(ctx, r.(message)) }
	return func(ctx context.Context, encoded []byte) (proto.Message, error) {
		r := message(new(request))
		if err := proto.Unmarshal(encoded, r); err != nil {
			return nil, status.Errorf(codes.Internal, "grpc: error unmarshalling request: %v", err)
		}
		answer, err := a.interceptUnary(ctx, r, info, handle)
		if err != nil {
			return nil, err
		}
		return answer.(response), nil
	}
}
