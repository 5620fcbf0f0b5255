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

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/etcdapi/front"
	"github.com/balsa-raft/balsa/kv"
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

// quickMethods are ways of their own to the same answers, for what is asked most: a put, a transaction of compares and puts, and a fresh read of a key.
func (a *API) quickMethods() map[string]front.Quick {
	s := &kvService{API: a}
	return map[string]front.Quick{
		pb.KV_Range_FullMethodName: s.quickRange,
		pb.KV_Put_FullMethodName:   s.quickPut,
		pb.KV_Txn_FullMethodName:   s.quickTxn,
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

// asked is a request that a quick method has begun.
type asked struct {
	*kvService
	front.Request
	name  string
	start time.Time
}

func (s *kvService) asked(r front.Request, name string) *asked {
	return &asked{kvService: s, Request: r, name: name, start: time.Now()}
}

func (a *asked) answer(b []byte, err error) {
	a.Metrics.handled(a.name, a.start, err)
	a.Answer(b, err)
}

// refuse answers with the error, if there is one.
func (a *asked) refuse(err error) bool {
	if err != nil {
		a.answer(nil, err)
	}
	return err != nil
}

// begin replicates a command as propose does, and does not wait. result makes the answer of what came of it.
func (a *asked) begin(command []byte, result func(data []byte) ([]byte, error)) (giveUp func(error)) {
	if a.refuse(a.mayPropose(command)) {
		return nil
	}
	leader, _ := a.group.Leader()
	return a.group.ProposeThen(command, func(r engine.Result, err error) {
		if err != nil {
			a.Metrics.proposalFailed()
			a.answer(nil, a.writeError(a, leader, err))
			return
		}
		a.answer(result(r.Data))
	})
}

// quickPut is Put without the library's messages: the command has the request as the client encoded it, and of the answer only the revision has to be filled in; and without a
// goroutine that waits. What is unusual is left to the other method.
func (s *kvService) quickPut(r front.Request, encoded, b []byte) (giveUp func(error), taken bool) {
	var put pb.PutRequest
	if !s.learner.isVoter() || !kv.DecodePut(encoded, &put) {
		return nil, false
	}
	a := s.asked(r, pb.KV_Put_FullMethodName)
	if a.refuse(s.admit(r, false)) || a.refuse(checkPut(&put)) {
		return nil, true
	}
	return a.begin(kv.EncodedPut(encoded), func(data []byte) ([]byte, error) {
		if revision, ok := kv.ShortPutResult(data); ok {
			return s.appendHeader(b, revision), nil
		}
		response, err := s.putResponse(data)
		if err != nil {
			return nil, err
		}
		return appendMessage(b, response)
	}), true
}

var shortTxns = sync.Pool{New: func() any { return new(kv.ShortTxn) }}

// quickTxn is the same for a transaction.
func (s *kvService) quickTxn(r front.Request, encoded, b []byte) (giveUp func(error), taken bool) {
	short := shortTxns.Get().(*kv.ShortTxn)
	defer func() {
		*short = kv.ShortTxn{} // or it would keep the request's memory
		shortTxns.Put(short)
	}()
	txn := short.Decode(encoded)
	if !s.learner.isVoter() || txn == nil || isReadOnly(txn) {
		return nil, false
	}
	a := s.asked(r, pb.KV_Txn_FullMethodName)
	if a.refuse(s.admit(r, false)) || a.refuse(checkTxn(txn, s.MaxTxnOps)) {
		return nil, true
	}
	return a.begin(kv.EncodedTxn(encoded), func(data []byte) ([]byte, error) {
		if revision, puts, succeeded, ok := kv.ShortTxnResult(data); ok {
			return appendPuts(s.appendHeader(b, revision), revision, puts, succeeded), nil
		}
		response, err := s.txnResponse(data)
		if err != nil {
			return nil, err
		}
		return appendMessage(b, response)
	}), true
}

// quickRange is Range of one key that has to be fresh. A thousand of them wait for the same barrier: without goroutines whose stacks have grown to what reading needs.
func (s *kvService) quickRange(r front.Request, encoded, b []byte) (giveUp func(error), taken bool) {
	key, ok := kv.DecodePoint(encoded)
	if !ok || !s.learner.isVoter() {
		return nil, false
	}
	one := &pb.RangeRequest{Key: key}
	a := s.asked(r, pb.KV_Range_FullMethodName)
	if a.refuse(s.admit(r, false)) || a.refuse(checkRange(one)) {
		return nil, true
	}
	read := func() {
		response, err := s.store.Range(r, one)
		if err != nil {
			a.answer(nil, storeError(err))
			return
		}
		response.Header = s.fill(response.Header)
		a.answer(appendMessage(b, response))
	}
	return s.group.ReadBarrierThen(func(err error) {
		if err != nil {
			a.answer(nil, s.readError(r, err))
			return
		}
		r.Continue(read)
	}), true
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
