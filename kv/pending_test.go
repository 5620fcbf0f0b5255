package kv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// putsOf are n puts on a few keys.
func putsOf(n int) (commands [][]byte) {
	for i := range n {
		commands = append(commands, PutCommand(&pb.PutRequest{Key: fmt.Appendf(nil, "key/%d", i%7), Value: fmt.Appendf(nil, "value %d", i)}))
	}
	return commands
}

// written is how far the database is, without anybody having read.
func written(s *Store) raft.Index { return s.current.Load().appliedIndex() }

// Whoever reads sees everything that was applied before, whatever it is that is read.
func TestEveryReaderSeesWhatWaits(t *testing.T) {
	const puts = 20
	ctx := context.Background()
	var revision int64
	readers := map[string]func(s *Store) (err error){
		"range of a key": func(s *Store) error {
			r, err := s.Range(ctx, &pb.RangeRequest{Key: []byte("key/5")})
			revision = r.Header.Revision
			return err
		},
		"range": func(s *Store) error {
			r, err := s.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
			revision = r.Header.Revision
			return err
		},
		"chunks": func(s *Store) error {
			return s.RangeChunks(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}, func(r *pb.RangeResponse) error {
				revision = r.Header.Revision
				return nil
			})
		},
		"transaction": func(s *Store) error {
			r, err := s.ReadTxn(ctx, &pb.TxnRequest{})
			revision = r.Header.Revision
			return err
		},
		"hash": func(s *Store) (err error) {
			_, revision, _, err = s.HashKV(0)
			return err
		},
		"snapshot": func(s *Store) error {
			w, err := s.Snapshot()
			if err != nil {
				return err
			}
			defer w.Close()
			revision = w.(*snapshotWriter).pinned.state.revision
			_, err = w.WriteTo(io.Discard)
			return err
		},
		"flush": func(s *Store) error {
			err := s.Flush()
			revision = int64(s.DurableIndex()) + 1
			return err
		},
	}
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.Apply(entriesAfter(0, putsOf(puts/2)...))
			s.Apply(entriesAfter(puts/2, putsOf(puts/2)...))
			if at := written(s); at != 0 {
				t.Fatalf("%d commands were written before anybody read", at)
			}
			if err := read(s); err != nil || revision != puts+1 {
				t.Fatalf("read at revision %d instead of %d: %v", revision, puts+1, err)
			}
			// Somebody has read, so the next batch is written at once, and the one after it waits again.
			s.Apply(entriesAfter(puts, putsOf(1)...))
			s.Apply(entriesAfter(puts+1, putsOf(1)...))
			if at := written(s); at != puts+1 {
				t.Fatalf("%d commands are written instead of %d", at, puts+1)
			}
		})
	}
}

// How far a store is, it says without writing anything, and whoever holds up the writer: that is when somebody wants to know.
func TestHowFarAStoreIsWaitsForNobody(t *testing.T) {
	s := newStore(t)
	s.Apply(entriesAfter(0, putsOf(20)...))
	s.Apply(entriesAfter(20, CompactionCommand(&pb.CompactionRequest{Revision: 5})))
	s.Apply(entriesAfter(21, putsOf(3)...))
	s.writing.mu.Lock() // as by an Apply that waits for a disk that is stuck
	said := make(chan [3]int64, 1)
	go func() {
		s.Size()
		said <- [3]int64{s.Revision(), s.CompactedRevision(), int64(s.AppliedIndex())}
	}()
	giveUp := time.NewTimer(time.Minute)
	defer giveUp.Stop()
	select {
	case at := <-said:
		if at != [3]int64{24, 5, 24} {
			t.Errorf("it says %v", at)
		}
	case <-giveUp.C:
		t.Error("it waits")
	}
	s.writing.mu.Unlock()
	if at := written(s); at != 21 {
		t.Errorf("%d commands are written", at)
	}
}

// What waits is bounded, and a compaction never waits, since the removal of history begins with it.
func TestWhatWaitsIsBounded(t *testing.T) {
	s := newStore(t)
	value := make([]byte, 1000)
	const most = 2 * maxBatchBytes / 1000
	var last raft.Index
	for written(s) == 0 {
		s.Apply(entriesAfter(last, PutCommand(&pb.PutRequest{Key: fmt.Appendf(nil, "key/%d", last), Value: value})))
		if last++; last > most {
			t.Fatalf("%d puts of a thousand bytes wait", last)
		}
	}
	s.Apply(entriesAfter(last, putsOf(1)...))
	s.Apply(entriesAfter(last+1, CompactionCommand(&pb.CompactionRequest{Revision: 5})))
	if at := written(s); at != last+2 {
		t.Fatalf("written up to %d, the compaction was %d", at, last+2)
	}
}

// A crash loses what waited, and nothing else; the replay from there leads to the same state.
func TestACrashLosesWhatWaited(t *testing.T) {
	files := vfs.NewCrashableMem()
	s := openStore(t, files)
	if root, err := files.OpenDir("/"); err != nil || root.Sync() != nil || root.Close() != nil {
		t.Fatal("the store's directory does not outlast a crash")
	}
	s.Apply(entriesAfter(0, putsOf(20)...))
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s.Apply(entriesAfter(20, putsOf(1)...)) // written, since the flush has looked
	more := entriesAfter(21, putsOf(30)...)
	s.Apply(more)
	if durable := s.DurableIndex(); durable != 20 {
		t.Fatalf("durable up to %d", durable)
	}
	after := openStore(t, files.CrashClone(vfs.CrashCloneCfg{}))
	if at := after.AppliedIndex(); at != 20 {
		t.Fatalf("after the crash the store is as of %d", at)
	}
	after.Apply(entriesAfter(20, putsOf(1)...))
	after.Apply(more)
	if got, want := dump(t, after), dump(t, s); got != want {
		t.Errorf("after the replay:\n%s\nbefore the crash:\n%s", got, want)
	}
	// The end of a store is not a crash.
	for _, each := range []*Store{s, after} {
		each.Apply(entriesAfter(51, putsOf(1)...))
		if err := each.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := openStore(t, files)
	defer again.Close()
	if at := again.AppliedIndex(); at != 52 {
		t.Errorf("after the end and a new beginning the store is as of %d", at)
	}
}

// Readers beside the writer: each sees at least what had been applied when it began, and the value that belongs to the revision that it is told.
func TestReadersBesideTheWriter(t *testing.T) {
	s := newStore(t)
	var (
		mu      sync.Mutex
		applied int64
		done    = make(chan struct{})
		readers sync.WaitGroup
	)
	for range 3 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				least := applied
				mu.Unlock()
				r, err := s.Range(context.Background(), &pb.RangeRequest{Key: []byte("key"), RangeEnd: [][]byte{nil, {0}}[n%2]})
				if err != nil {
					t.Error(err)
					return
				}
				if least == 0 {
					continue
				}
				if r.Header.Revision < least+1 || len(r.Kvs) != 1 || !bytes.Equal(r.Kvs[0].Value, fmt.Appendf(nil, "%d", r.Kvs[0].ModRevision)) || r.Kvs[0].ModRevision != r.Header.Revision {
					t.Errorf("%d were applied, and what is read is %v", least, r)
					return
				}
			}
		})
	}
	for i := range int64(3000) {
		s.Apply(entriesAfter(raft.Index(i), PutCommand(&pb.PutRequest{Key: []byte("key"), Value: fmt.Appendf(nil, "%d", i+2)})))
		mu.Lock()
		applied = i + 1
		mu.Unlock()
	}
	close(done)
	readers.Wait()
}

// whenFailed is a log that calls back when the store says that it has failed.
type whenFailed struct {
	slog.Handler
	call func()
}

func (h whenFailed) Enabled(context.Context, slog.Level) bool { return true }

func (h whenFailed) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		h.call()
	}
	return nil
}

// A command that fails in its middle is not written by a reader who comes right then, since it will be carried out anew after the next start.
func TestACommandThatFailsInItsMiddleIsNotWritten(t *testing.T) {
	files := vfs.NewMem()
	var s *Store
	failed := false
	log := slog.New(whenFailed{slog.DiscardHandler, func() {
		failed = true
		if s.writing.mu.TryLock() {
			s.writing.mu.Unlock()
			t.Error("the store fails while others may write what waits")
		}
	}})
	s, err := Open("store", Options{FS: files, ManualScrub: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "a", "1")
	mustPut(t, s, "c", "1")
	if err := s.settle(); err != nil {
		t.Fatal(err)
	}
	applied, g := s.AppliedIndex(), s.current.Load()
	if err := g.db.Set(append([]byte{prefixLatest}, "b"...), []byte{0xff}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	s.Apply([]engine.Entry{
		{Index: applied + 1, Data: PutCommand(&pb.PutRequest{Key: []byte("d"), Value: []byte("1")})},
		{Index: applied + 2, Data: DeleteRangeCommand(&pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte("c")})},
	})
	if !failed {
		t.Fatal("the store did not fail at a record that is none")
	}
	if _, err := s.Range(context.Background(), &pb.RangeRequest{Key: []byte("d")}); err == nil {
		t.Error("a store that has failed answers")
	}
	if written := written(s); written != applied {
		t.Errorf("%d was written after %d, by a store that has failed", written, applied)
	}
	if r, c, err := getLatest(g.db, []byte("a")); err != nil || c == nil || r.version != 1 {
		t.Errorf("of a command that failed in its middle the database has %+v, %v", r, err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
