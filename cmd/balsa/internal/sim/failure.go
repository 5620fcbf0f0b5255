package sim

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/sim/campaign"
)

// tellFailure tells of a world that failed, and writes its replay file, in its smallest form if there is one.
func tellFailure(out io.Writer, f *campaign.Failure, dir string) error {
	found := &f.Report
	fmt.Fprintf(out, "\nSEED %d FAILED: %s\n", found.Seed, found.Failure.Checker)
	printProperty(out, found.Failure)
	fmt.Fprintf(out, "  world:  %s\n", wrap(found.Regime.String(), 100, 10))

	options, report, tried := f.Options, found, 0
	if f.Shrunk != nil {
		options, report, tried = f.Shrunk.Options, &f.Shrunk.Report, f.Shrunk.Tried
	}
	// Once more, with room for the whole story: the story is no part of the run.
	options.Story = wholeStory
	again := sim.Run(report.Seed, options)
	if again.Hash != report.Hash || again.Failure == nil {
		return fmt.Errorf("seed %d does not give the same run twice: trace %x, then %x: `balsa sim diff %d` finds where they part", report.Seed, report.Hash, again.Hash, report.Seed)
	}
	if f.Shrunk != nil {
		fmt.Fprintf(out, "\nThe smallest run found, of %s: %s (it was %s).\n", count(tried, "run"), size(report), size(found))
		printWorld(out, report.Seed, &options)
		for _, s := range report.Strikes {
			fmt.Fprintf(out, "  fault:  %s, its strike number %d, at %v\n", s.Fault, s.Number, s.At.Round(time.Microsecond))
		}
	}
	printWords(out, again.Failure)

	replay := sim.NewReplay(options, report)
	replay.Balsa, replay.Found, replay.Shrunk = cli.Version(), found.Seed, tried
	name := filepath.Join(dir, replayName(found))
	if err := writeReplay(name, &replay); err != nil {
		return fmt.Errorf("write the replay file: %w", err)
	}
	fmt.Fprintf(out, "\nHave it again:       balsa sim replay %s\nWith all that happens: balsa sim replay --story %s\n", name, name)
	return nil
}

// wholeStory is how many notes are kept where the story is to be told.
const wholeStory = 20_000

// printWorld says what a world is like whose options say everything.
func printWorld(out io.Writer, seed uint64, o *sim.Options) {
	r := o.Regime
	fmt.Fprintf(out, "  seed:   %d\n  world:  %s\n", seed, wrap(r.String(), 100, 10))
	if len(o.Without) == 0 {
		return
	}
	var asking []string
	for id := 1; id <= r.Clients*r.Groups; id++ {
		if !slices.Contains(o.Without, id) {
			asking = append(asking, fmt.Sprint(id))
		}
	}
	if len(asking) == 0 {
		asking = []string{"none"}
	}
	fmt.Fprintf(out, "  asking: clients %s\n", strings.Join(asking, ", "))
}

func printProperty(out io.Writer, f *sim.Failure) {
	text, rest, more := strings.Cut(f.Text, "\n")
	fmt.Fprintf(out, "  found:  %s, at %v\n", text, f.At.Round(time.Microsecond))
	if more {
		fmt.Fprintf(out, "%s\n", indented(rest))
	}
	if demands := sim.Property(f.Checker); demands != "" {
		fmt.Fprintf(out, "  rule:   %s\n", demands)
	}
}

func printWords(out io.Writer, f *sim.Failure) {
	fmt.Fprintf(out, "\nWhat happened last:\n")
	for _, line := range f.Words {
		when, what, _ := strings.Cut(line, " ms  ")
		fmt.Fprintf(out, "  %s ms  %s\n", when, wrap(what, 104, 18))
	}
	fmt.Fprintf(out, "  %10.3f ms  FAILED: %s\n", float64(f.At)/float64(time.Millisecond), strings.TrimSpace(firstLine(f.Text)))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

// replayName names the file after the property and the seed.
func replayName(r *sim.Report) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(r.Failure.Checker))
	return fmt.Sprintf("%s-%d.json", name, r.Seed)
}

func writeReplay(name string, r *sim.Replay) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := r.Write(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
