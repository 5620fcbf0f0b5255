package wal

import (
	"fmt"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// appends are the batches that are measured.
var appends = []struct{ entries, size int }{{1, 16}, {1, 1 << 10}, {64, 16}, {64, 1 << 10}, {1024, 16}, {1024, 1 << 10}}

// BenchmarkAppendSync is what the leader's disk does for a round of proposals: n entries appended and made durable at once.
func BenchmarkAppendSync(b *testing.B) {
	for _, c := range appends {
		b.Run(fmt.Sprintf("%dx%dB", c.entries, c.size), func(b *testing.B) {
			l := mustOpen(b, Options{FS: OSFS(), Dir: b.TempDir(), Incarnation: 1})
			defer l.Close()
			for did := true; did; {
				var err error
				if did, err = l.Prepare(); err != nil {
					b.Fatal(err)
				}
			}
			// The first segment has no blocks yet: go on to the prepared one.
			if err := l.rollFor(0, false); err != nil {
				b.Fatal(err)
			}
			benchmarkAppend(b, l, c.entries, c.size)
		})
	}
}

// BenchmarkAppend is the log's own work, without a disk.
func BenchmarkAppend(b *testing.B) {
	for _, c := range appends {
		b.Run(fmt.Sprintf("%dx%dB", c.entries, c.size), func(b *testing.B) {
			l := mustOpen(b, Options{FS: nullFS{NewMemFS()}, Dir: "log", Incarnation: 1})
			benchmarkAppend(b, l, c.entries, c.size)
		})
	}
}

func benchmarkAppend(b *testing.B, l *Log, n, size int) {
	a := newAppender(b, l, n, size)
	b.SetBytes(int64(n * (size + headerSize)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		a.append(b)
	}
	b.StopTimer()
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// What the log keeps in memory, of 64 entries each, is all that writing a batch allocates.
func TestAppendAllocatesOnlyPositions(t *testing.T) {
	for _, n := range []int{1, 64, 1024} {
		a := newAppender(t, mustOpen(t, Options{FS: nullFS{NewMemFS()}, Dir: "log", Incarnation: 1}), n, 16)
		for a.next < 4096 { // what grows has grown
			a.append(t)
		}
		if allocated := testing.AllocsPerRun(64, func() { a.append(t) }); allocated > float64(n/chunkEntries) {
			t.Errorf("a batch of %d entries makes %v allocations, and fills %d chunks of positions", n, allocated, n/chunkEntries)
		}
	}
}

// appender appends one batch after the other, makes it durable, and compacts the log now and then.
type appender struct {
	log              *Log
	data             []byte
	entries          []raft.Entry
	batches, compact []Batch
	base             *raft.SnapshotMeta
	next             raft.Index
}

func newAppender(t testing.TB, l *Log, n, size int) *appender {
	mustAppend(t, l, Batch{Group: 1, HardState: hard(1, 1)})
	a := &appender{log: l, data: make([]byte, size), entries: make([]raft.Entry, n), base: &raft.SnapshotMeta{Term: 1}, next: 1}
	a.batches = []Batch{{Group: 1, Entries: a.entries}}
	a.compact = []Batch{{Group: 1, Compact: a.base}}
	return a
}

func (a *appender) append(t testing.TB) {
	for i := range a.entries {
		a.entries[i] = raft.Entry{Term: 1, Index: a.next, Kind: raft.EntryCommand, Sum: raft.Sum(a.data), Data: a.data}
		a.next++
	}
	if err := a.log.Append(a.batches); err != nil {
		t.Fatal(err)
	}
	if err := a.log.Sync(); err != nil {
		t.Fatal(err)
	}
	if a.next-a.base.Index > 100_000 {
		a.base.Index = a.next - 1000
		if err := a.log.Append(a.compact); err != nil {
			t.Fatal(err)
		}
	}
}

// nullFS forgets what is written, for measuring all but the disk.
type nullFS struct{ FS }

type nullFile struct{ File }

func (n nullFS) Create(name string) (File, error) {
	f, err := n.FS.Create(name)
	return nullFile{f}, err
}

func (nullFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (nullFile) Sync() error                            { return nil }

// BenchmarkEntries reads runs of entries from the page cache.
func BenchmarkEntries(b *testing.B) {
	for _, size := range []int{16, 1 << 10} {
		b.Run(fmt.Sprintf("64x%dB", size), func(b *testing.B) {
			l := mustOpen(b, Options{FS: OSFS(), Dir: b.TempDir(), Incarnation: 1})
			defer l.Close()
			mustAppend(b, l, Batch{Group: 1, HardState: hard(1, 1), Entries: run(1, 1, 6400, string(make([]byte, size)))})
			mustSync(b, l)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				from := raft.Index(i%100*64 + 1)
				if got, err := l.Entries(1, from, from+63, 1<<30); err != nil || len(got) != 64 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// filled are the logs that are read as a whole: a million small entries, in batches of 16, and 1 GB in entries of 1 KiB.
var filled = []struct{ entries, size int }{{1_000_000, 16}, {1_000_000, 1 << 10}}

// fillLog makes a log of entries of one group and returns how much of it they take.
func fillLog(b testing.TB, o Options, count, size int) uint64 {
	l := mustOpen(b, o)
	mustAppend(b, l, Batch{Group: 1, HardState: hard(1, 1)})
	data := make([]byte, size)
	entries := make([]raft.Entry, 16)
	for next := 1; next < count; next += 16 {
		for i := range entries {
			entries[i] = raft.Entry{Term: 1, Index: raft.Index(next + i), Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data}
		}
		mustAppend(b, l, Batch{Group: 1, Entries: entries})
	}
	bytes := l.Bytes(1)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return bytes
}

// BenchmarkRecovery opens a log.
func BenchmarkRecovery(b *testing.B) {
	for _, c := range filled {
		b.Run(fmt.Sprintf("%dx%dB", c.entries, c.size), func(b *testing.B) {
			o := Options{FS: OSFS(), Dir: b.TempDir(), Incarnation: 1}
			b.SetBytes(int64(fillLog(b, o, c.entries, c.size)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := mustOpen(b, o).Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScan reads all entries of a log, as a machine that replays does.
func BenchmarkScan(b *testing.B) {
	for _, c := range filled {
		b.Run(fmt.Sprintf("%dx%dB", c.entries, c.size), func(b *testing.B) {
			o := Options{FS: OSFS(), Dir: b.TempDir(), Incarnation: 1}
			b.SetBytes(int64(fillLog(b, o, c.entries, c.size)))
			l := mustOpen(b, o)
			defer l.Close()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				scan := l.Scan(1, 1, raft.Index(c.entries), 4<<20)
				for read := 0; read < c.entries; {
					entries, err := scan.Next()
					if err != nil {
						b.Fatal(err)
					}
					read += len(entries)
				}
				scan.Close()
			}
		})
	}
}
