package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// As with a run: what is measured for a moment is no figure, but the way to the report has to work, and nothing may get lost on it.
func TestGrowthMakesAReport(t *testing.T) {
	out := t.TempDir()
	args := []string{"growth", "-rounds", "1", "-warmup", "10ms", "-measure", "200ms", "-dir", filepath.Join(t.TempDir(), "work"), "-out", out, "-add"}
	for _, more := range [][]string{{"-only", "members,connections", "-at", "1,2,10"}, {"-only", "members", "-at", "2"}, {"-only", "database", "-database", "10MB"}} {
		if err := command(t.Context(), append(args, more...)); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "growth.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n## Members\n", "\n## Size of the database\n", "| 10 | serializable range | ", "| 10 MB | put | ", "| 2 | 64 proposers | "} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	rows, err := readGrowth(filepath.Join(out, "growth-members.csv"))
	if err != nil || len(rows) != 2*3+3 || rows[0].from.commit == "" || rows[0].from.flags == rows[len(rows)-1].from.flags {
		t.Errorf("%d rows, %v: %v", len(rows), err, rows)
	}
	for _, p := range gatherGrowth(rows) {
		if rounds := int(p.x); p.rounds != rounds { // 1 member was measured once, 2 members were twice
			t.Errorf("%d members, %s: %d rounds", rounds, p.series, p.rounds)
		}
	}
	plots, err := filepath.Glob(filepath.Join(out, "growth-*.svg"))
	if err != nil || len(plots) != 6 {
		t.Errorf("plots: %v, %v", plots, err)
	}
	for _, plot := range plots {
		checkXML(t, plot)
	}
}

func TestALostValueIsFound(t *testing.T) {
	value := make([]byte, databaseValue)
	writeValue(value, 7, 3)
	if err := checkValue(value, 7, 3); err != nil {
		t.Error(err)
	}
	old := append([]byte(nil), value...)
	binary.LittleEndian.PutUint64(old[8:], 2)
	rotten := append([]byte(nil), value...)
	rotten[500] ^= 1
	for name, check := range map[string]error{
		"an older put": checkValue(value, 7, 4), "another key's": checkValue(value, 8, 3), "half of one": checkValue(value[:100], 7, 3),
		"a put's number alone": checkValue(old, 7, 1), "a flipped bit": checkValue(rotten, 7, 3),
	} {
		if check == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{"10MB": "10 MB", "1.5 gb": "1.5 GB", "2GB": "2 GB"} {
		if n, err := parseBytes(text); err != nil || plainBytes(float64(n)) != want {
			t.Errorf("%s: %d, %s, %v", text, n, plainBytes(float64(n)), err)
		}
	}
	for n, want := range map[float64]string{16: "16 B", 1 << 10: "1 KiB", 1 << 20: "1 MiB"} {
		if got := plainBytes(n); got != want {
			t.Errorf("%g: %s", n, got)
		}
	}
	for _, bad := range []string{"", "10", "-1GB", "MB"} {
		if _, err := parseBytes(bad); err == nil {
			t.Errorf("%q is a size", bad)
		}
	}
}
