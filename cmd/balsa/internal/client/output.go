package client

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The forms of output.
const (
	formTable  = "table"
	formJSON   = "json"
	formSimple = "simple"
)

// printer writes answers in one of the forms. The first error of the writer is kept and ends the printing.
type printer struct {
	w    io.Writer
	form string
}

func newPrinter(w io.Writer, form string) *printer { return &printer{w: w, form: form} }

// json prints the answer as one line, the way etcdctl does: bytes are in base64, 64-bit numbers are plain numbers.
func (p *printer) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer as JSON: %w", err)
	}
	_, err = p.w.Write(append(b, '\n'))
	return err
}

// line prints one line.
func (p *printer) line(format string, args ...any) error {
	_, err := fmt.Fprintf(p.w, format+"\n", args...)
	return err
}

// table is a small aligned table. A column whose cells are all numbers (or empty) is set flush right.
type table struct {
	head []string
	rows [][]string
}

func newTable(head ...string) *table { return &table{head: head} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) error {
	width := make([]int, len(t.head))
	right := make([]bool, len(t.head))
	for c, name := range t.head {
		width[c] = utf8.RuneCountInString(name)
		right[c] = len(t.rows) > 0
		for _, row := range t.rows {
			width[c] = max(width[c], utf8.RuneCountInString(row[c]))
			right[c] = right[c] && isNumber(row[c])
		}
	}
	var b strings.Builder
	for _, row := range append([][]string{t.head}, t.rows...) {
		var line strings.Builder
		for c, cell := range row {
			pad := strings.Repeat(" ", width[c]-utf8.RuneCountInString(cell))
			if c > 0 {
				line.WriteString("  ")
			}
			if right[c] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// isNumber says whether a cell may stand flush right: a number, a size such as "20 KiB", or nothing.
func isNumber(cell string) bool {
	cell = strings.TrimSuffix(strings.TrimSuffix(cell, "iB"), " B")
	for _, r := range cell {
		if !unicode.IsDigit(r) && !strings.ContainsRune(". KMGT-", r) {
			return false
		}
	}
	return true
}

// cellLimit is how many characters of a key or a value a table shows; the other forms show all.
const cellLimit = 60

// cell makes bytes fit for a table: printable text as it is, anything else quoted; long ones cut.
func cell(b []byte) string {
	s := string(b)
	printable := utf8.Valid(b) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
	if !printable {
		s = strconv.Quote(s)
	}
	if utf8.RuneCountInString(s) > cellLimit {
		s = string([]rune(s)[:cellLimit-1]) + "…"
	}
	return s
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, exponent := float64(bytes)/unit, 0
	for value >= unit && exponent < 3 {
		value, exponent = value/unit, exponent+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[exponent])
}

func number[T ~int | ~int64 | ~uint64](n T) string { return fmt.Sprintf("%d", n) }

func memberID(id uint64) string { return fmt.Sprintf("%x", id) }
