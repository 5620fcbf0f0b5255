package sim

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

func storyCommand() *cobra.Command {
	var world worldFlags
	t := telling{story: true}
	cmd := &cobra.Command{
		Use: "story SEED", Short: "Tell what happens in the world of a seed, line by line",
		Example: `  balsa sim story 17 | less
  balsa sim story 17 --profile quick --faults none --until 500ms`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seed, err := parseSeed(args[0])
			if err != nil {
				return err
			}
			o, err := world.options(cmd.Flags().Changed)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			report, ended := t.live(ctx, seed, o, cmd.OutOrStdout())
			switch {
			case report.Failure != nil:
				return fmt.Errorf("seed %d failed: %v", seed, report.Failure)
			case ended:
				fmt.Fprintf(cmd.OutOrStdout(), "No property failed: %s events, trace %016x.\n", thousands(report.Events), report.Hash)
			}
			return nil
		},
	}
	cmd.Flags().SortFlags = false
	world.add(cmd.Flags())
	t.add(cmd)
	return cmd
}

func parseSeed(text string) (uint64, error) {
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, cli.Usagef("%q is no seed: a seed is a number from 0 on", text)
	}
	return seed, nil
}
