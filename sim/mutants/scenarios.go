package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// bug is one that other implementations had, as bugs.txt lists them: "number | what happened | where | note".
type bug struct {
	number             int
	what, source, note string
}

// loadBugs reads bugs.txt.
func loadBugs(root string) ([]bug, error) {
	path := filepath.Join(root, "sim", "mutants", "bugs.txt")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []bug
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		number, err := strconv.Atoi(cells[0])
		if err != nil || len(cells) != 4 || number != len(list)+1 {
			return nil, fmt.Errorf("%s: bug %d is to have the form 'number | what | where | note': %q", path, len(list)+1, line)
		}
		list = append(list, bug{number: number, what: cells[1], source: cells[2], note: cells[3]})
	}
	return list, nil
}

// scenarios runs the scenario of each mutant that has one, without the mutant and with it. It returns the exit code.
func scenarios(root string, list []*mutant, write, all bool) int {
	noticed := map[*mutant]bool{}
	passes := map[string]bool{}
	code := 0
	for _, m := range list {
		if m.test == "" {
			continue
		}
		name := m.pkg + " " + m.test
		if _, known := passes[name]; !known {
			failed, err := testFails(root, m.pkg, m.test)
			if err != nil {
				fatal(err)
			}
			if passes[name] = !failed; failed {
				fmt.Printf("FAILS without any mutant: %s\n", name)
				code = 1
			}
		}
		fails, err := m.scenarioFails(root)
		if err != nil {
			fatal(err)
		}
		noticed[m] = fails
		if fails {
			fmt.Printf("fails as it should with %-50s %s\n", m.name, name)
		} else {
			fmt.Printf("DOES NOT NOTICE %-50s %s\n", m.name, name)
			code = 1
		}
	}
	if !write {
		return code
	}
	if !all {
		fatal(fmt.Errorf("the table of bugs is only written when all mutants are run: leave out -run and -sample"))
	}
	bugs, err := loadBugs(root)
	if err != nil {
		fatal(err)
	}
	err = between(root, bugsBegin, bugsEnd, func(string) string { return bugTable(bugs, list, noticed) })
	if err != nil {
		fatal(err)
	}
	return code
}

// bugTable maps every bug to its scenarios and mutants.
func bugTable(bugs []bug, list []*mutant, noticed map[*mutant]bool) string {
	var b strings.Builder
	b.WriteString("| | bug | scenario that holds without and fails with it | mutant |\n|---:|---|---|---|\n")
	for _, bug := range bugs {
		var tests, mutants []string
		for _, m := range list {
			if !slices.Contains(m.bugs, bug.number) {
				continue
			}
			mutants = append(mutants, m.name)
			if m.test == "" {
				continue
			}
			test := fmt.Sprintf("`%s` %s", strings.TrimPrefix(m.pkg, "./"), m.test)
			if !noticed[m] {
				test += " (**does not notice**)"
			}
			if !slices.Contains(tests, test) {
				tests = append(tests, test)
			}
		}
		what := fmt.Sprintf("%s (%s)", bug.what, bug.source)
		if bug.note != "" {
			what += ". " + bug.note
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", bug.number, what, strings.Join(tests, "; "), strings.Join(mutants, ", "))
	}
	return b.String()
}
