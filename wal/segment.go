package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"sync/atomic"
)

const (
	segmentSuffix = ".wal"
	spareSuffix   = ".spare"
	lockName      = "LOCK"

	segmentMagic   = "BALSAWAL"
	segmentVersion = 1
	// A segment begins with two copies of its header, a disk sector each; then come two copies of the checkpoint, then the batches.
	headerCopy   = 512
	segmentStart = 2 * headerCopy
	headerFields = 64
)

// segment is one file of the log.
type segment struct {
	number uint32
	salt   uint64
	file   File
	data   int64 // where the batches begin
	end    int64 // where they end; of the active segment see Log.flushed
	filled int64 // up to here the file has its blocks
	live   int64 // bytes of the frames of live entries; guarded by Log.mu
	// copied are the bytes of the frames that the cleaner has brought here, framing what else it wrote for them; guarded by Log.mu.
	copied, framing int64
	pins            atomic.Int32
	stuck           bool // the cleaner could not move everything; it is left to its groups' compactions
}

// due is what the live entries take, as far as the cleaner can do better. Where it has brought many small batches together, their framing is as large as
// they are, and no smaller the next time: it counts as live with them, or cleaning would never end.
func (s *segment) due() int64 {
	if s.copied == 0 {
		return s.live
	}
	return s.live + int64(float64(s.framing)*min(1, float64(s.live)/float64(s.copied)))
}

// spare is a file that waits to become a segment. Its content does not matter, only that its blocks exist up to filled: writing over
// a block that was written before costs no journal commit, and needs no room.
type spare struct {
	name   string
	file   File
	filled int64
}

// segmentHeader is what a segment begins with. Little endian:
//
//	 0 magic "BALSAWAL"
//	 8 u32 version           1
//	12 u32 groups            in the checkpoint
//	16 u64 incarnation
//	24 u64 number            of the segment
//	32 u64 previous end      where the batches of the segment before it end, all of them durable; 0 for the first
//	40 u64 checkpoint bytes  of one copy; the batches begin at 1024 + 2 * this
//	48 u64 sequence          of the last batch before the segment
//	56 u32 zero
//	60 u32 CRC-32C of bytes 0 to 60
type segmentHeader struct {
	groups      uint32
	incarnation uint64
	number      uint64
	previousEnd int64
	checkpoint  int64
	sequence    uint64
}

func (h *segmentHeader) data() int64 { return segmentStart + 2*h.checkpoint }

func (h *segmentHeader) put(b []byte) {
	le := binary.LittleEndian
	copy(b, segmentMagic)
	le.PutUint32(b[8:], segmentVersion)
	le.PutUint32(b[12:], h.groups)
	le.PutUint64(b[16:], h.incarnation)
	le.PutUint64(b[24:], h.number)
	le.PutUint64(b[32:], uint64(h.previousEnd))
	le.PutUint64(b[40:], uint64(h.checkpoint))
	le.PutUint64(b[48:], h.sequence)
	le.PutUint32(b[56:], 0)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

var (
	errForeign = errors.New("it does not begin like a segment of a log: if it never was one, remove it from the directory; if it was, put back an intact copy")
	errHeader  = errors.New("both copies of the segment's header are damaged")
)

// parseSegmentHeader reads the header from the first 1024 bytes of a file of that name, from whichever copy is good. Where both are and differ, the disk
// has lost what was written over one of them when the file was recycled: the one that fits the name is the header.
func parseSegmentHeader(b []byte, name string) (segmentHeader, error) {
	magic := false
	var found []segmentHeader
	for _, at := range []int{0, headerCopy} {
		if len(b) < at+headerFields {
			break
		}
		c := b[at : at+headerFields]
		le := binary.LittleEndian
		magic = magic || string(c[:8]) == segmentMagic
		if string(c[:8]) != segmentMagic || le.Uint32(c[60:]) != crc32.Checksum(c[:60], castagnoli) {
			continue
		}
		if v := le.Uint32(c[8:]); v != segmentVersion {
			return segmentHeader{}, fmt.Errorf("its format is version %d, this program knows %d: use the program that wrote it, or a newer one", v, segmentVersion)
		}
		h := segmentHeader{
			groups: le.Uint32(c[12:]), incarnation: le.Uint64(c[16:]), number: le.Uint64(c[24:]), sequence: le.Uint64(c[48:]),
			previousEnd: int64(le.Uint64(c[32:])), checkpoint: int64(le.Uint64(c[40:])),
		}
		if h.number == 0 || h.number > 1<<32-1 || h.previousEnd < 0 || h.previousEnd > maxSegment || h.checkpoint < 0 || h.checkpoint > maxSegment {
			return segmentHeader{}, errors.New("its header has numbers out of range")
		}
		if segmentName("", uint32(h.number)) == name {
			return h, nil
		}
		found = append(found, h)
	}
	if len(found) > 0 {
		return found[0], nil
	}
	if !magic {
		return segmentHeader{}, errForeign
	}
	return segmentHeader{}, errHeader
}

// maxSegment is where offsets in units of 8 bytes end.
const maxSegment = 1 << 35

func segmentName(dir string, number uint32) string {
	return path.Join(dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

func (l *Log) spareName(id uint64) string {
	return path.Join(l.dir, fmt.Sprintf("%016x%s", id, spareSuffix))
}

// readFull reads len(b) bytes at off; what is past the end of the file reads as zeroes.
func readFull(f File, b []byte, off int64) error {
	n, err := readOnce(f, b, off)
	return restZero(b, n, err)
}

// readCached is readFull for what may not have been synced. After an fsync that failed the page cache may have it and the disk not, as clean: who reads around the cache does not see
// it, and it comes to the disk all the same, with whatever is written to its page next.
func readCached(f File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	return restZero(b, n, err)
}

// restZero makes zeroes of what a read found nothing for.
func restZero(b []byte, n int, err error) error {
	if errors.Is(err, io.EOF) || (err == nil && n == len(b)) {
		clear(b[n:])
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// zeroes is what files are filled with.
var zeroes [1 << 20]byte

// fill writes zeroes over [from, to).
func fill(f File, from, to int64) error {
	for from < to {
		n := min(to-from, int64(len(zeroes)))
		if _, err := f.WriteAt(zeroes[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}
