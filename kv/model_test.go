package kv

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/kv/reference"
	"github.com/balsa-raft/balsa/raft"
)

// Keys are few, so that they meet, and some have the bytes that encodings of keys trip over.
var (
	someKey = rapid.Map(rapid.SampledFrom([]string{"a", "aa", "a\x00", "a\x00\x01", "a\x00\xff", "a\xff", "b", "b\x00b", "c", "\x00", "\xff\xff"}),
		func(s string) []byte { return []byte(s) })
	someEnd = rapid.Map(rapid.SampledFrom([]string{"", "", "\x00", "a\x00", "b", "b\x00", "c", "\xff", "a\x00\x02"}),
		func(s string) []byte { return []byte(s) })
	someValue = rapid.SliceOfN(rapid.SampledFrom([]byte("xyz")), 0, 3)
)

func drawPut(t *rapid.T) *pb.PutRequest {
	r := &pb.PutRequest{Key: someKey.Draw(t, "key"), Value: someValue.Draw(t, "value"), PrevKv: rapid.Bool().Draw(t, "prev")}
	switch rapid.IntRange(0, 9).Draw(t, "special") {
	case 0:
		r.IgnoreValue, r.Value = true, nil
	case 1:
		r.IgnoreLease = true
	case 2:
		r.Lease = 7
	}
	return r
}

func drawDelete(t *rapid.T) *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: someKey.Draw(t, "key"), RangeEnd: someEnd.Draw(t, "end"), PrevKv: rapid.Bool().Draw(t, "prev")}
}

func drawRange(t *rapid.T, revision int64) *pb.RangeRequest {
	maybe := func(name string) int64 {
		if rapid.IntRange(0, 4).Draw(t, name+"?") > 0 {
			return 0
		}
		return rapid.Int64Range(0, revision).Draw(t, name)
	}
	r := &pb.RangeRequest{
		Key: someKey.Draw(t, "key"), RangeEnd: someEnd.Draw(t, "end"), Limit: maybe("limit") % 5,
		SortOrder:  pb.RangeRequest_SortOrder(rapid.IntRange(0, 2).Draw(t, "order")),
		SortTarget: pb.RangeRequest_SortTarget(rapid.IntRange(0, 4).Draw(t, "target")),
		KeysOnly:   rapid.Bool().Draw(t, "keys only"), CountOnly: rapid.IntRange(0, 5).Draw(t, "count only") == 0,
		MinModRevision: maybe("min mod"), MaxModRevision: maybe("max mod"), MinCreateRevision: maybe("min create"), MaxCreateRevision: maybe("max create"),
	}
	if rapid.Bool().Draw(t, "past") {
		r.Revision = rapid.Int64Range(-2, revision+2).Draw(t, "revision")
	}
	return r
}

func drawCompare(t *rapid.T, revision int64) *pb.Compare {
	number := rapid.Int64Range(0, revision).Draw(t, "number")
	c := &pb.Compare{
		Key: someKey.Draw(t, "key"), RangeEnd: someEnd.Draw(t, "end"), Result: pb.Compare_CompareResult(rapid.IntRange(0, 3).Draw(t, "result")),
		Target: pb.Compare_CompareTarget(rapid.IntRange(0, 4).Draw(t, "target")),
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: number % 4}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: number}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: number}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: someValue.Draw(t, "value")}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: number % 2}
	}
	return c
}

func drawTxn(t *rapid.T, revision int64, depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range rapid.IntRange(0, 2).Draw(t, "compares") {
		r.Compare = append(r.Compare, drawCompare(t, revision))
	}
	branch := func() (ops []*pb.RequestOp) {
		for range rapid.IntRange(0, 4).Draw(t, "operations") {
			op := &pb.RequestOp{}
			switch kind := rapid.IntRange(0, 6).Draw(t, "operation"); {
			case kind <= 2:
				op.Request = &pb.RequestOp_RequestPut{RequestPut: drawPut(t)}
			case kind == 3:
				op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: drawDelete(t)}
			case kind == 4 && depth > 0:
				op.Request = &pb.RequestOp_RequestTxn{RequestTxn: drawTxn(t, revision, depth-1)}
			default:
				op.Request = &pb.RequestOp_RequestRange{RequestRange: drawRange(t, revision)}
			}
			ops = append(ops, op)
		}
		return ops
	}
	r.Success, r.Failure = branch(), branch()
	return r
}

func drawRequest(t *rapid.T, revision int64) proto.Message {
	switch kind := rapid.IntRange(0, 19).Draw(t, "request"); {
	case kind < 9:
		return drawPut(t)
	case kind < 12:
		return drawDelete(t)
	case kind < 19:
		return drawTxn(t, revision, 2)
	}
	return &pb.CompactionRequest{Revision: rapid.Int64Range(-1, revision+1).Draw(t, "compact")}
}

// newModel is etcd's semantics, with the store's refusals.
func newModel() *reference.Model {
	return reference.New(reference.Refusals{Compacted: ErrCompacted, FutureRev: ErrFutureRev, KeyNotFound: ErrKeyNotFound, LeaseNotFound: ErrLeaseNotFound})
}

func commandOf(request proto.Message) []byte {
	switch r := request.(type) {
	case *pb.PutRequest:
		return PutCommand(r)
	case *pb.DeleteRangeRequest:
		return DeleteRangeCommand(r)
	case *pb.TxnRequest:
		return TxnCommand(r)
	}
	return CompactionCommand(request.(*pb.CompactionRequest))
}

func responseOf(request proto.Message, data []byte) (proto.Message, error) {
	switch request.(type) {
	case *pb.PutRequest:
		return PutResponse(data)
	case *pb.DeleteRangeRequest:
		return DeleteRangeResponse(data)
	case *pb.TxnRequest:
		return TxnResponse(data)
	}
	return CompactionResponse(data)
}

// compareResponses fails the test unless both sides answered alike. A revision in a refusal is in neither.
func compareResponses(t *rapid.T, request, got proto.Message, gotErr error, want proto.Message, wantErr error) {
	t.Helper()
	if !errors.Is(gotErr, wantErr) || (gotErr != nil) != (wantErr != nil) {
		t.Fatalf("%v: error %v instead of %v", request, gotErr, wantErr)
	}
	if gotErr == nil && !proto.Equal(got, want) {
		t.Fatalf("%v:\n got %v\nwant %v", request, got, want)
	}
}

// The store answers like the reference, whatever is asked, in batches of whatever size, with flushes, reopenings, restores and the removal of
// history at any time. Between two batches nobody may read, so that the first has to wait for the second one.
func TestStoreBehavesLikeReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := vfs.NewMem()
		s, m := openStore(t, files), newModel()
		last := raft.Index(0)
		defer func() {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				var (
					requests []proto.Message
					answers  []proto.Message
					refusals []error
					commands [][]byte
				)
				for range rapid.IntRange(1, 8).Draw(t, "batch") {
					request := drawRequest(t, m.Revision())
					answer, err := m.Apply(request)
					requests, answers, refusals = append(requests, request), append(answers, answer), append(refusals, err)
					commands = append(commands, commandOf(request))
				}
				entries := entriesAfter(last, commands...)
				last = entries[len(entries)-1].Index
				for i, result := range s.Apply(entries) {
					got, err := responseOf(requests[i], result.Data)
					compareResponses(t, requests[i], got, err, answers[i], refusals[i])
				}
			},
			"range": func(t *rapid.T) {
				r := drawRange(t, m.Revision())
				got, err := s.Range(context.Background(), r)
				want, wantErr := m.Range(r)
				compareResponses(t, r, got, err, want, wantErr)
			},
			"chunks": func(t *rapid.T) {
				r := drawRange(t, m.Revision())
				r = &pb.RangeRequest{Key: r.Key, RangeEnd: r.RangeEnd, Limit: r.Limit, Revision: r.Revision, KeysOnly: r.KeysOnly, CountOnly: r.CountOnly}
				got := &pb.RangeResponse{}
				err := s.RangeChunks(context.Background(), r, func(chunk *pb.RangeResponse) error {
					proto.Merge(got, chunk)
					return nil
				})
				want, wantErr := m.Range(r)
				compareResponses(t, r, got, err, want, wantErr)
			},
			"read txn": func(t *rapid.T) {
				r := &pb.TxnRequest{Compare: []*pb.Compare{drawCompare(t, m.Revision())}}
				for range rapid.IntRange(0, 3).Draw(t, "reads") {
					op := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: drawRange(t, m.Revision())}}
					r.Success, r.Failure = append(r.Success, op), append(r.Failure, op)
				}
				got, err := s.ReadTxn(context.Background(), r)
				want, wantErr := m.ReadTxn(r)
				compareResponses(t, r, got, err, want, wantErr)
			},
			"scrub": func(t *rapid.T) {
				before := mustHash(t, s)
				if _, err := s.ScrubStep(); err != nil {
					t.Fatal(err)
				}
				if after := mustHash(t, s); after != before {
					t.Fatalf("removing history changed the hash from %08x to %08x", before, after)
				}
			},
			"reopen": func(t *rapid.T) {
				before, applied := mustHash(t, s), s.AppliedIndex()
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openStore(t, files)
				if after := mustHash(t, s); after != before || s.AppliedIndex() != applied {
					t.Fatalf("reopened at %d with hash %08x instead of %d with %08x", s.AppliedIndex(), after, applied, before)
				}
			},
			"restore": func(t *rapid.T) {
				before := mustHash(t, s)
				if err := s.Restore(bytes.NewReader(snapshotOf(t, s))); err != nil {
					t.Fatal(err)
				}
				if after := mustHash(t, s); after != before {
					t.Fatalf("restored with hash %08x instead of %08x", after, before)
				}
			},
			"": func(t *rapid.T) {
				if !rapid.Bool().Draw(t, "look") {
					return
				}
				if s.Revision() != m.Revision() || s.CompactedRevision() != m.Compacted() {
					t.Fatalf("revision %d, compacted %d instead of %d, %d", s.Revision(), s.CompactedRevision(), m.Revision(), m.Compacted())
				}
			},
		})
	})
}

// snapshotOf captures and writes a snapshot.
func snapshotOf(t fatal, s *Store) []byte {
	t.Helper()
	w, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = w.WriteTo(&b)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The same commands make the same state, however they are grouped, whoever waits for results, and whenever the database flushes and removes history.
func TestDeterminism(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := openStore(t, vfs.NewMem()), openStore(t, vfs.NewMem())
		defer func() {
			if err := errors.Join(one.Close(), two.Close()); err != nil {
				t.Fatal(err)
			}
		}()
		var entries []engine.Entry
		for i := range rapid.IntRange(1, 40).Draw(t, "commands") {
			entries = append(entries, entriesAfter(one.AppliedIndex(), commandOf(drawRequest(t, int64(i+1))))...)
			one.Apply(entries[i:])
			if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				if err := one.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "scrub") == 0 {
				scrubAll(t, one)
			}
		}
		for rest := entries; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			batch := append([]engine.Entry(nil), rest[:n]...)
			for i := range batch {
				batch[i].Local = false
			}
			for _, result := range two.Apply(batch) {
				if result.Data != nil {
					t.Fatal("a result was made that nobody waits for")
				}
			}
			rest = rest[n:]
		}
		if got, want := dump(t, two), dump(t, one); got != want {
			t.Fatalf("states differ:\n%s\n%s", got, want)
		}
		scrubAll(t, one)
		scrubAll(t, two)
		if !bytes.Equal(snapshotOf(t, one), snapshotOf(t, two)) {
			t.Fatal("after the removal of history the bytes differ")
		}
	})
}
