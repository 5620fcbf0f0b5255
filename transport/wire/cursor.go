package wire

import (
	"encoding/binary"
	"fmt"
)

// cursor reads a meta part from front to back. The first thing that does not fit makes it fail for good, after which every read gives
// zero; so a decoder reads all its fields and asks once, at the end.
type cursor struct {
	rest []byte
	// limit bounds what the decoded message may take in memory, see Decode.
	limit int
	err   error
}

func (c *cursor) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	c.rest = nil
}

// room fails unless so many bytes of memory are within the limit; it comes before they are allocated.
func (c *cursor) room(bytes uint64) {
	if c.err == nil && bytes > uint64(c.limit) {
		c.rest = nil
		c.err = fmt.Errorf("%w: it would take %d bytes of memory, the limit is %d", ErrTooLarge, bytes, c.limit)
	}
}

// take gives the next n bytes, which still belong to the meta part's buffer.
func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.rest)) {
		c.fail("the meta part ends in the middle of a field")
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) uvarint() uint64 {
	if len(c.rest) > 0 && c.rest[0] < 0x80 { // most numbers of an entry are small
		v := c.rest[0]
		c.rest = c.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.fail("a number is cut short or too long")
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) varint() int64 {
	u := c.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (c *cursor) bool() bool {
	switch c.uint8() {
	case 0:
		return false
	case 1:
		return true
	}
	c.fail("a truth value is neither 0 nor 1")
	return false
}

// text reads a string with its length, which may be at most limit.
func (c *cursor) text(limit int) string {
	n := c.uvarint()
	if n > uint64(limit) {
		c.fail("a text is too long")
		return ""
	}
	return string(c.take(n))
}

// end gives the error of everything read so far; what is left over is one too.
func (c *cursor) end() error {
	if c.err == nil && len(c.rest) > 0 {
		c.fail("the meta part has bytes that no field takes")
	}
	return c.err
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
