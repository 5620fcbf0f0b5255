package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func diffCommand() *cobra.Command {
	var world worldFlags
	cmd := &cobra.Command{
		Use: "diff SEED", Short: "Run a seed in two processes, and find the first line in which their stories differ",
		Long: `Run the world of a seed in two processes, one of them on a single processor, and compare their stories
line by line, with the trace's hash in front. They never differ, unless something leaks into the
simulation that the seed does not fix: the order of a map, a clock, a goroutine. Then this finds
the first line that shows it.`,
		Example: `  balsa sim diff 17`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := parseSeed(args[0]); err != nil {
				return err
			}
			if _, err := world.options(cmd.Flags().Changed); err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			story := []string{"sim", "story", "--hash", args[0]}
			cmd.Flags().Visit(func(f *pflag.Flag) { story = append(story, "--"+f.Name+"="+strings.Trim(f.Value.String(), "[]")) })
			return diff(ctx, self, story, cmd.OutOrStdout())
		},
	}
	cmd.Flags().SortFlags = false
	world.add(cmd.Flags())
	return cmd
}

// before is how many lines are shown before a difference.
const before = 12

// diff runs the same command twice, and compares what they print.
func diff(ctx context.Context, self string, args []string, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one, err := startTelling(ctx, self, args, "GOMAXPROCS=1")
	if err != nil {
		return err
	}
	two, err := startTelling(ctx, self, args)
	if err != nil {
		return err
	}
	var last []string
	for n := 1; ; n++ {
		a, moreA := one.line()
		b, moreB := two.line()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !moreA && !moreB:
			if n == 1 {
				return errors.Join(errors.New("neither process told anything"), one.command.Wait())
			}
			fmt.Fprintf(out, "The two processes told the same %s lines.\n", thousands(uint64(n-1)))
			return nil
		case a != b:
			for _, line := range last {
				fmt.Fprintf(out, "  %s\n", line)
			}
			fmt.Fprintf(out, "- %s\n+ %s\n", a, b)
			return fmt.Errorf("the stories differ from line %d on", n)
		}
		if last = append(last, a); len(last) > before {
			last = last[1:]
		}
	}
}

// teller is a process that tells a story.
type teller struct {
	command *exec.Cmd
	lines   *bufio.Scanner
}

func startTelling(ctx context.Context, self string, args []string, environment ...string) (*teller, error) {
	t := &teller{command: exec.CommandContext(ctx, self, args...)}
	t.command.Env = append(os.Environ(), environment...)
	t.command.Stderr = os.Stderr
	pipe, err := t.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.lines = bufio.NewScanner(pipe)
	t.lines.Buffer(nil, 1<<20)
	return t, t.command.Start()
}

func (t *teller) line() (string, bool) {
	if t.lines.Scan() {
		return t.lines.Text(), true
	}
	return "", false
}
