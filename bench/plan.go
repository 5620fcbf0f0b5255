package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/bench/replica"
)

// plan says what a run measures.
type plan struct {
	levels, systems                   []string // empty means all
	proposers, sizes, groups, clients []int
	loads                             []string
	rate                              float64
	rounds                            int
	warmup, measure                   time.Duration
	profiles                          string // a directory, or nothing
	balsas                            []variant
	clientKinds                       []string // of clients
}

func (p *plan) wants(list []string, name string) bool {
	return len(list) == 0 || slices.Contains(list, name)
}

// cells lists what systems are compared in, in the order of the report, each with the systems that take part.
func (p *plan) cells() []cell {
	var all []cell
	if p.wants(p.levels, levelLimit) {
		for _, name := range limits() {
			s := Spec{Level: levelLimit, Load: name, Measure: min(p.measure, 3*time.Second)}
			if strings.HasPrefix(name, "sync ") {
				s.Size = 4096
			}
			all = append(all, cell{s, []string{"machine"}})
		}
	}
	if p.wants(p.levels, levelLibrary) {
		for _, groups := range p.groups {
			for _, size := range p.sizes {
				for _, proposers := range p.proposers {
					s := Spec{
						Level: levelLibrary, Load: "propose", Workers: proposers, Size: size, Groups: groups,
						Rate: p.rate, Warmup: p.warmup, Measure: p.measure,
					}
					var systems []string
					for _, system := range replica.Systems {
						if p.wants(p.systems, system.Name) {
							systems = append(systems, system.Name)
						}
					}
					all = append(all, cell{s, systems})
				}
			}
		}
	}
	return append(all, p.serverCells()...)
}

// cell is a Spec without a system, and the systems.
type cell struct {
	spec    Spec
	systems []string
}

// numbers reads a list such as 1,64,1024.
type numbers []int

func (n *numbers) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*n)), " ", ","), "[]")
}

func (n *numbers) Set(text string) error {
	*n = nil
	for part := range strings.SplitSeq(text, ",") {
		number, err := strconv.Atoi(part)
		if err != nil || number < 1 {
			return fmt.Errorf("%q is not a list of numbers such as 1,64,1024", text)
		}
		*n = append(*n, number)
	}
	return nil
}

// names reads a list such as balsa,limit.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Set(text string) error {
	*n = strings.Split(text, ",")
	return nil
}
