package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// What is decoded can be larger than its bytes: a raft.Entry takes entryFootprint bytes of memory beside its data, and a configuration at
// most configurationFactor times its encoded length. That counts against the limit of a frame too, because a small frame could
// otherwise claim a multiple of its size.
const (
	entryFootprint      = 56
	configurationFactor = 6
)

// AppendMessage appends the frame of one message to dst, payload included, and returns the longer slice. It fails only on a
// message that is too large for the format itself (ErrTooLarge); dst is then returned as it was.
func AppendMessage(dst []byte, group raft.GroupID, m raft.Message) ([]byte, error) {
	out, err := appendHead(dst, group, m, math.MaxInt32)
	if err != nil {
		return dst, err
	}
	switch m := m.(type) {
	case *raft.AppendRequest:
		for i := range m.Entries {
			out = append(out, m.Entries[i].Data...)
		}
	case *engine.ForwardRequest:
		out = append(out, m.Data...)
	case *engine.ForwardReply:
		out = append(out, m.Data...)
	case *engine.SnapshotChunk:
		out = append(out, m.Data...)
	}
	return out, nil
}

// Weight estimates what a message's frame costs, in bytes: its payload, and a round sum for the rest. It is what queues are bounded by.
func Weight(m raft.Message) int {
	const rest = 128
	switch m := m.(type) {
	case *raft.AppendRequest:
		w := rest
		for i := range m.Entries {
			w += len(m.Entries[i].Data) + entryFootprint
		}
		return w
	case *engine.ForwardRequest:
		return rest + len(m.Data)
	case *engine.ForwardReply:
		return rest + len(m.Data)
	case *engine.SnapshotChunk:
		return rest + len(m.Data)
	}
	return rest
}

// appendHead appends the header and the meta part of a message's frame. The payload has to follow: the data of the entries, in
// order, or the message's Data. On an error dst is unchanged.
func appendHead(dst []byte, group raft.GroupID, m raft.Message, limit int) ([]byte, error) {
	start := len(dst)
	out := append(dst, make([]byte, HeaderSize)...)
	out, kind, payload, footprint := appendMeta(out, group, m)
	if size := len(out) - start + payload + footprint; payload < 0 || size > limit {
		return dst, fmt.Errorf("%w: a %T of %d bytes, the limit is %d", ErrTooLarge, m, size, limit)
	}
	sealHeader(out, start, kind, payload)
	return out, nil
}

// appendMeta appends the meta part and tells the payload's length, and what the receiver needs in memory beyond the frame itself.
func appendMeta(dst []byte, group raft.GroupID, m raft.Message) (out []byte, kind Kind, payload, footprint int) {
	dst = binary.AppendUvarint(dst, uint64(group))
	switch m := m.(type) {
	case *raft.PreVoteRequest:
		dst = appendPosition(appendCommon(dst, &m.Header), m.LastIndex, m.LastTerm)
		return dst, KindPreVoteRequest, 0, 0
	case *raft.PreVoteReply:
		dst = appendBool(appendCommon(dst, &m.Header), m.Granted)
		return binary.AppendUvarint(dst, uint64(m.Campaign)), KindPreVoteReply, 0, 0
	case *raft.VoteRequest:
		dst = appendPosition(appendCommon(dst, &m.Header), m.LastIndex, m.LastTerm)
		return appendBool(dst, m.Transfer), KindVoteRequest, 0, 0
	case *raft.VoteReply:
		dst = appendBool(appendCommon(dst, &m.Header), m.Granted)
		if m.Candidate != 0 {
			dst = binary.LittleEndian.AppendUint64(dst, m.Candidate)
		}
		return dst, KindVoteReply, 0, 0
	case *raft.AppendRequest:
		out, payload = appendAppendRequest(dst, m)
		return out, KindAppendRequest, payload, len(m.Entries) * entryFootprint
	case *raft.AppendReply:
		return appendAppendReply(dst, m), KindAppendReply, 0, 0
	case *raft.InstallSnapshot:
		dst, footprint = appendSnapshotMeta(appendCommon(dst, &m.Header), &m.Meta)
		return dst, KindInstallSnapshot, 0, footprint
	case *raft.TimeoutNow:
		return appendCommon(dst, &m.Header), KindTimeoutNow, 0, 0
	case *raft.ReadIndexRequest:
		return binary.LittleEndian.AppendUint64(appendCommon(dst, &m.Header), m.ID), KindReadIndexRequest, 0, 0
	case *raft.ReadIndexReply:
		dst = binary.LittleEndian.AppendUint64(appendCommon(dst, &m.Header), m.ID)
		return binary.AppendUvarint(dst, uint64(m.Index)), KindReadIndexReply, 0, 0
	case *raft.WakeRequest:
		return appendCommon(dst, &m.Header), KindWakeRequest, 0, 0
	case *engine.ForwardRequest:
		return appendForwardRequest(dst, m), KindForwardRequest, len(m.Data), 0
	case *engine.ForwardReply:
		return appendForwardReply(dst, m), KindForwardReply, len(m.Data), 0
	case *engine.SnapshotChunk:
		dst, footprint = appendSnapshotChunk(dst, m)
		return dst, KindSnapshotChunk, len(m.Data), footprint
	case *engine.SnapshotAck:
		return appendSnapshotAck(dst, m), KindSnapshotAck, 0, 0
	}
	// Messages are made by raft/ and engine/ alone, so a kind without an encoding is a gap in this package.
	panic(fmt.Sprintf("wire: no encoding for %T", m))
}

// appendCommon appends what every message has. Identities are random numbers, so they have a fixed width; terms and indexes count up
// from 1, so they have not.
func appendCommon(dst []byte, h *raft.Header) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.From))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.To))
	dst = binary.LittleEndian.AppendUint64(dst, h.Incarnation)
	return binary.AppendUvarint(dst, uint64(h.Term))
}

func appendPosition(dst []byte, i raft.Index, t raft.Term) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(i)), uint64(t))
}

// appendAppendRequest writes each entry's term and index as the difference to what a well-formed log has there, which makes them one byte each;
// the arithmetic wraps, so that any value survives.
func appendAppendRequest(dst []byte, m *raft.AppendRequest) (out []byte, payload int) {
	dst = appendPosition(appendCommon(dst, &m.Header), m.PrevIndex, m.PrevTerm)
	dst = binary.AppendUvarint(dst, uint64(m.Commit))
	dst = binary.AppendUvarint(dst, m.Round)
	dst = appendBool(dst, m.Quiesce)
	dst = binary.AppendUvarint(dst, uint64(len(m.Entries)))
	index, term := m.PrevIndex, m.PrevTerm
	for i := range m.Entries {
		e := &m.Entries[i]
		dst = binary.AppendVarint(dst, int64(e.Index-index-1))
		dst = binary.AppendVarint(dst, int64(e.Term-term))
		dst = append(dst, byte(e.Kind))
		dst = binary.LittleEndian.AppendUint32(dst, e.Sum)
		dst = binary.AppendUvarint(dst, uint64(len(e.Data)))
		index, term = e.Index, e.Term
		payload += len(e.Data)
	}
	return dst, payload
}

func appendAppendReply(dst []byte, m *raft.AppendReply) []byte {
	dst = appendBool(appendCommon(dst, &m.Header), m.Rejected)
	dst = binary.AppendUvarint(dst, uint64(m.Match))
	dst = binary.AppendUvarint(dst, uint64(m.PrevIndex))
	dst = appendPosition(dst, m.ConflictIndex, m.ConflictTerm)
	return binary.AppendUvarint(dst, m.Round)
}

func appendSnapshotMeta(dst []byte, m *raft.SnapshotMeta) (out []byte, footprint int) {
	dst = appendPosition(dst, m.Index, m.Term)
	dst = binary.AppendUvarint(dst, uint64(m.ConfigurationIndex))
	at := len(dst)
	dst = m.Configuration.Encode(append(dst, 0, 0, 0, 0))
	length := len(dst) - at - 4
	binary.LittleEndian.PutUint32(dst[at:], uint32(length))
	return dst, configurationFactor * length
}

func appendForwardRequest(dst []byte, m *engine.ForwardRequest) []byte {
	dst = binary.AppendUvarint(appendCommon(dst, &m.Header), m.ID)
	dst = append(dst, byte(m.Op))
	return binary.LittleEndian.AppendUint32(dst, m.Sum)
}

func appendForwardReply(dst []byte, m *engine.ForwardReply) []byte {
	dst = binary.AppendUvarint(appendCommon(dst, &m.Header), m.ID)
	dst = append(dst, byte(m.Code))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Leader))
	dst = binary.AppendUvarint(dst, uint64(m.Index))
	return binary.LittleEndian.AppendUint32(dst, raft.Sum(m.Data))
}

func appendSnapshotChunk(dst []byte, m *engine.SnapshotChunk) (out []byte, footprint int) {
	dst, footprint = appendSnapshotMeta(appendCommon(dst, &m.Header), &m.Meta)
	dst = binary.LittleEndian.AppendUint64(dst, m.ID)
	dst = binary.AppendVarint(dst, m.Size)
	dst = binary.AppendVarint(dst, m.Offset)
	dst = binary.LittleEndian.AppendUint32(dst, m.Sum)
	return binary.LittleEndian.AppendUint32(dst, m.BodySum), footprint
}

func appendSnapshotAck(dst []byte, m *engine.SnapshotAck) []byte {
	dst = binary.LittleEndian.AppendUint64(appendCommon(dst, &m.Header), m.ID)
	dst = append(dst, byte(m.Status))
	return binary.AppendVarint(dst, m.Offset)
}
