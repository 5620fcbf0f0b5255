package kv

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// The files of version 1: members of released versions have them in their logs and directories, so they are read for ever and never written anew.
const (
	commandsFile = "testdata/version1.commands"
	snapshotFile = "testdata/version1.snapshot"
)

var writeGolden = flag.Bool("write-golden", false, "write "+commandsFile+" and "+snapshotFile+", where they are missing")

// yesterday are commands of every kind. What they make is everything that a database can have.
func yesterday() [][]byte {
	put := func(key, value string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}}
	}
	return [][]byte{
		PutCommand(&pb.PutRequest{Key: []byte("greeting"), Value: []byte("hello")}),
		PutCommand(&pb.PutRequest{Key: []byte("zero\x00byte"), Value: nil}),
		PutCommand(&pb.PutRequest{Key: []byte("greeting"), Value: []byte("hi"), PrevKv: true}),
		TxnCommand(&pb.TxnRequest{
			Compare: []*pb.Compare{{
				Result: pb.Compare_EQUAL, Target: pb.Compare_VALUE, Key: []byte("greeting"), TargetUnion: &pb.Compare_Value{Value: []byte("hi")},
			}},
			Success: []*pb.RequestOp{put("a", "1"), put("b", "2")},
			Failure: []*pb.RequestOp{put("a", "3")},
		}),
		DeleteRangeCommand(&pb.DeleteRangeRequest{Key: []byte("b")}),
		PutCommand(&pb.PutRequest{Key: []byte("gone"), Value: []byte("soon")}),
		DeleteRangeCommand(&pb.DeleteRangeRequest{Key: []byte("gone")}),
		MetaCommand("version", []byte("1")),
		CompactionCommand(&pb.CompactionRequest{Revision: 4}),
		PutCommand(&pb.PutRequest{Key: []byte("greeting"), Value: bytes.Repeat([]byte("long "), 100)}),
	}
}

func writeIfMissing(t *testing.T, name string, content []byte) {
	t.Helper()
	if _, err := os.Stat(name); err == nil {
		return
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestYesterdaysBytesAreRead applies the commands of version 1 from their file, and restores the snapshot that was made of them.
func TestYesterdaysBytesAreRead(t *testing.T) {
	if *writeGolden {
		s := newStore(t)
		applyAll(s, yesterday()...)
		var lines bytes.Buffer
		for _, command := range yesterday() {
			fmt.Fprintf(&lines, "%x\n", command)
		}
		writeIfMissing(t, commandsFile, lines.Bytes())
		writeIfMissing(t, snapshotFile, snapshotOf(t, s))
	}
	applied, restored := newStore(t), newStore(t)
	file, err := os.Open(commandsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		command, err := hex.DecodeString(strings.TrimSpace(lines.Text()))
		if err != nil {
			t.Fatal(err)
		}
		applyOne(applied, command)
	}
	body, err := os.ReadFile(snapshotFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := restored.Restore(bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	today := newStore(t)
	applyAll(today, yesterday()...)
	want := dump(t, today)
	for name, s := range map[string]*Store{"the commands": applied, "the snapshot": restored} {
		if got := dump(t, s); got != want {
			t.Errorf("%s of version 1 make a store of\n%s\nwant\n%s", name, got, want)
		}
		if index := s.AppliedIndex(); int(index) != len(yesterday()) {
			t.Errorf("%s of version 1 lead to index %d", name, index)
		}
	}
}

// TestTodaysBytesAreThoseOfVersion1 is about the other direction: as long as the version is 1, members of yesterday read what is written today.
func TestTodaysBytesAreThoseOfVersion1(t *testing.T) {
	s := newStore(t)
	var lines strings.Builder
	for _, command := range yesterday() {
		applyOne(s, command)
		fmt.Fprintf(&lines, "%x\n", command)
	}
	if want, err := os.ReadFile(commandsFile); err != nil || lines.String() != string(want) {
		t.Errorf("the commands are written in another way than before (%v)", err)
	}
	if want, err := os.ReadFile(snapshotFile); err != nil || !bytes.Equal(snapshotOf(t, s), want) {
		t.Errorf("a snapshot is written in another way than before (%v)", err)
	}
}
