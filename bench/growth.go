package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// growth measures how cost grows: one thing after the other becomes larger, and everything else stays.
type growth struct {
	only            []string // sweeps; empty means all
	at              []int    // places in them; empty means all
	rounds          int
	warmup, measure time.Duration
	database        int64 // bytes of the largest
	members         int   // of the cluster with the database
	keep            string
	fillOnly        bool
	dir, out        string
	add             bool   // keep the rounds that are there
	flags           string // those that say what is measured
	progress        io.Writer
}

// sweep is one thing that becomes larger.
type sweep struct {
	name, title, axis string
	// fixed says what stays as it is.
	fixed string
	// label writes a value on the axis.
	label func(x float64) string
	// points are the measurements, each in a process of its own; run, if set, makes them instead.
	points []point
	run    func(ctx context.Context, g *growth, round int, tell func(growthRow)) error
}

// point is one place in a sweep.
type point struct {
	series string
	x      float64
	spec   Spec
}

// growthRow is what came out at a point in one round.
type growthRow struct {
	point
	Result
	from origin
}

const growthSize = 256

// mostWaiting bounds what proposers have waiting together, at half of what a group takes before it answers that it is overloaded.
const mostWaiting = 32 << 20

// sweeps are all of them. Balsa alone is measured: how it compares is what bench run tells.
func sweeps() []sweep {
	library := func(series string, x float64, s Spec) point {
		s.Level, s.System, s.Load = levelLibrary, "balsa", "propose"
		return point{series, x, s}
	}
	members := sweep{
		name: "members", title: "members", axis: "members of the group", label: plainCount,
		fixed: "One group, commands of 256 bytes, all members in one process on one disk: what a further member costs here is its share of processor and disk, which on machines of its own it would bring along.",
	}
	for _, proposers := range []int{1, 64, 1024} {
		for _, n := range []int{1, 2, 3, 5, 7} {
			members.points = append(members.points, library(plural(proposers, "proposers"), float64(n), Spec{Workers: proposers, Size: growthSize, Groups: 1, Members: n}))
		}
	}
	sizes := sweep{
		name: "sizes", title: "size of a command", axis: "bytes of a command", label: plainBytes,
		fixed: fmt.Sprintf("Three replicas in one process on one disk, one group. Proposers have at most %s waiting together: what would be more is left out.", plainBytes(mostWaiting)),
	}
	for _, proposers := range []int{1, 16, 256} {
		for size := 16; size <= 1<<20; size *= 4 {
			if proposers*size <= mostWaiting {
				sizes.points = append(sizes.points, library(plural(proposers, "proposers"), float64(size), Spec{Workers: proposers, Size: size, Groups: 1}))
			}
		}
	}
	groups := sweep{
		name: "groups", title: "groups", axis: "groups", label: plainCount,
		fixed: "Three replicas in one process on one disk, commands of 256 bytes, proposers spread over all groups. A group without work for half a second falls silent.",
	}
	for _, proposers := range []int{1024, 10_000} {
		for _, n := range []int{1, 10, 100, 1000, 10_000} {
			if n <= proposers {
				groups.points = append(groups.points, library(plural(proposers, "proposers"), float64(n), Spec{Workers: proposers, Size: growthSize, Groups: n, Quiesce: 500 * time.Millisecond}))
			}
		}
	}
	connections := sweep{
		name: "connections", title: "connections", axis: "connections, with one client each", label: plainCount,
		fixed: "Three servers, values of 256 bytes, clients over all members; the servers and all clients share the machine.",
	}
	for _, load := range []string{"put", "serializable range"} {
		for _, n := range []int{1, 10, 100, 1000, 5000} {
			connections.points = append(connections.points, point{load, float64(n), Spec{
				Level: levelServer, System: "balsa", Load: load, Workers: n, Connections: n, Size: valueSize, Members: 3,
			}})
		}
	}
	database := sweep{
		name: "database", title: "size of the database", axis: "bytes of keys and values", label: plainBytes,
		fixed: "One server, unless it says otherwise, values of 1 KiB, 64 clients, keys chosen at random among all. The fill is in transactions of 128 puts. " +
			"A restart is from a killed process to a linearizable read; a snapshot is one that a client saves, beside nothing else. A database that was filled by an earlier call (-keep) is measured with nothing of it in memory at first.",
		run: growDatabase,
	}
	return []sweep{members, sizes, groups, database, connections}
}

// growthCommand measures the sweeps that the flags ask for, and writes a table, a CSV file and two plots of each.
func growthCommand(ctx context.Context, args []string) error {
	g := &growth{progress: os.Stderr, database: 2e9}
	var quick bool
	flags := flag.NewFlagSet("bench growth", flag.ExitOnError)
	flags.Var((*names)(&g.only), "only", "`sweeps` to measure: members, sizes, groups, database, connections (default all)")
	flags.Var((*numbers)(&g.at), "at", "`places` in the sweeps to measure, such as 1,1000 (default all; not of databases)")
	flags.BoolVar(&quick, "quick", false, "one round of 2 s, after half a second that does not count")
	flags.IntVar(&g.rounds, "rounds", 3, "how often each measurement is made")
	flags.DurationVar(&g.warmup, "warmup", time.Second, "how long a load runs before it counts")
	flags.DurationVar(&g.measure, "measure", 5*time.Second, "how long it counts")
	flags.Var((*byteSize)(&g.database), "database", "`bytes` that the largest database has, such as 500MB or 10GB")
	flags.IntVar(&g.members, "members", 1, "how `many` servers the database is on")
	flags.StringVar(&g.keep, "keep", "", "`directory` that keeps the database: what an earlier call left there is gone on with, at sizes that it does not exceed yet, and nothing is removed at the end (default none)")
	flags.BoolVar(&g.fillOnly, "fill", false, "fill the database only, to be measured later (with -keep)")
	flags.BoolVar(&g.add, "add", false, "add to the rounds that the directory has of a sweep already, rather than begin anew")
	flags.StringVar(&g.dir, "dir", filepath.Join(os.TempDir(), fmt.Sprintf("balsa-growth-%d", os.Getpid())), "`directory` on the disk to be measured; it is removed at the end")
	flags.StringVar(&g.out, "out", filepath.Join("..", "docs", "benchmarks"), "`directory` for the report")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q? bench growth takes flags only", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) {
		if f.Name == "keep" {
			g.flags = strings.TrimSpace(g.flags + " -keep=DIR")
		} else if f.Name != "out" && f.Name != "dir" {
			g.flags = strings.TrimSpace(fmt.Sprintf("%s -%s=%s", g.flags, f.Name, f.Value))
		}
	})
	if quick {
		g.rounds, g.warmup, g.measure = 1, 500*time.Millisecond, 2*time.Second
	}
	if g.fillOnly && g.keep == "" || g.members < 1 || g.keep != "" && g.rounds != 1 {
		return errors.New("a database that is filled to be measured later needs -keep, one that is kept -rounds 1, and all of them a server")
	}
	if g.rounds < 1 || g.measure <= 0 {
		return fmt.Errorf("nothing can be measured in %d rounds of %v", g.rounds, g.measure)
	}
	for _, name := range g.only {
		if !slices.ContainsFunc(sweeps(), func(s sweep) bool { return s.name == name }) {
			return fmt.Errorf("there is no sweep %q", name)
		}
	}
	for _, dir := range []string{g.dir, g.out} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(g.dir)
	if variable := programVariable("balsa"); os.Getenv(variable) == "" {
		defer os.Unsetenv(variable) // see build
	}
	return g.all(ctx)
}

func (g *growth) all(ctx context.Context) error {
	var failed []error
	for _, s := range sweeps() {
		if len(g.only) > 0 && !slices.Contains(g.only, s.name) {
			continue
		}
		rows, err := g.sweep(ctx, s)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Failure != "" {
				failed = append(failed, fmt.Errorf("%s, %s at %s: %s", s.name, r.series, s.label(r.x), r.Failure))
			}
		}
	}
	if err := g.report(); err != nil {
		return err
	}
	fmt.Fprintf(g.progress, "the report is %s\n", filepath.Join(g.out, "growth.md"))
	return errors.Join(failed...)
}

// sweep measures one sweep and writes its rows.
func (g *growth) sweep(ctx context.Context, s sweep) ([]growthRow, error) {
	file := filepath.Join(g.out, "growth-"+s.name+".csv")
	var before []growthRow
	if g.add {
		var err error
		if before, err = readGrowth(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	first := 0
	for _, r := range before {
		first = max(first, r.Round)
	}
	var rows []growthRow
	from := origin{output("git", "describe", "--always", "--dirty"), time.Now().UTC().Format(time.DateOnly), g.flags}
	tell := func(r growthRow) {
		r.from = from
		rows = append(rows, r)
		if r.Failure != "" {
			fmt.Fprintf(g.progress, "round %d  %s %s, %s: FAILED: %s\n", r.Round, s.name, s.label(r.x), r.series, r.Failure)
			return
		}
		fmt.Fprintf(g.progress, "round %d  %s %s, %s: %.0f/s, p50 %s, p99 %s\n", r.Round, s.name, s.label(r.x), r.series, r.PerSecond, milliseconds(r.P50), milliseconds(r.P99))
	}
	if err := g.build(ctx, s); err != nil {
		return nil, err
	}
	for round := first + 1; round <= first+g.rounds; round++ {
		if s.run != nil {
			if err := s.run(ctx, g, round, tell); err != nil {
				return nil, err
			}
			continue
		}
		for i, p := range s.points {
			if len(g.at) > 0 && !slices.Contains(g.at, int(p.x)) {
				continue
			}
			p.spec.Warmup, p.spec.Measure = g.warmup, g.measure
			result, err := measureApart(ctx, p.spec, filepath.Join(g.dir, fmt.Sprintf("%s-%d-%d", s.name, round, i)), nil)
			if err != nil || ctx.Err() != nil {
				return nil, errors.Join(err, ctx.Err())
			}
			result.Round = round
			tell(growthRow{point: p, Result: result})
		}
	}
	return rows, writeGrowth(file, append(before, rows...))
}

// build builds the server's program, unless the environment says where it is.
func (g *growth) build(ctx context.Context, s sweep) error {
	if s.name != "connections" && s.name != "database" || os.Getenv(programVariable("balsa")) != "" {
		return nil
	}
	system, err := findServer("balsa")
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Join(g.dir, "programs"))
	if err != nil {
		return err
	}
	program, err := system.program(ctx, dir)
	if err != nil {
		return err
	}
	return os.Setenv(programVariable("balsa"), program) // for this process, and those that it starts
}
