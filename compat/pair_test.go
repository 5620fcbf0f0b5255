package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// pair is Balsa and the oracle, which have been asked the same so far.
type pair struct {
	subject *cluster
	conns   []*grpc.ClientConn // to the subject's members
	oracle  *oracle

	// current and compacted are the oracle's revisions as far as its answers told.
	current, compacted int64
	// diverged says that they have answered differently, so that they may hold different things.
	diverged bool
}

func newPair(t *testing.T, members int) *pair {
	t.Helper()
	p := &pair{subject: newCluster(t, members, subjectFlags...)}
	for _, m := range p.subject.members {
		conn, err := connect(m.client)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		p.conns = append(p.conns, conn)
	}
	// etcd removes its directory's files while it ends, so the directory is not one of the test's.
	dir, err := os.MkdirTemp(tools, "oracle")
	if err != nil {
		t.Fatal(err)
	}
	if p.oracle, err = startOracle(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.oracle.stop)
	p.current = 1
	return p
}

// step is one request, to one of Balsa's members and to the oracle.
type step struct {
	member  int
	request proto.Message
	stream  bool // ask for a stream of chunks, where it is a range
}

func (s step) String() string {
	kind := fmt.Sprintf("%T", s.request)[len("*etcdserverpb."):]
	if s.stream {
		kind += " as a stream"
	}
	return fmt.Sprintf("m%d %s{%v}", s.member+1, kind, s.request)
}

// answer is what came back, without what only names who answered.
type answer struct {
	response proto.Message
	err      error
}

func (a answer) String() string {
	if a.err != nil {
		s := status.Convert(a.err)
		return fmt.Sprintf("%v %q", s.Code(), s.Message())
	}
	return fmt.Sprintf("%v", a.response)
}

func (a answer) equal(b answer) bool {
	if a.err != nil || b.err != nil {
		return a.err != nil && b.err != nil && status.Code(a.err) == status.Code(b.err) && status.Convert(a.err).Message() == status.Convert(b.err).Message()
	}
	return proto.Equal(a.response, b.response)
}

// do asks both and returns what each of them said.
func (p *pair) do(s step) (balsa, etcd answer) {
	balsa, etcd = ask(p.conns[s.member], s), ask(p.oracle.conn, s)
	p.diverged = p.diverged || !balsa.equal(etcd)
	if h, ok := etcd.response.(interface{ GetHeader() *pb.ResponseHeader }); ok && etcd.err == nil {
		p.current = max(p.current, h.GetHeader().GetRevision())
	}
	if r, ok := s.request.(*pb.CompactionRequest); ok && etcd.err == nil {
		p.compacted = r.Revision
	}
	return balsa, etcd
}

func ask(conn *grpc.ClientConn, s step) answer {
	if s.stream {
		return plain(askStream(conn, s.request.(*pb.RangeRequest)))
	}
	method, response := methodOf(s.request)
	return plain(response, call(conn, method, s.request, response))
}

func methodOf(request proto.Message) (string, proto.Message) {
	switch request.(type) {
	case *pb.RangeRequest:
		return pb.KV_Range_FullMethodName, new(pb.RangeResponse)
	case *pb.PutRequest:
		return pb.KV_Put_FullMethodName, new(pb.PutResponse)
	case *pb.DeleteRangeRequest:
		return pb.KV_DeleteRange_FullMethodName, new(pb.DeleteRangeResponse)
	case *pb.TxnRequest:
		return pb.KV_Txn_FullMethodName, new(pb.TxnResponse)
	case *pb.CompactionRequest:
		return pb.KV_Compact_FullMethodName, new(pb.CompactionResponse)
	case *pb.HashKVRequest:
		return pb.Maintenance_HashKV_FullMethodName, new(pb.HashKVResponse)
	case *pb.HashRequest:
		return pb.Maintenance_Hash_FullMethodName, new(pb.HashResponse)
	case *pb.AlarmRequest:
		return pb.Maintenance_Alarm_FullMethodName, new(pb.AlarmResponse)
	case *pb.DefragmentRequest:
		return pb.Maintenance_Defragment_FullMethodName, new(pb.DefragmentResponse)
	case *pb.MoveLeaderRequest:
		return pb.Maintenance_MoveLeader_FullMethodName, new(pb.MoveLeaderResponse)
	case *pb.MemberAddRequest:
		return pb.Cluster_MemberAdd_FullMethodName, new(pb.MemberAddResponse)
	case *pb.MemberRemoveRequest:
		return pb.Cluster_MemberRemove_FullMethodName, new(pb.MemberRemoveResponse)
	case *pb.MemberUpdateRequest:
		return pb.Cluster_MemberUpdate_FullMethodName, new(pb.MemberUpdateResponse)
	case *pb.MemberPromoteRequest:
		return pb.Cluster_MemberPromote_FullMethodName, new(pb.MemberPromoteResponse)
	case *pb.MemberListRequest:
		return pb.Cluster_MemberList_FullMethodName, new(pb.MemberListResponse)
	}
	panic(fmt.Sprintf("no method for %T", request))
}

// askStream puts the chunks of a stream together. Only the last one may have header, count and more.
func askStream(conn *grpc.ClientConn, r *pb.RangeRequest) (proto.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	stream, err := pb.NewKVClient(conn).RangeStream(ctx, r)
	if err != nil {
		return nil, err
	}
	whole := new(pb.RangeResponse)
	for {
		chunk, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return whole, nil
		case err != nil:
			return nil, err
		case whole.Header != nil:
			return nil, errors.New("a chunk follows the last one")
		}
		part := chunk.RangeResponse
		whole.Kvs = append(whole.Kvs, part.Kvs...)
		whole.Header, whole.Count, whole.More = part.Header, part.Count, part.More
	}
}

// plain takes out of a response what differs because another cluster answers: identities, term, and the hash, which is of another store.
func plain(response proto.Message, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	if r, ok := response.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		if h := r.GetHeader(); h != nil {
			if h.ClusterId == 0 || h.MemberId == 0 || h.RaftTerm == 0 {
				return answer{err: fmt.Errorf("the header %v does not say who answers", h)}
			}
			h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
		}
	}
	switch r := response.(type) {
	case *pb.HashKVResponse:
		r.Hash = 0
	case *pb.HashResponse:
		r.Hash = 0
	}
	return answer{response: response}
}

// allKeys deletes what both hold.
var allKeys = &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}

// reset empties both. If they have diverged it brings them to the same revision again.
func (p *pair) reset() error {
	balsa, etcd := p.do(step{request: allKeys})
	for _, a := range []answer{balsa, etcd} {
		if a.err != nil {
			return fmt.Errorf("all keys cannot be deleted: %w", a.err)
		}
	}
	if !p.diverged {
		return nil
	}
	revision := func(conn *grpc.ClientConn, s step) (int64, error) {
		a := ask(conn, s)
		if a.err != nil {
			return 0, a.err
		}
		return a.response.(interface{ GetHeader() *pb.ResponseHeader }).GetHeader().Revision, nil
	}
	ours, err := revision(p.conns[0], step{request: allKeys})
	theirs, err2 := revision(p.oracle.conn, step{request: allKeys})
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	filler := step{request: &pb.PutRequest{Key: []byte("filler")}}
	goal := max(ours, theirs) + 2
	for _, side := range []struct {
		conn *grpc.ClientConn
		at   int64
	}{{p.conns[0], ours}, {p.oracle.conn, theirs}} {
		for at := side.at; at < goal-1; {
			if at, err = revision(side.conn, filler); err != nil {
				return err
			}
		}
		if _, err := revision(side.conn, step{request: allKeys}); err != nil {
			return err
		}
		if a := ask(side.conn, step{request: &pb.CompactionRequest{Revision: goal}}); a.err != nil {
			return a.err
		}
	}
	p.current, p.compacted, p.diverged = goal, goal, false
	return nil
}

// checkHashes fails unless all members of the subject hold the same.
func (p *pair) checkHashes() error {
	var first *pb.HashKVResponse
	for i, conn := range p.conns {
		// A linearizable read waits until this member has everything.
		if err := call(conn, pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("a")}, new(pb.RangeResponse)); err != nil {
			return err
		}
		response := new(pb.HashKVResponse)
		if err := call(conn, pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{Revision: p.current}, response); err != nil {
			return err
		}
		if i == 0 {
			first = response
		}
		if response.Hash != first.Hash || response.HashRevision != p.current || response.CompactRevision != first.CompactRevision {
			return fmt.Errorf("at revision %d m1 holds %v and m%d %v", p.current, first, i+1, response)
		}
	}
	return nil
}
