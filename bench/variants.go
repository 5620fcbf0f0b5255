package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// variant is a balsa program that is there already, so that changes can be compared in one run: what two runs find is told apart by the machine's mood as well.
type variant struct{ name, program string }

// variants reads a flag such as old=bin/balsa-old, which is given once for each.
type variants []variant

func (b *variants) String() string {
	var texts []string
	for _, each := range *b {
		texts = append(texts, each.name+"="+each.program)
	}
	return strings.Join(texts, ",")
}

// variantName is what a system may be called, since it becomes part of a directory's name.
var variantName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)

func (b *variants) Set(text string) error {
	name, program, found := strings.Cut(text, "=")
	if !found || !variantName.MatchString(name) {
		return fmt.Errorf("%q is not a name and a program such as old=bin/balsa-old", text)
	}
	if slices.ContainsFunc(*b, func(other variant) bool { return other.name == name }) {
		return fmt.Errorf("two programs are named %s", name)
	}
	if s, err := findServer(name); err == nil && s.name != "balsa" {
		return fmt.Errorf("%s is a system of its own", name)
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil { // measurements work in directories of their own
		return err
	}
	*b = append(*b, variant{name, path})
	return nil
}

// balsaNames are the systems that are measured where balsa is wanted.
func (p *plan) balsaNames() []string {
	var all []string
	for _, b := range p.balsas {
		all = append(all, b.name)
	}
	return all
}

// subjects are the systems that the report is about: balsa, or what stands in its place among the servers.
func (p *plan) subjects() []string {
	if len(p.balsas) == 0 {
		return []string{"balsa"}
	}
	all := p.balsaNames()
	if !slices.Contains(all, "balsa") {
		all = append(all, "balsa") // among the libraries
	}
	return all
}

// programOf is the program that was named for a system, or nothing.
func (p *plan) programOf(system string) string {
	for _, b := range p.balsas {
		if b.name == system {
			return b.program
		}
	}
	return ""
}

// describeVariants says for the report what the named programs are.
func (p *plan) describeVariants() [][]string {
	var rows [][]string
	for _, b := range p.balsas {
		version, _, _ := strings.Cut(output(b.program, "version"), "\n")
		rows = append(rows, []string{b.name, fmt.Sprintf("%s (`%s`)", version, b.program)})
	}
	return rows
}

// server is the system that a server's measurement is about.
func (s Spec) server() (server, error) {
	if s.Program == "" {
		return findServer(s.System)
	}
	named, err := findServer("balsa")
	named.name, named.binary = s.System, s.Program
	return named, err
}
