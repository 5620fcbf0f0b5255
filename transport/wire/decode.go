package wire

import (
	"fmt"
	"math"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// DecodeMessage decodes the frame that fills b exactly. The message's Data points into b, which the caller must not change any more.
// It is the counterpart of AppendMessage for whoever has whole frames; a stream is read with ParseHeader and Decode.
func DecodeMessage(b []byte) (raft.GroupID, raft.Message, error) {
	h, err := ParseHeader(b, len(b))
	if err != nil {
		return 0, nil, err
	}
	if h.FrameSize() != len(b) {
		return 0, nil, fmt.Errorf("%w: %d bytes where the header says %d", ErrCorrupt, len(b), h.FrameSize())
	}
	payload := b[HeaderSize+h.Meta:]
	return Decode(h, b[HeaderSize:HeaderSize+h.Meta], payload[:len(payload):len(payload)], math.MaxInt)
}

// Decode decodes a message from the parts of its frame and checks every sum. The message keeps payload (its Data, or that of its entries,
// points into it) and nothing of meta. The limit is that of ParseHeader: a frame whose entries would take more memory than that is refused.
func Decode(h Header, meta, payload []byte, limit int) (raft.GroupID, raft.Message, error) {
	if err := h.checkMeta(meta); err != nil {
		return 0, nil, err
	}
	if len(payload) != int(h.Payload) {
		return 0, nil, fmt.Errorf("%w: a payload of %d bytes where the header says %d", ErrCorrupt, len(payload), h.Payload)
	}
	c := cursor{rest: meta, limit: limit}
	group := raft.GroupID(c.uvarint())
	m, err := decodeMeta(h.Kind, &c, payload)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return 0, nil, fmt.Errorf("frame of kind %d: %w", h.Kind, err)
	}
	return group, m, nil
}

func decodeMeta(kind Kind, c *cursor, payload []byte) (raft.Message, error) {
	switch kind {
	case KindAppendRequest:
		return decodeAppendRequest(c, payload)
	case KindForwardRequest:
		return decodeForwardRequest(c, payload)
	case KindForwardReply:
		return decodeForwardReply(c, payload)
	case KindSnapshotChunk:
		return decodeSnapshotChunk(c, payload)
	}
	if len(payload) > 0 {
		return nil, fmt.Errorf("%w: %d bytes of payload, which this kind has not", ErrCorrupt, len(payload))
	}
	switch kind {
	case KindPreVoteRequest:
		m := &raft.PreVoteRequest{Header: c.common()}
		m.LastIndex, m.LastTerm = c.position()
		return m, nil
	case KindPreVoteReply:
		return &raft.PreVoteReply{Header: c.common(), Granted: c.bool(), Campaign: raft.Term(c.uvarint())}, nil
	case KindVoteRequest:
		m := &raft.VoteRequest{Header: c.common()}
		m.LastIndex, m.LastTerm = c.position()
		m.Transfer = c.bool()
		return m, nil
	case KindVoteReply:
		m := &raft.VoteReply{Header: c.common(), Granted: c.bool()}
		if len(c.rest) > 0 {
			m.Candidate = c.uint64()
		}
		return m, nil
	case KindAppendReply:
		return decodeAppendReply(c), nil
	case KindInstallSnapshot:
		return &raft.InstallSnapshot{Header: c.common(), Meta: c.snapshotMeta()}, nil
	case KindTimeoutNow:
		return &raft.TimeoutNow{Header: c.common()}, nil
	case KindReadIndexRequest:
		return &raft.ReadIndexRequest{Header: c.common(), ID: c.uint64()}, nil
	case KindReadIndexReply:
		return &raft.ReadIndexReply{Header: c.common(), ID: c.uint64(), Index: raft.Index(c.uvarint())}, nil
	case KindWakeRequest:
		return &raft.WakeRequest{Header: c.common()}, nil
	case KindSnapshotAck:
		m := &engine.SnapshotAck{Header: c.common(), ID: c.uint64()}
		m.Status, m.Offset = engine.SnapshotStatus(c.uint8()), c.varint()
		return m, nil
	}
	return nil, fmt.Errorf("%w: no message has this kind", ErrCorrupt)
}

func (c *cursor) common() raft.Header {
	return raft.Header{
		From:        raft.MemberID(c.uint64()),
		To:          raft.MemberID(c.uint64()),
		Incarnation: c.uint64(),
		Term:        raft.Term(c.uvarint()),
	}
}

func (c *cursor) position() (raft.Index, raft.Term) {
	i := raft.Index(c.uvarint())
	return i, raft.Term(c.uvarint())
}

func (c *cursor) snapshotMeta() raft.SnapshotMeta {
	var m raft.SnapshotMeta
	m.Index, m.Term = c.position()
	m.ConfigurationIndex = raft.Index(c.uvarint())
	n := uint64(c.uint32())
	encoded := c.take(n)
	c.room(configurationFactor * n)
	if c.err != nil {
		return m
	}
	configuration, err := raft.DecodeConfiguration(encoded)
	if err != nil {
		c.fail("its configuration: " + err.Error())
	}
	m.Configuration = configuration
	return m
}

// minEntryMeta is the least that an entry takes in the meta part: a byte each for index, term, kind and length, and its sum.
const minEntryMeta = 8

func decodeAppendRequest(c *cursor, payload []byte) (raft.Message, error) {
	m := &raft.AppendRequest{Header: c.common()}
	m.PrevIndex, m.PrevTerm = c.position()
	m.Commit = raft.Index(c.uvarint())
	m.Round = c.uvarint()
	m.Quiesce = c.bool()
	count := c.uvarint()
	if c.err != nil {
		return nil, c.err
	}
	if count > uint64(len(c.rest)/minEntryMeta) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", ErrCorrupt, count, len(c.rest))
	}
	c.room(count*entryFootprint + uint64(len(payload)))
	if c.err != nil {
		return nil, c.err
	}
	if count > 0 {
		m.Entries = make([]raft.Entry, count)
	}
	rest, err := decodeEntries(c, m, payload)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes of payload belong to no entry", ErrCorrupt, len(rest))
	}
	return m, nil
}

// decodeEntries fills in m.Entries and returns what of the payload is left over.
func decodeEntries(c *cursor, m *raft.AppendRequest, payload []byte) ([]byte, error) {
	index, term := m.PrevIndex, m.PrevTerm
	for i := range m.Entries {
		e := &m.Entries[i]
		e.Index = index + 1 + raft.Index(c.varint())
		e.Term = term + raft.Term(c.varint())
		e.Kind = raft.EntryKind(c.uint8())
		e.Sum = c.uint32()
		n := c.uvarint()
		if c.err != nil {
			return nil, c.err
		}
		if n > uint64(len(payload)) {
			return nil, fmt.Errorf("%w: entry %d wants %d bytes of payload, %d are left", ErrCorrupt, e.Index, n, len(payload))
		}
		if n > 0 {
			// The capacity ends with the data, so that appending to one entry's data can never write into the next one's.
			e.Data, payload = payload[:n:n], payload[n:]
		}
		if raft.Sum(e.Data) != e.Sum {
			return nil, fmt.Errorf("%w: the data of entry %d do not match its checksum", ErrCorrupt, e.Index)
		}
		index, term = e.Index, e.Term
	}
	return payload, nil
}

func decodeAppendReply(c *cursor) *raft.AppendReply {
	m := &raft.AppendReply{Header: c.common(), Rejected: c.bool()}
	m.Match = raft.Index(c.uvarint())
	m.PrevIndex = raft.Index(c.uvarint())
	m.ConflictIndex, m.ConflictTerm = c.position()
	m.Round = c.uvarint()
	return m
}

func decodeForwardRequest(c *cursor, payload []byte) (raft.Message, error) {
	m := &engine.ForwardRequest{Header: c.common(), ID: c.uvarint(), Op: engine.ForwardOp(c.uint8()), Sum: c.uint32()}
	m.Data = nilIfEmpty(payload)
	return m, checkData(c, m.Data, m.Sum)
}

func decodeForwardReply(c *cursor, payload []byte) (raft.Message, error) {
	m := &engine.ForwardReply{Header: c.common(), ID: c.uvarint(), Code: engine.ForwardCode(c.uint8())}
	m.Leader, m.Index = raft.MemberID(c.uint64()), raft.Index(c.uvarint())
	m.Data = nilIfEmpty(payload)
	return m, checkData(c, m.Data, c.uint32())
}

func decodeSnapshotChunk(c *cursor, payload []byte) (raft.Message, error) {
	m := &engine.SnapshotChunk{Header: c.common(), Meta: c.snapshotMeta(), ID: c.uint64()}
	m.Size, m.Offset = c.varint(), c.varint()
	m.Sum, m.BodySum = c.uint32(), c.uint32()
	m.Data = nilIfEmpty(payload)
	return m, checkData(c, m.Data, m.Sum)
}

// checkData checks a message's data against its sum, unless the meta part has failed already.
func checkData(c *cursor, data []byte, sum uint32) error {
	if c.err != nil {
		return c.err
	}
	if raft.Sum(data) != sum {
		return fmt.Errorf("%w: the data do not match their checksum", ErrCorrupt)
	}
	return nil
}

// nilIfEmpty gives an empty payload the one form that messages have on both sides.
func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
