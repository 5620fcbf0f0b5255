package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/balsa-raft/balsa/raft"
)

// FuzzDescriptor: any bytes decode or not, without a panic or much memory; what decodes means the same again.
func FuzzDescriptor(f *testing.F) {
	d := descriptor{length: 800, flags: hasHard | hasBase | hasEntries, sequence: 7, previous: 5, hard: *hard(3, 4),
		base: raft.SnapshotMeta{Index: 9, Term: 2, Configuration: configuration(1, 2)}, first: 10, runs: []termCount{{3, 2}, {2, 3}}}
	f.Add(d.encode(nil))
	f.Add((&descriptor{flags: hasRemove}).encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d, e descriptor
		if d.decode(b) != nil {
			return
		}
		if err := e.decode(d.encode(nil)); err != nil {
			t.Fatal(err)
		}
		if e.length != d.length || e.flags != d.flags || e.sequence != d.sequence || e.hard != d.hard || e.first != d.first || e.count != d.count ||
			e.base.Index != d.base.Index || len(e.runs) != len(d.runs) {
			t.Fatalf("%+v became %+v", d, e)
		}
	})
}

// FuzzCheckpoint is the same for a group's checkpoint.
func FuzzCheckpoint(f *testing.F) {
	c := checkpoint{sequence: 7, hard: *hard(3, 4), base: raft.SnapshotMeta{Index: 9, Term: 2, Configuration: configuration(1, 2)}, last: 14, runs: []termCount{{3, 2}, {2, 3}}}
	f.Add(c.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, e checkpoint
		if c.decode(1, b) != nil {
			return
		}
		if err := e.decode(1, c.encode(nil)); err != nil || e.last != c.last || e.hard != c.hard {
			t.Fatalf("%+v became %+v: %v", c, e, err)
		}
	})
}

// FuzzRecovery opens logs with arbitrary changes to their bytes. With repair, the sums are made right again, so that the changes get past them:
// then the content may be anything, but opening never panics, and what opens can be read and written.
func FuzzRecovery(f *testing.F) {
	f.Add(uint32(1100), []byte{1}, false)
	f.Add(uint32(1024+48), []byte{0xff, 0xff, 0xff, 0xff}, true)
	f.Add(uint32(2000), []byte("some bytes that were not there before"), true)
	fsys := NewMemFS()
	if _, err := play(fsys); err != nil {
		f.Fatal(err)
	}
	names, err := fsys.List("log")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at uint32, change []byte, repair bool) {
		c := fsys.Clone()
		name := "log/" + names[int(at)%len(names)]
		garble(t, c, name, int64(at/uint32(len(names))), change, repair)
		l, err := Open(scriptOptions(c))
		if err != nil {
			return
		}
		for _, id := range l.Groups() {
			s, _ := l.State(id)
			for i := s.Snapshot.Index + 1; i <= s.LastIndex && i < s.Snapshot.Index+1000; i++ {
				if _, err := l.Entries(id, i, i, 1); err != nil && !errors.Is(err, ErrFaulty) {
					t.Fatal(err)
				}
			}
		}
		mustAppend(t, l, Batch{Group: 99, HardState: hard(1, 1), Entries: run(1, 1, 3, "after")})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, scriptOptions(c))
	})
}

// garble writes the change into a file, and makes the sums of the frame that it hits right again.
func garble(t *testing.T, m *MemFS, name string, at int64, change []byte, repair bool) {
	file, err := m.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := file.Size()
	if err != nil || size == 0 {
		return
	}
	b := make([]byte, size)
	if err := readFull(file, b, 0); err != nil {
		t.Fatal(err)
	}
	at %= size
	frame := int64(-1)
	sh, err := parseSegmentHeader(b, "")
	var h header
	if err == nil {
		img := &image{bytes: b, salt: saltOf(sh.incarnation, sh.number)}
		for off := int64(segmentStart); ; {
			next, ok := img.next(off, &h)
			if !ok || next > at {
				break
			}
			frame, off = next, next+h.size()
		}
	}
	copy(b[at:], change)
	if repair && frame >= 0 {
		if n := int64(binary.LittleEndian.Uint32(b[frame+8:])); frame+headerSize+n <= size {
			binary.LittleEndian.PutUint32(b[frame+12:], crc32.Checksum(b[frame+headerSize:frame+headerSize+n], castagnoli))
		}
		binary.LittleEndian.PutUint32(b[frame:], crc32.Update(seed(saltOf(sh.incarnation, sh.number), frame), castagnoli, b[frame+4:frame+headerSize]))
	}
	if repair && frame < 0 && size > headerFields {
		resum(b)
	}
	if _, err := file.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}
