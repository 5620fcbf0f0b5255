package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/internal/hostile"
)

// FuzzPut decodes arbitrary bytes as a put, without allocating, and by the library: they agree.
func FuzzPut(f *testing.F) {
	f.Add(PutCommand(&pb.PutRequest{Key: []byte("key"), Value: []byte("value"), Lease: -3, PrevKv: true, IgnoreLease: true})[1:])
	f.Add([]byte{0x0a, 0x03, 'k', 'e'})
	f.Add([]byte{0x3a, 0x01, 'x', 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodePut(data)
		if n := testing.AllocsPerRun(1, func() { got, err = decodePut(data) }); n > 0 {
			t.Fatalf("%v allocations", n)
		}
		r, short := &pb.PutRequest{}, &pb.PutRequest{}
		libraryErr := proto.Unmarshal(data, r)
		if DecodePut(data, short) && (libraryErr != nil || !proto.Equal(short, r)) {
			t.Fatalf("%v, the library says %v, %v", short, r, libraryErr)
		}
		if libraryErr != nil {
			return // It refuses more: fields of a known number and an unknown type, keys that are no UTF-8.
		}
		if err != nil {
			t.Fatalf("the library takes it, and we say %v", err)
		}
		want := putOf(r)
		if !bytes.Equal(got.key, want.key) || !bytes.Equal(got.value, want.value) || got.lease != want.lease || got.previous != want.previous ||
			got.ignoreValue != want.ignoreValue || got.ignoreLease != want.ignoreLease {
			t.Fatalf("%+v, the library says %+v", got, want)
		}
	})
}

// FuzzTxn decodes arbitrary bytes as a transaction, and by the library: they agree.
func FuzzTxn(f *testing.F) {
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("b"), Value: []byte("c"), Lease: -3, PrevKv: true, IgnoreLease: true}}}
	for _, c := range []*pb.Compare{
		{Key: []byte("a"), Target: pb.Compare_VALUE, Result: pb.Compare_LESS, TargetUnion: &pb.Compare_Value{Value: []byte("x")}},
		{Key: []byte("a"), Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: -1}, RangeEnd: []byte("b")},
		{Key: []byte("a"), Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: 5}},
		{Key: []byte("a"), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: 1 << 40}},
		{Key: []byte("a"), Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: 7}},
	} {
		r := &pb.TxnRequest{Compare: []*pb.Compare{c, {Key: []byte("k")}}, Success: []*pb.RequestOp{put, put}, Failure: []*pb.RequestOp{put}}
		if c.Target != pb.Compare_LEASE && new(ShortTxn).Decode(TxnCommand(r)[1:]) == nil {
			f.Fatalf("%v is not short", r)
		}
		f.Add(TxnCommand(r)[1:])
		r.Failure = append(r.Failure, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("x")}}})
		f.Add(TxnCommand(r)[1:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want := &pb.TxnRequest{}
		libraryErr := proto.Unmarshal(data, want)
		if short := new(ShortTxn).Decode(data); short != nil && (libraryErr != nil || !proto.Equal(short, want)) {
			t.Fatalf("%v, the library says %v, %v", short, want, libraryErr)
		}
		got, err := decodeTxn(data, new(ShortTxn))
		if (err == nil) != (libraryErr == nil) || err == nil && !proto.Equal(got, want) {
			t.Fatalf("%v, %v, the library says %v, %v", got, err, want, libraryErr)
		}
	})
}

// FuzzApply applies arbitrary bytes as a command, between two that are none: it answers, a result decodes or says that the command is none, and the store goes on.
func FuzzApply(f *testing.F) {
	for _, c := range someCommands() {
		f.Add(c)
	}
	s := openStore(f, vfs.NewMem())
	f.Cleanup(func() { _ = s.Close() })
	mustPut(f, s, "a", "before")
	f.Fuzz(func(t *testing.T, data []byte) {
		before := s.Revision()
		var results []engine.Result
		hostile.Within(t, 1<<20+512*len(data), func() {
			results = s.Apply(entriesAfter(s.AppliedIndex(), data))
		})
		if len(results) != 1 || len(results[0].Data) == 0 {
			t.Fatalf("the answer is %v", results)
		}
		if after := s.Revision(); after < before {
			t.Fatalf("the revision went from %d back to %d", before, after)
		}
		r, err := PutResponse(applyOne(s, PutCommand(&pb.PutRequest{Key: []byte("\xff after"), Value: []byte("v")})))
		if err != nil || r.Header.Revision != s.Revision() {
			t.Fatalf("the next put: %v, %v", r, err)
		}
	})
}

func someCommands() [][]byte {
	compare := &pb.Compare{Key: []byte("a"), Target: pb.Compare_VALUE, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_Value{Value: []byte("x")}}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("b"), Value: []byte("c")}}}
	read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c")}}}
	return [][]byte{
		nil, {0}, {commandPut}, {commandTxn, 0xff},
		PutCommand(&pb.PutRequest{Key: []byte("a"), Value: []byte("b"), PrevKv: true}),
		DeleteRangeCommand(&pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte{0}, PrevKv: true}),
		TxnCommand(&pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{put}, Failure: []*pb.RequestOp{read}}),
		CompactionCommand(&pb.CompactionRequest{Revision: 1}),
		MetaCommand("name", []byte("value")),
	}
}

// FuzzResult decodes arbitrary bytes as each of the results.
func FuzzResult(f *testing.F) {
	s := openStore(f, vfs.NewMem())
	for _, c := range someCommands() {
		f.Add(applyOne(s, c))
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{byte(codePuts), 7, 2*maxShortPuts + 1})
	f.Add([]byte{byte(codePuts), 7, 2*maxShortPuts + 2})
	f.Add([]byte{byte(codeCount), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x05})
	f.Fuzz(func(t *testing.T, data []byte) {
		hostile.Within(t, 512*len(data), func() {
			if r, err := PutResponse(data); err == nil && r.Header == nil {
				t.Fatal("a put's result without a header")
			}
			if r, err := DeleteRangeResponse(data); err == nil && r.Header == nil {
				t.Fatal("a deletion's result without a header")
			}
			if r, err := TxnResponse(data); err == nil && r.Header == nil {
				t.Fatal("a transaction's result without a header")
			}
			_, _ = CompactionResponse(data)
			_ = MetaResponse(data)
		})
	})
}

// FuzzRecords decodes arbitrary bytes as what the database holds: records, the state, keys, changes, settings.
func FuzzRecords(f *testing.F) {
	r := record{created: 3, changed: revision{7, 1}, version: 2, lease: 9, value: []byte("value")}
	f.Add(append(r.appendHead(nil), r.value...))
	f.Add(initialState.append(nil))
	f.Add(appendHistoryKey(nil, []byte("a\x00b\xff"), revision{7, 1}))
	f.Add(appendRevisionKey(nil, revision{7, 1}))
	f.Add([]byte{byte(changePut), 'k'})
	f.Add(MetaCommand("name", []byte("value"))[1:])
	f.Fuzz(func(t *testing.T, data []byte) {
		hostile.Within(t, 16*len(data), func() {
			if r, err := parseRecord(data); err == nil {
				again, err := parseRecord(append(r.appendHead(nil), r.value...))
				if err != nil || again.created != r.created || again.changed != r.changed || again.version != r.version || again.lease != r.lease || !bytes.Equal(again.value, r.value) {
					t.Fatalf("%+v came back as %+v, %v", r, again, err)
				}
			}
			if st, err := parseState(data); err == nil && !bytes.Equal(st.append(nil), data) {
				t.Fatalf("%x became %x", data, st.append(nil))
			}
			if len(data) > 0 && data[0] == prefixHistory {
				if key, at, err := parseHistoryKey(nil, data); err == nil && !bytes.Equal(appendHistoryKey(nil, key, at), data) {
					t.Fatalf("%x became %x", data, appendHistoryKey(nil, key, at))
				}
			}
			if at, err := parseRevisionKey(data); err == nil && !bytes.Equal(appendRevisionKey(nil, at)[1:], data[1:]) {
				t.Fatalf("%x became %x", data, appendRevisionKey(nil, at))
			}
			_, _, _ = parseChange(data)
			if name, value, err := decodeSetting(data); err == nil && len(name)+len(value) > len(data) {
				t.Fatal("a setting is longer than what it was read from")
			}
			if len(data) > 0 {
				_ = checkSnapshotKey(data)
			}
		})
	})
}

// FuzzManifest looks for damage in arbitrary bytes as a list of files: it says where, or that there is none, and never looks at them twice as long as they are.
func FuzzManifest(f *testing.F) {
	chunk := func(payload string) []byte {
		b := append([]byte{0, 0, 0, 0, byte(len(payload)), byte(len(payload) >> 8), 1}, payload...)
		binary.LittleEndian.PutUint32(b, chunkSum(b[6:]))
		return b
	}
	f.Add(append(chunk("one"), chunk("two")...))
	f.Add(append(chunk("one"), make([]byte, 600)...))
	f.Add(make([]byte, manifestBlock+3))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 2*manifestBlock)]
		hostile.Within(t, 0, func() {
			if at, ok := firstDamage(data); at < 0 || !ok && at >= int64(len(data)) {
				t.Fatalf("damage at %d of %d bytes", at, len(data))
			}
		})
	})
}

// FuzzPointer reads arbitrary bytes as the file that names the database in use.
func FuzzPointer(f *testing.F) {
	f.Add([]byte(formatLine + "\n" + firstDatabase + "\n"))
	f.Add([]byte(formatLine + "\ndb-999999999999999999999\n"))
	f.Add([]byte(formatLine + "\n../db-000001\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("store", 0o755); err != nil {
			t.Fatal(err)
		}
		w, err := fs.Create("store/"+pointerName, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = w.Write(bytes.Clone(data))
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if name, err := readPointer(fs, "store"); err == nil {
			if n, err := databaseNumber(name); err != nil || n < 0 {
				t.Fatalf("%q names no database: %v", name, err)
			}
		}
	})
}

// FuzzSnapshot reads arbitrary bytes as a store's snapshot, as they are and as the content of one block whose sum is right.
func FuzzSnapshot(f *testing.F) {
	s := openStore(f, vfs.NewMem())
	mustPut(f, s, "a", "b")
	writer, err := s.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	var whole bytes.Buffer
	if _, err := writer.WriteTo(&whole); err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(writer.Close(), s.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte{1, 1, 'k', 'v', 2, 0, prefixState, 'x'})
	f.Add([]byte(snapshotMagic + "\xff\xff\xff\x7f\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		block := binary.LittleEndian.AppendUint32([]byte(snapshotMagic), uint32(len(data)))
		block = append(binary.LittleEndian.AppendUint32(block, crc32.Checksum(data, castagnoli)), data...)
		for _, snapshot := range [][]byte{data, block} {
			// A block is read in pieces of 1 MiB, so that a length that lies costs one of them and the reader's buffer.
			hostile.Within(t, 2<<20+snapshotBlock+4*len(snapshot), func() {
				r, err := newBlockReader(bytes.NewReader(snapshot))
				for pairs := 0; err == nil; pairs++ {
					var key, value []byte
					if key, value, err = r.next(); err == nil && len(key)+len(value) > len(snapshot) {
						t.Fatal("a pair is longer than the snapshot")
					}
					if err == nil {
						_ = checkSnapshotKey(key)
					}
				}
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("a refusal that does not say why: %v", err)
				}
			})
		}
	})
}

// TestNumbersThatLieCostNoMemory puts far too large numbers into every place of a snapshot, of the commands and of their results.
func TestNumbersThatLieCostNoMemory(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "b")
	writer, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if _, err := writer.WriteTo(&whole); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	hostile.Numbers(whole.Bytes(), func(b []byte) {
		hostile.Within(t, 2<<20+snapshotBlock, func() {
			r, err := newBlockReader(bytes.NewReader(b))
			for err == nil {
				_, _, err = r.next()
			}
		})
	})
	for _, c := range someCommands() {
		hostile.Numbers(c, func(b []byte) {
			hostile.Within(t, 1<<20, func() { applyOne(s, b) })
		})
		hostile.Numbers(applyOne(s, c), func(b []byte) {
			hostile.Within(t, 0, func() {
				_, _ = PutResponse(b)
				_, _ = TxnResponse(b)
				_, _ = DeleteRangeResponse(b)
			})
		})
	}
}
