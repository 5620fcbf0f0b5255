package replica

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/statemachine"
)

type dragonboatCluster struct {
	hosts    []*dragonboat.NodeHost
	sessions []*client.Session // of each group, for proposals without a session
	leaders  leaders
}

// startDragonboat runs dragonboat with its log in Pebble, its default, or in tan. Its queues are as long as its settings file in the working directory says; see
// DragonboatSettings.
func startDragonboat(withTan bool) func(Options) (Cluster, error) {
	return func(o Options) (_ Cluster, err error) {
		for _, name := range []string{"raft", "rsm", "transport", "logdb", "dragonboat", "grpc", "raftpb", "config", "util", "tan", "settings"} {
			logger.GetLogger(name).SetLevel(logger.ERROR)
		}
		ports, err := listeners(Replicas)
		if err != nil {
			return nil, err
		}
		targets := map[uint64]dragonboat.Target{}
		for i, l := range ports {
			targets[uint64(i+1)] = l.Addr().String()
			l.Close()
		}
		c := &dragonboatCluster{leaders: make(leaders, o.Groups)}
		defer func() {
			if err != nil {
				err = errors.Join(err, c.Close())
			}
		}()
		for i := range Replicas {
			settings := config.NodeHostConfig{NodeHostDir: o.dir(i), WALDir: o.dir(i), RTTMillisecond: 10, RaftAddress: targets[uint64(i+1)]}
			if withTan {
				settings.Expert.LogDBFactory = tan.Factory
			}
			host, err := dragonboat.NewNodeHost(settings)
			if err != nil {
				return nil, fmt.Errorf("dragonboat: %w", err)
			}
			c.hosts = append(c.hosts, host)
		}
		for g := range o.Groups {
			shard := uint64(g + 1)
			for i, host := range c.hosts {
				create := func(uint64, uint64) statemachine.IStateMachine { return &dragonboatMachine{i, o.Applied} }
				err := host.StartReplica(targets, false, create, config.Config{
					ReplicaID: uint64(i + 1), ShardID: shard, ElectionRTT: 20, HeartbeatRTT: 5, CheckQuorum: true, PreVote: true,
				})
				if err != nil {
					return nil, fmt.Errorf("dragonboat: %w", err)
				}
			}
			c.sessions = append(c.sessions, c.hosts[0].GetNoOPSession(shard))
		}
		return c, c.leaders.await(c.leader)
	}
}

// DragonboatSettings is the content of dragonboat-soft-settings.json, which dragonboat looks for in its working directory when the process starts. With its default of
// 2,048 its queue is too short for ten thousand proposers, whom it answers that it is busy.
const DragonboatSettings = `{"IncomingProposalQueueLength": 16384}`

func (c *dragonboatCluster) leader(group int) int {
	leader, _, valid, err := c.hosts[0].GetLeaderID(uint64(group + 1))
	if err != nil || !valid {
		return -1
	}
	return int(leader) - 1
}

func (c *dragonboatCluster) Propose(_ context.Context, group int, command []byte) error {
	state, err := c.hosts[c.leaders.of(group)].Propose(c.sessions[group], command, patience)
	if err != nil {
		return err
	}
	defer state.Release()
	if result := <-state.ResultC(); !result.Completed() {
		if leader := c.leader(group); leader >= 0 {
			c.leaders[group].Store(int32(leader))
		}
		return fmt.Errorf("dragonboat did not complete a proposal: %v", result)
	}
	return nil
}

func (c *dragonboatCluster) Term(group int) uint64 {
	_, term, _, err := c.hosts[0].GetLeaderID(uint64(group + 1))
	if err != nil {
		return 0
	}
	return term
}

func (c *dragonboatCluster) Close() error {
	for _, host := range c.hosts {
		host.Close()
	}
	return nil
}

type dragonboatMachine struct {
	replica int
	applied func(replica int, command []byte)
}

func (m *dragonboatMachine) Update(e statemachine.Entry) (statemachine.Result, error) {
	m.applied(m.replica, e.Cmd)
	return statemachine.Result{}, nil
}

func (m *dragonboatMachine) Lookup(any) (any, error) { return nil, nil }

func (m *dragonboatMachine) SaveSnapshot(io.Writer, statemachine.ISnapshotFileCollection, <-chan struct{}) error {
	return errNoSnapshots
}

func (m *dragonboatMachine) RecoverFromSnapshot(io.Reader, []statemachine.SnapshotFile, <-chan struct{}) error {
	return errNoSnapshots
}

func (m *dragonboatMachine) Close() error { return nil }
