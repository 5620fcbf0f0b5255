package sim

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The model's command writes a row for each network and number of proposers, and a figure that can be read.
func TestTheModelIsTabledAndDrawn(t *testing.T) {
	dir := t.TempDir()
	table, figure := filepath.Join(dir, "model.csv"), filepath.Join(dir, "model.svg")
	cmd := modelCommand()
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--csv", table, "--svg", figure, "--processors", "1"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if want := 1 + len(modelNetworks())*len(modelProposers); err != nil || len(rows) != want {
		t.Fatalf("%d rows, want %d; %v", len(rows), want, err)
	}
	// One processor at 5 µs an entry is 200,000 entries a second, which ten thousand who ask within a building want more than.
	if got := rows[4]; got[1] != "10000" || got[3] != "200000" || got[5] != "processor" {
		t.Errorf("the row is %q", got)
	}
	if !strings.Contains(out.String(), "3 around the world") {
		t.Errorf("the summary is\n%s", &out)
	}
	drawn, err := os.Open(figure)
	if err != nil {
		t.Fatal(err)
	}
	defer drawn.Close()
	rings := 0
	for d := xml.NewDecoder(drawn); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			rings++
		}
	}
	if rings < 20 {
		t.Errorf("the simulator has %d rings in the figure", rings)
	}
}
