package wal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestACopyIsNoLog: a copy of a directory, however exact, is refused, the original and the moved one are not, and the message says what to do.
func TestACopyIsNoLog(t *testing.T) {
	open := func(dir string) error {
		l, err := Open(Options{FS: OSFS(), Dir: dir, SegmentBytes: 64 << 10, Incarnation: 7})
		if err == nil {
			err = l.Close()
		}
		return err
	}
	dir := t.TempDir()
	first := filepath.Join(dir, "first")
	if err := open(first); err != nil {
		t.Fatal(err)
	}
	if id, err := (osFS{}).Identity(filepath.Join(first, originalName)); err != nil || id == "" {
		t.Skipf("this file system does not tell when a file was born: %q, %v", id, err)
	}
	copied := filepath.Join(dir, "copied")
	if err := os.CopyFS(copied, os.DirFS(first)); err != nil {
		t.Fatal(err)
	}
	if err := open(copied); !errors.Is(err, ErrCopy) || !strings.Contains(err.Error(), "remove") {
		t.Fatalf("a copy opens with %v", err)
	}
	renamed := filepath.Join(dir, "renamed")
	if err := os.Rename(first, renamed); err != nil {
		t.Fatal(err)
	}
	if err := open(renamed); err != nil {
		t.Fatalf("the original, renamed: %v", err)
	}
	// Who knows that the original is gone may say so, and then the copy is the original.
	if err := os.Remove(filepath.Join(copied, originalName)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := open(copied); err != nil {
			t.Fatalf("a moved log: %v", err)
		}
	}
}
