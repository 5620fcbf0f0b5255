package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Bounds of what is decoded, so that a few bytes never ask for much memory.
const (
	maxMembers     = 1 << 10
	maxMemberBytes = 1 << 20
)

// codecVersion begins every encoded configuration and change.
const codecVersion = 1

const (
	flagLearner     = 1 << 0
	flagAutoPromote = 1 << 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the checksum that goes into Entry.Sum: CRC-32C of the data.
func Sum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// Encode appends the configuration to b and returns it. The encoding is canonical: equal configurations have equal bytes.
//
//	configuration = version(1 byte) members members   ; incoming, outgoing
//	members       = count(uvarint) member*
//	member        = id(uvarint) flags(1 byte) incarnation(8 bytes, little endian) priority(1 byte) address meta
//	address, meta = length(uvarint) bytes
func (c Configuration) Encode(b []byte) []byte {
	b = append(b, codecVersion)
	b = appendMembers(b, c.Members)
	return appendMembers(b, c.Outgoing)
}

func appendMembers(b []byte, members []Member) []byte {
	b = binary.AppendUvarint(b, uint64(len(members)))
	for i := range members {
		m := &members[i]
		var flags byte
		if m.Learner {
			flags |= flagLearner
		}
		if m.AutoPromote {
			flags |= flagAutoPromote
		}
		b = binary.AppendUvarint(b, uint64(m.ID))
		b = append(b, flags)
		b = binary.LittleEndian.AppendUint64(b, m.Incarnation)
		b = append(b, m.Priority)
		b = binary.AppendUvarint(b, uint64(len(m.Address)))
		b = append(b, m.Address...)
		b = binary.AppendUvarint(b, uint64(len(m.Meta)))
		b = append(b, m.Meta...)
	}
	return b
}

// DecodeConfiguration reads what Encode wrote. It copies: the result does not refer to data.
func DecodeConfiguration(data []byte) (Configuration, error) {
	d := decoder{rest: data}
	d.version()
	c := Configuration{Members: d.members(), Outgoing: d.members()}
	if err := d.end(); err != nil {
		return Configuration{}, fmt.Errorf("raft: encoded configuration: %w", err)
	}
	return c, nil
}

// Encode appends the change to b and returns it.
//
//	change = version(1 byte) members count(uvarint) id(uvarint)*
func (ch Change) Encode(b []byte) []byte {
	b = append(b, codecVersion)
	b = appendMembers(b, ch.Set)
	b = binary.AppendUvarint(b, uint64(len(ch.Remove)))
	for _, id := range ch.Remove {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

// DecodeChange reads what Change.Encode wrote. It copies.
func DecodeChange(data []byte) (Change, error) {
	d := decoder{rest: data}
	d.version()
	ch := Change{Set: d.members()}
	for range d.count() {
		ch.Remove = append(ch.Remove, MemberID(d.uvarint()))
	}
	if err := d.end(); err != nil {
		return Change{}, fmt.Errorf("raft: encoded change: %w", err)
	}
	return ch, nil
}

var errShort = errors.New("it ends too early")

// decoder reads fields from the front of rest, and keeps the first error.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}

func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail(fmt.Errorf("%d bytes are left over", len(d.rest)))
	}
	return d.err
}

func (d *decoder) version() {
	if v := d.byte(); d.err == nil && v != codecVersion {
		d.fail(fmt.Errorf("version %d is unknown, %d is known", v, codecVersion))
	}
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail(errShort)
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	switch {
	case n <= 0:
		d.fail(errShort)
		return 0
	case n > 1 && d.rest[n-1] == 0:
		d.fail(errors.New("a number is longer than it has to be"))
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) count() int {
	n := d.uvarint()
	if n > maxMembers {
		d.fail(fmt.Errorf("%d members are more than %d", n, maxMembers))
		return 0
	}
	return int(min(n, math.MaxInt32))
}

func (d *decoder) members() []Member {
	n := d.count()
	if n == 0 {
		return nil
	}
	members := make([]Member, 0, min(n, len(d.rest)))
	for range n {
		m := Member{ID: MemberID(d.uvarint())}
		flags := d.byte()
		if flags&^(flagLearner|flagAutoPromote) != 0 {
			d.fail(fmt.Errorf("member %d has unknown flags %#x", m.ID, flags))
		}
		m.Learner, m.AutoPromote = flags&flagLearner != 0, flags&flagAutoPromote != 0
		if b := d.bytes(8); b != nil {
			m.Incarnation = binary.LittleEndian.Uint64(b)
		}
		m.Priority = d.byte()
		m.Address = string(d.bytes(d.uvarint()))
		if meta := d.bytes(d.uvarint()); len(meta) > 0 {
			m.Meta = append([]byte(nil), meta...)
		}
		if d.err != nil {
			return nil
		}
		members = append(members, m)
	}
	return members
}
