// Package cli is what all of balsa's commands share: the root command, exit codes, and flags that can also be set by the environment.
//
// A command returns an error and never exits by itself. Run turns that error into one line on standard error and an exit code: 0 when
// it went well, 2 when it was called wrongly and nothing was done, 1 for everything else.
package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes of every command.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// usageError is a call that cannot be right whatever the state of the world: an unknown flag, a malformed URL.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// Usagef makes an error that ends the command with ExitUsage.
func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// IsUsage says whether the error came from Usagef.
func IsUsage(err error) bool {
	var usage *usageError
	return errors.As(err, &usage)
}

// advised is an error with a sentence on what to do next, on a line of its own.
type advised struct {
	error
	next string
}

func (e *advised) Error() string { return e.error.Error() + "\n" + e.next }
func (e *advised) Unwrap() error { return e.error }

// Advise adds to an error what the user can do about it.
func Advise(err error, next string) error { return &advised{err, next} }

const rootLong = `Balsa is a replicated key-value store that speaks the etcd v3 API.

One binary holds the server, a demo cluster, and a client for the command line.
etcdctl and other clients of etcd work with it: keys, transactions, compaction, members, maintenance;
no watches or leases yet.

Exit codes: 0 it went well, 1 it failed, 2 the command line was wrong and nothing was done.`

const rootExample = `  balsa demo                       start three members on this machine and watch them
  balsa put greeting hello         write a key
  balsa get greeting               read it back
  balsa status                     who leads, who lags, who is down`

// The groups under which the root's help lists the commands.
const (
	GroupRun     = "run"
	GroupKeys    = "keys"
	GroupCluster = "cluster"
)

// NewRoot makes the root command, still without any other.
func NewRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "balsa",
		Short:         "a replicated key-value store that speaks the etcd v3 API",
		Long:          rootLong,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddGroup(
		&cobra.Group{ID: GroupRun, Title: "Run it:"},
		&cobra.Group{ID: GroupKeys, Title: "Read and write keys:"},
		&cobra.Group{ID: GroupCluster, Title: "Look after the cluster:"},
	)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(versionCommand())
	return root
}

// Run executes the command line and returns the exit code. Errors are printed to standard error.
func Run(root *cobra.Command, args []string) int {
	// Cobra checks flags and arguments before this hook: an error without it having run is one of usage.
	started := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		started = true
		return applyEnvironment(cmd.Flags(), os.LookupEnv)
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(root.ErrOrStderr(), "balsa: %s\n", strings.TrimRight(err.Error(), "\n"))
	if started && !IsUsage(err) {
		return ExitFailed
	}
	fmt.Fprintf(root.ErrOrStderr(), "Run `%s --help` to see how it is used.\n", cmd.CommandPath())
	return ExitUsage
}

// NeedsSubcommand is the RunE of a command that only groups others.
func NeedsSubcommand(cmd *cobra.Command, args []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	choice := strings.Join(names, ", ")
	if len(args) > 0 {
		return Usagef("unknown command %q for %q: choose one of %s", args[0], cmd.CommandPath(), choice)
	}
	return Usagef("%q needs one of %s", cmd.CommandPath(), choice)
}

// environmentAnnotation marks the flags that the environment may set.
const environmentAnnotation = "balsa_environment"

// Environment lets environment variables set the named flags of the set, all of them when none is named. A flag that is
// given on the command line wins.
func Environment(flags *pflag.FlagSet, names ...string) {
	mark := func(f *pflag.Flag) {
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[environmentAnnotation] = nil
		f.Usage += " [$" + EnvironmentName(f.Name) + "]"
	}
	if len(names) == 0 {
		flags.VisitAll(mark)
	}
	for _, name := range names {
		mark(flags.Lookup(name))
	}
}

// EnvironmentName is the variable that sets a flag: --data-dir is BALSA_DATA_DIR.
func EnvironmentName(flag string) string {
	return "BALSA_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// WithoutFlags leaves out of an environment what would set flags: for a balsa that this one starts, and whose flags are its own.
func WithoutFlags(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "BALSA_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// applyEnvironment sets the marked flags that the command line left alone. An empty variable counts as unset.
func applyEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		if _, marked := f.Annotations[environmentAnnotation]; !marked || f.Changed || failed != nil {
			return
		}
		name := EnvironmentName(f.Name)
		value, ok := lookup(name)
		if !ok || value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = Usagef("the environment variable %s=%q is not valid for --%s: %v", name, value, f.Name, errors.Unwrap(err))
		}
	})
	return failed
}
