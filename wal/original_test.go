package wal

import (
	"errors"
	"io/fs"
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
	born, tells := OSFS().(Identifier)
	if !tells {
		t.Skip("this system does not tell when a file was born")
	}
	if id, err := born.Identity(filepath.Join(first, originalName)); err != nil || id == "" {
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

// TestTheOriginalIsNotForged: a file of another log, or a damaged one, says nothing of this one, and is refused.
func TestTheOriginalIsNotForged(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"another log": func(b []byte) []byte { return encodeOriginal(99, "file 1") },
		"damaged":     func(b []byte) []byte { b[20] ^= 1; b[headerCopy+20] ^= 1; return b },
		"cut short":   func(b []byte) []byte { return b[:10] },
	} {
		fsys := NewMemFS()
		o := testOptions(fsys)
		if err := mustOpen(t, o).Close(); err != nil {
			t.Fatal(err)
		}
		f, err := fsys.Open(o.Dir + "/" + originalName)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		b := make([]byte, size)
		if err := readFull(f, b, 0); err != nil {
			t.Fatal(err)
		}
		b = spoil(b)
		if err := errors.Join(f.Truncate(0), f.Truncate(int64(len(b)))); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if err := fsys.Remove(o.Dir + "/" + originalName); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := mustOpen(t, o).Close(); err != nil {
			t.Fatal(err)
		}
	}
}
