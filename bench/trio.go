package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/balsa-raft/balsa"
)

// trio is three hosts of this process, each of which can be stopped and started again.
type trio struct {
	dir      string
	options  func(host int) balsa.Options // without directory and listener
	machine  func(host int, group balsa.GroupID) balsa.StateMachine
	groups   int
	members  []balsa.Member
	hosts    [3]*balsa.Host
	running  [3][]*balsa.Group
	openedIn [3]time.Duration
}

// newTrio chooses ports and starts all three.
func newTrio(dir string, groups int, options func(int) balsa.Options, machine func(int, balsa.GroupID) balsa.StateMachine) (*trio, error) {
	t := &trio{dir: dir, options: options, machine: machine, groups: groups}
	var listeners []net.Listener
	for i := range t.hosts {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
		t.members = append(t.members, balsa.Member{ID: balsa.MemberID(i + 1), Address: l.Addr().String()})
	}
	for i := range t.hosts {
		if err := t.startWith(i, listeners[i]); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

// start starts a host that was stopped.
func (t *trio) start(i int) error {
	l, err := net.Listen("tcp", t.members[i].Address)
	if err != nil {
		return err
	}
	return t.startWith(i, l)
}

func (t *trio) startWith(i int, l net.Listener) error {
	o := balsa.Options{}
	if t.options != nil {
		o = t.options(i)
	}
	o.Dir, o.Advertise = filepath.Join(t.dir, fmt.Sprintf("replica%d", i+1)), t.members[i].Address
	if o.Listener = l; o.Dial != nil {
		o.Dial = t.options(i).Dial
	}
	began := time.Now()
	host, err := balsa.Open(o)
	if err != nil {
		return err
	}
	t.openedIn[i] = time.Since(began)
	t.hosts[i], t.running[i] = host, nil
	for g := range t.groups {
		group, err := host.Start(balsa.GroupID(g+1), t.members, t.machine(i, balsa.GroupID(g+1)))
		if err != nil {
			return err
		}
		t.running[i] = append(t.running[i], group)
	}
	return nil
}

func (t *trio) stop(i int) error {
	if t.hosts[i] == nil {
		return nil
	}
	err := t.hosts[i].Close()
	t.hosts[i] = nil
	return err
}

func (t *trio) close() error {
	return errors.Join(t.stop(0), t.stop(1), t.stop(2))
}

// leader waits until a group has a leader that runs, and says which host that is.
func (t *trio) leader(group int) (int, error) {
	for deadline := time.Now().Add(catchUp); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for i, h := range t.hosts {
			if h == nil {
				continue
			}
			if leader, _ := t.running[i][group].Leader(); leader != 0 && t.hosts[leader-1] != nil {
				return int(leader) - 1, nil
			}
		}
	}
	return 0, fmt.Errorf("group %d has no leader", group+1)
}

// lead makes that host the leader of a group.
func (t *trio) lead(group, host int) error {
	for deadline := time.Now().Add(catchUp); time.Now().Before(deadline); {
		now, err := t.leader(group)
		if err != nil || now == host {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = t.running[now][group].TransferLeadership(ctx, balsa.MemberID(host+1)) // refused while that host is behind: tried again
		cancel()
	}
	return fmt.Errorf("host %d does not come to lead group %d", host+1, group+1)
}

// terms is the sum of the groups' terms, as the running hosts know them.
func (t *trio) terms() uint64 {
	var sum uint64
	for g := range t.groups {
		var newest balsa.Term
		for i, h := range t.hosts {
			if h != nil {
				_, term := t.running[i][g].Leader()
				newest = max(newest, term)
			}
		}
		sum += uint64(newest)
	}
	return sum
}

// until waits for a condition.
func until(what string, patience time.Duration, condition func() bool) error {
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v there is still not: %s", patience, what)
		}
	}
	return nil
}
