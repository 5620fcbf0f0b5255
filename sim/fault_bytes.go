package sim

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire"
)

// bytesFaults damage messages as they are on the wire: frames, with their checksums. The receiver has to notice, whatever was done to them, and drops
// the connection: what else was on its way on it is lost, and the sender hears of it. They have an effect when a frame was refused.
func bytesFaults() []*fault {
	garbling := func(name string, spoil func(s *stream, frame []byte) []byte, check func(frame []byte, err error) string) *fault {
		return &fault{name: name, every: 400 * time.Millisecond, strike: func(w *World, s *strike) bool {
			from, to := s.host(w), s.host(w)
			if from == to || from.engine == nil || to.engine == nil {
				return false
			}
			w.network.link(from, to).spoil = &spoiling{fault: name, spoil: spoil, check: check, rng: s.stream}
			return true
		}}
	}
	return []*fault{
		garbling("corrupt frame", flipBits, nil),
		garbling("truncated frame", func(s *stream, frame []byte) []byte { return frame[:s.IntN(len(frame))] }, nil),
		garbling("huge length", hugeLength, func(frame []byte, _ error) string {
			// A stream is read header first: that alone has to be enough, before anybody makes room for the rest.
			if _, err := wire.ParseHeader(frame, wire.DefaultMaxFrameBytes); !errors.Is(err, wire.ErrTooLarge) {
				return "its header says that it is larger than any frame may be, and that was taken"
			}
			return ""
		}),
		garbling("newer frame", newerFrame, func(_ []byte, err error) string {
			if !strings.Contains(err.Error(), "kind") {
				return "the refusal of a kind of a newer version does not say so"
			}
			return ""
		}),
		{name: "nonsense", every: 300 * time.Millisecond, strike: nonsense},
		{name: "stranger", every: 300 * time.Millisecond, strike: stranger},
	}
}

// spoiling is what is done to the next frame of a link.
type spoiling struct {
	fault string
	spoil func(s *stream, frame []byte) []byte
	check func(frame []byte, err error) string
	rng   *stream
}

// refuse delivers a spoiled frame: it has to be refused.
func (n *network) refuse(p *parcel) {
	w := n.world
	_, _, err := wire.DecodeMessage(p.spoiled)
	why := ""
	if err == nil {
		why = "it was taken"
	} else if p.spoiling.check != nil {
		why = p.spoiling.check(p.spoiled, err)
	}
	if why != "" {
		w.fail("wire", "%s: n%d reads a spoiled frame of %d bytes from n%d, once %s: %s", p.spoiling.fault, p.to.id, len(p.spoiled), p.from.id, describe(p.message), why)
		return
	}
	n.lose(p, p.spoiling.fault, "refused: "+err.Error())
	l := n.link(p.from, p.to)
	l.severed = w.now
	l.told = true
	n.tell(p.from, p.to)
}

// spoilNext spoils a message that is sent, if a fault waits for one.
func (n *network) spoilNext(p *parcel, l *link) {
	if l.spoil == nil {
		return
	}
	frame, err := wire.AppendMessage(nil, p.group, p.message)
	if err != nil {
		n.world.fail("wire", "n%d cannot encode %s: %v", p.from.id, describe(p.message), err)
		return
	}
	p.spoiling, l.spoil = l.spoil, nil
	p.spoiled = p.spoiling.spoil(p.spoiling.rng, frame)
}

// flipBits changes one bit, or some, or writes over a run of bytes.
func flipBits(s *stream, frame []byte) []byte {
	if s.chance(1, 4) {
		from := s.IntN(len(frame))
		for i := from; i < min(len(frame), from+1+s.IntN(64)); i++ {
			frame[i] ^= byte(1 + s.IntN(255))
		}
		return frame
	}
	// An odd number of changes of one bit each never undo each other.
	for range 1 + 2*s.IntN(3) {
		frame[s.IntN(len(frame))] ^= 1 << s.IntN(8)
	}
	return frame
}

// hugeLength makes a header that is well formed and asks for more than any frame may have.
func hugeLength(s *stream, frame []byte) []byte {
	size := wire.DefaultMaxFrameBytes + s.Uint32N(1<<32-1-wire.DefaultMaxFrameBytes)
	if s.chance(1, 2) {
		binary.LittleEndian.PutUint32(frame[4:], size)
	} else {
		binary.LittleEndian.PutUint32(frame[8:], size)
	}
	return sealed(frame)
}

// newerFrame makes a frame of a kind that this version does not know.
func newerFrame(s *stream, frame []byte) []byte {
	frame[0] = byte(100 + s.IntN(100))
	return sealed(frame)
}

// sealed gives a frame the checksum of its header.
func sealed(frame []byte) []byte {
	binary.LittleEndian.PutUint32(frame[16:], raft.Sum(frame[:16]))
	return frame
}

// stranger is somebody who connects and is no peer: it speaks another protocol, garbage, or a version that is not spoken here. Nothing of it may be taken
// for a message or for an introduction.
func stranger(w *World, s *strike) bool {
	h := s.victim(w, false)
	if h == nil {
		return false
	}
	var said []byte
	switch s.IntN(3) {
	case 0:
		said = []byte("GET /health HTTP/1.1\r\nHost: n1\r\n\r\n")
	case 1:
		said = make([]byte, 1+s.IntN(200))
		for i := range said {
			said[i] = byte(s.Uint32())
		}
	default:
		hello := wire.Hello{MinVersion: wire.MaxVersion + 1, MaxVersion: wire.MaxVersion + 3, MaxFrameBytes: wire.DefaultMaxFrameBytes, Address: "nowhere"}
		own := wire.Hello{MinVersion: wire.MinVersion, MaxVersion: wire.MaxVersion}
		if _, common := wire.CommonVersion(&own, &hello); common {
			w.fail("wire", "a peer that speaks versions %d to %d alone is spoken to", hello.MinVersion, hello.MaxVersion)
			return true
		}
		var err error
		if said, err = wire.AppendHello(nil, &hello); err != nil {
			w.fail("wire", "an introduction cannot be encoded: %v", err)
			return true
		}
	}
	if group, m, err := wire.DecodeMessage(said); err == nil {
		w.fail("wire", "n%d takes %d bytes of a stranger for %s of group %d", h.id, len(said), describe(m), group)
	}
	h.note(noteFault, "stranger: %d bytes, refused", len(said))
	w.counts.effective("stranger")
	return true
}

// nonsense has a peer say what is well formed on the wire, and cannot be meant: an answer to what was never sent, a request whose entries are out of order. A
// program with a bug says such things. The receiver has to ignore them.
func nonsense(w *World, s *strike) bool {
	g := w.groups[s.IntN(len(w.groups))]
	leader, peer := g.leader(), g.members[s.IntN(len(g.members))]
	if leader == nil || peer == leader || peer.running == nil {
		return false
	}
	core, huge := leader.running.Core(), raft.Index(1)<<(20+s.IntN(30))
	last, from, to := core.LastIndex(), peer, leader
	answer := raft.AppendReply{}
	request := raft.AppendRequest{PrevIndex: last, PrevTerm: core.Term(), Commit: last}
	var m raft.Message
	switch s.IntN(6) {
	case 0:
		answer.Match, m = last+huge, &answer
	case 1:
		answer.PrevIndex, answer.Rejected, answer.ConflictIndex, m = last+huge, true, 1, &answer
	case 2:
		answer.Round, m = 1<<62, &answer
	case 3:
		request.PrevTerm, m = core.Term()+raft.Term(huge), &request
	case 4:
		request.Entries, m = []raft.Entry{{Kind: raft.EntryNoop, Index: last + huge, Term: core.Term()}}, &request
	default:
		request.PrevIndex, request.PrevTerm, m = 0, core.Term(), &request
	}
	if m == raft.Message(&request) {
		from, to = leader, peer
	}
	*m.Head() = raft.Header{From: from.host.id, To: to.host.id, Term: core.Term(), Incarnation: from.host.incarnation()}
	p := &parcel{from: from.host, to: to.host, group: g.id, message: m}
	if w.options.Codec != nil {
		var err error
		if p.bytes, err = w.options.Codec.Encode(g.id, m); err != nil {
			w.fail("network", "nonsense cannot be encoded: %v", err)
			return false
		}
	}
	w.say(noteFault, "nonsense: n%d says to n%d: %s", from.host.id, to.host.id, describe(m))
	w.counts.effective("nonsense")
	w.network.post(p)
	return true
}
