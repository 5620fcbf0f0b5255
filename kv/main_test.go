package kv

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fatal is what the helpers need of testing.T and rapid.T.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func openStore(t fatal, files vfs.FS) *Store {
	t.Helper()
	s, err := Open("store", Options{FS: files, ManualScrub: true, MemTableBytes: 1 << 20, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newStore opens an empty store that the test's end closes.
func newStore(t testing.TB) *Store {
	t.Helper()
	s := openStore(t, vfs.NewMem())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// applyAll applies commands as one batch after what was applied before.
func applyAll(s *Store, commands ...[]byte) []engine.Result {
	return s.Apply(entriesAfter(s.AppliedIndex(), commands...))
}

func entriesAfter(last raft.Index, commands ...[]byte) []engine.Entry {
	entries := make([]engine.Entry, len(commands))
	for i, c := range commands {
		entries[i] = engine.Entry{Index: last + 1 + raft.Index(i), Term: 1, Data: c, Local: true}
	}
	return entries
}

func applyOne(s *Store, command []byte) []byte { return applyAll(s, command)[0].Data }

func mustPut(t fatal, s *Store, key, value string) int64 {
	t.Helper()
	r, err := PutResponse(applyOne(s, PutCommand(&pb.PutRequest{Key: []byte(key), Value: []byte(value)})))
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func mustDelete(t fatal, s *Store, key, end string) *pb.DeleteRangeResponse {
	t.Helper()
	r, err := DeleteRangeResponse(applyOne(s, DeleteRangeCommand(&pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)})))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustCompact(t fatal, s *Store, at int64) {
	t.Helper()
	if _, err := CompactionResponse(applyOne(s, CompactionCommand(&pb.CompactionRequest{Revision: at}))); err != nil {
		t.Fatal(err)
	}
}

func mustRange(t fatal, s *Store, r *pb.RangeRequest) *pb.RangeResponse {
	t.Helper()
	response, err := s.Range(context.Background(), r)
	if err != nil {
		t.Fatalf("range %v: %v", r, err)
	}
	return response
}

func mustHash(t fatal, s *Store) uint32 {
	t.Helper()
	hash, err := s.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func scrubAll(t fatal, s *Store) {
	t.Helper()
	for {
		more, err := s.ScrubStep()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
}
