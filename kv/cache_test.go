package kv

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// TestMemTablesLeaveTheCacheItsRoom: Pebble takes their memory out of the cache, which is as large as one by default. What was read a moment ago has to be in
// memory all the same.
func TestMemTablesLeaveTheCacheItsRoom(t *testing.T) {
	store, err := Open("store", Options{FS: vfs.NewMem(), CacheBytes: 8 << 20, MemTableBytes: 8 << 20, ManualScrub: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const keys = 1000
	index := raft.Index(0)
	for round := range 40 { // Memtables begin small, and grow to their size.
		var entries []engine.Entry
		for i := range keys {
			index++
			put := &pb.PutRequest{Key: fmt.Appendf(nil, "key/%06d", i), Value: fmt.Appendf(nil, "%01000d", round)}
			entries = append(entries, engine.Entry{Index: index, Term: 1, Data: PutCommand(put)})
		}
		store.Apply(entries)
	}
	if err := store.Flush(); err != nil {
		t.Fatal(err)
	}
	db := store.current.Load().db
	if err := db.Compact(context.Background(), nil, []byte{0xff}, false); err != nil { // which would put new blocks in the place of those that were read
		t.Fatal(err)
	}
	read := func() int64 {
		before := db.Metrics().BlockCache.Misses
		for i := range keys {
			r, err := store.Range(context.Background(), &pb.RangeRequest{Key: fmt.Appendf(nil, "key/%06d", i)})
			if err != nil || len(r.Kvs) != 1 {
				t.Fatalf("key %d: %v, %v", i, r, err)
			}
		}
		return db.Metrics().BlockCache.Misses - before
	}
	first := read()
	if again := read(); again > first/2 {
		t.Errorf("%d keys are read with %d misses of the cache, and again with %d", keys, first, again)
	}
}
