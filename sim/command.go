package sim

import (
	"encoding/binary"
	"errors"
)

// An envelope is what the world puts around a client's command on its way through the log: a number that is unique in the world, so that the
// checkers know each command wherever they meet it, and ballast, so that entries have many sizes.
//
//	id 8, length of the ballast 4, ballast, command
const envelopeHead = 8 + 4

// sealCommand puts a command into an envelope.
func sealCommand(id uint64, ballast int, command []byte) []byte {
	b := make([]byte, 0, envelopeHead+ballast+len(command))
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(ballast))
	for i := range ballast {
		b = append(b, byte(id)+byte(i))
	}
	return append(b, command...)
}

var errNoEnvelope = errors.New("not a command in an envelope")

// openCommand takes a command out of its envelope.
func openCommand(b []byte) (id uint64, command []byte, err error) {
	if len(b) < envelopeHead {
		return 0, nil, errNoEnvelope
	}
	ballast := uint64(binary.LittleEndian.Uint32(b[8:]))
	if ballast > uint64(len(b)-envelopeHead) {
		return 0, nil, errNoEnvelope
	}
	return binary.LittleEndian.Uint64(b), b[envelopeHead+ballast:], nil
}

// sealAnswer puts the index of a command before what the machine answered to it.
func sealAnswer(index uint64, answer []byte) []byte {
	b := make([]byte, 0, 8+len(answer))
	return append(binary.LittleEndian.AppendUint64(b, index), answer...)
}

// openAnswer is the reverse of sealAnswer.
func openAnswer(b []byte) (index uint64, answer []byte, err error) {
	if len(b) < 8 {
		return 0, nil, errors.New("not an answer")
	}
	return binary.LittleEndian.Uint64(b), b[8:], nil
}
