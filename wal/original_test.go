package wal

import (
	"errors"
	"io/fs"
	"testing"
)

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
