package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func repository(t *testing.T) (string, []*mutant) {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	list, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	return root, list
}

// TestEveryMutantFitsTheCode fails when code has moved from under a mutant.
func TestEveryMutantFitsTheCode(t *testing.T) {
	root, list := repository(t)
	for _, m := range list {
		if _, err := m.apply(root); err != nil {
			t.Error(err)
		}
	}
}

// TestMutantsCompile builds the packages of some mutants: every fourth, from one that differs from day to day only if the list does.
func TestMutantsCompile(t *testing.T) {
	root, list := repository(t)
	for i := len(list) % 4; i < len(list); i += 4 {
		if err := list[i].compile(root); err != nil {
			t.Error(err)
		}
	}
}

// TestASampleOfMutantsIsCaught hunts ten of those mutants that a few worlds are enough for, and two of the store's. `make mutants` hunts all of them, with as
// many worlds as it takes.
func TestASampleOfMutantsIsCaught(t *testing.T) {
	root, list := repository(t)
	list = slices.DeleteFunc(list, func(m *mutant) bool { return !m.quick })
	if len(list) < 10 {
		t.Fatalf("only %d mutants are marked as quick", len(list))
	}
	rand.New(rand.NewPCG(uint64(len(list)), 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	var sample []*mutant
	left := map[string]int{"swarm": 10, "kv": 2}
	for _, m := range list {
		if left[m.worlds] > 0 {
			left[m.worlds]--
			sample = append(sample, m)
		}
	}
	for _, m := range sample {
		v, err := m.hunt(root, bounds{first: 1, seeds: 500})
		if err != nil {
			t.Fatal(err)
		}
		if !v.caught() {
			t.Errorf("%s was not caught within %d seeds", m.name, v.Seeds)
		}
		t.Logf("%s: %s after %d seeds", m.name, v.Property, v.Seeds)
	}
}

// TestABalsaWithAMutantTellsWhatGoesWrong builds the whole program with a bug, as -build does.
func TestABalsaWithAMutantTellsWhatGoesWrong(t *testing.T) {
	root, list := repository(t)
	i := slices.IndexFunc(list, func(m *mutant) bool { return m.name == "raft/half-is-a-majority" })
	dir := t.TempDir()
	program := filepath.Join(dir, "balsa")
	if err := list[i].build(root, program, balsa); err != nil {
		t.Fatal(err)
	}
	out, err := command(dir, program, "sim", "--seeds", "500")
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if err == nil || !strings.Contains(out, "The smallest run found") || len(files) != 1 {
		t.Errorf("%v, files %v:\n%s", err, files, out)
	}
}

// TestTheSimulatorCatchesNothingWithoutAMutant makes sure that what catches mutants is not simply there.
func TestTheSimulatorCatchesNothingWithoutAMutant(t *testing.T) {
	root, _ := repository(t)
	for worlds, seeds := range map[string]uint64{"swarm": 100, "kv": 20} {
		harmless := &mutant{name: "harmless", worlds: worlds, edits: []edit{{
			file: "raft/quorum.go", old: "func majority(n int) int { return n/2 + 1 }\n", new: "func majority(n int) int { return 1 + n/2 }\n",
		}}}
		v, err := harmless.hunt(root, bounds{first: 1, seeds: seeds})
		if err != nil {
			t.Fatal(err)
		}
		if v.caught() || v.Seeds != seeds {
			t.Errorf("%s: %+v", worlds, v)
		}
	}
}

// TestEveryBugOfOthersIsAMutantOrSaysWhyNot holds the list of bugs against the mutants.
func TestEveryBugOfOthersIsAMutantOrSaysWhyNot(t *testing.T) {
	root, list := repository(t)
	bugs, err := loadBugs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs {
		has := slices.ContainsFunc(list, func(m *mutant) bool { return slices.Contains(m.bugs, b.number) })
		if !has && b.note == "" {
			t.Errorf("bug %d, %s, has neither a mutant nor a note that says why it cannot be", b.number, b.what)
		}
	}
	for _, m := range list {
		for _, n := range m.bugs {
			if n < 1 || n > len(bugs) {
				t.Errorf("%s names bug %d, which is not in the list", m.name, n)
			}
		}
	}
}

func TestParse(t *testing.T) {
	good := "breaks: something\nexpect: Log Matching\nbug: 3 4\nscenario: ./raft TestX/y\nquick: yes\n\n--- raft/x.go\n\told\n+++\n\tnew\n\tlines\n--- raft/y.go\n\tgone\n+++\n"
	m, err := parse("raft/m", good)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]edit{{"raft/x.go", "\told\n", "\tnew\n\tlines\n"}, {"raft/y.go", "\tgone\n", ""}})
	if m.worlds != "swarm" {
		t.Errorf("its worlds are %q", m.worlds)
	}
	if m, err := parse("kv/m", "worlds: kv\n"+good); err != nil || m.worlds != "kv" {
		t.Errorf("%+v, %v", m, err)
	}
	if got := fmt.Sprint(m.edits); got != want || m.test != "TestX/y" || m.pkg != "./raft" || !m.quick || fmt.Sprint(m.bugs) != "[3 4]" {
		t.Errorf("%+v", m)
	}
	for name, bad := range map[string]string{
		"says nothing":     strings.Replace(good, "breaks: something\n", "", 1),
		"expects nothing":  strings.Replace(good, "expect: Log Matching\n", "", 1),
		"changes nothing":  "breaks: something\nexpect: Log Matching\n",
		"same text":        strings.Replace(good, "\tnew\n\tlines\n", "\told\n", 1),
		"no old text":      strings.Replace(good, "\told\n", "", 1),
		"an unknown key":   "colour: red\n" + good,
		"no key at all":    "well\n" + good,
		"unknown worlds":   "worlds: flat\n" + good,
		"bugs are numbers": strings.Replace(good, "bug: 3 4", "bug: three", 1),
	} {
		if _, err := parse(name, bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestAMutantOfOtherCodeIsRefused makes sure that text which is not there, or there twice, is said so.
func TestAMutantOfOtherCodeIsRefused(t *testing.T) {
	root, _ := repository(t)
	for _, old := range []string{"\tthis is nowhere\n", "\t}\n"} {
		m := &mutant{name: "other", edits: []edit{{file: "raft/quorum.go", old: old, new: "\n"}}}
		if _, err := m.apply(root); err == nil || !strings.Contains(err.Error(), "the code moved") {
			t.Errorf("%q: %v", old, err)
		}
	}
}
