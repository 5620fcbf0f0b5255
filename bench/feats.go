package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A feat is what Balsa has to be good at besides answering fast: to be back soon, to bring others up to date, to carry many groups, to stay steady while
// something goes on. Each is measured in a process of its own, in an empty directory, and checks that nothing acknowledged was lost.
type feat struct {
	name, what string
	measure    func(featOptions, string) ([]figure, error)
}

var feats = []feat{
	{"log", "a log of many entries: restart to serving, and bringing a member up to date by log", measureLog},
	{"idle", "many idle groups on every host: processor time and memory for a group", measureIdle},
	{"busy", "many busy groups beside one that does as much", measureBusy},
	{"down", "a steady load while a member is down, comes back, and catches up", measureDown},
	{"compaction", "a steady load while the log is compacted", measureCompaction},
	{"snapshot", "a steady load while a large snapshot goes to a slow member", measureSnapshot},
}

// featOptions say how large things are.
type featOptions struct {
	Entries, Size, Groups, BusyGroups int
	// Phase is how long a load counts, in each phase.
	Phase time.Duration
	// Snapshot is the body's size, Link how many bytes a second reach the slow member.
	Snapshot, Link int64
	// Loads are how the disturbed loads ask: closed, open; Rate is what the open one asks for, by default half of what the closed one reached.
	Loads []string
	Rate  float64
	// Cold also measures restarts with a log that is on the disk only, for which the system's caches are dropped.
	Cold bool
	// Profile is the file for a CPU profile; none by default.
	Profile string
}

// figure is one number that came out. Bound is what it has to keep to, where something was promised.
type figure struct {
	Feat  string  `json:"feat"`
	Round int     `json:"round"`
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Sense is "at most" or "at least" if there is a Bound.
	Sense string  `json:"sense,omitempty"`
	Bound float64 `json:"bound,omitempty"`
}

func (f figure) atMost(bound float64) figure  { f.Sense, f.Bound = "at most", bound; return f }
func (f figure) atLeast(bound float64) figure { f.Sense, f.Bound = "at least", bound; return f }

func (f figure) keeps(value float64) bool {
	switch f.Sense {
	case "at most":
		return value <= f.Bound
	case "at least":
		return value >= f.Bound
	}
	return true
}

func seconds(what string, d time.Duration) figure {
	return figure{What: what, Value: d.Seconds(), Unit: "s"}
}

// featsCommand measures feats and writes what came out.
func featsCommand(ctx context.Context, args []string) error {
	o := featOptions{}
	var only []string
	var rounds int
	var dir, out, profiles string
	flags := flag.NewFlagSet("bench feats", flag.ExitOnError)
	flags.Var((*names)(&only), "only", "`feats` to measure: log, idle, busy, down, compaction, snapshot (default all)")
	flags.IntVar(&o.Entries, "entries", 1_000_000, "how `many` entries the log has")
	flags.IntVar(&o.Size, "size", 1024, "`bytes` of an entry")
	flags.IntVar(&o.Groups, "groups", 10_000, "how `many` idle groups there are")
	flags.IntVar(&o.BusyGroups, "busy-groups", 1000, "how `many` busy groups there are")
	flags.DurationVar(&o.Phase, "phase", 8*time.Second, "how long each phase of a load counts, and how long idle groups are watched")
	flags.Int64Var(&o.Snapshot, "snapshot", 1<<30, "`bytes` of the snapshot for a slow member")
	flags.Int64Var(&o.Link, "link", 100<<20, "`bytes` a second that reach the slow member")
	flags.Var((*names)(&o.Loads), "loads", "`how` disturbed loads ask: closed, open (default both, the open one at half of what the closed one reached)")
	flags.Float64Var(&o.Rate, "rate", 0, "requests a `second` in an open loop alone")
	flags.BoolVar(&o.Cold, "cold", true, "drop the system's caches to measure restarts from the disk, too")
	flags.IntVar(&rounds, "rounds", 3, "how often each is measured")
	flags.StringVar(&profiles, "profiles", "", "`directory` for CPU profiles (default none)")
	flags.StringVar(&dir, "dir", filepath.Join(os.TempDir(), fmt.Sprintf("balsa-feats-%d", os.Getpid())), "`directory` on the disk to be measured; it is removed at the end")
	flags.StringVar(&out, "out", filepath.Join("..", "docs", "benchmarks"), "`directory` for feats.md, feats.csv and feats.json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, name := range only {
		if !slices.ContainsFunc(feats, func(f feat) bool { return f.name == name }) {
			return fmt.Errorf("there is no feat %q", name)
		}
	}
	if len(o.Loads) == 1 && o.Loads[0] == "open" && o.Rate <= 0 {
		return errors.New("an open loop alone needs -rate")
	}
	if flags.NArg() > 0 || rounds < 1 || o.Entries < 1 || o.Groups < 1 || o.BusyGroups < 1 || o.Phase <= 0 {
		return fmt.Errorf("nothing can be measured with %q; bench feats -h tells of the flags", args)
	}
	if profiles != "" {
		if err := os.MkdirAll(profiles, 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	var all []figure
	var failed []error
	for round := range rounds {
		for _, f := range feats {
			if len(only) > 0 && !slices.Contains(only, f.name) {
				continue
			}
			if profiles != "" {
				path, err := filepath.Abs(filepath.Join(profiles, fmt.Sprintf("%s-%d.pprof", f.name, round+1)))
				if err != nil {
					return err
				}
				o.Profile = path
			}
			figures, err := featApart(ctx, f, o, filepath.Join(dir, fmt.Sprintf("%d-%s", round, f.name)))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				err = fmt.Errorf("round %d, %s: %w", round+1, f.name, err)
				fmt.Fprintln(os.Stderr, "FAILED:", err)
				failed = append(failed, err)
				continue // figures of a measurement that lost something do not count
			}
			for i := range figures {
				figures[i].Feat, figures[i].Round = f.name, round+1
				fmt.Fprintf(os.Stderr, "round %d  %s: %s: %s\n", round+1, f.name, figures[i].What, figures[i].text(figures[i].Value))
			}
			all = append(all, figures...)
		}
	}
	if err := writeFeats(out, all, failed, rounds, began, args); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "the report is in %s\n", filepath.Join(out, "feats.md"))
	return errors.Join(failed...)
}

// featApart runs one feat in a process of its own.
func featApart(ctx context.Context, f feat, o featOptions, dir string) ([]figure, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	encoded, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "feat", f.name, string(encoded))
	cmd.Dir = dir
	prepareProcess(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, io.MultiWriter(&stderr, os.Stderr)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, tail(stderr.Bytes()))
	}
	var figures []figure
	return figures, json.Unmarshal(stdout.Bytes(), &figures)
}

// featHere is the process of one feat: it works in the current directory, and writes the figures to standard output.
func featHere(name, encoded string) error {
	var o featOptions
	if err := json.Unmarshal([]byte(encoded), &o); err != nil {
		return fmt.Errorf("a measurement that is not understood: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(feats, func(f feat) bool { return f.name == name })
	if i < 0 {
		return fmt.Errorf("there is no feat %q", name)
	}
	profile, err := startProfile(o.Profile)
	if err != nil {
		return err
	}
	profile.begin()
	figures, err := feats[i].measure(o, dir)
	profile.end()
	if err := errors.Join(err, profile.err); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}

// writeFeats writes a page, and every single figure.
func writeFeats(dir string, all []figure, failed []error, rounds int, began time.Time, args []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Feats\n\nMade on %s in %s. One machine, one run: measure on yours.\n\n", began.UTC().Format("2006-01-02"), time.Since(began).Round(time.Minute))
	about := describe(args)[:5]
	about[0][1] = "`bench feats " + strings.Join(args, " ") + "`"
	writeTable(&text, []string{"what", "is"}, about)
	fmt.Fprintf(&text, "Medians over %d rounds, with the least and the greatest. After each measurement every replica was asked for every write that was acknowledged.\n", rounds)
	for _, f := range feats {
		rows := featRows(f.name, all)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&text, "\n## %s: %s\n\n", f.name, f.what)
		writeTable(&text, []string{"figure", "median (least-greatest)", "target", ""}, rows)
	}
	for _, err := range failed {
		fmt.Fprintf(&text, "\nFailed: %s\n", firstLine(err.Error()))
	}
	encoded, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "feats.md"), []byte(text.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "feats.json"), append(encoded, '\n'), 0o644),
		writeFigures(filepath.Join(dir, "feats.csv"), all),
	)
}

// featRows has a row for each figure of a feat, in the order in which they came.
func featRows(name string, all []figure) [][]string {
	var rows [][]string
	var seen []string
	for _, f := range all {
		if f.Feat != name || slices.Contains(seen, f.What) {
			continue
		}
		seen = append(seen, f.What)
		var values []float64
		for _, x := range all {
			if x.Feat == name && x.What == f.What {
				values = append(values, x.Value)
			}
		}
		s := spreadOf(values)
		target, met := "", ""
		if f.Sense != "" {
			target, met = f.Sense+" "+f.text(f.Bound), "met"
			if !f.keeps(s.median) {
				met = "**missed**"
			}
		}
		rows = append(rows, []string{f.What, fmt.Sprintf("%s (%s-%s)", f.text(s.median), f.text(s.low), f.text(s.high)), target, met})
	}
	return rows
}

// text writes a value with its unit.
func (f figure) text(value float64) string {
	digits := strconv.FormatFloat(value, 'g', 3, 64)
	if value >= 1000 || value <= -1000 {
		digits = thousands(value)
	}
	return strings.TrimSpace(digits + " " + f.Unit)
}

func writeFigures(path string, all []figure) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	rows := [][]string{{"feat", "round", "figure", "value", "unit", "sense", "bound", "met"}}
	for _, f := range all {
		bound, met := "", ""
		if f.Sense != "" {
			bound, met = strconv.FormatFloat(f.Bound, 'g', -1, 64), strconv.FormatBool(f.keeps(f.Value))
		}
		rows = append(rows, []string{f.Feat, strconv.Itoa(f.Round), f.What, strconv.FormatFloat(f.Value, 'g', 6, 64), f.Unit, f.Sense, bound, met})
	}
	return errors.Join(csv.NewWriter(file).WriteAll(rows), file.Close())
}
