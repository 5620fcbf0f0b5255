package engine

import (
	"bytes"
	"flag"
	"io"
	"os"
	"testing"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// yesterdaysSnapshot is a file of version 1, as docs/formats/snapshot.md has it. Hosts of released versions have such files, so it is never written anew.
const yesterdaysSnapshot = "testdata/version1.snap"

var writeGolden = flag.Bool("write-golden", false, "write "+yesterdaysSnapshot+", if it is missing")

var yesterdaysMeta = raft.SnapshotMeta{
	Index: 77, Term: 9, ConfigurationIndex: 70,
	Configuration: raft.Configuration{
		Members:  []raft.Member{{ID: 1, Address: "10.0.0.1:2380", Incarnation: 0xb0a7}, {ID: 2, Address: "10.0.0.2:2380", Learner: true, AutoPromote: true}},
		Outgoing: []raft.Member{{ID: 1, Address: "10.0.0.1:2380", Incarnation: 0xb0a7}, {ID: 3, Address: "10.0.0.3:2380", Priority: 1}},
	},
}

// TestYesterdaysSnapshotIsRead reads a snapshot that an earlier program wrote, and holds today's bytes against it: a change of the format is a new version.
func TestYesterdaysSnapshotIsRead(t *testing.T) {
	files := wal.NewMemFS()
	store, err := openSnapshotStore(files, "snap")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.write(5, yesterdaysMeta, adderSnapshot{7, 8, 9}); err != nil {
		t.Fatal(err)
	}
	names, _, err := store.list(5, snapshotSuffix)
	if err != nil || len(names) != 1 {
		t.Fatalf("the store has %v (%v)", names, err)
	}
	if want := "snap/0000000000000005-000000000000004d-2fc26c8d00000018.snap"; names[0] != want {
		t.Errorf("it is called %s, and was called %s", names[0], want)
	}
	today := content(t, files, names[0])
	if _, err := os.Stat(yesterdaysSnapshot); err != nil && *writeGolden {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(yesterdaysSnapshot, today, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yesterday, err := os.ReadFile(yesterdaysSnapshot)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(today, yesterday) {
		t.Errorf("a snapshot is written in another way than before:\n%x\n%x", today, yesterday)
	}
	// The file of then, in the place of today's.
	f, err := files.Create("snap/then")
	if err == nil {
		_, err = f.WriteAt(yesterday, 0)
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = files.Rename("snap/then", names[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := store.newest(5, func(raft.SnapshotMeta) bool { return true })
	if err != nil || file == nil {
		t.Fatalf("the snapshot of version 1 is not read: %v", err)
	}
	defer file.Close()
	meta := file.meta
	if meta.Index != 77 || meta.Term != 9 || meta.ConfigurationIndex != 70 || !meta.Configuration.Equal(yesterdaysMeta.Configuration) {
		t.Errorf("it stands for %+v", meta)
	}
	var machine adder
	if err := machine.Restore(&bodyReader{of: file}); err != nil || machine.state() != [3]uint64{7, 8, 9} {
		t.Errorf("its body restores %v (%v)", machine.state(), err)
	}
}

func content(t *testing.T, files wal.FS, name string) []byte {
	t.Helper()
	f, err := files.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
