package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/balsa-raft/balsa/internal/hostile"
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
		var err error
		if hostile.Within(t, 64*len(b), func() { err = d.decode(b) }); err != nil {
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
		var err error
		if hostile.Within(t, 64*len(b), func() { err = c.decode(1, b) }); err != nil {
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

// FuzzFrame looks for frames in arbitrary bytes, as they are and with the sum of the first header put right: what is found lies within them, and means the same again.
func FuzzFrame(f *testing.F) {
	const salt = 0x1122334455667788
	h := header{length: 5, group: 1, term: 2, index: 3, synced: 4, typ: frameEntry, kind: raft.EntryCommand, sum: crc32.Checksum([]byte("bytes"), castagnoli)}
	b := make([]byte, headerSize, h.size())
	h.put(b, salt, 0)
	f.Add(append(b, "bytes\x00\x00\x00"...))
	f.Add(bytes.Repeat([]byte{0xff}, 3*headerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 2 {
			img := &image{bytes: b, salt: salt}
			hostile.Within(t, 0, func() {
				var h header
				for off := int64(0); ; off += align {
					at, ok := img.next(off, &h)
					if !ok {
						break
					}
					if off = at; at+headerSize > int64(len(b)) {
						t.Fatalf("a header at %d of %d bytes", at, len(b))
					}
					payload, ok, whole := img.frame(at, &h)
					if !ok || whole && (int64(len(payload)) != int64(h.length) || at+h.size() > int64(len(b))+align) {
						t.Fatalf("%+v at %d of %d bytes", h, at, len(b))
					}
				}
			})
			if b = bytes.Clone(b); len(b) < headerSize {
				return
			}
			binary.LittleEndian.PutUint32(b[4:], uint32(salt&0xffffffff))
			b[46], b[47] = 0, 0
			binary.LittleEndian.PutUint32(b, crc32.Update(seed(salt, 0), castagnoli, b[4:headerSize]))
			var h header
			if h.parse(b, salt, 0) {
				again := make([]byte, headerSize)
				if h.put(again, salt, 0); !bytes.Equal(again, b[:headerSize]) {
					t.Fatalf("%+v: %x became %x", h, b[:headerSize], again)
				}
			}
		}
	})
}

// FuzzSegmentHeader reads arbitrary bytes as what a segment begins with, as they are and with the sum of the first copy put right.
func FuzzSegmentHeader(f *testing.F) {
	h := segmentHeader{groups: 2, incarnation: 3, number: 4, previousEnd: 5 << 10, checkpoint: 512, sequence: 7}
	b := make([]byte, segmentStart)
	h.put(b)
	h.put(b[headerCopy:])
	f.Add(b)
	f.Add(b[:headerFields])
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 2 {
			h, err := parseSegmentHeader(b, segmentName("", 4))
			if err == nil {
				again := make([]byte, segmentStart)
				h.put(again)
				if h2, err := parseSegmentHeader(again, segmentName("", 4)); err != nil || h2 != h {
					t.Fatalf("%+v became %+v: %v", h, h2, err)
				}
			}
			if b = bytes.Clone(b); len(b) < headerFields {
				return
			}
			copy(b, segmentMagic)
			binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
		}
	})
}

// TestNumbersThatLieCostNoMemory puts far too large numbers into every place of what batches and checkpoints are described by.
func TestNumbersThatLieCostNoMemory(t *testing.T) {
	d := descriptor{length: 800, flags: hasHard | hasBase | hasEntries, sequence: 7, previous: 5, hard: *hard(3, 4),
		base: raft.SnapshotMeta{Index: 9, Term: 2, Configuration: configuration(1, 2)}, first: 10, runs: []termCount{{3, 2}, {2, 3}}}
	hostile.Numbers(d.encode(nil), func(b []byte) {
		hostile.Within(t, 0, func() { _ = new(descriptor).decode(b) })
	})
	c := checkpoint{sequence: 7, hard: *hard(3, 4), base: d.base, last: 14, runs: d.runs}
	hostile.Numbers(c.encode(nil), func(b []byte) {
		hostile.Within(t, 0, func() { _ = new(checkpoint).decode(1, b) })
	})
}
