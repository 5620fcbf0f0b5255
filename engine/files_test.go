package engine

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/wal"
)

// countedFS counts the files that are open.
type countedFS struct {
	wal.FS
	open *atomic.Int32
}

func (c countedFS) Create(name string) (wal.File, error) { return c.counted(c.FS.Create(name)) }
func (c countedFS) Open(name string) (wal.File, error)   { return c.counted(c.FS.Open(name)) }

func (c countedFS) counted(f wal.File, err error) (wal.File, error) {
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &countedFile{File: f, open: c.open}, nil
}

type countedFile struct {
	wal.File
	open *atomic.Int32
}

func (f *countedFile) Close() error {
	f.open.Add(-1)
	return f.File.Close()
}

// TestTheFilesOfSnapshotsAreClosedWhenTheirGroupIs, wherever they are: about to be opened, opened and not yet taken over, being sent, or half received. A host that is closed
// before it gets round to it closes them then.
func TestTheFilesOfSnapshotsAreClosedWhenTheirGroupIs(t *testing.T) {
	opening := func(tr *transfer) bool { return tr.opening }
	sending := func(tr *transfer) bool { return tr.file != nil && tr.acked > 0 }
	for name, c := range map[string]struct {
		when   func(*transfer) bool
		before bool // Background has its turn before the group is closed
		closed bool // the host is closed before Background has its turn
	}{
		"about to be opened":             {when: opening},
		"opened":                         {when: opening, before: true},
		"opened, and the host is closed": {when: opening, before: true, closed: true},
		"being sent":                     {when: sending},
		"and the host is closed":         {when: sending, closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			var open atomic.Int32
			s := newStepper(t, 3, func(o *Options) {
				o.CompactBytes, o.KeepEntries = 1<<20, 1
				o.FS = countedFS{o.FS, &open}
			})
			leader := s.startAll()
			s.drop = cut(3)
			for n := range 6 {
				propose(leader, text(n, 1<<20))
				s.pass(10 * time.Millisecond)
			}
			s.pass(20 * time.Second) // what was on its way to member 3 is given up
			if n := open.Load(); n != 0 {
				t.Fatalf("%d files are open", n)
			}
			// One stage after the other, until the moment has come.
			s.drop = nil
			come := func() bool { return leader.transfers[3] != nil && c.when(leader.transfers[3]) }
			for h := s.hosts[0]; !come(); {
				s.now += time.Millisecond
				if h.Turn(s.now); come() {
					break
				}
				h.Sync()
				for h.Apply() {
				}
				h.Background()
				s.turn(s.hosts[1])
				s.turn(s.hosts[2])
				s.deliver()
			}
			if c.before {
				for s.hosts[0].Background() {
				}
			}
			for _, h := range []*steppedHost{s.hosts[0], s.hosts[2]} {
				if err := h.Stop(1); err != nil {
					t.Fatal(err)
				}
				h.Turn(s.now)
				if c.closed {
					if err := h.Close(); err != nil {
						t.Fatal(err)
					}
				}
				for !c.closed && h.Background() {
				}
			}
			if n := open.Load(); n != 0 {
				t.Errorf("%d files are open", n)
			}
		})
	}
}
