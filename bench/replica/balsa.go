package replica

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/balsa-raft/balsa"
)

type balsaCluster struct {
	hosts   []*balsa.Host
	groups  [][]*balsa.Group // of each group, its replicas
	leaders leaders
}

func startBalsa(o Options) (_ Cluster, err error) {
	if o.Replicas == 0 {
		o.Replicas = Replicas
	}
	ports, err := listeners(o.Replicas)
	if err != nil {
		return nil, err
	}
	c := &balsaCluster{groups: make([][]*balsa.Group, o.Groups), leaders: make(leaders, o.Groups)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	var members []balsa.Member
	for i, l := range ports {
		members = append(members, balsa.Member{ID: balsa.MemberID(i + 1), Address: l.Addr().String()})
	}
	for i, l := range ports {
		host, err := openBalsa(o.dir(i), l, o.Quiesce)
		if err != nil {
			return nil, err
		}
		c.hosts = append(c.hosts, host)
	}
	for g := range o.Groups {
		for i, host := range c.hosts {
			group, err := host.Start(balsa.GroupID(g+1), members, &balsaMachine{replica: i, applied: o.Applied})
			if err != nil {
				return nil, err
			}
			c.groups[g] = append(c.groups[g], group)
		}
	}
	return c, c.leaders.await(c.leader)
}

func openBalsa(dir string, l net.Listener, quiesce time.Duration) (*balsa.Host, error) {
	return balsa.Open(balsa.Options{Dir: dir, Listener: l, CompactBytes: 1 << 50, QuiesceAfter: quiesce})
}

func (c *balsaCluster) leader(group int) int {
	leader, _ := c.groups[group][0].Leader()
	return int(leader) - 1
}

func (c *balsaCluster) Propose(ctx context.Context, group int, command []byte) error {
	// The log keeps the command, so it gets one of its own.
	_, err := c.groups[group][c.leaders.of(group)].Propose(ctx, append([]byte(nil), command...))
	if err != nil {
		if leader := c.leader(group); leader >= 0 {
			c.leaders[group].Store(int32(leader))
		}
	}
	return err
}

func (c *balsaCluster) Term(group int) uint64 {
	_, term := c.groups[group][0].Leader()
	return uint64(term)
}

func (c *balsaCluster) Close() error {
	var errs []error
	for _, host := range c.hosts {
		errs = append(errs, host.Close())
	}
	return errors.Join(errs...)
}

// balsaMachine passes on what is applied.
type balsaMachine struct {
	replica int
	applied func(replica int, command []byte)
}

func (m *balsaMachine) Apply(entries []balsa.Entry) []balsa.Result {
	for i := range entries {
		m.applied(m.replica, entries[i].Data)
	}
	return make([]balsa.Result, len(entries))
}

func (m *balsaMachine) Snapshot() (balsa.SnapshotWriter, error) { return nil, errNoSnapshots }
func (m *balsaMachine) Restore(io.Reader) error                 { return errNoSnapshots }

var errNoSnapshots = errors.New("nobody takes snapshots in a measurement")
