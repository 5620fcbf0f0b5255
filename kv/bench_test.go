package kv

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// BenchmarkApply is what a member does with what is committed: batches of commands on 10,000 keys, values of 256 bytes, with and without somebody on this member
// who waits for the results, and with and without somebody who reads after each batch.
func BenchmarkApply(b *testing.B) {
	for _, kind := range []string{"put", "txn"} {
		for _, local := range []bool{true, false} {
			for _, batch := range []int{1, 64, 1024} {
				for _, reads := range []bool{true, false} {
					b.Run(fmt.Sprintf("%s/local=%v/batch=%d/read=%v", kind, local, batch, reads), func(b *testing.B) {
						a := newBatches(b, kind, local, batch)
						a.reads = reads
						b.ReportAllocs()
						for b.Loop() {
							a.apply(b)
						}
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/command")
					})
				}
			}
		}
	}
}

// batches applies one batch after the other, all of one kind of command.
type batches struct {
	store    *Store
	commands [][]byte
	entries  []engine.Entry
	next     raft.Index
	local    bool
	reads    bool
}

func newBatches(t testing.TB, kind string, local bool, batch int) *batches {
	const keys = 10_000
	store, err := Open("store", Options{FS: vfs.NewMem(), ManualScrub: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	a := &batches{store: store, entries: make([]engine.Entry, batch), next: 1, local: local}
	value := make([]byte, 256)
	for i := range keys {
		put := &pb.PutRequest{Key: fmt.Appendf(nil, "key/%06d", i), Value: value}
		command := PutCommand(put)
		if kind == "txn" {
			command = TxnCommand(&pb.TxnRequest{
				Compare: []*pb.Compare{{Target: pb.Compare_VERSION, Result: pb.Compare_GREATER, Key: put.Key, TargetUnion: &pb.Compare_Version{Version: -1}}},
				Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
			})
		}
		a.commands = append(a.commands, command)
	}
	return a
}

func (a *batches) apply(t testing.TB) {
	for i := range a.entries {
		// A stride without a common factor, so that neighbours are in different places.
		a.entries[i] = engine.Entry{Index: a.next, Term: 1, Data: a.commands[(int(a.next)*7919)%len(a.commands)], Local: a.local}
		a.next++
	}
	if results := a.store.Apply(a.entries); a.local && len(results[0].Data) == 0 {
		t.Fatal("a command has no result")
	}
	if a.reads && a.store.AppliedIndex() != a.next-1 {
		t.Fatalf("applied %d of %d", a.store.AppliedIndex(), a.next-1)
	}
}

// A put reads the record before it, in two allocations, and a transaction that compares the key first reads it twice; nothing is allocated to decode them, to write what
// they change or to answer them.
func TestAPutAllocatesLittle(t *testing.T) {
	const batch = 100
	for kind, allowed := range map[string]float64{"put": 3 * batch, "txn": 4 * batch} {
		a := newBatches(t, kind, true, batch)
		for a.next < 20_000 { // every key is there
			a.apply(t)
		}
		if n := testing.AllocsPerRun(20, func() { a.apply(t) }); n > allowed {
			t.Errorf("%d times %s makes %v allocations, more than %v", batch, kind, n, allowed)
		}
	}
}
