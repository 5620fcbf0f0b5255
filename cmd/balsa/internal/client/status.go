package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// memberStatus is one member's row: what it said of itself, or why it said nothing.
type memberStatus struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Endpoint  string   `json:"endpoint"`
	Role      string   `json:"role"` // leader, follower, learner, no leader, unstarted or down
	Error     string   `json:"error,omitempty"`
	Term      uint64   `json:"term"`
	Commit    uint64   `json:"commit"`
	Applied   uint64   `json:"applied"`
	Lag       uint64   `json:"lag"` // entries that the leader has committed and this one has not applied
	Revision  int64    `json:"revision"`
	DBSize    int64    `json:"db_size"`
	DBInUse   int64    `json:"db_size_in_use"`
	Version   string   `json:"version,omitempty"`
	Alarms    []string `json:"errors,omitempty"`
	reachable bool
}

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show every member: who leads, who lags, who is down",
		Long: `Show every member of the cluster. One member that answers is enough to learn of all others; a member that
is down has its row too. LAG is how many entries the leader has committed that the member has not applied.

The exit code is 0 as soon as one member answers: it is the rows that say who is down.`,
		Example: `  balsa status
  balsa status -o json | jq '.[] | select(.role == "leader") | .name'
  balsa status --endpoints 10.0.0.1:2379,10.0.0.2:2379`,
		Args: cobra.NoArgs,
	}
	o := addOptions(cmd, formTable)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return o.run(cmd, false, func(s *session) error {
			rows, err := s.statuses()
			if err != nil {
				return err
			}
			return s.printer.statuses(rows)
		})
	}
	return cmd
}

// statuses asks one member who all are, and then all of them at once. The list is taken from the asked member's own state, so that it is to
// be had without a leader.
func (s *session) statuses() ([]memberStatus, error) {
	list, err := s.MemberList(s.ctx, clientv3.WithSerializable())
	if err != nil {
		return nil, err
	}
	sortByName(list.Members)
	rows := make([]memberStatus, len(list.Members))
	each(len(rows), func(i int) { rows[i] = s.statusOf(list.Members[i]) })

	var leaderCommit uint64
	for _, row := range rows {
		leaderCommit = max(leaderCommit, row.Commit)
	}
	for i := range rows {
		if rows[i].reachable {
			rows[i].Lag = leaderCommit - min(leaderCommit, rows[i].Applied)
		}
	}
	return rows, nil
}

// statusOf asks one member, at each of its addresses until one answers.
func (s *session) statusOf(m *pb.Member) memberStatus {
	row := memberStatus{ID: memberID(m.ID), Name: m.Name, Role: "down"}
	if len(m.ClientURLs) == 0 {
		row.Role, row.Error = "unstarted", "it never started"
		return row
	}
	for _, clientURL := range m.ClientURLs {
		row.Endpoint = clientURL
		if u, err := url.Parse(clientURL); err == nil && u.Host != "" {
			row.Endpoint = u.Host
		}
		response, err := s.statusAt(row.Endpoint)
		if err == nil {
			row.fill(m, response)
			return row
		}
		row.Error = err.Error()
	}
	return row
}

// statusAt asks the member at one address. It first looks whether anybody listens there, since that is quick to tell, and says why not.
func (s *session) statusAt(endpoint string) (*pb.StatusResponse, error) {
	alone := *s.options
	alone.endpoints = []string{endpoint}
	conn, err := dialOnce(s.ctx, endpoint)
	if err != nil {
		return nil, errors.New(plainDialError(err))
	}
	conn.Close()
	c, err := alone.dial(alone.endpoints)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// Leave some of the time: a member that hangs must not take the whole answer with it.
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout/2)
	defer cancel()
	response, err := c.Status(ctx, endpoint)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(alone.short(err), "\n", " "))
	}
	return (*pb.StatusResponse)(response), nil
}

// short is the first line of what explain says of an error.
func (o *options) short(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it listens but does not answer"
	}
	line, _, _ := strings.Cut(o.explain(err, false).Error(), "\n")
	return line
}

func (row *memberStatus) fill(m *pb.Member, r *pb.StatusResponse) {
	row.reachable = true
	row.Error = ""
	switch {
	case r.Header.GetMemberId() != m.ID:
		row.reachable = false
		row.Error = fmt.Sprintf("another member answers at this address: %x", r.Header.GetMemberId())
		return
	case r.IsLearner:
		row.Role = "learner"
	case r.Leader == m.ID:
		row.Role = "leader"
	case r.Leader == 0:
		row.Role = "no leader"
	default:
		row.Role = "follower"
	}
	row.Term, row.Commit, row.Applied = r.RaftTerm, r.RaftIndex, r.RaftAppliedIndex
	row.Revision, row.DBSize, row.DBInUse = r.Header.GetRevision(), r.DbSize, r.DbSizeInUse
	row.Version, row.Alarms = r.Version, r.Errors
}

func (p *printer) statuses(rows []memberStatus) error {
	if p.form == formJSON {
		return p.json(rows)
	}
	t := newTable("MEMBER", "ID", "ROLE", "TERM", "COMMIT", "APPLIED", "LAG", "REVISION", "DB SIZE", "CLIENTS AT", "NOTE")
	for _, row := range rows {
		notes := row.Alarms
		if row.Error != "" {
			notes = append(notes, row.Error)
		}
		name := row.Name
		if name == "" {
			name = "-"
		}
		cells := []string{name, row.ID, row.Role, "-", "-", "-", "-", "-", "-", row.Endpoint, strings.Join(notes, "; ")}
		if row.reachable {
			copy(cells[3:], []string{number(row.Term), number(row.Commit), number(row.Applied), number(row.Lag), number(row.Revision), size(row.DBSize)})
		}
		if p.form == formSimple {
			if err := p.line("%s", strings.Join(cells, ", ")); err != nil {
				return err
			}
		}
		t.add(cells...)
	}
	if p.form == formSimple {
		return nil
	}
	return t.write(p.w)
}
