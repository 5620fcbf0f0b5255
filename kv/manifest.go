package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// sector is what a disk writes as a whole, in bytes: a write that a crash cut short lacks whole sectors.
const sector = 512

// checkManifest looks for damage in Pebble's list of files, which Pebble itself takes for the end of a write that a crash cut short: it then goes on with an
// older list, though newer files and their sequence numbers are in use already, and would show keys twice. A write that really was cut short lacks its end, or has
// zeros there; a record that is all there and does not match its checksum was damaged later.
func checkManifest(path string, o *Options) error {
	described, err := pebble.Peek(path, o.FS)
	if err != nil {
		return storageError("open "+path, err)
	}
	if !described.Exists {
		return nil // for Pebble to say
	}
	name := described.ManifestFilename
	file, err := o.FS.Open(name)
	if err != nil {
		return storageError("open "+name, err)
	}
	data, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return storageError("read "+name, err)
	}
	if at, ok := firstDamage(data); !ok {
		return fmt.Errorf("%w: %s, the list of the database's files, does not match its checksum at byte %d; restore this member from the others or from a backup",
			ErrCorrupt, name, at)
	}
	return nil
}

// The list is a file of LevelDB's log format: blocks of 32 KiB, in them chunks with a header of checksum (4 bytes, of all that follows the length), length of
// the payload (2) and kind (1, from 1 to 4). A block of which less than a header is left ends in zeros.
const (
	manifestBlock  = 32 << 10
	manifestHeader = 7
)

// cookedSum is a CRC-32C as the format has it: rotated and shifted.
func cookedSum(raw uint32) uint32 { return (raw>>15 | raw<<17) + 0xa282ead8 }

func chunkSum(data []byte) uint32 { return cookedSum(crc32.Checksum(data, castagnoli)) }

// isShorterChunk tells whether a beginning of what follows the length is what the checksum is of.
func isShorterChunk(rest []byte, sum uint32) bool {
	raw := uint32(0)
	for _, b := range rest[6:] {
		raw = crc32.Update(raw, castagnoli, []byte{b})
		if cookedSum(raw) == sum {
			return true
		}
	}
	return false
}

// firstDamage checks all chunks. It returns where the first damaged one begins; ok if there is none, or only what a crash may have left at the end.
func firstDamage(data []byte) (at int64, ok bool) {
	for at < int64(len(data)) {
		left := manifestBlock - at%manifestBlock
		if left < manifestHeader {
			at += left
			continue
		}
		rest := data[at:min(at+left, int64(len(data)))]
		if len(rest) < manifestHeader {
			return at, true // the file ends before the chunk does
		}
		sum, length, kind := binary.LittleEndian.Uint32(rest), int(binary.LittleEndian.Uint16(rest[4:])), rest[6]
		switch end := manifestHeader + length; {
		case end > len(rest) && isShorterChunk(rest, sum):
			return at, false // all of it is there, and only its length is not what it was
		case end > len(rest) && int64(len(rest)) < left:
			return at, true // the file ends before the chunk does
		case end > len(rest), kind < 1, kind > 4, chunkSum(rest[6:end]) != sum:
			return at, cutShort(data, at)
		default:
			at += int64(end)
		}
	}
	return at, true
}

// cutShort tells whether what is at the offset, up to the end, may be one write of which some sectors never reached the disk, in whatever order it writes them. Every
// write is synced before the next, so none comes after it.
func cutShort(data []byte, at int64) bool {
	lost := func(sector []byte) bool { return len(bytes.Trim(sector, "\x00")) == 0 }
	first := data[at:min((at/sector+1)*sector, int64(len(data)))]
	if !lost(first) && int64(len(data)) >= at+manifestHeader && data[at+6] >= 1 && data[at+6] <= 4 {
		end := at + manifestHeader + int64(binary.LittleEndian.Uint16(data[at+4:]))
		if end < int64(len(data)) && !lost(data[end:]) {
			return false
		}
	}
	for from := at; from < int64(len(data)); from = (from/sector + 1) * sector {
		if lost(data[from:min((from/sector+1)*sector, int64(len(data)))]) {
			return true
		}
	}
	return false
}
