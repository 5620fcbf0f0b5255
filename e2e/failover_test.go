package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestKillingTheLeaderTwentyTimesLosesNothing(t *testing.T) {
	c := newCluster(t, 3)
	w := startWriters(c.dial(), 8)
	for range 20 {
		w.await(t, 20)
		leader := c.leader()
		leader.kill()
		w.await(t, 20)
		leader.start(c.initial(), "new")
		leader.ready()
	}
	w.stop()
	c.checkNothingLost(w)
}

func TestPowerLossOfAllUnderLoadLosesNothing(t *testing.T) {
	c := newCluster(t, 3)
	w := startWriters(c.dial(), 16)
	for range 3 {
		w.await(t, 200)
		for _, n := range c.nodes {
			n.cmd.Process.Kill() // all at once: nobody gets to say goodbye
		}
		for _, n := range c.nodes {
			n.kill()
		}
		for _, n := range c.nodes {
			n.start(c.initial(), "new")
		}
		for _, n := range c.nodes {
			n.ready()
		}
	}
	w.await(t, 20)
	w.stop()
	c.checkNothingLost(w)
}

func TestAMemberThatWasDownForLongerThanTheLogIsKeptCatchesUpBySnapshot(t *testing.T) {
	c := newCluster(t, 3, "--snapshot-count", "200")
	w := startWriters(c.dial(), 16)
	away := c.nodes[0]
	if away == c.leader() {
		away = c.nodes[1]
	}
	away.kill()
	w.await(t, 20_000)
	away.start(c.initial(), "new")
	away.ready()
	w.await(t, 50)
	w.stop()
	c.checkNothingLost(w)
	away.checkSnapshot()
}

// checkSnapshot demands that the member caught up by a snapshot.
func (n *node) checkSnapshot() {
	n.t.Helper()
	if !n.says("the state machine was restored from a snapshot") {
		n.t.Errorf("%s says nothing of a snapshot:\n%s", n.name, n.log.tail(30))
	}
}

func TestAMemberThatLostItsDirectoryIsReplacedWhileWritesGoOn(t *testing.T) {
	c := newCluster(t, 3, "--snapshot-count", "200")
	w := startWriters(c.dial(), 8)
	w.await(t, 10_000)
	lost := c.nodes[2]
	lost.kill()
	if err := os.RemoveAll(lost.dir); err != nil {
		t.Fatal(err)
	}
	c.removeMember(lost)
	fresh := newNode(t, "m4")
	fresh.flags = lost.flags
	c.nodes[2] = fresh
	c.addMember(fresh)
	w.await(t, 100)
	w.stop()
	c.checkNothingLost(w)
	fresh.checkSnapshot()
}

// removeMember removes a member of that name from the configuration.
func (c *cluster) removeMember(n *node) {
	c.t.Helper()
	var others []*node
	for _, o := range c.nodes {
		if o != n {
			others = append(others, o)
		}
	}
	client := c.dial(others...)
	eventually(c.t, "removing "+n.name, func(ctx context.Context) error {
		members, err := client.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, m := range members.Members {
			if m.Name == n.name {
				_, err := client.MemberRemove(ctx, m.ID)
				return err
			}
		}
		return nil
	})
}

// addMember adds a new member as a learner, starts it, and promotes it once it is in sync, as an operator of etcd would.
func (c *cluster) addMember(n *node) {
	c.t.Helper()
	var others []*node
	for _, o := range c.nodes {
		if o != n {
			others = append(others, o)
		}
	}
	client := c.dial(others...)
	var id uint64
	eventually(c.t, "adding "+n.name, func(ctx context.Context) error {
		members, err := client.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, m := range members.Members {
			if slices.Contains(m.PeerURLs, "http://"+n.advertisePeer) {
				id = m.ID // an earlier try was accepted, but its answer got lost
				return nil
			}
		}
		added, err := client.MemberAddAsLearner(ctx, []string{"http://" + n.advertisePeer})
		if err == nil {
			id = added.Member.ID
		}
		return err
	})
	n.start(c.initial(), "existing")
	eventually(c.t, "promoting "+n.name, func(ctx context.Context) error {
		select {
		case <-n.exited:
			c.t.Fatalf("%s stopped:\n%s", n.name, n.log.tail(20))
		default:
		}
		members, err := client.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, m := range members.Members {
			if m.ID == id && !m.IsLearner {
				return nil
			}
		}
		_, err = client.MemberPromote(ctx, id)
		return err
	})
	n.ready()
}

func TestGrowingToFiveAndShrinkingToOneUnderLoad(t *testing.T) {
	c := newCluster(t, 1)
	w := startWriters(c.dial(), 4)
	for i := 2; i <= 5; i++ {
		n := newNode(t, fmt.Sprintf("m%d", i))
		c.nodes = append(c.nodes, n)
		c.addMember(n)
		w.client.SetEndpoints(endpoints(c.nodes)...)
		w.await(t, 50)
	}
	c.checkEqualHashes()
	for len(c.nodes) > 1 {
		leaving := c.nodes[0] // the first ones too, so that the leader leaves at some point
		rest := c.nodes[1:]
		w.client.SetEndpoints(endpoints(rest)...)
		c.removeMember(leaving)
		leaving.kill()
		c.nodes = rest
		w.await(t, 50)
	}
	w.stop()
	c.checkNothingLost(w)
}

func endpoints(nodes []*node) []string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.client)
	}
	return list
}

func TestStoppingAMemberIsClean(t *testing.T) {
	c := newCluster(t, 3)
	w := startWriters(c.dial(), 2)
	w.await(t, 20)
	leader := c.leader()
	leader.stop()
	w.await(t, 20)
	leader.start(c.initial(), "new")
	leader.ready()
	w.stop()
	c.checkNothingLost(w)
}

func TestTheMinorityRefusesAndTheMajorityServes(t *testing.T) {
	c := &cluster{t: t}
	switchboard := newSwitchboard(t)
	for i := range 3 {
		n := newNode(t, fmt.Sprintf("m%d", i+1))
		n.advertisePeer = switchboard.add(n.peer)
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		n.start(c.initial(), "new")
	}
	for _, n := range c.nodes {
		n.ready()
	}
	w := startWriters(c.dial(), 4)
	w.await(t, 50)
	w.stop()

	leader := c.leader()
	switchboard.cut(leader.advertisePeer)
	majority := slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool { return n == leader })
	all := c.nodes
	c.nodes = majority
	next := c.leader()
	eventually(t, "writing to the majority", func(ctx context.Context) error {
		_, err := c.dial(next).Put(ctx, "majority", "serves")
		return err
	})
	minority := c.dial(leader)
	ctx, cancel := within(3 * time.Second)
	if _, err := minority.Put(ctx, "minority", "refuses"); err == nil {
		t.Error("a leader without a majority acknowledged a write")
	}
	cancel()
	ctx, cancel = within(3 * time.Second)
	if _, err := minority.Get(ctx, "majority"); err == nil {
		t.Error("a member without a majority answered a linearizable read")
	}
	cancel()
	eventually(t, "a serializable read in the minority", func(ctx context.Context) error {
		_, err := minority.Get(ctx, "w00/0000000", clientv3.WithSerializable())
		return err
	})

	switchboard.heal()
	c.nodes = all
	eventually(t, "the minority's return", func(ctx context.Context) error {
		response, err := minority.Get(ctx, "majority")
		if err == nil && len(response.Kvs) == 0 {
			t.Fatal("the healed member does not have what the majority wrote")
		}
		return err
	})
	c.checkNothingLost(w)
}
