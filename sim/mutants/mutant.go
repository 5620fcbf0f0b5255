package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mutant is one deliberate bug: a few pieces of text that take the place of others.
type mutant struct {
	// name is the path of its file below this directory, without the suffix: "raft/commits-by-counting-in-any-term".
	name string
	// breaks says in a sentence what is wrong with it; source where the bug was met, if it was.
	breaks, source string
	// bugs are the numbers, in bugs.txt, of the bugs of others that it puts back.
	bugs []int
	// expect is the property that it should be caught by.
	expect string
	// pkg and test name the directed scenario that fails with it, if there is one.
	pkg, test string
	// worlds says which program's worlds it is hunted in: a key of programs.
	worlds string
	// quick says that a few seeds are enough, so that it may be among those that `make test` runs.
	quick bool
	edits []edit
}

// edit replaces a run of whole lines, which has to be in the file exactly once.
type edit struct{ file, old, new string }

const suffix = ".mutant"

// load reads all mutants, by name.
func load(root string) ([]*mutant, error) {
	dir := filepath.Join(root, "sim", "mutants")
	var list []*mutant
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		m, err := parse(strings.TrimSuffix(filepath.ToSlash(rel), suffix), string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, m)
		return nil
	})
	slices.SortFunc(list, func(a, b *mutant) int { return strings.Compare(a.name, b.name) })
	return list, err
}

// parse reads a mutant's file: lines of "key: value", then for every edit a line "--- file", the old lines, a line "+++", the new lines.
func parse(name, text string) (*mutant, error) {
	m := &mutant{name: name, worlds: "swarm"}
	var e *edit
	into := (*string)(nil) // what lines are added to; nil in the head
	for number, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		file, isOld := strings.CutPrefix(line, "--- ")
		switch {
		case isOld:
			m.edits = append(m.edits, edit{file: file})
			e = &m.edits[len(m.edits)-1]
			into = &e.old
		case line == "+++" && e != nil && into == &e.old:
			into = &e.new
		case into != nil:
			*into += line + "\n"
		case line == "":
		default:
			key, value, ok := strings.Cut(line, ": ")
			if !ok || m.set(key, value) != nil {
				return nil, fmt.Errorf("line %d is no 'key: value' that a mutant has: %q", number+1, line)
			}
		}
	}
	switch {
	case m.breaks == "" || m.expect == "":
		return nil, fmt.Errorf("it has to say what it breaks, and what property is expected to catch it")
	case len(m.edits) == 0:
		return nil, fmt.Errorf("it changes nothing")
	}
	for _, e := range m.edits {
		if e.old == "" || e.old == e.new {
			return nil, fmt.Errorf("an edit of %s has no old text, or no other text in its place", e.file)
		}
	}
	return m, nil
}

func (m *mutant) set(key, value string) error {
	switch key {
	case "breaks":
		m.breaks = value
	case "source":
		m.source = value
	case "expect":
		m.expect = value
	case "worlds":
		if m.worlds = value; programs[value] == "" {
			return fmt.Errorf("no such worlds")
		}
	case "quick":
		m.quick = value == "yes"
	case "scenario":
		var ok bool
		if m.pkg, m.test, ok = strings.Cut(value, " "); !ok {
			return fmt.Errorf("no test")
		}
	case "bug":
		for _, word := range strings.Fields(value) {
			n, err := strconv.Atoi(word)
			if err != nil {
				return err
			}
			m.bugs = append(m.bugs, n)
		}
	default:
		return fmt.Errorf("unknown key")
	}
	return nil
}

// apply makes the mutant's text of every file that it changes, by the file's path below root. The tree is left as it is.
func (m *mutant) apply(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.file)))
			if err != nil {
				return nil, fmt.Errorf("mutant %s: the code moved, update it: %w", m.name, err)
			}
			text = string(b)
		}
		if n := strings.Count("\n"+text, "\n"+e.old); n != 1 {
			return nil, fmt.Errorf("mutant %s: the code moved, update it: %s has these lines %d times, not once:\n%s", m.name, e.file, n, e.old)
		}
		text = strings.TrimPrefix(strings.Replace("\n"+text, "\n"+e.old, "\n"+e.new, 1), "\n")
		files[e.file] = text
	}
	return files, nil
}

// overlay writes the mutant's files to dir, with the list by which the go command reads them in the place of the tree's, and returns that list's path.
func (m *mutant) overlay(root, dir string) (string, error) {
	files, err := m.apply(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range files {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// packages are those whose files the mutant changes, as the go command names them.
func (m *mutant) packages() []string {
	var list []string
	for _, e := range m.edits {
		if p := "./" + filepath.ToSlash(filepath.Dir(e.file)); !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}
