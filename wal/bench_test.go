package wal

import (
	"fmt"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// BenchmarkAppendSync is what the leader's disk does for a round of proposals: n entries appended and made durable at once.
func BenchmarkAppendSync(b *testing.B) {
	for _, c := range []struct{ entries, size int }{{1, 16}, {64, 16}, {64, 1 << 10}, {1024, 16}} {
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
	for _, c := range []struct{ entries, size int }{{1, 16}, {64, 16}, {64, 1 << 10}} {
		b.Run(fmt.Sprintf("%dx%dB", c.entries, c.size), func(b *testing.B) {
			l := mustOpen(b, Options{FS: nullFS{NewMemFS()}, Dir: "log", Incarnation: 1})
			benchmarkAppend(b, l, c.entries, c.size)
		})
	}
}

func benchmarkAppend(b *testing.B, l *Log, n, size int) {
	mustAppend(b, l, Batch{Group: 1, HardState: hard(1, 1)})
	data := make([]byte, size)
	entries := make([]raft.Entry, n)
	batches := []Batch{{Group: 1, Entries: entries}}
	base := raft.SnapshotMeta{Term: 1}
	compact := []Batch{{Group: 1, Compact: &base}}
	next := raft.Index(1)
	b.SetBytes(int64(n * (size + headerSize)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for i := range entries {
			entries[i] = raft.Entry{Term: 1, Index: next, Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data}
			next++
		}
		if err := l.Append(batches); err != nil {
			b.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			b.Fatal(err)
		}
		if next-base.Index > 100_000 {
			base.Index = next - 1000
			if err := l.Append(compact); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
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

// BenchmarkRecovery opens a log of a million small entries, in batches of 16, and one of 1 GB in entries of 1 KiB.
func BenchmarkRecovery(b *testing.B) {
	for _, c := range []struct{ entries, size int }{{1_000_000, 16}, {1_000_000, 1 << 10}} {
		b.Run(fmt.Sprintf("%dx%dB", c.entries, c.size), func(b *testing.B) {
			o := Options{FS: OSFS(), Dir: b.TempDir(), Incarnation: 1}
			l := mustOpen(b, o)
			mustAppend(b, l, Batch{Group: 1, HardState: hard(1, 1)})
			data := make([]byte, c.size)
			entries := make([]raft.Entry, 16)
			for next := 1; next < c.entries; next += 16 {
				for i := range entries {
					entries[i] = raft.Entry{Term: 1, Index: raft.Index(next + i), Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data}
				}
				mustAppend(b, l, Batch{Group: 1, Entries: entries})
			}
			size := l.Bytes(1)
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
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
