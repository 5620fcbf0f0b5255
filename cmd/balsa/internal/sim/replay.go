package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/lab"
	"github.com/balsa-raft/balsa/sim"
)

// telling says how much of a run is told.
type telling struct {
	story bool
	until time.Duration
	hash  bool
	codec sim.Codec
}

func (t *telling) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&t.until, "until", 0, "stop at this moment of virtual time, such as 1.5s")
	cmd.Flags().BoolVar(&t.hash, "hash", false, "begin each line with the trace's hash so far")
}

// live runs a world, tells what was asked for, and reports. Ended says that the world came to its end, and not just to the moment asked for.
func (t *telling) live(ctx context.Context, seed uint64, o sim.Options, out io.Writer) (report sim.Report, ended bool) {
	buffered := bufio.NewWriterSize(out, 1<<16)
	defer buffered.Flush()
	var w *sim.World
	o.Story = wholeStory
	if t.story {
		o.Tell = func(line string) {
			if t.hash && w != nil {
				fmt.Fprintf(buffered, "%016x ", w.Hash())
			}
			buffered.WriteString(line)
			buffered.WriteByte('\n')
		}
	}
	w = sim.NewWorld(seed, o)
	for ctx.Err() == nil {
		if t.until > 0 && w.Next() > t.until {
			return w.Report(), false
		}
		if !w.Step() {
			return w.Report(), true
		}
	}
	return w.Report(), false
}

func replayCommand() *cobra.Command {
	t := telling{codec: codec{}}
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Have a failure again, from the file that a campaign wrote",
		Long: `Run the world of a replay file again, and see that it fails as it did: the same property, the same
events, the same trace. It fails again with exit code 0: that is what a replay is for. Where it does
not, because the code has changed, it says how it went instead, with exit code 1.

A run that was exported from the page of "balsa lab" is replayed, too.`,
		Example: `  balsa sim replay election-safety-17.json
  balsa sim replay election-safety-17.json --story | less
  balsa sim replay election-safety-17.json --story --until 800ms`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return t.replay(ctx, args[0], cmd.OutOrStdout())
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&t.story, "story", false, "tell everything that happens")
	t.add(cmd)
	return cmd
}

// whatIsReplayed is what to do for whoever named another file.
const whatIsReplayed = "A campaign of `balsa sim` that finds a failure writes such a file into --dir and prints its name; the page of `balsa lab` exports one, too. A seed alone is told by `balsa sim story SEED`."

func (t *telling) replay(ctx context.Context, name string, out io.Writer) error {
	file, err := os.Open(name)
	if err != nil {
		return cli.Advise(err, whatIsReplayed)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 16<<20))
	if err != nil {
		return cli.Advise(err, whatIsReplayed)
	}
	if !json.Valid(text) {
		return cli.Advise(fmt.Errorf("%s is not a replay file", name), whatIsReplayed)
	}
	if run, err := lab.ReadRun(text); err == nil && run.Campaign == nil {
		return t.replayLab(run, out)
	}
	r, err := sim.ReadReplay(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.Options.Codec = t.codec
	application(&r.Options)
	if !t.story {
		fmt.Fprintf(out, "%s failed in seed %d, found by Balsa %s; this is %s.\n", r.Property, r.Found, r.Balsa, cli.Version())
		printWorld(out, r.Seed, &r.Options)
	}
	report, ended := t.live(ctx, r.Seed, r.Options, out)
	if !ended {
		fmt.Fprintf(out, "Stopped at %v, before the failure at %v.\n", report.Time.Round(time.Microsecond), r.At.Round(time.Microsecond))
		return ctx.Err()
	}
	if report.Failure != nil {
		fmt.Fprintf(out, "\nFAILED: %s\n", report.Failure.Checker)
		printProperty(out, report.Failure)
		if !t.story {
			printWords(out, report.Failure)
		}
	}
	if difference := r.Compare(&report); difference != "" {
		return cli.Advise(fmt.Errorf("the replay differs: %s", difference), fmt.Sprintf("The file was written by Balsa %s; this is %s.", r.Balsa, cli.Version()))
	}
	fmt.Fprintf(out, "\nThe same failure, by the same %s events (trace %s).\n", thousands(report.Events), r.Trace)
	return nil
}

// replayLab replays a run that was exported from the lab's page, up to its last input, or to the moment at which it was exported.
func (t *telling) replayLab(run *lab.Run, out io.Writer) error {
	buffered := bufio.NewWriterSize(out, 1<<16)
	defer buffered.Flush()
	if t.hash {
		return cli.Usagef("--hash is for the files of campaigns, and this is a run of the lab")
	}
	var until *lab.Point
	if t.until > 0 {
		until = &lab.Point{T: int64(t.until)}
	}
	var tell func(string)
	if t.story {
		tell = func(line string) { buffered.WriteString(line + "\n") }
	}
	s, err := lab.Replay(run, until, tell)
	if err != nil {
		return err
	}
	fmt.Fprintf(buffered, "A run of the lab: seed %d, %s. At %v, after %s events, its trace is %s.\n", run.Seed, plural(len(run.Inputs), "input"), time.Duration(s.T), thousands(s.N), s.Hash)
	for _, p := range s.Safety {
		if p.Violated {
			fmt.Fprintf(buffered, "VIOLATED: %s, at %v: %s\n", p.Name, time.Duration(p.At), p.Text)
		}
	}
	return nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
