// Command mutants measures the simulator by the bugs it finds. Each file with the suffix ".mutant" below this directory is one deliberate bug in
// the code that the simulator runs: some are bugs that other implementations had, some are of our own making. The command builds the campaign
// program with each of them in turn, lets it live through random worlds until a property does not hold, and prints which one it was and how
// many seeds it took. A mutant that is never caught is a gap in the simulator. With -build, it makes a balsa that has the bug, to be looked at with all that
// `balsa sim` tells: the smallest run, its story, the replay file.
//
// The tree is not touched, nor copied: the go command reads a mutant's files in the place of the tree's (-overlay), and rebuilds only what they
// change. All mutants get the same worlds: those of the swarm or, where a mutant's head has the line "worlds: kv", those in which the key-value store is the
// state machine. With -scenario, it runs instead the directed scenario that a mutant names, which has to fail with the mutant and pass without.
//
// Exit codes: 0 all were caught, 1 some were not, 2 a mutant does not fit the code any more, or something else is in the way.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	b := bounds{}
	flag.Uint64Var(&b.seeds, "seeds", 10_000, "how many seeds a mutant gets at most")
	flag.Uint64Var(&b.first, "first", 1, "the first seed")
	flag.DurationVar(&b.limit, "for", 10*time.Minute, "how long a mutant gets at most, in the time of one processor; 0 for any time")
	flag.StringVar(&b.profile, "profile", "", "hunt in the worlds of one profile instead of the swarm's, to see what it is good for")
	workers := flag.Int("workers", runtime.NumCPU(), "how many mutants run side by side")
	only := flag.String("run", "", "only the mutants whose names match this regular expression")
	sample := flag.Int("sample", 0, "only this many mutants, drawn by -seed")
	seed := flag.Uint64("seed", 1, "what -sample draws by")
	scenario := flag.Bool("scenario", false, "run the directed scenario of each mutant instead: it has to fail with the mutant, and pass without")
	program := flag.String("build", "", "build balsa with the one mutant that -run names into this file, and hunt nothing")
	write := flag.Bool("write", false, "put the table into docs/simulation.md")
	flag.Parse()
	root, err := findRoot()
	if err != nil {
		fatal(err)
	}
	list, err := load(root)
	if err != nil {
		fatal(err)
	}
	list, err = choose(list, *only, *sample, *seed)
	if err != nil {
		fatal(err)
	}
	if *program != "" {
		if len(list) != 1 {
			fatal(fmt.Errorf("-build takes one mutant, and %d have names that match %q", len(list), *only))
		}
		if *program, err = filepath.Abs(*program); err == nil {
			err = list[0].build(root, *program, balsa)
		}
		if err != nil {
			fatal(err)
		}
		return
	}
	if *scenario {
		os.Exit(scenarios(root, list, *write, *only == "" && *sample == 0))
	}
	os.Exit(campaigns(root, list, b, *workers, *write))
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "mutants:", err)
	os.Exit(2)
}

// findRoot finds the directory of go.mod, from here upwards.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("there is no go.mod here or above: run it within the repository")
		}
		dir = up
	}
}

// choose takes those of the list that were asked for.
func choose(list []*mutant, only string, sample int, seed uint64) ([]*mutant, error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(m *mutant) bool { return !match.MatchString(m.name) })
	if len(list) == 0 {
		return nil, fmt.Errorf("no mutant has a name that matches %q", only)
	}
	if sample > 0 && sample < len(list) {
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:sample]
		slices.SortFunc(list, func(a, b *mutant) int { return strings.Compare(a.name, b.name) })
	}
	return list, nil
}

// campaigns hunts all mutants of the list and prints the table; it returns the exit code.
func campaigns(root string, list []*mutant, b bounds, workers int, write bool) int {
	rows := make([]row, len(list))
	errs := make([]error, len(list))
	next := make(chan int)
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range max(workers, 1) {
		wait.Go(func() {
			for i := range next {
				m := list[i]
				v, err := m.hunt(root, b)
				rows[i] = row{mutant: m, verdict: v}
				mu.Lock()
				if err == nil && write {
					err = writeTable(root, rows[i:i+1]) // One by one, so that a run which is stopped leaves what it found.
				}
				if errs[i] = err; err != nil {
					fmt.Fprintln(os.Stderr, err)
				} else {
					fmt.Fprintln(os.Stderr, rows[i].line())
				}
				mu.Unlock()
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			fmt.Fprintln(os.Stderr, "mutants: not all could be run, see above")
			return 2
		}
	}
	if printTable(os.Stdout, rows) > 0 {
		return 1
	}
	return 0
}
