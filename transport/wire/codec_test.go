package wire

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire/wiretest"
)

func TestEveryMessageHasAnEncoding(t *testing.T) {
	var inSource, here []string
	for _, dir := range []string{"../../raft", "../../engine"} {
		inSource = append(inSource, messageTypes(t, dir)...)
	}
	for _, m := range wiretest.Kinds() {
		here = append(here, reflect.TypeOf(m).Elem().Name())
	}
	slices.Sort(inSource)
	slices.Sort(here)
	if !slices.Equal(inSource, here) {
		t.Errorf("raft/ and engine/ have messages\n%q\nand the codec is tested with\n%q", inSource, here)
	}
}

// messageTypes names the exported structs of a package that embed a Header: those are messages.
func messageTypes(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources in %s: %v", dir, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() && embedsHeader(spec) {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	return names
}

func embedsHeader(spec *ast.TypeSpec) bool {
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		return false
	}
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		name, _ := f.Type.(*ast.Ident)
		if qualified, ok := f.Type.(*ast.SelectorExpr); ok {
			name = qualified.Sel
		}
		return len(f.Names) == 0 && name != nil && name.Name == "Header"
	})
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	r := wiretest.Random(1)
	for _, like := range wiretest.Kinds() {
		for range 300 {
			m := wiretest.Message(r, like)
			group := raft.GroupID(wiretest.Uint(r))
			frame, err := AppendMessage([]byte("before"), group, m)
			if err != nil {
				t.Fatal(err)
			}
			frame = frame[len("before"):]
			gotGroup, got, err := DecodeMessage(frame)
			if err != nil {
				t.Fatalf("%T: %v\n%+v", m, err, m)
			}
			if gotGroup != group || !reflect.DeepEqual(got, m) {
				t.Fatalf("sent to group %d: %+v\ncame to group %d: %+v", group, m, gotGroup, got)
			}
		}
	}
}

func TestBatchGathersTheSameBytes(t *testing.T) {
	r := wiretest.Random(2)
	kinds := wiretest.Kinds()
	for _, copyBelow := range []int{0, 1, 32, 1 << 20} {
		batch := Batch{CopyBelow: copyBelow}
		for range 20 {
			var want []byte
			for range r.IntN(30) {
				m := wiretest.Message(r, kinds[r.IntN(len(kinds))])
				group := raft.GroupID(wiretest.Uint(r))
				if err := batch.Add(group, m); err != nil {
					t.Fatal(err)
				}
				var err error
				if want, err = AppendMessage(want, group, m); err != nil {
					t.Fatal(err)
				}
			}
			number := r.Uint64()
			batch.AddPing(number)
			want = appendBeat(want, KindPing, number)
			pieces := batch.Pieces()
			if got := bytes.Join(pieces, nil); !bytes.Equal(got, want) || batch.Len() != len(want) {
				t.Fatalf("CopyBelow %d: %d bytes gathered, %d encoded one by one; Len says %d", copyBelow, len(got), len(want), batch.Len())
			}
			for _, piece := range pieces {
				if len(piece) == 0 {
					t.Fatal("a piece is empty")
				}
			}
			batch.Reset()
		}
	}
}

// TestLargeDataAreNotCopied checks the very reason for which a frame's payload is last and untouched.
func TestLargeDataAreNotCopied(t *testing.T) {
	data := make([]byte, 8192)
	batch := Batch{CopyBelow: 4096}
	if err := batch.Add(1, &raft.AppendRequest{Entries: []raft.Entry{{Data: data, Sum: raft.Sum(data)}}}); err != nil {
		t.Fatal(err)
	}
	pieces := batch.Pieces()
	if len(pieces) != 2 || &pieces[1][0] != &data[0] {
		t.Errorf("the entry's data are not a piece of their own, in their place")
	}
}

func TestDecodedEntriesPointIntoThePayload(t *testing.T) {
	first, second := []byte("first"), []byte("second")
	frame, err := AppendMessage(nil, 1, &raft.AppendRequest{Entries: []raft.Entry{
		{Index: 1, Data: first, Sum: raft.Sum(first)}, {Index: 2, Data: second, Sum: raft.Sum(second)}}})
	if err != nil {
		t.Fatal(err)
	}
	_, m, err := DecodeMessage(frame)
	if err != nil {
		t.Fatal(err)
	}
	entries := m.(*raft.AppendRequest).Entries
	if &entries[0].Data[0] != &frame[len(frame)-len("firstsecond")] {
		t.Error("the first entry's data were copied")
	}
	_ = append(entries[0].Data, "overwritten"...)
	if string(entries[1].Data) != "second" {
		t.Error("appending to one entry's data wrote into the next one's")
	}
}

func TestDamagedFramesAreRefused(t *testing.T) {
	r := wiretest.Random(3)
	for _, like := range wiretest.Kinds() {
		for range 3 {
			frame, err := AppendMessage(nil, raft.GroupID(wiretest.Uint(r)), wiretest.Message(r, like))
			if err != nil {
				t.Fatal(err)
			}
			for i := range frame[:min(len(frame), 2000)] {
				damaged := bytes.Clone(frame)
				damaged[i] ^= 1 << r.IntN(8)
				if _, m, err := DecodeMessage(damaged); err == nil {
					t.Fatalf("%T: byte %d of %d was flipped and nobody noticed: %+v", like, i, len(frame), m)
				}
				if _, _, err := DecodeMessage(frame[:i]); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) {
					t.Fatalf("%T: cut after %d bytes of %d: %v", like, i, len(frame), err)
				}
			}
		}
	}
}

// seal makes a frame with a valid header and sum out of any meta part and payload, as a hostile peer would.
func seal(kind Kind, meta, payload []byte) []byte {
	frame := append(make([]byte, HeaderSize), meta...)
	sealHeader(frame, 0, kind, len(payload))
	return append(frame, payload...)
}

func TestSealedNonsenseIsRefused(t *testing.T) {
	heartbeat, err := AppendMessage(nil, 1, &raft.AppendRequest{})
	if err != nil {
		t.Fatal(err)
	}
	meta := heartbeat[HeaderSize:]
	withCount := func(count ...byte) []byte { return append(bytes.Clone(meta[:len(meta)-1]), count...) }
	entry := func(length byte, sum uint32) []byte {
		return append(withCount(1), 0, 0, 1, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24), length)
	}
	data := []byte("abc")
	vote, err := AppendMessage(nil, 1, &raft.VoteReply{Granted: true})
	if err != nil {
		t.Fatal(err)
	}
	truth := bytes.Clone(vote[HeaderSize:])
	truth[len(truth)-1] = 2
	tests := []struct {
		name    string
		frame   []byte
		message string
	}{
		{"an unknown kind", seal(99, meta, nil), "no message has this kind"},
		{"a control frame as a message", seal(KindPing, meta, nil), "no message has this kind"},
		{"no meta part", seal(KindAppendRequest, nil, nil), "a number is cut short"},
		{"bytes left over", seal(KindAppendRequest, append(bytes.Clone(meta), 0), nil), "bytes that no field takes"},
		{"payload without an entry", seal(KindAppendRequest, meta, data), "belong to no entry"},
		{"payload where there is none", seal(KindVoteReply, vote[HeaderSize:], data), "which this kind has not"},
		{"a truth value of 2", seal(KindVoteReply, truth, nil), "neither 0 nor 1"},
		{"more entries than bytes", seal(KindAppendRequest, withCount(0xff, 0xff, 0xff, 0xff, 0x0f), nil), "4294967295 entries in 0 bytes"},
		{"an endless number", seal(KindAppendRequest, withCount(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), nil), "too long"},
		{"an entry longer than the payload", seal(KindAppendRequest, entry(4, raft.Sum(data)), data), "wants 4 bytes of payload, 3 are left"},
		{"an entry shorter than the payload", seal(KindAppendRequest, entry(2, raft.Sum(data[:2])), data), "belong to no entry"},
		{"an entry's wrong sum", seal(KindAppendRequest, entry(3, raft.Sum(data)+1), data), "do not match"},
		{"reserved bytes", reserved(heartbeat), "reserved"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, m, err := DecodeMessage(test.frame)
			if err == nil || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %+v, %v; want an error with %q", m, err, test.message)
			}
		})
	}
	if _, m, err := DecodeMessage(seal(KindAppendRequest, entry(3, raft.Sum(data)), data)); err != nil {
		t.Errorf("the frame that the others vary is itself refused: %v %v", m, err)
	}
}

// reserved gives the frame with a reserved byte set, under a valid header sum.
func reserved(frame []byte) []byte {
	frame = bytes.Clone(frame)
	frame[2] = 1
	sum := raft.Sum(frame[:16])
	for i := range 4 {
		frame[16+i] = byte(sum >> (8 * i))
	}
	return frame
}

// TestLimitHoldsForMemoryToo: an entry without data takes 8 bytes in a frame, and 56 in memory.
func TestLimitHoldsForMemoryToo(t *testing.T) {
	const limit = 64 << 10
	var fits, tooMany raft.AppendRequest
	fits.Entries = make([]raft.Entry, 900)
	tooMany.Entries = make([]raft.Entry, 2000)
	batch := Batch{Limit: limit}
	if err := batch.Add(1, &fits); err != nil {
		t.Error(err)
	}
	if err := batch.Add(1, &tooMany); !errors.Is(err, ErrTooLarge) {
		t.Errorf("the encoder's error is %v", err)
	}
	frame, err := AppendMessage(nil, 1, &tooMany)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHeader(frame, limit)
	if err != nil {
		t.Fatalf("the frame itself, of %d bytes, is within the limit: %v", len(frame), err)
	}
	if _, _, err := Decode(h, frame[HeaderSize:], nil, limit); !errors.Is(err, ErrTooLarge) {
		t.Errorf("the decoder's error is %v", err)
	}
	if _, err := ParseHeader(frame, len(frame)-1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("the header's error is %v", err)
	}
}

func TestTooLargeLeavesTheBatchAsItWas(t *testing.T) {
	batch := Batch{Limit: 1000}
	small := &engine.ForwardRequest{Data: []byte("x"), Sum: raft.Sum([]byte("x"))}
	if err := batch.Add(1, small); err != nil {
		t.Fatal(err)
	}
	before := bytes.Join(batch.Pieces(), nil)
	if err := batch.Add(1, &engine.SnapshotChunk{Data: make([]byte, 1000)}); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
	if after := bytes.Join(batch.Pieces(), nil); !bytes.Equal(before, after) {
		t.Error("the message that was refused left something behind")
	}
}

func TestBatchAllocatesNothing(t *testing.T) {
	m := appendOf(64, 16)
	large := appendOf(4, 8192)
	batch := Batch{CopyBelow: 4096}
	allocated := testing.AllocsPerRun(100, func() {
		for range 10 {
			if batch.Add(7, m) != nil || batch.Add(7, large) != nil {
				t.Fatal("a message was refused")
			}
		}
		batch.AddPing(1)
		batch.Pieces()
		batch.Reset()
	})
	if allocated != 0 {
		t.Errorf("%v allocations for 20 messages", allocated)
	}
}

// appendOf makes an AppendRequest of so many entries of so many bytes each.
func appendOf(entries, size int) *raft.AppendRequest {
	m := &raft.AppendRequest{Header: raft.Header{From: 1 << 60, To: 1 << 61, Term: 7}, PrevIndex: 1000, PrevTerm: 7, Commit: 990, Round: 5}
	for i := range entries {
		data := bytes.Repeat([]byte{byte(i)}, size)
		m.Entries = append(m.Entries, raft.Entry{Term: 7, Index: raft.Index(1001 + i), Kind: raft.EntryCommand, Sum: raft.Sum(data), Data: data})
	}
	return m
}

// What a message of a thousand entries takes in memory is the message and its list of entries: their data stay where they arrived.
func TestDecodeAllocatesNothingForAnEntry(t *testing.T) {
	frame, err := AppendMessage(nil, 7, appendOf(1000, 16))
	if err != nil {
		t.Fatal(err)
	}
	if allocated := testing.AllocsPerRun(50, func() { _, _, err = DecodeMessage(frame) }); allocated > 2 || err != nil {
		t.Errorf("%v allocations for a message of 1000 entries (%v)", allocated, err)
	}
}

// appendShapes are the messages that are measured.
var appendShapes = []struct{ entries, size int }{{0, 0}, {1, 16}, {1, 1 << 10}, {64, 16}, {64, 1 << 10}, {1024, 16}, {1024, 1 << 10}}

func BenchmarkEncode(b *testing.B) {
	for _, shape := range appendShapes {
		b.Run(fmt.Sprintf("%dx%dB", shape.entries, shape.size), func(b *testing.B) {
			m := appendOf(shape.entries, shape.size)
			batch := Batch{CopyBelow: 4096}
			b.SetBytes(int64(shape.entries * shape.size))
			b.ReportAllocs()
			for b.Loop() {
				if err := batch.Add(7, m); err != nil {
					b.Fatal(err)
				}
				batch.Pieces()
				batch.Reset()
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, shape := range appendShapes {
		b.Run(fmt.Sprintf("%dx%dB", shape.entries, shape.size), func(b *testing.B) {
			frame, err := AppendMessage(nil, 7, appendOf(shape.entries, shape.size))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(shape.entries * shape.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := DecodeMessage(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
