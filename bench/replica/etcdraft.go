package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// errNotLeader is what a proposal gets whose replica does not lead, or stops to.
var errNotLeader = errors.New("this replica does not lead")

// startEtcdRaft runs etcd's Raft with etcd's log, in a loop written for this measurement: it takes what has come in, sends, syncs, applies. It has nothing of what
// a product needs besides: no snapshots, no sessions, no reads, no flow control between groups.
func startEtcdRaft(o Options) (_ Cluster, err error) {
	c := &etcdRaftCluster{groups: make([][]*etcdNode, o.Groups), leaders: make(leaders, o.Groups)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for g := range o.Groups {
		ports, err := listeners(Replicas)
		if err != nil {
			return nil, err
		}
		for i := range Replicas {
			n, err := newEtcdNode(i, filepath.Join(o.dir(i), fmt.Sprintf("group%d", g+1)), ports, o.Applied)
			if err != nil {
				return nil, fmt.Errorf("etcd's raft: %w", err)
			}
			c.groups[g] = append(c.groups[g], n)
		}
	}
	return c, c.leaders.await(c.leader)
}

type etcdRaftCluster struct {
	groups  [][]*etcdNode
	leaders leaders
}

func (c *etcdRaftCluster) leader(group int) int {
	for i, n := range c.groups[group] {
		n.mu.Lock()
		leads := n.leads
		n.mu.Unlock()
		if leads {
			return i
		}
	}
	return -1
}

func (c *etcdRaftCluster) Propose(ctx context.Context, group int, command []byte) error {
	p := &proposal{data: append([]byte(nil), command...), done: make(chan error, 1)}
	select {
	case c.groups[group][c.leaders.of(group)].proposals <- p:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := <-p.done
	if err != nil {
		if leader := c.leader(group); leader >= 0 {
			c.leaders[group].Store(int32(leader))
		}
	}
	return err
}

func (c *etcdRaftCluster) Term(group int) uint64 { return c.groups[group][0].term.Load() }

func (c *etcdRaftCluster) Close() error {
	var errs []error
	for _, group := range c.groups {
		for _, n := range group {
			errs = append(errs, n.close())
		}
	}
	return errors.Join(errs...)
}

// proposal is a command that somebody waits for.
type proposal struct {
	data []byte
	done chan error
}

// etcdNode is one replica of one group. Everything that is not under mu belongs to run.
type etcdNode struct {
	index     int
	core      *raft.RawNode
	storage   *raft.MemoryStorage
	log       *wal.WAL
	mesh      *mesh
	proposals chan *proposal
	waiting   []*proposal // proposed here and not applied yet, in the order of the log
	applied   func(replica int, command []byte)
	stop      chan struct{}
	stopped   chan struct{}
	term      atomic.Uint64

	mu    sync.Mutex
	leads bool
}

// A heartbeat is a tick; an election comes after 6 to 12 of them.
const (
	etcdTick      = 50 * time.Millisecond
	etcdElection  = 6
	etcdKeep      = 100_000 // entries that stay in memory for followers
	mostProposals = 16 << 10
)

func newEtcdNode(index int, dir string, ports []net.Listener, applied func(int, []byte)) (*etcdNode, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	log, err := wal.Create(zap.NewNop(), dir, nil)
	if err != nil {
		return nil, err
	}
	n := &etcdNode{
		index: index, storage: raft.NewMemoryStorage(), log: log, mesh: newMesh(index, ports), proposals: make(chan *proposal, mostProposals),
		applied: applied, stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	n.core, err = raft.NewRawNode(&raft.Config{
		ID: uint64(index + 1), ElectionTick: etcdElection, HeartbeatTick: 1, Storage: n.storage, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 256,
		CheckQuorum: true, PreVote: true, Logger: quiet{},
	})
	if err != nil {
		return nil, err
	}
	var peers []raft.Peer
	for i := range ports {
		peers = append(peers, raft.Peer{ID: uint64(i + 1)})
	}
	if err := n.core.Bootstrap(peers); err != nil {
		return nil, err
	}
	go n.run()
	return n, nil
}

func (n *etcdNode) run() {
	defer close(n.stopped)
	ticker := time.NewTicker(etcdTick)
	defer ticker.Stop()
	for {
		select {
		case <-n.stop:
			n.fail(errNotLeader)
			return
		case <-ticker.C:
			n.core.Tick()
		case m := <-n.mesh.inbox:
			_ = n.core.Step(m) // what is of no use any more is refused
		case p := <-n.proposals:
			n.propose(p)
		}
		n.drain()
		for n.core.HasReady() {
			if err := n.turn(); err != nil {
				n.fail(err)
				return
			}
		}
	}
}

// drain takes what else has come in, so that one sync is for all of it.
func (n *etcdNode) drain() {
	for range mostProposals {
		select {
		case m := <-n.mesh.inbox:
			_ = n.core.Step(m)
		case p := <-n.proposals:
			n.propose(p)
		default:
			return
		}
	}
}

func (n *etcdNode) propose(p *proposal) {
	if n.core.BasicStatus().RaftState != raft.StateLeader {
		p.done <- errNotLeader
		return
	}
	if err := n.core.Propose(p.data); err != nil {
		p.done <- err
		return
	}
	n.waiting = append(n.waiting, p)
}

// turn does what the core wants done. A leader sends before it syncs (thesis §10.2.1).
func (n *etcdNode) turn() error {
	ready := n.core.Ready()
	if ready.SoftState != nil {
		leads := ready.SoftState.RaftState == raft.StateLeader
		n.mu.Lock()
		n.leads = leads
		n.mu.Unlock()
		if !leads {
			n.fail(errNotLeader)
		}
	}
	leads := n.core.BasicStatus().RaftState == raft.StateLeader
	if leads {
		n.mesh.send(ready.Messages)
	}
	if ready.HardState != nil {
		n.term.Store(ready.HardState.GetTerm())
	}
	if ready.HardState != nil || len(ready.Entries) > 0 {
		if err := n.log.Save(ready.HardState, ready.Entries); err != nil {
			return err
		}
		if err := n.storage.Append(ready.Entries); err != nil {
			return err
		}
	}
	if !leads {
		n.mesh.send(ready.Messages)
	}
	for _, e := range ready.CommittedEntries {
		if err := n.apply(e); err != nil {
			return err
		}
	}
	n.core.Advance(ready)
	return nil
}

func (n *etcdNode) apply(e *raftpb.Entry) error {
	switch {
	case e.GetType() == raftpb.EntryConfChange:
		change := new(raftpb.ConfChange)
		if err := proto.Unmarshal(e.Data, change); err != nil {
			return err
		}
		n.core.ApplyConfChange(change)
	case len(e.Data) > 0:
		n.applied(n.index, e.Data)
		if len(n.waiting) > 0 {
			n.waiting[0].done <- nil
			n.waiting = n.waiting[1:]
		}
	}
	if first, err := n.storage.FirstIndex(); err == nil && e.GetIndex() > first+2*etcdKeep {
		return n.storage.Compact(e.GetIndex() - etcdKeep)
	}
	return nil
}

func (n *etcdNode) fail(err error) {
	for _, p := range n.waiting {
		p.done <- err
	}
	n.waiting = nil
}

func (n *etcdNode) close() error {
	close(n.stop)
	<-n.stopped
	n.mesh.close()
	return n.log.Close()
}

// quiet is a logger that says nothing.
type quiet struct{}

func (quiet) Debug(...any)              {}
func (quiet) Debugf(string, ...any)     {}
func (quiet) Error(...any)              {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Info(...any)               {}
func (quiet) Infof(string, ...any)      {}
func (quiet) Warning(...any)            {}
func (quiet) Warningf(string, ...any)   {}
func (quiet) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (quiet) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (quiet) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (quiet) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
