package wal

import (
	"errors"
	"testing"
)

// countedFS counts the files that are open.
type countedFS struct {
	FS
	open int
}

func (c *countedFS) Create(name string) (File, error) { return c.counted(c.FS.Create(name)) }
func (c *countedFS) Open(name string) (File, error)   { return c.counted(c.FS.Open(name)) }

func (c *countedFS) counted(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	c.open++
	return &countedFile{f, c}, nil
}

type countedFile struct {
	File
	of *countedFS
}

func (f *countedFile) Close() error {
	f.of.open--
	return f.File.Close()
}

// TestALogThatFailsKeepsNoFileOpen, whichever operation it was that failed: a program that opens it anew would run out of descriptors some day.
func TestALogThatFailsKeepsNoFileOpen(t *testing.T) {
	failed := map[OpKind]int{}
	for n, whole := 1, false; !whole; n++ {
		memory := NewMemFS()
		fsys := &countedFS{FS: memory}
		var kind OpKind
		memory.SetFault(func(op Op) Fault {
			if op.N == n {
				kind = op.Kind
				return Fault{Err: errInjected}
			}
			return Fault{}
		})
		w := newWorkload(1, 3, 700)
		err := error(nil)
		for range 3 { // lives
			var l *Log
			if l, err = Open(testOptions(fsys)); err != nil {
				break
			}
			for i := 0; i < 100 && err == nil; i++ {
				if err = l.Append([]Batch{w.batch()}); err == nil {
					err = l.Sync()
				}
				for did := i%3 != 0; did && err == nil; {
					did, err = l.Prepare()
				}
			}
			if closed := l.Close(); err == nil {
				err = closed
			}
			if err != nil {
				break
			}
		}
		if whole = kind == 0; !whole && err != nil {
			failed[kind]++
		}
		if err != nil && !errors.Is(err, errInjected) {
			t.Fatalf("operation %d: %v", n, err)
		}
		if fsys.open != 0 {
			t.Errorf("when operation %d fails, of kind %d, %d files stay open: %v", n, kind, fsys.open, err)
		}
	}
	for _, kind := range []OpKind{OpCreate, OpOpen, OpRemove, OpRename, OpSyncDir, OpWrite, OpSync} {
		if failed[kind] == 0 {
			t.Errorf("no operation of kind %d failed", kind)
		}
	}
}
