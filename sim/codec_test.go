package sim_test

import (
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

// wireCodec is the codec of production. lie, if set, is what the network makes of a message on the way.
type wireCodec struct {
	lie func(m raft.Message) raft.Message
}

func (wireCodec) Encode(group raft.GroupID, m raft.Message) ([]byte, error) {
	return wire.AppendMessage(make([]byte, 0, 128), group, m)
}

func (c wireCodec) Decode(b []byte) (raft.GroupID, raft.Message, error) {
	group, m, err := wire.DecodeMessage(b)
	if err == nil && c.lie != nil {
		m = c.lie(m)
	}
	return group, m, err
}
