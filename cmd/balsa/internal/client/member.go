package client

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

func memberCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "List, add, promote, update and remove members",
		Long: `List and change the members of the cluster. A MEMBER is given by its id, as "balsa member list" shows it,
or by its name.`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.NeedsSubcommand,
	}
	o := addOptions(cmd, formTable)
	cmd.AddCommand(memberListCommand(o), memberAddCommand(o), memberPromoteCommand(o), memberUpdateCommand(o), memberRemoveCommand(o))
	return cmd
}

func memberListCommand(o *options) *cobra.Command {
	var serializable bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the members",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&serializable, "serializable", false, "as the asked member knows it: works without a leader, may be stale")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return o.run(cmd, false, func(s *session) error {
			var options []clientv3.OpOption
			if serializable {
				options = append(options, clientv3.WithSerializable())
			}
			response, err := s.MemberList(s.ctx, options...)
			if err != nil {
				return err
			}
			if s.output == formJSON {
				return s.printer.json(response)
			}
			sortByName(response.Members)
			return s.printer.members(response.Members)
		})
	}
	return cmd
}

// members prints a list of members, one a line.
func (p *printer) members(members []*pb.Member) error {
	t := newTable("ID", "NAME", "STATE", "KIND", "PEERS AT", "CLIENTS AT")
	for _, m := range members {
		state, kind := "started", "voter"
		if m.Name == "" {
			state = "unstarted"
		}
		if m.IsLearner {
			kind = "learner"
		}
		row := []string{memberID(m.ID), m.Name, state, kind, strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ",")}
		if p.form == formSimple {
			if err := p.line("%s", strings.Join(row, ", ")); err != nil {
				return err
			}
		}
		t.add(row...)
	}
	if p.form == formSimple {
		return nil
	}
	return t.write(p.w)
}

func memberAddCommand(o *options) *cobra.Command {
	var peerURLs []string
	var learner bool
	cmd := &cobra.Command{
		Use:   "add NAME --peer-urls=URL",
		Short: "Add a member, and print how to start it",
		Long: `Add a member to the cluster. Then start it, with an empty data directory, by the settings that this prints.
With --learner it first catches up without a vote; "balsa member promote" makes it a voter.`,
		Example: `  balsa member add m4 --peer-urls=http://10.0.0.4:2380 --learner`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringSliceVar(&peerURLs, "peer-urls", nil, "where the other members reach it, such as http://10.0.0.4:2380")
	cmd.Flags().BoolVar(&learner, "learner", false, "without a vote for now")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if err := checkPeerURLs(peerURLs); err != nil {
			return err
		}
		return o.run(cmd, true, func(s *session) error {
			add := s.MemberAdd
			if learner {
				add = s.MemberAddAsLearner
			}
			response, err := add(s.ctx, peerURLs)
			if err != nil {
				return err
			}
			if s.output == formJSON {
				return s.printer.json(response)
			}
			return s.printer.added(name, response)
		})
	}
	return cmd
}

// added prints the settings with which the new member has to be started. Where it listens is a proposal: it is right where its peer URLs are addresses of the
// machine itself.
func (p *printer) added(name string, r *clientv3.MemberAddResponse) error {
	var cluster []string
	for _, m := range r.Members {
		called := m.Name
		if m.ID == r.Member.ID {
			called = name
		}
		if called == "" {
			continue // It has not started, so there is nothing that the new member could ask it.
		}
		for _, u := range m.PeerURLs {
			cluster = append(cluster, called+"="+u)
		}
	}
	peerURLs := strings.Join(r.Member.PeerURLs, ",")
	return p.line("Member %s is added to cluster %s. Start `balsa serve` with an empty data directory and these settings in its environment:\n\n"+
		"BALSA_NAME=%q\nBALSA_INITIAL_CLUSTER=%q\nBALSA_INITIAL_ADVERTISE_PEER_URLS=%q\nBALSA_INITIAL_CLUSTER_STATE=\"existing\"\n"+
		"BALSA_LISTEN_PEER_URLS=%q\nBALSA_LISTEN_CLIENT_URLS=%q",
		memberID(r.Member.ID), memberID(r.Header.GetClusterId()), name, strings.Join(cluster, ","), peerURLs, peerURLs, freeClientURL(r.Member, r.Members))
}

// freeClientURL proposes where a new member listens for clients: on the host of its peer URL, at etcd's port, or the first one after it that no member of
// that host is known to use.
func freeClientURL(added *pb.Member, members []*pb.Member) string {
	host := hostOf(added.PeerURLs[0])
	taken := map[string]bool{}
	for _, m := range members {
		for _, raw := range slices.Concat(m.PeerURLs, m.ClientURLs) {
			if other := hostOf(raw); other == host || isLoopback(other) && isLoopback(host) {
				u, _ := url.Parse(raw) // hostOf could
				taken[u.Port()] = true
			}
		}
	}
	port := defaultClientPort
	for taken[strconv.Itoa(port)] {
		port++
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// defaultClientPort is etcd's.
const defaultClientPort = 2379

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func memberPromoteCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "promote MEMBER",
		Short: "Make a learner that has caught up a voter",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, true, func(s *session) error {
				m, err := s.member(args[0])
				if err != nil {
					return err
				}
				response, err := s.MemberPromote(s.ctx, m.ID)
				if err != nil {
					return err
				}
				return s.changed(response, "Member %s is a voter now.", memberID(m.ID))
			})
		},
	}
}

func memberUpdateCommand(o *options) *cobra.Command {
	var peerURLs []string
	cmd := &cobra.Command{
		Use:     "update MEMBER --peer-urls=URL",
		Short:   "Change where the other members reach one",
		Example: `  balsa member update m2 --peer-urls=http://10.0.0.22:2380`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringSliceVar(&peerURLs, "peer-urls", nil, "where the other members reach it from now on")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkPeerURLs(peerURLs); err != nil {
			return err
		}
		return o.run(cmd, true, func(s *session) error {
			m, err := s.member(args[0])
			if err != nil {
				return err
			}
			response, err := s.MemberUpdate(s.ctx, m.ID, peerURLs)
			if err != nil {
				return err
			}
			return s.changed(response, "Member %s is reached at %s now.", memberID(m.ID), strings.Join(peerURLs, ", "))
		})
	}
	return cmd
}

func memberRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "remove MEMBER",
		Short: "Remove a member for good",
		Long: `Remove a member from the cluster for good: its data directory is of no use afterwards. To bring the machine
back, empty the directory and add it as a new member.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, true, func(s *session) error {
				m, err := s.member(args[0])
				if err != nil {
					return err
				}
				response, err := s.MemberRemove(s.ctx, m.ID)
				if err != nil {
					return err
				}
				return s.changed(response, "Member %s is removed.", memberID(m.ID))
			})
		},
	}
}

// changed prints what a change of one member answered.
func (s *session) changed(response any, format string, args ...any) error {
	if s.output == formJSON {
		return s.printer.json(response)
	}
	return s.printer.line(format, args...)
}

// member finds a member by its name, or else by its id.
func (s *session) member(nameOrID string) (*pb.Member, error) {
	response, err := s.MemberList(s.ctx)
	if err != nil {
		return nil, err
	}
	return findMember(response.Members, nameOrID)
}

// sortByName puts members into the order in which people look for them; those without a name yet come last. A cluster lists them by id.
func sortByName(members []*pb.Member) {
	slices.SortStableFunc(members, func(a, b *pb.Member) int {
		if (a.Name == "") != (b.Name == "") {
			return cmp.Compare(len(b.Name), len(a.Name))
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

func findMember(members []*pb.Member, nameOrID string) (*pb.Member, error) {
	id, notID := parseID(nameOrID)
	var found []*pb.Member
	for _, m := range members {
		if m.Name == nameOrID && nameOrID != "" {
			found = append(found, m)
		}
	}
	for _, m := range members {
		if len(found) == 0 && notID == nil && m.ID == id {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no member has the name or id %q: `balsa member list` shows which there are", nameOrID)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d members have the name %q: use the id, as `balsa member list` shows it", len(found), nameOrID)
}

// checkPeerURLs reports what the server would refuse, before anything is sent.
func checkPeerURLs(peerURLs []string) error {
	if len(peerURLs) == 0 {
		return cli.Usagef("--peer-urls is missing: where do the other members reach it? An example: --peer-urls=http://10.0.0.4:2380")
	}
	for _, raw := range peerURLs {
		u, err := url.Parse(raw)
		switch {
		case err != nil && strings.Contains(raw, "://"):
			return cli.Usagef("--peer-urls: %v", err)
		case err == nil && u.Scheme == "https":
			return cli.Usagef("--peer-urls=%s: TLS is not supported yet, use http://", raw)
		case err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() == "":
			return cli.Usagef("--peer-urls=%s is malformed: it has to be http://host:port", raw)
		}
	}
	return nil
}

// parseID reads an id as all commands print it: hexadecimal, 0x in front or not.
func parseID(s string) (uint64, error) {
	return strconv.ParseUint(strings.TrimPrefix(strings.ToLower(s), "0x"), 16, 64)
}

// parseRevision reads a revision; whether the cluster has it is for the server to say.
func parseRevision(s string) (int64, error) {
	revision, err := strconv.ParseInt(s, 10, 64)
	if err != nil || revision < 0 {
		return 0, cli.Usagef("%q is not a revision: it has to be a number, as the table of `balsa get` shows it", s)
	}
	return revision, nil
}
