package kv

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/engine"
)

// stoppedStore is a store that was used twice, on a file system in memory, and the path of its list of files with the list's content.
func stoppedStore(t *testing.T) (fs vfs.FS, manifest string, content []byte) {
	t.Helper()
	fs = vfs.NewMem()
	for i, key := range []string{"a", "b"} {
		s, err := Open("store", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		s.Apply([]engine.Entry{{Index: 1 + s.AppliedIndex(), Term: 1, Data: PutCommand(&pb.PutRequest{Key: []byte(key), Value: []byte("value")})}})
		if got := s.Revision(); got != int64(i+2) {
			t.Fatalf("revision %d", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	name, exists, err := openDirectory(fs, "store")
	if err != nil || !exists {
		t.Fatal(name, exists, err)
	}
	described, err := pebble.Peek(fs.PathJoin("store", name), fs)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open(described.ManifestFilename)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if content, err = io.ReadAll(f); err != nil {
		t.Fatal(err)
	}
	return fs, described.ManifestFilename, content
}

func overwrite(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(slices.Clone(content)); err != nil { // Pebble's file system spoils what it was given under the race detector
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBitsInTheListOfFilesAreNoticed flips every bit of the list, one at a time: Pebble would take the damage for the end of the list.
func TestFlippedBitsInTheListOfFilesAreNoticed(t *testing.T) {
	fs, name, content := stoppedStore(t)
	o := &Options{FS: fs}
	o.setDefaults()
	path := fs.PathDir(name)
	if err := checkManifest(path, o); err != nil {
		t.Fatalf("an undamaged list: %v", err)
	}
	for i := range content {
		for bit := range 8 {
			content[i] ^= 1 << bit
			overwrite(t, fs, name, content)
			content[i] ^= 1 << bit
			if err := checkManifest(path, o); !errors.Is(err, ErrCorrupt) {
				t.Errorf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
}

func TestAListOfFilesThatWasCutShortIsNotTakenForDamaged(t *testing.T) {
	fs, name, content := stoppedStore(t)
	o := &Options{FS: fs}
	o.setDefaults()
	for end := range content {
		overwrite(t, fs, name, content[:end])
		if err := checkManifest(fs.PathDir(name), o); err != nil {
			t.Errorf("cut at %d of %d: %v", end, len(content), err)
		}
	}
	// A file that grew before its last sectors were written.
	long := append(append([]byte(nil), content...), make([]byte, 3*sector)...)
	copy(long[len(content):], "\x11\x22\x33\x44\xff\x03\x01 a record of a kilobyte, of which")
	overwrite(t, fs, name, long)
	if err := checkManifest(fs.PathDir(name), o); err != nil {
		t.Errorf("with its last sectors lost: %v", err)
	}
}

// TestAListOfFilesWithLostSectorsIsNotTakenForDamaged takes away any of the sectors that the last record is in, as a loss of power may that comes before the record
// is synced: a disk writes them in any order.
func TestAListOfFilesWithLostSectorsIsNotTakenForDamaged(t *testing.T) {
	fs, name, content := stoppedStore(t)
	o := &Options{FS: fs}
	o.setDefaults()
	const size = 1200 // more than two sectors
	for start := range 2 * sector {
		// Records before it move it to any place within a sector.
		filler := appendChunk(content[:0:0], []byte(strings.Repeat("f", start+1)))
		before := append(append([]byte(nil), content...), filler...)
		whole := appendChunk(before, []byte(strings.Repeat("r", size)))
		first, last := len(before)/sector, (len(whole)-1)/sector
		for lost := range 1 << (last - first + 1) {
			left := slices.Clone(whole)
			for n := first; n <= last; n++ {
				if lost>>(n-first)&1 == 1 {
					clear(left[max(n*sector, len(before)):min((n+1)*sector, len(left))])
				}
			}
			overwrite(t, fs, name, left)
			if err := checkManifest(fs.PathDir(name), o); err != nil {
				t.Fatalf("the record at %d, sectors lost %b: %v", len(before), lost, err)
			}
		}
	}
}

// appendChunk appends a record as Pebble writes it.
func appendChunk(b, payload []byte) []byte {
	head := make([]byte, manifestHeader)
	binary.LittleEndian.PutUint16(head[4:], uint16(len(payload)))
	head[6] = 1
	binary.LittleEndian.PutUint32(head, chunkSum(append(head[6:7:7], payload...)))
	return append(append(b, head...), payload...)
}

// TestEveryFlippedBitInThePointerIsNoticed flips each bit of the file that names the database in use, with and without its checksum: the store is refused, and
// its database stays where it is, or is the one it was. It was once removed as one that is not in use.
func TestEveryFlippedBitInThePointerIsNoticed(t *testing.T) {
	fs, _, _ := stoppedStore(t)
	name, err := readPointer(fs, "store")
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{pointer(name) + sumLine(name), pointer(name)} {
		refused := 0
		for i := range content {
			for bit := range 8 {
				flipped := []byte(content)
				flipped[i] ^= 1 << bit
				overwrite(t, fs, "store/"+pointerName, flipped)
				s, err := Open("store", Options{FS: fs})
				if err != nil {
					if refused++; !strings.Contains(err.Error(), "store/") {
						t.Errorf("byte %d, bit %d: %v", i, bit, err)
					}
					continue
				}
				if got := s.Revision(); got != 3 {
					t.Errorf("byte %d, bit %d: revision %d", i, bit, got)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if refused != 8*len(content) {
			t.Errorf("%d of %d flips were refused", refused, 8*len(content))
		}
		overwrite(t, fs, "store/"+pointerName, []byte(content))
		s, err := Open("store", Options{FS: fs})
		if err != nil {
			t.Fatalf("undamaged again: %v", err)
		}
		if got := s.Revision(); got != 3 {
			t.Errorf("undamaged again: revision %d", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
