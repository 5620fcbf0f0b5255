package wal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/balsa-raft/balsa/raft"
)

// A frame is a header of headerSize bytes, then the payload, then zeroes up to the next multiple of align.
const (
	headerSize = 48
	align      = 8
	// maxPayload bounds one frame.
	maxPayload = 1 << 30
)

// frameType says what a frame is.
type frameType uint8

const (
	frameBegin      frameType = 1 // opens a batch; payload: its descriptor
	frameEntry      frameType = 2 // one entry of a batch; payload: Entry.Data
	frameEnd        frameType = 3 // commits a batch; payload: the descriptor once more
	frameCheckpoint frameType = 4 // one group's state where a segment begins; payload: a checkpoint
	frameMark       frameType = 5 // says only how far the log was synced; no payload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what stands before a payload. Little endian:
//
//	 0 u32 header sum   CRC-32C of bytes 4 to 48, begun with a value made of the segment's salt and the frame's offset
//	 4 u32 salt         low half of the segment's salt
//	 8 u32 length       of the payload, in bytes
//	12 u32 payload sum  CRC-32C of the payload; of an entry it is Entry.Sum
//	16 u64 group
//	24 u64 term         of the entry; else the group's current term
//	32 u64 index        of the entry; else the group's last index
//	40 u32 synced       everything in the segment before this offset (in units of 8 bytes) was durable when the frame was made
//	44 u8  type
//	45 u8  kind         of the entry, else 0
//	46 u16 zero
type header struct {
	length uint32
	sum    uint32
	group  raft.GroupID
	term   raft.Term
	index  raft.Index
	synced uint32
	typ    frameType
	kind   raft.EntryKind
}

// size is the room that the frame takes.
func (h *header) size() int64 { return frameSize(int(h.length)) }

func frameSize(payload int) int64 { return (headerSize + int64(payload) + align - 1) &^ (align - 1) }

// saltOf makes the salt of a segment: a recycled file gets another number, another log has another incarnation, so that frames of
// neither read as frames of this segment. It is the finalizer of SplitMix64.
func saltOf(incarnation, number uint64) uint64 {
	z := incarnation + number*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// seed begins the header's sum. A CRC that begins with another value never comes to the same sum over the same bytes, so a copy of a
// frame at another offset, for example inside of an entry's data, is not a frame.
func seed(salt uint64, off int64) uint32 { return uint32(salt>>32) ^ uint32(off/align) }

// put writes the header to the front of b, for a frame at offset off of the segment.
func (h *header) put(b []byte, salt uint64, off int64) {
	b = b[:headerSize]
	le := binary.LittleEndian
	le.PutUint32(b[4:], uint32(salt))
	le.PutUint32(b[8:], h.length)
	le.PutUint32(b[12:], h.sum)
	le.PutUint64(b[16:], uint64(h.group))
	le.PutUint64(b[24:], uint64(h.term))
	le.PutUint64(b[32:], uint64(h.index))
	le.PutUint32(b[40:], h.synced)
	b[44], b[45], b[46], b[47] = byte(h.typ), byte(h.kind), 0, 0
	le.PutUint32(b, crc32.Update(seed(salt, off), castagnoli, b[4:]))
}

// parse reads the header at the front of b, which is at offset off of the segment, and tells whether there is one. Nothing in it is
// looked at before its sum was.
func (h *header) parse(b []byte, salt uint64, off int64) bool {
	if len(b) < headerSize {
		return false
	}
	b = b[:headerSize]
	le := binary.LittleEndian
	if le.Uint32(b[4:]) != uint32(salt) || le.Uint32(b) != crc32.Update(seed(salt, off), castagnoli, b[4:]) {
		return false
	}
	*h = header{
		length: le.Uint32(b[8:]), sum: le.Uint32(b[12:]),
		group: raft.GroupID(le.Uint64(b[16:])), term: raft.Term(le.Uint64(b[24:])), index: raft.Index(le.Uint64(b[32:])),
		synced: le.Uint32(b[40:]), typ: frameType(b[44]), kind: raft.EntryKind(b[45]),
	}
	return h.typ >= frameBegin && h.typ <= frameMark && h.length <= maxPayload && b[46] == 0 && b[47] == 0
}

// image is the content of a segment, or of its beginning, in memory.
type image struct {
	bytes []byte
	salt  uint64
}

// frame parses the frame at off. ok says that the header is good, whole that the payload is too; it aliases the image.
func (m *image) frame(off int64, h *header) (payload []byte, ok, whole bool) {
	if off < 0 || off+headerSize > int64(len(m.bytes)) || !h.parse(m.bytes[off:], m.salt, off) {
		return nil, false, false
	}
	if off+headerSize+int64(h.length) > int64(len(m.bytes)) {
		return nil, true, false
	}
	payload = m.bytes[off+headerSize:][:h.length:h.length]
	return payload, true, crc32.Checksum(payload, castagnoli) == h.sum
}

// next finds the first good header at or after off. It is how reading goes on after a damaged frame.
func (m *image) next(off int64, h *header) (at int64, ok bool) {
	salt := uint32(m.salt)
	for at = (off + align - 1) &^ (align - 1); at+headerSize <= int64(len(m.bytes)); at += align {
		if binary.LittleEndian.Uint32(m.bytes[at+4:]) == salt && h.parse(m.bytes[at:], m.salt, at) {
			return at, true
		}
	}
	return at, false
}
