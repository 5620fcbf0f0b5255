package client

import (
	"fmt"

	"github.com/spf13/cobra"
)

func moveLeaderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "move-leader MEMBER",
		Short: "Hand leadership to another member",
		Long: `Hand leadership to MEMBER, given by name or id. It takes about as long as one round trip, since the old leader first
sees to it that the new one has all entries. Any endpoint will do: the leader is found by itself.`,
		Example: `  balsa move-leader m2`,
		Args:    cobra.ExactArgs(1),
	}
	o := addOptions(cmd, formSimple)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return o.run(cmd, true, func(s *session) error {
			target, err := s.member(args[0])
			if err != nil {
				return err
			}
			rows, err := s.statuses()
			if err != nil {
				return err
			}
			for _, row := range rows {
				if row.Role == "leader" {
					return s.moveLeader(row, target.ID)
				}
			}
			return fmt.Errorf("no member says that it leads: `balsa status` shows who is up")
		})
	}
	return cmd
}

// moveLeader asks the leader itself, as the API wants it.
func (s *session) moveLeader(leader memberStatus, target uint64) error {
	if leader.ID == memberID(target) {
		return s.printer.line("Member %s leads already.", leader.ID)
	}
	c, err := s.dial([]string{leader.Endpoint})
	if err != nil {
		return err
	}
	defer c.Close()
	response, err := c.MoveLeader(s.ctx, target)
	if err != nil {
		return err
	}
	return s.changed(response, "Leadership went from %s to %s.", leader.ID, memberID(target))
}
