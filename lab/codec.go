package lab

import (
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

// codec carries messages as the bytes that production sends.
type codec struct{}

func (codec) Encode(group raft.GroupID, m raft.Message) ([]byte, error) {
	return wire.AppendMessage(nil, group, m)
}

func (codec) Decode(b []byte) (raft.GroupID, raft.Message, error) { return wire.DecodeMessage(b) }
