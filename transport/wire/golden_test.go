package wire

import (
	"bufio"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// goldenFile has one frame a line: its name, and its bytes in hexadecimal. Lines are added, never changed: hosts of released versions send them.
const goldenFile = "testdata/version1.hex"

var writeGolden = flag.Bool("write-golden", false, "append the frames that "+goldenFile+" does not have yet")

// golden are the messages that the golden file holds, all for group 300.
func golden() map[string]raft.Message {
	head := raft.Header{From: 0x1111111111111111, To: 0x2222222222222222, Term: 7, Incarnation: 0xabcdef0123456789}
	command, change := []byte("set x 1"), raft.Configuration{Members: []raft.Member{{ID: 1}}}.Encode(nil)
	meta := raft.SnapshotMeta{Index: 1 << 40, Term: 6, ConfigurationIndex: 12, Configuration: raft.Configuration{
		Members: []raft.Member{
			{ID: 1, Incarnation: 99, Priority: 3, Address: "10.0.0.1:2380", Meta: []byte("one")},
			{ID: 2, Learner: true, AutoPromote: true, Address: "10.0.0.2:2380"},
		},
		Outgoing: []raft.Member{{ID: 1, Address: "10.0.0.1:2380"}},
	}}
	return map[string]raft.Message{
		"PreVoteRequest":    &raft.PreVoteRequest{Header: head, LastIndex: 200, LastTerm: 6},
		"PreVoteReply":      &raft.PreVoteReply{Header: head, Granted: true, Campaign: 8},
		"VoteRequest":       &raft.VoteRequest{Header: head, LastIndex: 200, LastTerm: 6, Transfer: true},
		"VoteReply":         &raft.VoteReply{Header: head, Granted: true},
		"VoteReplyToADisk":  &raft.VoteReply{Header: head, Granted: true, Candidate: 0xa1a2a3a4a5a6a7a8},
		"Heartbeat":         &raft.AppendRequest{Header: head, PrevIndex: 128, PrevTerm: 7, Commit: 127, Round: 1000, Quiesce: true},
		"AppendReply":       &raft.AppendReply{Header: head, Match: 131, Round: 1000},
		"AppendReplyReject": &raft.AppendReply{Header: head, Rejected: true, PrevIndex: 128, ConflictTerm: 5, ConflictIndex: 90, Round: 1001},
		"AppendRequest": &raft.AppendRequest{Header: head, PrevIndex: 128, PrevTerm: 6, Commit: 127, Round: 1001, Entries: []raft.Entry{
			{Index: 129, Term: 6, Kind: raft.EntryCommand, Data: command, Sum: raft.Sum(command)},
			{Index: 130, Term: 7, Kind: raft.EntryNoop},
			{Index: 131, Term: 7, Kind: raft.EntryConfiguration, Data: change, Sum: raft.Sum(change)},
		}},
		"InstallSnapshot":  &raft.InstallSnapshot{Header: head, Meta: meta},
		"TimeoutNow":       &raft.TimeoutNow{Header: head},
		"ReadIndexRequest": &raft.ReadIndexRequest{Header: head, ID: 1 << 50},
		"ReadIndexReply":   &raft.ReadIndexReply{Header: head, ID: 1 << 50, Index: 300},
		"WakeRequest":      &raft.WakeRequest{Header: head},
		"ForwardRequest":   &engine.ForwardRequest{Header: head, ID: 5, Op: engine.ForwardProposal, Data: command, Sum: raft.Sum(command)},
		"ForwardReply":     &engine.ForwardReply{Header: head, ID: 5, Code: engine.ForwardAccepted, Leader: 1, Index: 131, Data: []byte("OK")},
		"SnapshotChunk": &engine.SnapshotChunk{Header: head, Meta: meta, ID: 1 << 60, Size: 1 << 33, Offset: 1 << 20, BodySum: 0xfeedbeef,
			Data: command, Sum: raft.Sum(command)},
		"SnapshotAck": &engine.SnapshotAck{Header: head, ID: 1 << 60, Status: engine.SnapshotReceiving, Offset: 2 << 20},
	}
}

const goldenGroup = raft.GroupID(300)

var (
	goldenHello = &Hello{MinVersion: 1, MaxVersion: 1, Cluster: 0xc1c2c3c4c5c6c7c8, Host: 0x0102030405060708,
		MaxFrameBytes: 4 << 20, Address: "10.0.0.1:2380", Dialled: "10.0.0.2:2380"}
	goldenRefusal = &Refusal{Code: RefusedCluster, Reason: "this host belongs to another cluster"}
)

// TestYesterdaysBytes decodes frames that were written down when the version was made, and encodes them again.
func TestYesterdaysBytes(t *testing.T) {
	frames := readGolden(t)
	if *writeGolden {
		appendGolden(t, frames)
		frames = readGolden(t)
	}
	for name, want := range golden() {
		frame, ok := frames[name]
		if !ok {
			t.Errorf("%s has no frame in %s: run with -write-golden", name, goldenFile)
			continue
		}
		group, m, err := DecodeMessage(frame)
		if err != nil || group != goldenGroup || !reflect.DeepEqual(m, want) {
			t.Errorf("%s: got group %d, %+v, %v\nwant %+v", name, group, m, err, want)
		}
	}
	if hello, _, err := introduce(frames["Hello"]); err != nil || *hello != *goldenHello {
		t.Errorf("Hello: got %+v, %v", hello, err)
	}
	if _, refusal, err := introduce(frames["Refusal"]); err != nil || *refusal != *goldenRefusal {
		t.Errorf("Refusal: got %+v, %v", refusal, err)
	}
	for name, frame := range encodeGolden(t) {
		if got, want := hex.EncodeToString(frame), hex.EncodeToString(frames[name]); got != want {
			t.Errorf("%s is now encoded as\n%s\nand was\n%s\na change of the encoding needs a new version", name, got, want)
		}
	}
}

func encodeGolden(t *testing.T) map[string][]byte {
	t.Helper()
	frames := make(map[string][]byte)
	var err error
	for name, m := range golden() {
		if frames[name], err = AppendMessage(nil, goldenGroup, m); err != nil {
			t.Fatal(err)
		}
	}
	if frames["Hello"], err = AppendHello(nil, goldenHello); err != nil {
		t.Fatal(err)
	}
	frames["Refusal"] = AppendRefusal(nil, goldenRefusal)
	frames["Ping"] = appendBeat(nil, KindPing, 12345)
	frames["Pong"] = appendBeat(nil, KindPong, 12345)
	return frames
}

func readGolden(t *testing.T) map[string][]byte {
	t.Helper()
	file, err := os.Open(goldenFile)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	frames := make(map[string][]byte)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, digits, _ := strings.Cut(lines.Text(), " ")
		if frames[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %s: %v", goldenFile, name, err)
		}
	}
	return frames
}

func appendGolden(t *testing.T, have map[string][]byte) {
	t.Helper()
	file, err := os.OpenFile(goldenFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for name, frame := range encodeGolden(t) {
		if have[name] == nil {
			fmt.Fprintf(file, "%s %x\n", name, frame)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
