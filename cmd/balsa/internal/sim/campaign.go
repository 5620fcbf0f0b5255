package sim

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/sim/campaign"
)

// campaignFlags are what `balsa sim` is told.
type campaignFlags struct {
	seeds, from   uint64
	during        time.Duration
	workers       int
	world         worldFlags
	all, noShrink bool
	shrinkFor     time.Duration
	dir           string
}

func (f *campaignFlags) check(changed func(name string) bool) error {
	switch {
	case f.seeds == 0:
		return cli.Usagef("--seeds=0: say how many worlds are to run, or how long with --for")
	case f.during < 0:
		return cli.Usagef("--for=%v: has to be more than nothing, such as 30m", f.during)
	case f.workers < 1 || f.workers > 1024:
		return cli.Usagef("--workers=%d: choose from 1 to 1024", f.workers)
	case f.shrinkFor <= 0:
		return cli.Usagef("--shrink-for=%v: has to be more than nothing, such as 2m; or say --no-shrink", f.shrinkFor)
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return cli.Usagef("--dir=%s: replay files are to be written there: %v", f.dir, err)
	}
	if f.during > 0 && !changed("seeds") {
		f.seeds = 0
	}
	return nil
}

// shrinkRuns bounds how many runs a failure is shrunk with; time is what bounds it in practice.
const shrinkRuns = 5000

func (f *campaignFlags) run(ctx context.Context, world sim.Options, out, errs io.Writer) error {
	o := campaign.Options{
		First: f.from, Seeds: f.seeds, For: f.during, Workers: f.workers, World: world, All: f.all, ShrinkRuns: shrinkRuns, ShrinkFor: f.shrinkFor,
	}
	if f.noShrink {
		o.ShrinkRuns = 0
	}
	bar := newProgress(errs, f.seeds, f.during)
	o.Progress, o.Every, o.Shrinking = bar.show, bar.every(), bar.shrinking
	fmt.Fprintf(out, "Simulating %s, on %d workers.\n", f.what(), f.workers)
	r := campaign.Run(ctx, o)
	bar.clear()
	printTable(out, &r)
	failed := false
	for i := range r.Failures {
		failed = true
		if err := tellFailure(out, &r.Failures[i], f.dir); err != nil {
			return err
		}
	}
	switch idle := idleFaults(&r); {
	case failed:
		return fmt.Errorf("%d of %d worlds failed", len(r.Failures), r.Worlds)
	case len(idle) > 0:
		return fmt.Errorf("no property failed, but these faults did nothing in %v of virtual time or more each, so that the campaign proves less than it seems: %q", campaign.Enough, idle)
	case r.Worlds == 0:
		fmt.Fprintln(out, "No world came to its end.")
	default:
		fmt.Fprintf(out, "No property failed.%s\n", map[bool]string{true: " The campaign was interrupted."}[r.Interrupted])
	}
	return nil
}

// what says what the campaign is to run.
func (f *campaignFlags) what() string {
	kind := fmt.Sprintf("profile %s", f.world.profile)
	switch {
	case f.seeds == 0:
		return fmt.Sprintf("worlds from seed %d on for %v, %s", f.from, f.during, kind)
	case f.seeds == 1:
		return fmt.Sprintf("the world of seed %d, %s", f.from, kind)
	case f.during > 0:
		return fmt.Sprintf("the worlds of seeds %d to %d for at most %v, %s", f.from, f.from+f.seeds-1, f.during, kind)
	}
	return fmt.Sprintf("the worlds of seeds %d to %d, %s", f.from, f.from+f.seeds-1, kind)
}

func idleFaults(r *campaign.Result) []string {
	var names []string
	for i := range r.Faults {
		if r.Faults[i].Idle() {
			names = append(names, r.Faults[i].Name)
		}
	}
	return names
}

// printTable tells what a campaign did.
func printTable(out io.Writer, r *campaign.Result) {
	t := tabwriter.NewWriter(out, 0, 8, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nWORLDS WITH IT\tINJECTED\tWITH EFFECT\t  FAULT\n")
	for i := range r.Faults {
		f := &r.Faults[i]
		worlds, note := thousands(f.Worlds), ""
		if f.Worlds == 0 {
			worlds = "-"
		}
		if f.Idle() {
			note = "   DID NOTHING"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t  %s%s\n", worlds, thousands(f.Injected), thousands(f.Effective), f.Name, note)
	}
	t.Flush()
	seconds := max(r.Took.Seconds(), 1e-9)
	fmt.Fprintf(out, "\n%s worlds in %v: %.1f a second; %v simulated, %.0f times as fast as real time.\n", thousands(r.Worlds), r.Took.Round(100*time.Millisecond),
		float64(r.Worlds)/seconds, r.Simulated.Round(time.Second), r.Simulated.Seconds()/seconds)
	fmt.Fprintf(out, "%s events, %s operations of clients, %s entries committed; live again after %v at most.\n", thousands(r.Events), thousands(r.Operations),
		thousands(r.Committed), r.Recovery.Round(time.Millisecond))
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
