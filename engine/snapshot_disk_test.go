package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

var errDiskOfTest = errors.New("input/output error")

// TestADiskThatFailsASnapshotStopsTheHost: what the fsync was to write is in the page cache as clean, so neither the snapshot nor anything else is to be
// built on it. That the disk is full is another matter.
func TestADiskThatFailsASnapshotStopsTheHost(t *testing.T) {
	for _, c := range []struct {
		kind wal.OpKind
		err  error
		stop bool
	}{
		{wal.OpSync, errDiskOfTest, true}, {wal.OpWrite, errDiskOfTest, true}, {wal.OpRename, errDiskOfTest, true}, {wal.OpSyncDir, errDiskOfTest, true},
		{wal.OpWrite, wal.ErrNoSpace, false},
	} {
		fsys := wal.NewMemFS()
		store, err := openSnapshotStore(fsys, "snap")
		if err != nil {
			t.Fatal(err)
		}
		fsys.SetFault(func(op wal.Op) wal.Fault {
			if op.Kind == c.kind && strings.HasPrefix(op.Name, "snap") {
				return wal.Fault{Err: c.err}
			}
			return wal.Fault{}
		})
		meta := raft.SnapshotMeta{Index: 3, Term: 1, Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a"}}}}
		err = store.write(1, meta, adderSnapshot{1, 2, 3})
		if err == nil || errors.Is(err, errSnapshotDisk) != c.stop {
			t.Errorf("operation %d fails with %v: %v", c.kind, c.err, err)
		}
		fsys.SetFault(nil)
		names, err := fsys.List("snap")
		if err != nil {
			t.Fatal(err)
		}
		if c.kind == wal.OpSync && len(names) > 0 {
			t.Errorf("a body that the disk did not take stays as %v, where a later attempt finds it", names)
		}
	}
}

// TestASnapshotThatCannotBeReadIsNotDamaged: an operator who is told that it is throws the member away.
func TestASnapshotThatCannotBeReadIsNotDamaged(t *testing.T) {
	fsys := wal.NewMemFS()
	store, err := openSnapshotStore(fsys, "snap")
	if err != nil {
		t.Fatal(err)
	}
	meta := raft.SnapshotMeta{Index: 3, Term: 1, Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a"}}}}
	if err := store.write(1, meta, adderSnapshot{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	any := func(raft.SnapshotMeta) bool { return true }
	reads := 0
	fsys.SetFault(func(op wal.Op) wal.Fault {
		if op.Kind == wal.OpRead {
			if reads++; reads > 2 { // The trailer can be read, the body cannot.
				return wal.Fault{Err: errDiskOfTest}
			}
		}
		return wal.Fault{}
	})
	if _, f, err := store.newest(1, any, nil); f != nil || !errors.Is(err, errDiskOfTest) {
		t.Fatalf("it is found as %v, %v", f, err)
	}
	fsys.SetFault(nil)
	if _, f, err := store.newest(1, any, nil); f == nil || err != nil {
		t.Fatalf("after that it is found as %v, %v", f, err)
	}
}
