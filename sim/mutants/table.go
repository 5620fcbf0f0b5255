package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// row is what came of one mutant.
type row struct {
	mutant  *mutant
	verdict verdict
}

// line tells of it while others are still under way.
func (r *row) line() string {
	if !r.verdict.caught() {
		return fmt.Sprintf("SURVIVED %-55s %d seeds in %v", r.mutant.name, r.verdict.Seeds, r.verdict.took().Round(100*time.Millisecond))
	}
	return fmt.Sprintf("caught   %-55s seed %d, after %d, in %v: %s: %s", r.mutant.name, r.verdict.Seed, r.verdict.Seeds,
		r.verdict.took().Round(100*time.Millisecond), r.verdict.Property, shorten(r.verdict.Text, 150))
}

func shorten(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

// printTable prints all rows, those that were not caught last, and the totals. It returns how many were not caught.
func printTable(w io.Writer, rows []row) (survivors int) {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b row) int {
		switch ca, cb := a.verdict.caught(), b.verdict.caught(); {
		case ca == cb:
			return 0
		case ca:
			return -1
		}
		return 1
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MUTANT\tCAUGHT BY\tSEEDS\tTIME")
	var seeds []uint64
	for i := range rows {
		v := &rows[i].verdict
		by := v.Property
		if v.caught() {
			seeds = append(seeds, v.Seeds)
		} else {
			by = "SURVIVED"
			survivors++
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%.1fs\n", rows[i].mutant.name, by, v.Seeds, v.took().Seconds())
	}
	_ = t.Flush()
	fmt.Fprintln(w, totals(len(rows), seeds))
	return survivors
}

// totals is a sentence about how many of all were caught, each after so many seeds.
func totals(all int, seeds []uint64) string {
	if len(seeds) == 0 {
		return fmt.Sprintf("0 of %d mutants were caught.", all)
	}
	slices.Sort(seeds)
	return fmt.Sprintf("%d of %d mutants were caught: half of them within %d seeds, the last after %d.", len(seeds), all, seeds[(len(seeds)-1)/2], seeds[len(seeds)-1])
}

const (
	tableFile   = "docs/simulation.md"
	tableBegin  = "<!-- mutants: what stands between these two lines is made by `make mutants` -->\n"
	tableEnd    = "<!-- mutants: end -->\n"
	bugsBegin   = "<!-- bugs: what stands between these two lines is made by `go run ./sim/mutants -scenario -write` -->\n"
	bugsEnd     = "<!-- bugs: end -->\n"
	tableHeader = "| mutant | what is wrong with it | caught by | after seeds | in time |\n|---|---|---|---:|---:|\n"
)

// writeTable puts the rows into the document. Rows of mutants that were not run this time stay.
func writeTable(root string, rows []row) error {
	all, err := load(root)
	if err != nil {
		return err
	}
	return between(root, tableBegin, tableEnd, func(old string) string {
		lines := map[string]string{}
		for line := range strings.Lines(old) {
			if name := cell(line, 0); name != "" {
				lines[name] = line
			}
		}
		for i := range rows {
			lines[rows[i].mutant.name] = rows[i].markdown()
		}
		var b strings.Builder
		var seeds []uint64
		n := 0
		for _, m := range all {
			line := lines[m.name]
			if line == "" {
				continue
			}
			n++
			b.WriteString(line)
			if k, err := strconv.ParseUint(cell(line, 3), 10, 64); err == nil {
				seeds = append(seeds, k)
			}
		}
		return totals(n, seeds) + "\n\n" + tableHeader + b.String()
	})
}

func (r *row) markdown() string {
	what := r.mutant.breaks
	if r.mutant.source != "" {
		what += " (" + r.mutant.source + ")"
	}
	by, seeds := r.verdict.Property, fmt.Sprint(r.verdict.Seeds)
	if !r.verdict.caught() {
		by, seeds = "**not caught**", "> "+seeds
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %.1f s |\n", r.mutant.name, what, by, seeds, r.verdict.took().Seconds())
}

// cell returns a cell of a line of a table, "" if it has none.
func cell(line string, n int) string {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	if !strings.HasPrefix(line, "| ") || n >= len(cells) {
		return ""
	}
	return strings.TrimSpace(cells[n])
}

// between replaces what stands between two lines of the document.
func between(root, begin, end string, replace func(old string) string) error {
	path := filepath.Join(root, filepath.FromSlash(tableFile))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(text), begin)
	old, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no lines %q and %q to write between", tableFile, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(path, []byte(head+begin+replace(old)+end+tail), 0o644)
}
