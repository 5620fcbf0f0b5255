package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa"
)

// What is measured in the small is no figure, but every feat has to work, to lose nothing, and to come into the report.
func TestFeatsMakeAReport(t *testing.T) {
	out := t.TempDir()
	err := command(t.Context(), []string{
		"feats", "-rounds", "1", "-entries", "3000", "-groups", "20", "-busy-groups", "4", "-phase", "200ms", "-snapshot", "2000000", "-link", "50000000", "-cold=false",
		"-dir", filepath.Join(t.TempDir(), "data"), "-out", out,
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "feats.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range feats {
		if !strings.Contains(string(page), "\n## "+f.name+": ") {
			t.Errorf("the page lacks %s:\n%s", f.name, page)
		}
	}
	data, err := os.ReadFile(filepath.Join(out, "feats.json"))
	if err != nil {
		t.Fatal(err)
	}
	var figures []figure
	if err := json.Unmarshal(data, &figures); err != nil || len(figures) < 40 {
		t.Errorf("%d figures, %v", len(figures), err)
	}
	if rows := readRuns(t, filepath.Join(out, "feats.csv")); len(rows) != len(figures)+1 {
		t.Errorf("%d rows for %d figures", len(rows), len(figures))
	}
}

func TestAMissedTargetIsSaid(t *testing.T) {
	f := figure{Feat: "log", What: "restart", Unit: "s"}.atMost(2)
	all := []figure{f, f, f}
	all[0].Value, all[1].Value, all[2].Value = 1, 3, 2.5
	rows := featRows("log", all)
	if len(rows) != 1 || rows[0][3] != "**missed**" || rows[0][1] != "2.5 s (1 s-3 s)" || rows[0][2] != "at most 2 s" {
		t.Errorf("%q", rows)
	}
	all[1].Value = 2
	all[2].Value = 2
	if rows := featRows("log", all); rows[0][3] != "met" {
		t.Errorf("%q", rows)
	}
}

func TestAKeeperMissesWhatIsMissing(t *testing.T) {
	command := func(n byte) balsa.Entry {
		return balsa.Entry{Index: balsa.Index(n), Data: []byte{0, 0, 0, 0, 1, 0, 0, 0, n, 0, 0, 0, 0, 0, 0, 0}}
	}
	promises := []promise{{}, {last: 3, unknown: []uint64{2}}}
	k := newKeeper(2, 100)
	k.Apply([]balsa.Entry{command(1)})
	if k.check("it", promises) == nil {
		t.Error("a lost command is not missed")
	}
	k.Apply([]balsa.Entry{command(3)})
	if err := k.check("it", promises); err != nil {
		t.Error(err)
	}
	k.Apply([]balsa.Entry{command(3)})
	if k.check("it", promises) == nil {
		t.Error("a command that was applied twice is not noticed")
	}
}

// A keeper that was restored has what the other had.
func TestAKeeperCarriesItsState(t *testing.T) {
	promises := []promise{{last: 1}}
	from, to := newKeeper(1, 200_000), newKeeper(1, 200_000)
	from.Apply([]balsa.Entry{{Index: 1, Data: []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}}})
	s, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	if n, err := s.WriteTo(&body); err != nil || n != int64(body.Len()) || n < 200_000 {
		t.Fatal(n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := to.Restore(strings.NewReader(body.String())); err != nil {
		t.Fatal(err)
	}
	if err := to.check("it", promises); err != nil || to.applied() != 1 {
		t.Error(to.applied(), err)
	}
	if to.Restore(strings.NewReader(body.String()[:body.Len()-1])) == nil {
		t.Error("a body that is cut off is taken")
	}
}
