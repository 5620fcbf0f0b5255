package engine

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/internal/hostile"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// FuzzTrailer reads arbitrary bytes as a snapshot file, as they are and with the trailer's sum put right: it is damaged, or what its trailer says.
func FuzzTrailer(f *testing.F) {
	meta := raft.SnapshotMeta{Index: 7, Term: 3, ConfigurationIndex: 5, Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a:1"}, {ID: 2}}}}
	body := []byte("the state of a machine")
	f.Add(append(body, encodeTrailer(meta, int64(len(body)), crc32.Checksum(body, castagnoli))...))
	f.Add(encodeTrailer(raft.SnapshotMeta{}, 0, 0))
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, content := range [][]byte{b, withTrailerSum(b)} {
			readSnapshot(t, content)
		}
	})
}

func readSnapshot(t *testing.T, content []byte) {
	t.Helper()
	fsys := wal.NewMemFS()
	file := mustCreate(t, fsys, "snap/file")
	if _, err := file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	var snap *snapshotFile
	var err error
	hostile.Within(t, 16*len(content), func() { snap, err = readTrailer(file) })
	if err != nil {
		if !errors.Is(err, errSnapshotDamaged) {
			t.Fatalf("a refusal that does not say why: %v", err)
		}
		return
	}
	if snap.size < 0 || snap.size > int64(len(content)) {
		t.Fatalf("a body of %d bytes in a file of %d", snap.size, len(content))
	}
	_, _ = io.Copy(io.Discard, &bodyReader{of: snap})
	again := encodeTrailer(snap.meta, snap.size, snap.sum)
	if string(again) != string(content[snap.size:]) {
		t.Fatalf("%+v is written as %x, and was read from %x", snap.meta, again, content[snap.size:])
	}
}

func mustCreate(t testing.TB, fsys *wal.MemFS, name string) wal.File {
	t.Helper()
	if err := fsys.MkdirAll("snap"); err != nil {
		t.Fatal(err)
	}
	file, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// withTrailerSum makes the last bytes a trailer whose length and sum are right, as far as there is room.
func withTrailerSum(b []byte) []byte {
	b = append([]byte(nil), b...)
	if len(b) < trailerFixed+trailerEnd {
		return b
	}
	end := b[len(b)-trailerEnd:]
	n := min(int(binary.LittleEndian.Uint32(end)), len(b)-trailerEnd)
	binary.LittleEndian.PutUint32(end, uint32(n))
	t := b[len(b)-trailerEnd-n:][:n+4]
	if n >= 8 {
		binary.LittleEndian.PutUint64(t, uint64(len(b)-trailerEnd-n))
	}
	binary.LittleEndian.PutUint32(end[4:], crc32.Checksum(t, castagnoli))
	copy(end[8:], snapshotMagic)
	return b
}

// TestTrailersThatLieCostNoMemory puts far too large numbers into every place of a snapshot file.
func TestTrailersThatLieCostNoMemory(t *testing.T) {
	meta := raft.SnapshotMeta{Index: 7, Term: 3, ConfigurationIndex: 5, Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a:1"}, {ID: 2}}}}
	body := []byte("the state of a machine")
	hostile.Numbers(append(body, encodeTrailer(meta, int64(len(body)), crc32.Checksum(body, castagnoli))...), func(b []byte) {
		readSnapshot(t, b)
		readSnapshot(t, withTrailerSum(b))
	})
}

// FuzzRefusal reads arbitrary bytes as why a leader refused.
func FuzzRefusal(f *testing.F) {
	f.Add(encodeRefusal(ErrTooLarge))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		if hostile.Within(t, 4*len(data), func() { err = decodeRefusal(data) }); err == nil {
			t.Fatal("a refusal is none")
		}
		if len(data) > 0 && err.Error() != string(data[1:]) {
			t.Fatalf("%q became %q", data[1:], err)
		}
		_, _ = decodeMember(data)
	})
}

// numbers takes numbers from the front of arbitrary bytes: small ones from one byte, any from nine.
type numbers struct{ rest []byte }

func (n *numbers) byte() byte {
	if len(n.rest) == 0 {
		return 0
	}
	b := n.rest[0]
	n.rest = n.rest[1:]
	return b
}

func (n *numbers) number() uint64 {
	b := n.byte()
	if b < 0xf0 || len(n.rest) < 8 {
		return uint64(int64(int8(b)))
	}
	v := binary.LittleEndian.Uint64(n.rest)
	n.rest = n.rest[8:]
	return v
}

func (n *numbers) data() []byte {
	size := min(int(n.byte()), len(n.rest))
	b := n.rest[:size:size]
	n.rest = n.rest[size:]
	return b
}

// deaf is a network on which nothing arrives.
type deaf struct{}

func (deaf) Send([]Envelope) {}

// tolerant is a machine that takes any command and any snapshot: that of a leader whose machine writes what its own cannot read stops a host, and rightly so.
type tolerant struct{ adder }

func (m *tolerant) Apply(entries []Entry) []Result { return make([]Result, len(entries)) }

func (m *tolerant) Restore(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// bench is a host whose stages are run by hand, in memory.
type bench struct {
	host  *Host
	group *Group
	now   time.Duration
}

// newBench makes a host that is the only voter, and leads, beside a learner that does not answer; or one of three voters, that follows.
func newBench(t testing.TB, leads bool) *bench {
	t.Helper()
	fsys := wal.NewMemFS()
	log, err := wal.Open(wal.Options{FS: fsys, Dir: "wal", SegmentBytes: 64 << 10, Incarnation: 1})
	if err != nil {
		t.Fatal(err)
	}
	host, err := NewHost(Options{
		Log: log, FS: fsys, SnapshotDir: "snap", Network: deaf{}, Address: "a:1", Epoch: 1, Seed: 1, Check: true,
		CompactEntries: 2, KeepEntries: 1, MaxCommandBytes: 1 << 10,
	}, func(Stage, int) {})
	if err != nil {
		t.Fatal(err)
	}
	members := []raft.Member{{ID: 1, Address: "a:1"}, {ID: 2, Address: "b:1"}, {ID: 3, Address: "c:1"}}
	if leads {
		members = []raft.Member{{ID: 1, Address: "a:1"}, {ID: 2, Address: "b:1", Learner: true}}
	}
	group, err := host.Start(StartOptions{Group: 1, Self: 1, Bootstrap: raft.Configuration{Members: members}, Machine: &tolerant{}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{host: host, group: group}
	b.pass(t, time.Second)
	if leads && group.Core().Role() != raft.Leader {
		t.Fatal("the only voter does not lead")
	}
	return b
}

// pass lets time pass, and every stage do its work.
func (b *bench) pass(t testing.TB, d time.Duration) {
	t.Helper()
	for end := b.now + d; b.now < end; {
		b.now += max(d/4, time.Millisecond)
		for range 4 {
			b.host.Turn(b.now)
			if b.host.BeginSync() {
				b.host.EndSync()
			}
			for b.host.Apply() {
			}
			for b.host.Background() {
			}
		}
	}
	if err := b.host.Err(); err != nil {
		t.Fatalf("what a peer says has stopped the host: %v", err)
	}
}

// message makes a message of a peer out of numbers: mostly of the kinds that the engine handles itself.
func message(n *numbers, term raft.Term) raft.Message {
	h := raft.Header{From: raft.MemberID(n.byte()%4 + 1), To: 1, Term: term, Incarnation: uint64(n.byte() % 2)}
	kind := n.byte()
	if kind&0x80 != 0 {
		h.Term = raft.Term(n.number())
	}
	meta := func() raft.SnapshotMeta {
		return raft.SnapshotMeta{
			Index: raft.Index(n.number()), Term: raft.Term(n.number()), ConfigurationIndex: raft.Index(n.number()),
			Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a:1"}, {ID: 2, Address: "b:1"}}},
		}
	}
	switch kind % 8 {
	case 0:
		m := &ForwardRequest{Header: h, ID: n.number(), Op: ForwardOp(n.byte() % 5), Data: n.data()}
		m.Sum = raft.Sum(m.Data)
		return m
	case 1:
		return &ForwardReply{Header: h, ID: n.number(), Code: ForwardCode(n.byte() % 7), Leader: raft.MemberID(n.number()), Index: raft.Index(n.number()), Data: n.data()}
	case 2, 3:
		m := &SnapshotChunk{Header: h, Meta: meta(), ID: uint64(n.byte() % 3), Size: int64(n.number()), Offset: int64(n.number()), Data: n.data()}
		m.Sum, m.BodySum = raft.Sum(m.Data), raft.Sum(m.Data)
		if n.byte()%8 == 0 {
			m.BodySum = uint32(n.number())
		}
		return m
	case 4:
		return &SnapshotAck{Header: h, ID: n.number(), Status: SnapshotStatus(n.byte() % 5), Offset: int64(n.number())}
	case 5:
		return &raft.AppendReply{Header: h, Rejected: n.byte()%2 == 0, Match: raft.Index(n.number()), PrevIndex: raft.Index(n.number()), ConflictIndex: raft.Index(n.number()), Round: n.number()}
	case 6:
		return &raft.AppendRequest{Header: h, PrevIndex: raft.Index(n.number()), PrevTerm: raft.Term(n.number()), Commit: raft.Index(n.number()), Round: n.number()}
	default:
		return &raft.InstallSnapshot{Header: h, Meta: meta()}
	}
}

// FuzzPeers delivers arbitrary messages of peers to a host that leads and to one that follows: nothing may panic, nothing may stop the host, and nothing
// may take more memory than what was sent and what it asks for by right.
func FuzzPeers(f *testing.F) {
	f.Add(true, []byte{1, 1, 0, 1, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(false, []byte{1, 1, 2, 9, 1, 0, 1, 5, 0, 5, 'h', 'e', 'l', 'l', 'o', 1})
	f.Add(true, []byte{1, 1, 5, 0, 0, 2, 1, 1, 1, 1, 4, 0, 1, 0xff})
	f.Add(false, []byte{1, 1, 2, 9, 1, 0, 1, 20, 0, 5, 'h', 'e', 'l', 'l', 'o', 1, 1, 1, 2, 9, 1, 0, 2, 20, 0, 1, 'x', 1, 1, 1, 2, 9, 1, 0, 1, 0xfb, 0xfb, 0, 1})
	f.Fuzz(func(t *testing.T, leads bool, data []byte) {
		data = data[:min(len(data), 400)]
		// The host itself takes about a megabyte.
		hostile.Within(t, 8<<20, func() {
			b := newBench(t, leads)
			defer b.host.Close()
			for i := range uint64(6) {
				if leads {
					b.group.ProposeAsync(number(i), func(Result, error) {})
					b.pass(t, 60*time.Millisecond)
				}
			}
			n := &numbers{rest: data}
			for len(n.rest) > 0 {
				b.host.Deliver([]Envelope{{Group: 1, From: "b:1", To: "a:1", Message: message(n, b.group.Core().Term())}})
				b.pass(t, time.Duration(1+n.byte()%64)*time.Millisecond)
			}
			b.pass(t, time.Second)
		})
	})
}

// TestChunksOutOfRangeAreIgnored: a chunk whose place is before the beginning or after the end of its body does not reach the disk. It once stopped the host, which took
// the file system's refusal of a negative offset for a failing disk.
func TestChunksOutOfRangeAreIgnored(t *testing.T) {
	b := newBench(t, false)
	defer b.host.Close()
	meta := raft.SnapshotMeta{Index: 9, Term: 1, Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a:1"}, {ID: 2, Address: "b:1"}}}}
	chunk := func(id uint64, size, offset int64, data string) {
		t.Helper()
		b.host.Deliver([]Envelope{{Group: 1, From: "b:1", To: "a:1", Message: &SnapshotChunk{
			Header: raft.Header{From: 2, To: 1, Term: b.group.Core().Term() + 1, Incarnation: 1}, Meta: meta, ID: id, Size: size, Offset: offset,
			Sum: raft.Sum([]byte(data)), BodySum: raft.Sum([]byte(data)), Data: []byte(data),
		}}})
		b.pass(t, 2*time.Millisecond)
	}
	chunk(1, 20, 0, "the first piece")
	chunk(2, 20, 0, "of another body")
	for _, c := range []struct{ size, offset int64 }{{-5, -5}, {-5, 0}, {20, -1}, {20, 21}, {math.MinInt64, math.MinInt64}, {20, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}} {
		for _, data := range []string{"", "data"} {
			chunk(1, c.size, c.offset, data)
			chunk(2, c.size, c.offset, data)
		}
	}
}

// TestAcknowledgementsOutOfRangeAreIgnored: a follower cannot have less than nothing of a body.
func TestAcknowledgementsOutOfRangeAreIgnored(t *testing.T) {
	b := newBench(t, true)
	defer b.host.Close()
	for i := range uint64(12) {
		b.group.ProposeAsync(number(i), func(Result, error) {})
		b.pass(t, 20*time.Millisecond)
	}
	say := func(m raft.Message) {
		t.Helper()
		*m.Head() = raft.Header{From: 2, To: 1, Term: b.group.Core().Term(), Incarnation: 1}
		b.host.Deliver([]Envelope{{Group: 1, From: "b:1", To: "a:1", Message: m}})
		b.pass(t, 10*time.Millisecond)
	}
	core := b.group.Core()
	say(&raft.AppendReply{Rejected: true, PrevIndex: core.LastIndex(), ConflictIndex: 1})
	transfer := b.group.transfers[2]
	if transfer == nil || transfer.file == nil {
		t.Fatalf("no snapshot is on its way: the log begins at %d and ends at %d", core.FirstIndex(), core.LastIndex())
	}
	for _, offset := range []int64{-1, math.MinInt64, math.MaxInt64, transfer.file.size + 1} {
		say(&SnapshotAck{ID: transfer.file.id, Status: SnapshotReceiving, Offset: offset})
		if transfer.acked != 0 || transfer.sent < 0 {
			t.Errorf("after an acknowledgement of %d: acknowledged %d, sent %d", offset, transfer.acked, transfer.sent)
		}
	}
}
