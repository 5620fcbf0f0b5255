package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// yesterday is what the log in testdata holds. It was written by version 1, and whatever the code becomes, it reads it.
func yesterday() []Batch {
	return []Batch{
		{Group: 1, HardState: hard(1, 1), Snapshot: &raft.SnapshotMeta{Configuration: configuration(1, 2, 3)}, Entries: run(1, 1, 3, "one")},
		{Group: 1 << 40, HardState: hard(300, 1<<60), Entries: append(run(2, 1, 2, "two"), configEntry(3, 3, 1, 2, 9))},
		{Group: 1, HardState: hard(2, 0), Entries: run(2, 3, 7, string(make([]byte, 900)))},
		{Group: 1, Compact: &raft.SnapshotMeta{Index: 2, Term: 1, Configuration: configuration(1, 2, 3)}},
		{Group: 5, HardState: hard(1, 1), Entries: run(1, 1, 2, "three")},
		{Group: 6, HardState: hard(9, 1), Snapshot: &raft.SnapshotMeta{Index: 77, Term: 8, Configuration: configuration(4), ConfigurationIndex: 70}, Entries: run(9, 78, 79, "four")},
		{Group: 5, Remove: true},
	}
}

// writeYesterday writes that log. Three segments: the later ones begin with a checkpoint.
func writeYesterday(t *testing.T, fsys FS, dir string) {
	t.Helper()
	l := mustOpen(t, Options{FS: fsys, Dir: dir, SegmentBytes: 4 << 10, ReserveBytes: 2 << 10, Incarnation: 0xb0a7})
	for _, b := range yesterday() {
		mustAppend(t, l, b)
		mustSync(t, l)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

const testdata = "testdata/version1"

// TestYesterdaysBytes reads a log that an earlier program wrote, and holds today's bytes against it: a change of the format is a new version.
func TestYesterdaysBytes(t *testing.T) {
	m := model{}
	for _, b := range yesterday() {
		m.apply(b)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(testdata)); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, Options{FS: OSFS(), Dir: dir, Incarnation: 1})
	mustEqual(t, m, l)
	if l.Incarnation() != 0xb0a7 {
		t.Errorf("incarnation %#x", l.Incarnation())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mem := NewMemFS()
	writeYesterday(t, mem, "log")
	segments := 0
	err := filepath.WalkDir(testdata, func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != segmentSuffix {
			return err
		}
		segments++
		want, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := mem.Open("log/" + d.Name())
		if err != nil {
			return err
		}
		got := make([]byte, len(want))
		if err := readFull(f, got, 0); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return errors.New(name + " has other bytes than what is written today")
		}
		return nil
	})
	if err != nil || segments != 3 {
		t.Errorf("%d segments: %v", segments, err)
	}
}
