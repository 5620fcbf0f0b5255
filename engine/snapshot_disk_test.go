package engine

import (
	"bytes"
	"errors"
	"io"
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
		err = store.write(1, metaOfTest(3), adderSnapshot{1, 2, 3})
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
	fsys, store := storeOfTest(t, make([]byte, 24))
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
	machine := func(body io.Reader) error {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	for _, spare := range []bool{false, true} {
		reads = 0
		if _, found, err := store.restore(1, any, spare, machine); found || !errors.Is(err, errDiskOfTest) || errors.As(err, &refusal{}) {
			t.Fatalf("it is found: %v, %v", found, err)
		}
	}
	fsys.SetFault(nil)
	if _, found, err := store.restore(1, any, false, machine); !found || err != nil {
		t.Fatalf("after that it is found: %v, %v", found, err)
	}
}

// TestAMachineThatTripsOverRotIsNotToBlame: what a machine is shown of a damaged body before its end, it may not make sense of. That is the file's fault, and another
// file may do.
func TestAMachineThatTripsOverRotIsNotToBlame(t *testing.T) {
	const size, rotten = 2*bodyPiece + 5, 17
	fsys, store := storeOfTest(t, make([]byte, size), make([]byte, size))
	rot(t, store, rotten, 1)
	nonsense := errors.New("not a state of mine")
	picky := func(fromIndex raft.Index) (raft.SnapshotMeta, bool, error) {
		accept := func(m raft.SnapshotMeta) bool { return m.Index >= fromIndex }
		return store.restore(1, accept, false, func(body io.Reader) error {
			head := make([]byte, 100)
			if _, err := io.ReadFull(body, head); err != nil {
				return err
			}
			if !bytes.Equal(head, make([]byte, len(head))) {
				return nonsense
			}
			_, err := io.Copy(io.Discard, body)
			return err
		})
	}
	if meta, found, err := picky(3); err != nil || !found || meta.Index != 3 {
		t.Errorf("with an older one that is intact: %v, %v, %v", meta.Index, found, err)
	}
	if meta, found, err := picky(4); err != nil || found {
		t.Errorf("with no other: %v, %v, %v", meta.Index, found, err)
	}
	// A disk that fails while the rest is read has not said that anything is damaged.
	reads := 0
	fsys.SetFault(func(op wal.Op) wal.Fault {
		if op.Kind == wal.OpRead && op.Len == bodyPiece {
			if reads++; reads > 1 {
				return wal.Fault{Err: errDiskOfTest}
			}
		}
		return wal.Fault{}
	})
	if _, found, err := picky(3); found || !errors.Is(err, errDiskOfTest) || errors.As(err, &refusal{}) {
		t.Errorf("with a disk that fails: %v, %v", found, err)
	}
	fsys.SetFault(nil)
	// Of a body that is as it was written, the machine's word counts, wherever it stopped.
	_, found, err := store.restore(1, func(raft.SnapshotMeta) bool { return true }, false, func(body io.Reader) error {
		// The damaged one is asked of it first, and passed over.
		return nonsense
	})
	if found || !errors.Is(err, nonsense) || !errors.As(err, &refusal{}) {
		t.Errorf("a machine that refuses all: %v, %v", found, err)
	}
}

// TestNobodyGetsTheEndOfADamagedSnapshot: a machine that keeps its own state would take what it got for good. One that has to begin from nothing if there is no other
// snapshot gets nothing at all.
func TestNobodyGetsTheEndOfADamagedSnapshot(t *testing.T) {
	for _, c := range []struct{ size, rot int }{{0, -1}, {1, 0}, {bodyPiece, 17}, {bodyPiece + 1, 17}, {3 * bodyPiece, 3*bodyPiece - 1}, {3*bodyPiece + 5, 0}} {
		for _, spare := range []bool{false, true} {
			body := make([]byte, c.size)
			for i := range body {
				body[i] = byte(i % 251)
			}
			_, store := storeOfTest(t, body, body)
			want := raft.Index(4)
			if c.rot >= 0 {
				want = 3 // the older one is intact
				rot(t, store, int64(c.rot), ^body[c.rot])
				// The sender finds it too, before it has sent all.
				damaged, err := store.newest(1, func(raft.SnapshotMeta) bool { return true })
				if err != nil {
					t.Fatal(err)
				}
				for off := 0; off < c.size && err == nil; {
					piece := make([]byte, min(100_000, c.size-off))
					if _, failed := damaged.around.ReadAt(piece, int64(off)); failed != nil {
						t.Fatal(failed)
					}
					err = damaged.follow(int64(off), piece)
					if err == nil && off > 0 { // sent again, since its acknowledgement was lost
						err = damaged.follow(int64(off), piece)
					}
					off += len(piece)
				}
				if !errors.Is(err, errSnapshotDamaged) {
					t.Errorf("a body of %d bytes with rot at %d is sent: %v", c.size, c.rot, err)
				}
			}
			given := 0
			meta, found, err := store.restore(1, func(raft.SnapshotMeta) bool { return true }, spare, func(body io.Reader) error {
				given++
				got, err := io.ReadAll(body)
				if err == nil && len(got) != c.size {
					t.Errorf("%d bytes instead of %d", len(got), c.size)
				}
				return err
			})
			if err != nil || !found || meta.Index != want {
				t.Errorf("a body of %d bytes with rot at %d, spare %v: %v, %v, %v", c.size, c.rot, spare, meta.Index, found, err)
			}
			if most := 5 - int(want); given > most || spare && given != 1 {
				t.Errorf("a body of %d bytes with rot at %d, spare %v: the machine was given %d", c.size, c.rot, spare, given)
			}
		}
	}
}

// TestALargeSnapshotIsRemovedAPieceAtATime, and a crash in between leaves nothing that is taken for a snapshot, or that stays for ever.
func TestALargeSnapshotIsRemovedAPieceAtATime(t *testing.T) {
	fsys, store := storeOfTest(t, make([]byte, 5*shrinkPiece), make([]byte, 5*shrinkPiece))
	cuts, rests := 0, 0
	store.rest = func() { rests++ }
	fsys.SetFault(func(op wal.Op) wal.Fault {
		if op.Kind == wal.OpTruncate {
			if cuts++; cuts == 3 {
				return wal.Fault{Err: errDiskOfTest}
			}
		}
		return wal.Fault{}
	})
	store.prune(1, 4, false)
	names, err := fsys.List("snap")
	if err != nil || len(names) != 2 || !strings.HasSuffix(names[0], goneSuffix) {
		t.Fatalf("half removed there are %q, %v", names, err)
	}
	if found, _, err := store.list(1, snapshotSuffix); err != nil || len(found) != 1 {
		t.Errorf("as snapshots there are %q, %v", found, err)
	}
	store.prune(1, 4, false)
	if names, err = fsys.List("snap"); err != nil || len(names) != 1 || cuts < 6 || rests != cuts {
		t.Errorf("in the end there are %q, %v, after %d cuts and %d rests", names, err, cuts, rests)
	}
}

func metaOfTest(index raft.Index) raft.SnapshotMeta {
	return raft.SnapshotMeta{Index: index, Term: 1, Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a"}}}}
}

// storeOfTest makes a store with snapshots of group 1 that have these bodies, from index 3 on.
func storeOfTest(t *testing.T, bodies ...[]byte) (*wal.MemFS, *snapshotStore) {
	t.Helper()
	fsys := wal.NewMemFS()
	store, err := openSnapshotStore(fsys, "snap")
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range bodies {
		if err := store.write(1, metaOfTest(raft.Index(3+i)), bodyOfTest(body)); err != nil {
			t.Fatal(err)
		}
	}
	return fsys, store
}

// rot changes a byte of the newest snapshot.
func rot(t *testing.T, store *snapshotStore, at int64, to byte) {
	t.Helper()
	names, _, err := store.list(1, snapshotSuffix)
	if err != nil {
		t.Fatal(err)
	}
	f, err := store.fs.Open(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{to}, at); err != nil {
		t.Fatal(err)
	}
}

type bodyOfTest []byte

func (b bodyOfTest) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

func (b bodyOfTest) Close() error { return nil }
