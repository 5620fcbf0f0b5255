// Package replica runs replicated state machines of several libraries alike: three replicas in this process, which talk over loopback TCP and keep their logs on
// disk, synced before anything is acknowledged. What the machine does is next to nothing, so that replication is what is measured.
//
// No replica takes snapshots or compacts its log meanwhile.
package replica

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// Replicas is how many there are of each group, unless Options ask for others.
const Replicas = 3

// Options say what to run.
type Options struct {
	// Dir is an empty directory on the disk to be measured.
	Dir string
	// Groups are numbered from 0.
	Groups int
	// Replicas is how many there are of each group. Only Balsa takes another number than Replicas; 0 means that.
	Replicas int
	// Quiesce lets a group fall silent when it had nothing to do for so long; 0 keeps it awake. Only Balsa knows it.
	Quiesce time.Duration
	// Applied is called for every command that a replica applies: in order for a group, and possibly from several goroutines for several groups. It may not
	// keep the command.
	Applied func(replica int, command []byte)
}

// Cluster is three replicas of every group.
type Cluster interface {
	// Propose replicates a command at the group's leader, and returns once it is durable on a majority and applied there. The command is not used afterwards.
	Propose(ctx context.Context, group int, command []byte) error
	// Term is the group's current term, as its leader or one of its replicas knows it: if it grows under a load, there was an election.
	Term(group int) uint64
	Close() error
}

// System is one library with one kind of log.
type System struct {
	Name  string
	Start func(Options) (Cluster, error)
	// Limit marks what is no library but the bare work.
	Limit bool
}

// Systems are all that can be measured, in the order of the report.
var Systems = []System{
	{Name: "balsa", Start: startBalsa},
	{Name: "dragonboat-pebble", Start: startDragonboat(false)},
	{Name: "dragonboat-tan", Start: startDragonboat(true)},
	{Name: "hashicorp-wal", Start: startHashicorp(false)},
	{Name: "hashicorp-boltdb", Start: startHashicorp(true)},
	{Name: "etcd-raft", Start: startEtcdRaft},
	{Name: "limit", Start: startBare, Limit: true},
}

// Find returns the system of that name.
func Find(name string) (System, error) {
	if i := slices.IndexFunc(Systems, func(s System) bool { return s.Name == name }); i >= 0 {
		return Systems[i], nil
	}
	return System{}, fmt.Errorf("there is no system %q", name)
}

// dir is one replica's directory.
func (o *Options) dir(replica int) string {
	return filepath.Join(o.Dir, fmt.Sprintf("replica%d", replica+1))
}

// listeners are on loopback ports that the system chose.
func listeners(n int) ([]net.Listener, error) {
	var all []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// patience is how long a group may go without a leader, and a proposal without an answer.
const patience = 30 * time.Second

// leaders remembers who leads each group.
type leaders []atomic.Int32

// await asks find for the leader of every group until it knows. find returns -1 for nobody.
func (l leaders) await(find func(group int) int) error {
	for group := range l {
		deadline := time.Now().Add(patience)
		for {
			if leader := find(group); leader >= 0 {
				l[group].Store(int32(leader))
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("group %d has no leader", group)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

func (l leaders) of(group int) int { return int(l[group].Load()) }
