// Package sim is `balsa sim`: campaigns of the simulator on the command line, and what one does with a failure that they find.
//
// The command carries every message with the production wire codec. It prints to standard output what it found, and progress to standard error;
// it writes no file but that of a failure.
package sim

import (
	"context"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/kv/kvsim"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/transport/wire"
)

const long = `Run worlds: whole deployments in one thread, with a clock, a network and disks of their own, under
faults that a seed draws. The engine, the write-ahead log, the core and the wire's encoding are
those of production. While a world runs, checkers hold it to the five safety properties of the
Raft paper and more; then the faults end, it has to become live again, and what its clients saw
has to be linearizable.

One seed is one world, anywhere. When a property fails, the run is shrunk to the smallest one
that fails alike, told in words, and written to a replay file, from which ` + "`balsa sim replay`" + `
has it again, event by event.

A campaign ends after --seeds worlds or after --for, whichever comes first, or when you press
ctrl-C. It prints what every fault did; a fault that worlds were exposed to for 20 minutes of
virtual time without any effect fails the campaign: then the simulator is broken.

Profiles (--profile):
`

const example = `  balsa sim                                     500 worlds of every kind
  balsa sim --for 1h                            as many as an hour has
  balsa sim --profile disk --from 7000          other worlds, with bad disks
  balsa sim --seeds 1 --from 17                 the one world of seed 17
  balsa sim story 17                            what happens in it, line by line
  balsa sim replay election-safety-17.json      a failure, again
  balsa sim election                            figure 16 of the Raft paper
  balsa sim wan                                 commit latency between cloud regions
  balsa sim model                               what limits a cluster of real machines

Exit codes: 0 no property failed, 1 one did (or a fault did nothing), 2 the command line was wrong.`

// codec carries messages as production does.
type codec struct{}

func (codec) Encode(group raft.GroupID, m raft.Message) ([]byte, error) {
	return wire.AppendMessage(make([]byte, 0, 128), group, m)
}

func (codec) Decode(b []byte) (raft.GroupID, raft.Message, error) { return wire.DecodeMessage(b) }

// worldFlags are the flags that say what a world is like.
type worldFlags struct {
	profile, workload        string
	members, groups, clients int
	duration                 time.Duration
	faults                   []string
}

func (f *worldFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.profile, "profile", "swarm", "what kind of worlds: "+strings.Join(profileNames(), ", "))
	flags.StringVar(&f.workload, "workload", "", "what the clients do: "+strings.Join(sim.WorkloadNames(), ", ")+" (drawn by default); kv and kv-crash run Balsa's own store")
	flags.IntVar(&f.members, "members", 0, "how many members each group is founded with (drawn by default, 1 to 7)")
	flags.IntVar(&f.groups, "groups", 0, "how many groups share the hosts (drawn by default)")
	flags.IntVar(&f.clients, "clients", 0, "how many clients each group has (drawn by default)")
	flags.DurationVar(&f.duration, "duration", 0, "how long the faults last, in virtual time (drawn by default)")
	flags.StringSliceVar(&f.faults, "faults", nil, "the faults that strike, by name, separated by commas (drawn by default); \"none\" for none")
}

func (f *worldFlags) options(changed func(name string) bool) (sim.Options, error) {
	o := sim.Options{Profile: f.profile, Workload: f.workload, Members: f.members, Groups: f.groups, Clients: f.clients, Duration: f.duration, Codec: codec{}}
	application(&o)
	if o.Workload != "" && !slices.Contains(sim.WorkloadNames(), o.Workload) {
		return o, cli.Usagef("there is no workload %q: choose one of %s", o.Workload, workloadNames())
	}
	if changed("faults") {
		o.Faults = []string{}
		for _, name := range f.faults {
			if name = strings.TrimSpace(name); name != "none" {
				o.Faults = append(o.Faults, name)
			}
		}
	}
	if err := o.Check(); err != nil {
		return o, cli.Usagef("%v", err)
	}
	return o, nil
}

// stores are the workloads of the key-value store, by their names here: it is no part of package sim, but lies above it.
var stores = []struct {
	name, about string
	application kvsim.Application
}{
	{"kv", "Balsa's own store on Pebble", kvsim.Application{}},
	{"kv-crash", "the same, with processes that end in the middle of what Pebble does", kvsim.Application{CrashPoints: true}},
}

// application puts a store in the place of its name: the one here, or the one that a replay file has.
func application(o *sim.Options) {
	for _, s := range stores {
		if o.Workload == s.name || o.Regime != nil && o.Regime.Workload == s.application.Name() {
			o.Workload, o.Application = "", s.application
			return
		}
	}
}

// workloadNames tells what --workload knows.
func workloadNames() string {
	text := strings.Join(sim.WorkloadNames(), ", ")
	for _, s := range stores {
		text += ", " + s.name + " (" + s.about + ")"
	}
	return text
}

func profileNames() []string {
	var names []string
	for _, p := range sim.Profiles() {
		names = append(names, p.Name)
	}
	return names
}

// AddCommand adds sim to the root.
func AddCommand(root *cobra.Command) {
	about := long
	for _, p := range sim.Profiles() {
		about += "  " + p.Name + strings.Repeat(" ", 12-len(p.Name)) + p.About + "\n"
	}
	about += "\nFaults (--faults): " + wrap(strings.Join(sim.FaultNames(), ", "), 92, 19)

	var o campaignFlags
	cmd := &cobra.Command{
		Use: "sim", Short: "Simulate deployments under faults, and find bugs", Long: about, Example: example, GroupID: cli.GroupRun,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.NeedsSubcommand(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			world, err := o.world.options(cmd.Flags().Changed)
			if err != nil {
				return err
			}
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return o.run(ctx, world, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Uint64Var(&o.seeds, "seeds", 500, "how many worlds; with --for alone as many as its time has")
	flags.Uint64Var(&o.from, "from", 1, "the first seed")
	flags.DurationVar(&o.during, "for", 0, "how long to go on, such as 30m")
	flags.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many worlds run at once")
	o.world.add(flags)
	flags.BoolVar(&o.all, "all", false, "go on after a failure")
	flags.BoolVar(&o.noShrink, "no-shrink", false, "do not look for the smallest run that fails alike")
	flags.DurationVar(&o.shrinkFor, "shrink-for", 2*time.Minute, "how long to look for it")
	flags.StringVar(&o.dir, "dir", ".", "where replay files are written")

	cmd.AddCommand(replayCommand(), storyCommand(), diffCommand(), electionCommand(), wanCommand(), modelCommand())
	root.AddCommand(cmd)
}

// interruptible makes a context that ctrl-C ends. A second ctrl-C ends the process.
func interruptible(ctx context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	// Worlds make much garbage and keep little: a larger heap costs nothing and saves a third of the time.
	debug.SetGCPercent(400)
	return ctx, stop
}

// wrap breaks a text at spaces, and indents all lines but the first.
func wrap(text string, width, indent int) string {
	var b strings.Builder
	at := indent
	for i, word := range strings.Fields(text) {
		if i > 0 {
			if at+1+len(word) > width {
				b.WriteString("\n" + strings.Repeat(" ", indent))
				at = indent
			} else {
				b.WriteByte(' ')
				at++
			}
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}
