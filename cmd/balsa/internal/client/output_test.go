package client

import (
	"bytes"
	"strings"
	"testing"
)

func TestTableAlignsNumbersToTheRight(t *testing.T) {
	table := newTable("NAME", "TERM", "SIZE", "NOTE")
	table.add("m1", "7", "20.0 KiB", "")
	table.add("étage", "-", "-", "down")
	table.add("m3", "112", "3 B", "")
	var b bytes.Buffer
	if err := table.write(&b); err != nil {
		t.Fatal(err)
	}
	want := `
NAME   TERM      SIZE  NOTE
m1        7  20.0 KiB
étage     -         -  down
m3      112       3 B
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got:%s\nwant:%s", got, want)
	}
}

func TestCellsStayOnOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                  "plain",
		"with space":             "with space",
		"two\nlines":             `"two\nlines"`,
		"\xff\x00":               `"\xff\x00"`,
		"筏":                      "筏",
		strings.Repeat("a", 100): strings.Repeat("a", 59) + "…",
	} {
		if got := cell([]byte(in)); got != want {
			t.Errorf("cell(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 3 << 50: "3072.0 TiB"} {
		if got := size(in); got != want {
			t.Errorf("size(%d) = %q, want %q", in, got, want)
		}
	}
}
