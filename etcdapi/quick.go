package etcdapi

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/etcdapi/front"
	"github.com/balsa-raft/balsa/kv"
)

// frontMethods are those that the front answers: what clients ask for all the time. They are the same methods as grpc-go's, behind the same interceptor; a put, and a
// transaction of compares and puts, has a way of its own that leads to the same answer.
func (a *API) frontMethods() map[string]front.Method {
	s := &kvService{API: a}
	return map[string]front.Method{
		pb.KV_Range_FullMethodName:       frontMethod(a, pb.KV_Range_FullMethodName, s.Range),
		pb.KV_Put_FullMethodName:         s.quickPut(frontMethod(a, pb.KV_Put_FullMethodName, s.Put)),
		pb.KV_DeleteRange_FullMethodName: frontMethod(a, pb.KV_DeleteRange_FullMethodName, s.DeleteRange),
		pb.KV_Txn_FullMethodName:         s.quickTxn(frontMethod(a, pb.KV_Txn_FullMethodName, s.Txn)),
	}
}

// frontMethod makes a method of the front from one that grpc-go would call.
func frontMethod[request any, message interface {
	*request
	proto.Message
}, response proto.Message](a *API, name string, method func(context.Context, message) (response, error)) front.Method {
	info := &grpc.UnaryServerInfo{FullMethod: name}
	handle := func(ctx context.Context, r any) (any, error) { return method(ctx, r.(message)) }
	return func(ctx context.Context, encoded, b []byte) ([]byte, error) {
		r := message(new(request))
		if err := proto.Unmarshal(encoded, r); err != nil {
			return nil, status.Errorf(codes.Internal, "grpc: error unmarshalling request: %v", err)
		}
		answer, err := a.interceptUnary(ctx, r, info, handle)
		if err != nil {
			return nil, err
		}
		return appendMessage(b, answer.(response))
	}
}

func appendMessage(b []byte, m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err)
	}
	return b, nil
}

// quickPut is Put without the library's messages: the command has the request as the client encoded it, and of the answer only the revision has to be filled in. What is unusual is left
// to the other method.
func (s *kvService) quickPut(other front.Method) front.Method {
	put := func(ctx context.Context, r *pb.PutRequest, encoded, b []byte) ([]byte, error) {
		if err := s.admit(ctx, false); err != nil {
			return nil, err
		}
		if err := checkPut(r); err != nil {
			return nil, err
		}
		data, err := s.propose(ctx, kv.EncodedPut(encoded))
		if err != nil {
			return nil, err
		}
		if revision, ok := kv.ShortPutResult(data); ok {
			return s.appendHeader(b, revision), nil
		}
		response, err := s.putResponse(data)
		if err != nil {
			return nil, err
		}
		return appendMessage(b, response)
	}
	return func(ctx context.Context, encoded, b []byte) ([]byte, error) {
		var r pb.PutRequest
		if !kv.DecodePut(encoded, &r) {
			return other(ctx, encoded, b)
		}
		start := time.Now()
		b, err := put(ctx, &r, encoded, b)
		s.Metrics.handled(pb.KV_Put_FullMethodName, start, err)
		return b, err
	}
}

var shortTxns = sync.Pool{New: func() any { return new(kv.ShortTxn) }}

// quickTxn is the same for a transaction.
func (s *kvService) quickTxn(other front.Method) front.Method {
	txn := func(ctx context.Context, r *pb.TxnRequest, encoded, b []byte) ([]byte, error) {
		if err := s.admit(ctx, false); err != nil {
			return nil, err
		}
		if err := checkTxn(r, s.MaxTxnOps); err != nil {
			return nil, err
		}
		data, err := s.propose(ctx, kv.EncodedTxn(encoded))
		if err != nil {
			return nil, err
		}
		if revision, puts, succeeded, ok := kv.ShortTxnResult(data); ok {
			return appendPuts(s.appendHeader(b, revision), revision, puts, succeeded), nil
		}
		response, err := s.txnResponse(data)
		if err != nil {
			return nil, err
		}
		return appendMessage(b, response)
	}
	return func(ctx context.Context, encoded, b []byte) ([]byte, error) {
		short := shortTxns.Get().(*kv.ShortTxn)
		defer func() {
			*short = kv.ShortTxn{} // or it would keep the request's memory
			shortTxns.Put(short)
		}()
		r := short.Decode(encoded)
		if r == nil || isReadOnly(r) {
			return other(ctx, encoded, b)
		}
		start := time.Now()
		b, err := txn(ctx, r, encoded, b)
		s.Metrics.handled(pb.KV_Txn_FullMethodName, start, err)
		return b, err
	}
}

// appendHeader appends the header that is the first field of all responses. It has less than 128 bytes, so its length has one, as those below.
func (a *API) appendHeader(b []byte, revision int64) []byte {
	_, term := a.group.Leader()
	b = append(b, 1<<3|byte(protowire.BytesType), 0)
	start := len(b)
	for i, value := range [...]uint64{a.ClusterID, a.memberID, uint64(revision), uint64(term)} {
		if value != 0 {
			b = protowire.AppendVarint(append(b, byte(i+1)<<3), value)
		}
	}
	b[start-1] = byte(len(b) - start)
	return b
}

// appendPuts appends what comes after the header of a TxnResponse if the transaction has only put.
func appendPuts(b []byte, revision int64, puts int, succeeded bool) []byte {
	if succeeded {
		b = append(b, 2<<3, 1)
	}
	const header = 1<<3 | byte(protowire.BytesType)
	size := byte(1 + protowire.SizeVarint(uint64(revision))) // of a header that has nothing but a revision
	for range puts {
		b = append(b, 3<<3|byte(protowire.BytesType), size+4, 2<<3|byte(protowire.BytesType), size+2, header, size, 3<<3)
		b = protowire.AppendVarint(b, uint64(revision))
	}
	return b
}
