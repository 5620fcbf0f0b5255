package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	boltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
)

type hashicorpCluster struct {
	groups  [][]*raft.Raft // of each group, its replicas
	closers []io.Closer
	leaders leaders
}

// logStore is what both kinds of log are.
type logStore interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// startHashicorp runs hashicorp/raft with its log in raft-wal or in BoltDB. A group is a Raft of its own there, with a log and a port of its own. Proposals are
// batched as far as its settings let them.
func startHashicorp(bolt bool) func(Options) (Cluster, error) {
	return func(o Options) (_ Cluster, err error) {
		c := &hashicorpCluster{groups: make([][]*raft.Raft, o.Groups), leaders: make(leaders, o.Groups)}
		defer func() {
			if err != nil {
				err = errors.Join(err, c.Close())
			}
		}()
		for g := range o.Groups {
			if err := c.startGroup(g, o, bolt); err != nil {
				return nil, fmt.Errorf("hashicorp/raft: %w", err)
			}
		}
		return c, c.leaders.await(c.leader)
	}
}

func (c *hashicorpCluster) startGroup(g int, o Options, bolt bool) error {
	var servers []raft.Server
	var transports []*raft.NetworkTransport
	for i := range Replicas {
		transport, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
		if err != nil {
			return err
		}
		c.closers = append(c.closers, transport)
		transports = append(transports, transport)
		servers = append(servers, raft.Server{ID: raft.ServerID(fmt.Sprint(i + 1)), Address: transport.LocalAddr()})
	}
	for i := range Replicas {
		dir := filepath.Join(o.dir(i), fmt.Sprintf("group%d", g+1))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		store, err := openHashicorpLog(dir, bolt)
		if err != nil {
			return err
		}
		c.closers = append(c.closers, store)
		settings := raft.DefaultConfig()
		settings.LocalID = servers[i].ID
		settings.BatchApplyCh, settings.MaxAppendEntries = true, 1024
		settings.SnapshotInterval, settings.SnapshotThreshold = 24*time.Hour, 1<<50
		settings.Logger = hclog.NewNullLogger()
		snapshots := raft.NewDiscardSnapshotStore()
		if i == 0 {
			if err := raft.BootstrapCluster(settings, store, store, snapshots, transports[i], raft.Configuration{Servers: servers}); err != nil {
				return err
			}
		}
		r, err := raft.NewRaft(settings, &hashicorpMachine{i, o.Applied}, store, store, snapshots, transports[i])
		if err != nil {
			return err
		}
		c.groups[g] = append(c.groups[g], r)
	}
	return nil
}

func openHashicorpLog(dir string, bolt bool) (logStore, error) {
	if bolt {
		return boltdb.New(boltdb.Options{Path: filepath.Join(dir, "log.db")})
	}
	return wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()))
}

func (c *hashicorpCluster) leader(group int) int {
	for i, r := range c.groups[group] {
		if r.State() == raft.Leader {
			return i
		}
	}
	return -1
}

func (c *hashicorpCluster) Propose(_ context.Context, group int, command []byte) error {
	// The log keeps the command, so it gets one of its own.
	err := c.groups[group][c.leaders.of(group)].Apply(append([]byte(nil), command...), patience).Error()
	if err != nil {
		if leader := c.leader(group); leader >= 0 {
			c.leaders[group].Store(int32(leader))
		}
	}
	return err
}

func (c *hashicorpCluster) Term(group int) uint64 { return c.groups[group][0].CurrentTerm() }

func (c *hashicorpCluster) Close() error {
	var errs []error
	for _, group := range c.groups {
		for _, r := range group {
			errs = append(errs, r.Shutdown().Error())
		}
	}
	for _, closer := range c.closers {
		errs = append(errs, closer.Close())
	}
	return errors.Join(errs...)
}

type hashicorpMachine struct {
	replica int
	applied func(replica int, command []byte)
}

func (m *hashicorpMachine) Apply(l *raft.Log) any {
	if l.Type == raft.LogCommand {
		m.applied(m.replica, l.Data)
	}
	return nil
}

func (m *hashicorpMachine) ApplyBatch(logs []*raft.Log) []any {
	for _, l := range logs {
		m.Apply(l)
	}
	return make([]any, len(logs))
}

func (m *hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) { return nil, errNoSnapshots }
func (m *hashicorpMachine) Restore(io.ReadCloser) error         { return errNoSnapshots }
