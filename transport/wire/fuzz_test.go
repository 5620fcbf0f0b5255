package wire

import (
	"bytes"
	"testing"

	"github.com/balsa-raft/balsa/internal/hostile"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire/wiretest"
)

// FuzzDecodeMessage feeds frames whose sums are right and whose content is anything, which is what only a hostile peer sends: nothing may panic, nothing may
// take more memory than the limit, and what is accepted must encode to a frame that decodes to the same.
func FuzzDecodeMessage(f *testing.F) {
	r := wiretest.Random(5)
	for _, like := range wiretest.Kinds() {
		frame, err := AppendMessage(nil, 3, wiretest.Message(r, like))
		if err != nil {
			f.Fatal(err)
		}
		h, err := ParseHeader(frame, len(frame))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(h.Kind), frame[HeaderSize:HeaderSize+h.Meta], frame[HeaderSize+h.Meta:])
	}
	f.Fuzz(func(t *testing.T, kind byte, meta, payload []byte) {
		const limit = 32 << 10
		frame := seal(Kind(kind), meta, payload)
		h, err := ParseHeader(frame, limit)
		if err != nil {
			return
		}
		var group raft.GroupID
		var m raft.Message
		hostile.Within(t, 2*limit, func() { group, m, err = Decode(h, meta, payload, limit) })
		if err != nil {
			return
		}
		if w := Weight(m); w > limit+128 {
			t.Fatalf("a %T of %d bytes came through a limit of %d", m, w, limit)
		}
		again, err := AppendMessage(nil, group, m)
		if err != nil {
			t.Fatal(err)
		}
		group2, m2, err := DecodeMessage(again)
		if err != nil {
			t.Fatalf("%+v was accepted once and then not: %v", m, err)
		}
		third, err := AppendMessage(nil, group2, m2)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%+v came back as %+v, %v", m, m2, err)
		}
	})
}

// FuzzFrame feeds raw bytes: every valid frame among them is taken as whatever its kind says.
func FuzzFrame(f *testing.F) {
	hello, err := AppendHello(nil, &Hello{MinVersion: 1, MaxVersion: 1, MaxFrameBytes: MinMaxFrameBytes, Address: "a:1", Dialled: "b:2"})
	if err != nil {
		f.Fatal(err)
	}
	heartbeat, err := AppendMessage(nil, 1, &raft.AppendRequest{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(hello)
	f.Add(heartbeat)
	f.Add(AppendRefusal(nil, &Refusal{Code: 1, Reason: "because"}))
	f.Add(appendBeat(nil, KindPong, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderSize { // a sum that is right, so that what is behind it is reached
			sum := raft.Sum(b[:16])
			b = append(bytes.Clone(b[:16]), append([]byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)}, b[20:]...)...)
		}
		h, err := ParseHeader(b, 1<<20)
		if err != nil || h.FrameSize() > len(b) {
			return
		}
		meta, payload := b[HeaderSize:HeaderSize+h.Meta], b[HeaderSize+int(h.Meta):h.FrameSize()]
		h.MetaSum = raft.Sum(meta)
		hostile.Within(t, 2*MaxIntroductionBytes, func() {
			if hello, refusal, err := DecodeIntroduction(h, meta); err == nil && (hello == nil) == (refusal == nil) {
				t.Fatal("an introduction is neither a hello nor a refusal, or both")
			}
		})
		_, _ = DecodeBeat(h, meta)
		_, _ = DecodeRefusal(h, meta)
		hostile.Within(t, 2<<20, func() { _, _, _ = Decode(h, meta, payload, 1<<20) })
	})
}

// FuzzBatch takes what is valid of a stream of frames, and gathers it for writing: the pieces, one after the other, are the same messages again, whatever
// was copied and whatever was handed on where it lies.
func FuzzBatch(f *testing.F) {
	r := wiretest.Random(6)
	var stream []byte
	for _, like := range wiretest.Kinds() {
		var err error
		if stream, err = AppendMessage(stream, 3, wiretest.Message(r, like)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(stream, uint16(0))
	f.Add(stream, uint16(100))
	f.Fuzz(func(t *testing.T, b []byte, copyBelow uint16) {
		const limit = 32 << 10
		batch := Batch{Limit: limit, CopyBelow: int(copyBelow)}
		var want [][]byte
		for len(b) >= HeaderSize {
			h, err := ParseHeader(b, limit)
			if err != nil || h.FrameSize() > len(b) {
				break
			}
			frame := b[:h.FrameSize():h.FrameSize()]
			b = b[len(frame):]
			group, m, err := DecodeMessage(bytes.Clone(frame))
			if err != nil || batch.Add(group, m) != nil {
				continue
			}
			canonical, err := AppendMessage(nil, group, m)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, canonical)
		}
		if got := bytes.Join(batch.Pieces(), nil); !bytes.Equal(got, bytes.Join(want, nil)) || len(got) != batch.Len() {
			t.Fatalf("%d messages became %x", len(want), got)
		}
	})
}

// TestNumbersThatLieCostNoMemory puts far too large numbers into every place of every kind of message.
func TestNumbersThatLieCostNoMemory(t *testing.T) {
	const limit = 32 << 10
	r := wiretest.Random(7)
	for _, like := range wiretest.Kinds() {
		frame, err := AppendMessage(nil, 3, wiretest.Message(r, like))
		if err != nil {
			t.Fatal(err)
		}
		if len(frame) > 1000 {
			frame = frame[:1000] // What follows is only more of the same.
		}
		h, err := ParseHeader(frame, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		end := min(HeaderSize+int(h.Meta), len(frame))
		payload := frame[end:]
		hostile.Numbers(frame[HeaderSize:end], func(meta []byte) {
			hostile.Within(t, 2*limit, func() {
				if h, err := ParseHeader(seal(h.Kind, meta, payload), limit); err == nil {
					_, _, _ = Decode(h, meta, payload, limit)
				}
			})
		})
		// And a header whose lengths lie has to be refused before anything is read.
		hostile.Numbers(frame[:HeaderSize], func(b []byte) {
			hostile.Within(t, 0, func() {
				if h, err := ParseHeader(b, limit); err == nil && h.FrameSize() > limit {
					t.Fatalf("a frame of %d bytes came through a limit of %d", h.FrameSize(), limit)
				}
			})
		})
	}
}
