package sim

import (
	"encoding/binary"
	"errors"
)

// opKind is what a client wants of a register.
type opKind uint8

const (
	opWrite opKind = iota + 1
	opCompareAndSet
	opRead
)

// command is a write or a compare-and-set on its way through the log. Its id is unique in the world, and is the value it writes: so every value
// tells who wrote it.
type command struct {
	id       uint64
	kind     opKind
	register uint8
	expect   uint64 // of a compare-and-set
}

const commandHead = 8 + 1 + 1 + 8

// encode adds padding bytes of ballast, so that entries have many sizes.
func (c *command) encode(padding int) []byte {
	b := make([]byte, 0, commandHead+padding)
	b = binary.LittleEndian.AppendUint64(b, c.id)
	b = append(b, byte(c.kind), c.register)
	b = binary.LittleEndian.AppendUint64(b, c.expect)
	for i := range padding {
		b = append(b, byte(c.id)+byte(i))
	}
	return b
}

var errNoCommand = errors.New("not a command")

func decodeCommand(b []byte) (command, error) {
	if len(b) < commandHead {
		return command{}, errNoCommand
	}
	return command{
		id: binary.LittleEndian.Uint64(b), kind: opKind(b[8]), register: b[9], expect: binary.LittleEndian.Uint64(b[10:]),
	}, nil
}

// answer is what a command did: whether it took place, the value before it, and its index in the log.
type answer struct {
	done   bool
	before uint64
	index  uint64
}

func (a *answer) encode() []byte {
	b := make([]byte, 0, 17)
	b = append(b, 0)
	if a.done {
		b[0] = 1
	}
	b = binary.LittleEndian.AppendUint64(b, a.before)
	return binary.LittleEndian.AppendUint64(b, a.index)
}

func decodeAnswer(b []byte) (answer, error) {
	if len(b) != 17 {
		return answer{}, errors.New("not an answer")
	}
	return answer{done: b[0] == 1, before: binary.LittleEndian.Uint64(b[1:]), index: binary.LittleEndian.Uint64(b[9:])}, nil
}
