// Package wiretest makes random messages, for tests of whatever carries them: the codec, the transport, the simulator's network. The values
// are any that the types can hold, not what a correct member would say. It is not for production code.
package wiretest

import (
	"fmt"
	"math/rand/v2"
	"reflect"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// Random gives a source of randomness: equal seeds make equal messages.
func Random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// Kinds gives an empty message of every kind. A test of package wire compares it with the sources of raft/ and engine/.
func Kinds() []raft.Message {
	return []raft.Message{
		&raft.PreVoteRequest{}, &raft.PreVoteReply{}, &raft.VoteRequest{}, &raft.VoteReply{}, &raft.AppendRequest{}, &raft.AppendReply{},
		&raft.InstallSnapshot{}, &raft.TimeoutNow{}, &raft.ReadIndexRequest{}, &raft.ReadIndexReply{}, &raft.WakeRequest{},
		&engine.ForwardRequest{}, &engine.ForwardReply{}, &engine.SnapshotChunk{}, &engine.SnapshotAck{},
	}
}

// Message makes a message of the same kind as like in which every field may have any value; only sums of data are right. It goes through
// the type by reflection, so that a field which a codec does not know yet makes the round trip fail. Empty slices are nil.
func Message(r *rand.Rand, like raft.Message) raft.Message {
	v := reflect.New(reflect.TypeOf(like).Elem())
	Fill(r, v.Elem())
	switch m := v.Interface().(type) { // what has a sum has the right one
	case *raft.AppendRequest:
		for i := range m.Entries {
			m.Entries[i].Sum = raft.Sum(m.Entries[i].Data)
		}
	case *engine.ForwardRequest:
		m.Sum = raft.Sum(m.Data)
	case *engine.SnapshotChunk:
		m.Sum = raft.Sum(m.Data)
	}
	return v.Interface().(raft.Message)
}

// Fill sets v, and everything in it, to random values.
func Fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(Uint(r) & (1<<v.Type().Bits() - 1))
	case reflect.Int64:
		v.SetInt(int64(Uint(r)))
	case reflect.String:
		v.SetString(string(randomBytes(r)))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(randomBytes(r))
			return
		}
		if n := r.IntN(6); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			Fill(r, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			Fill(r, v.Field(i))
		}
	default:
		panic(fmt.Sprintf("messages now have a field of type %v: teach this package to fill it", v.Type()))
	}
}

// Uint makes a number. It prefers small numbers and the largest ones, where encodings have their edges.
func Uint(r *rand.Rand) uint64 {
	n := r.Uint64() >> r.IntN(64)
	switch r.IntN(8) {
	case 0:
		return 0
	case 1:
		return -n
	}
	return n
}

// randomBytes gives nil rather than an empty slice: that is the form in which messages arrive.
func randomBytes(r *rand.Rand) []byte {
	n := r.IntN(40)
	if r.IntN(10) == 0 {
		n = r.IntN(10_000)
	}
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
