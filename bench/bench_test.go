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
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
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

func TestALostPutIsFound(t *testing.T) {
	c := client{key: []byte("k"), value: make([]byte, 8)}
	for range 5 {
		c.next()
		_ = c.note(nil)
	}
	c.next() // its answer never came
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
	p := plan{levels: []string{levelServer}, loads: []string{"put"}, clients: []int{1}, balsas: named}
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
	for _, args := range [][]string{{}, {"walk"}, {"run", "-rounds", "0"}, {"run", "more"}, {"run", "-levels", "none"}, {"run", "-levels", "server", "-systems", "etcd", "-balsa", "a=/bin/true"}} {
		if err := command(t.Context(), args); err == nil {
			t.Errorf("%q went through", args)
		}
	}
}
