package main

import (
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/balsa-raft/balsa/bench/lean"
	"github.com/balsa-raft/balsa/bench/load"
)

// TestMain lets the test's program be what bench starts itself as.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && (os.Args[1] == "measure" || os.Args[1] == "nothing") || len(os.Args) == 4 && os.Args[1] == "feat" {
		if err := command(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// What is measured for a moment is no figure, but the whole way to the report has to work, and nothing may get lost on it.
func TestARunMakesAReport(t *testing.T) {
	out := t.TempDir()
	err := command(t.Context(), []string{
		"run", "-levels", "limit,library", "-systems", "balsa,hashicorp-wal,limit", "-rounds", "2", "-warmup", "10ms", "-measure", "300ms",
		"-proposers", "1,20", "-sizes", "16", "-groups", "2", "-dir", t.TempDir(), "-out", out, "-profiles", filepath.Join(out, "profiles"),
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n### 20 proposers, 16 bytes, 2 groups\n", "| balsa |", "| hashicorp-wal |", "| limit |", "zero-filled file", "loopback TCP", "\n## Steadiness\n", "| library balsa | 2 |", "github.com/hashicorp/raft |"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	rows := readRuns(t, filepath.Join(out, "runs.csv"))
	if want := 1 + 2*(4+2*3); len(rows) != want {
		t.Errorf("%d rows, want %d", len(rows), want)
	}
	if profiles, err := filepath.Glob(filepath.Join(out, "profiles", "*.pprof")); err != nil || len(profiles) != 2*2*3 {
		t.Errorf("profiles: %v, %v", profiles, err)
	}
	plots, err := filepath.Glob(filepath.Join(out, "*.svg"))
	if err != nil || len(plots) != 2 {
		t.Errorf("plots: %v, %v", plots, err)
	}
	for _, plot := range plots {
		checkXML(t, plot)
	}
}

// The same for servers: real processes, of which every member is asked for what was acknowledged.
func TestServersAreMeasured(t *testing.T) {
	out := t.TempDir()
	err := command(t.Context(), []string{
		"run", "-levels", "server", "-systems", "balsa,nothing", "-loads", "put,put to the leader,transaction,mixed,serializable range,put to one member",
		"-clients", "6", "-rounds", "1", "-warmup", "10ms", "-measure", "300ms", "-dir", t.TempDir(), "-out", out,
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := readRuns(t, filepath.Join(out, "runs.csv"))
	if want := 1 + 6*2; len(rows) != want {
		t.Errorf("%d rows, want %d", len(rows), want)
	}
}

func TestServersAreMeasuredThroughGRPC(t *testing.T) {
	out := t.TempDir()
	err := command(t.Context(), []string{
		"run", "-levels", "server", "-systems", "nothing", "-loads", "mixed", "-clients", "6", "-client", "lean,grpc", "-rounds", "1",
		"-warmup", "10ms", "-measure", "200ms", "-dir", t.TempDir(), "-out", out,
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil || !strings.Contains(string(page), "\n### mixed, 6 clients, 256 bytes, 3 members, asked through grpc-go\n") {
		t.Errorf("%v\n%s", err, page)
	}
}

// Both clients are told the same by every system, in every load.
func TestBothClientsAreToldTheSame(t *testing.T) {
	dir := t.TempDir()
	for _, s := range servers {
		if s.program != nil {
			var err error
			if s.binary, err = s.program(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
		}
		f, err := startFleet(s, filepath.Join(dir, "data", s.name), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer f.stop()
		if err := fillOne(t.Context(), pb.NewKVClient(f.conns[0])); err != nil && s.program != nil {
			t.Fatal(err)
		}
		conn, err := lean.Dial(f.members[0].client, requestLimit)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for q := range questions {
			if q == questionAll {
				continue // the only load with it takes minutes to prepare
			}
			one, other := newClient(2*int(q), valueSize, always(q)), newClient(2*int(q)+1, valueSize, always(q))
			if err := one.askGRPC(t.Context(), pb.NewKVClient(f.conns[0])); err != nil {
				t.Fatal(err)
			}
			r := &load.Recorder{}
			conn.Drive(&once{}, []lean.Client{&leanClient{client: &other, recorder: r}})
			if other.wrong != nil || other.asked != 1 || other.acked != one.acked || q.writes() != (other.acked == 1) {
				t.Errorf("%s, question %d: %d asked and %d acknowledged, %v; through grpc-go %d acknowledged", s.name, q, other.asked, other.acked, other.wrong, one.acked)
			}
			if writes := int64(other.acked); s.program != nil && other.revision != one.revision+writes {
				t.Errorf("%s, question %d: revision %d through grpc-go, %d through lean afterwards", s.name, q, one.revision, other.revision)
			}
			if s.program != nil && q.writes() {
				if err := f.check([]client{one, other}); err != nil {
					t.Errorf("%s, question %d: %v", s.name, q, err)
				}
			}
		}
	}
}

// once is a pace at which one request is asked: whoever wants to know when the next one is due has its answer.
type once struct{ due int }

func (o *once) Due(now time.Time) time.Time {
	o.due++
	return now
}

func (o *once) Ended() bool { return o.due > 1 }

// What generated code reads of an answer is what is read of it here.
func TestAnswersAreUnderstood(t *testing.T) {
	header := &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 7, Revision: 1 << 40, RaftTerm: 3}
	pair := &mvccpb.KeyValue{Key: oneKey, Value: make([]byte, valueSize), Version: 3, CreateRevision: 1, ModRevision: 4, Lease: 9}
	put := &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: header}}}
	for _, test := range []struct {
		q    question
		m    proto.Message
		want told
	}{
		{questionPut, &pb.PutResponse{Header: header, PrevKv: pair}, told{revision: 1 << 40}},
		{questionTxn, &pb.TxnResponse{Header: header, Succeeded: true, Responses: []*pb.ResponseOp{put, put}}, told{revision: 1 << 40, succeeded: true, operations: 2}},
		{questionTxn, &pb.TxnResponse{Header: header, Responses: []*pb.ResponseOp{put}}, told{revision: 1 << 40, operations: 1}},
		{questionStale, &pb.RangeResponse{Header: header, Kvs: []*mvccpb.KeyValue{pair, {}}, More: true, Count: 3}, told{revision: 1 << 40, pairs: 2, key: pair.Key, value: pair.Value}},
		{questionFresh, &pb.RangeResponse{}, told{}},
	} {
		encoded, err := proto.Marshal(test.m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := understand(test.q, encoded); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v: %+v, %v", test.m, got, err)
		}
		for cut := 1; cut < len(encoded); cut++ {
			_, _ = understand(test.q, encoded[:cut]) // some of these are messages too; none is to make it panic
		}
	}
	if _, err := understand(questionPut, []byte{0x0a, 0x7f, 1}); err == nil {
		t.Error("half a message is understood")
	}
	wrong := []struct {
		q question
		t told
	}{
		{questionPut, told{}}, {questionPut, told{revision: 4}}, {questionTxn, told{revision: 5, operations: 1}}, {questionTxn, told{revision: 5, succeeded: true}},
		{questionFresh, told{revision: 5}}, {questionFresh, told{revision: 5, pairs: 1, key: []byte("two"), value: make([]byte, valueSize)}},
		{questionStale, told{revision: 5, pairs: 1, key: oneKey}}, {questionAll, told{revision: 5, pairs: manyKeys - 1}},
	}
	for _, w := range wrong {
		c := newClient(0, 8, always(w.q))
		c.revision = 5
		if c.begin(); c.judge(w.q, w.t) == nil || c.wrong == nil || c.acked != 0 {
			t.Errorf("question %d: %+v passes", w.q, w.t)
		}
	}
}

func TestALostPutIsFound(t *testing.T) {
	c := newClient(0, 8, always(questionPut))
	for i := range 5 {
		if err := c.judge(c.begin(), told{revision: int64(i + 2)}); err != nil {
			t.Fatal(err)
		}
	}
	c.begin() // its answer never came
	at := func(version int64, number byte) *pb.RangeResponse {
		return &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Version: version, Value: []byte{0, 0, 0, 0, 0, 0, 0, number}}}}
	}
	for _, good := range []*pb.RangeResponse{at(5, 5), at(6, 6)} {
		if err := c.check(good); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range []*pb.RangeResponse{{}, at(4, 5), at(5, 4), at(7, 6), at(6, 7)} {
		if c.check(bad) == nil {
			t.Errorf("%v passes", bad)
		}
	}
}

// Two programs of one name could not be told apart in the report, and one that is not there would be found out after everything else.
func TestNamedProgramsStandInBalsasPlace(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var named variants
	for _, good := range []string{"old=" + self, "new=" + self} {
		if err := named.Set(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"old=" + self, "etcd=" + self, "nothing=" + self, "a/b=" + self, "=" + self, self, "gone=" + self + "-gone"} {
		if named.Set(bad) == nil {
			t.Errorf("%s went through", bad)
		}
	}
	p := plan{levels: []string{levelServer}, loads: []string{"put"}, clients: []int{1}, clientKinds: []string{clientLean}, balsas: named}
	cells := p.serverCells()
	if len(cells) != 1 || !slices.Equal(cells[0].systems, []string{"old", "new", "etcd", "nothing"}) || p.programOf("new") != self || p.programOf("etcd") != "" {
		t.Errorf("%v", cells)
	}
	s, err := Spec{System: "new", Program: self}.server()
	if err != nil || s.name != "new" || s.binary != self || !slices.Contains(s.args(member{}, ""), "serve") {
		t.Errorf("%+v, %v", s, err)
	}
}

func readRuns(t *testing.T, path string) [][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func checkXML(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for d := xml.NewDecoder(file); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

func TestAFailureIsReportedAndNotAveraged(t *testing.T) {
	cell := Spec{Level: levelLibrary, System: "balsa", Load: "propose", Workers: 1, Size: 16, Groups: 1}
	results := []Result{{Spec: cell, Round: 1, PerSecond: 100, Syncs: 3}, {Spec: cell, Round: 2, PerSecond: 9000, Failure: "replica 2 lost command 7"}}
	r := &run{plan: plan{rounds: 2}, results: results}
	out := t.TempDir()
	if err := r.report(out, nil); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil || !strings.Contains(string(page), "| balsa | failed in 1 of 2 rounds: replica 2 lost command 7 |") || strings.Contains(string(page), "9,000") {
		t.Errorf("%v\n%s", err, page)
	}
	if err := r.failures(); err == nil || err.Error() != "1 of 2 measurements failed" {
		t.Errorf("got %v", err)
	}
}

func TestSpreadIsMedianLeastAndGreatest(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{{nil, spread{}}, {[]float64{3}, spread{3, 3, 3}}, {[]float64{5, 1, 3}, spread{3, 1, 5}}, {[]float64{4, 1, 2, 9}, spread{3, 1, 9}}} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("%v: %v, want %v", test.values, got, test.want)
		}
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"walk"}, {"run", "-rounds", "0"}, {"run", "more"}, {"run", "-levels", "none"}, {"run", "-client", "curl"}, {"run", "-levels", "server", "-systems", "etcd", "-balsa", "a=/bin/true"}} {
		if err := command(t.Context(), args); err == nil {
			t.Errorf("%q went through", args)
		}
	}
}
