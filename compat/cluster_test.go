package compat

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/balsa-raft/balsa/internal/freeport"
)

// limit bounds every wait: it says "this never happens", not "this is slow".
const limit = 2 * time.Minute

// cluster is some members of Balsa, each a process with a directory of its own below dir.
type cluster struct {
	dir     string
	flags   []string // more flags for every member
	members []*member
}

// member is one `balsa serve`.
type member struct {
	name, dir, client, peer string // the addresses are host:port

	cmd    *exec.Cmd
	exited chan struct{}
	log    *logTail
}

// steady is timing that a busy machine does not upset. Whoever starves for longer than an election timeout gets another leader, and what was asked meanwhile may end as
// unknown, which is not what most tests are about.
var steady = []string{"--heartbeat-interval", "100", "--election-timeout", "2000"}

// startCluster founds a cluster of n members, m1, m2 and so on, and waits until each of them serves.
func startCluster(dir string, n int, flags ...string) (*cluster, error) {
	c := &cluster{dir: dir, flags: flags}
	for range n {
		if _, err := c.prepare(); err != nil {
			return nil, err
		}
	}
	return c, c.startAll(c.members, "new")
}

// prepare makes the next member without starting it.
func (c *cluster) prepare() (*member, error) {
	addresses, err := freeport.Addresses(2)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("m%d", len(c.members)+1)
	m := &member{name: name, dir: filepath.Join(c.dir, name), client: addresses[0], peer: addresses[1]}
	c.members = append(c.members, m)
	return m, nil
}

// startAll starts members and waits until each of them serves.
func (c *cluster) startAll(members []*member, state string) error {
	for _, m := range members {
		if err := c.start(m, state); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := m.awaitServing(); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) start(m *member, state string) error {
	program, err := balsaProgram()
	if err != nil {
		return err
	}
	var initial []string
	for _, each := range c.members {
		initial = append(initial, each.name+"=http://"+each.peer)
	}
	m.cmd = exec.Command(program, append([]string{
		"serve", "--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", "http://" + m.client, "--listen-peer-urls", "http://" + m.peer,
		"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", state,
	}, c.flags...)...)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	m.cmd.Stdout, m.cmd.Stderr = w, w
	err = m.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return err
	}
	cmd, log, exited := m.cmd, newLogTail(), make(chan struct{})
	m.log, m.exited = log, exited
	go func() {
		log.read(r)
		r.Close()
		_ = cmd.Wait() // how it ended is looked at where it matters
		close(exited)
	}()
	return nil
}

func (m *member) awaitServing() error {
	select {
	case <-m.log.serving:
		return nil
	case <-m.exited:
		return fmt.Errorf("%s ended before it served:\n%s", m.name, m.log)
	case <-time.After(limit):
		return fmt.Errorf("%s does not serve:\n%s", m.name, m.log)
	}
}

// kill is SIGKILL; it returns when the process is gone.
func (m *member) kill() {
	if m.exited != nil {
		_ = m.cmd.Process.Kill() // it may be gone
		<-m.exited
	}
}

func (c *cluster) stop() {
	for _, m := range c.members {
		m.kill()
	}
}

func (c *cluster) find(name string) *member {
	if i := slices.IndexFunc(c.members, func(m *member) bool { return m.name == name }); i >= 0 {
		return c.members[i]
	}
	return nil
}

func (c *cluster) endpoints() []string {
	endpoints := make([]string, len(c.members))
	for i, m := range c.members {
		endpoints[i] = "http://" + m.client
	}
	return endpoints
}

// list returns the members as the first one that runs knows them, in the order of c.members.
func (c *cluster) list(ctx context.Context) ([]*pb.Member, error) {
	client, err := dial(c.endpoints()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	response, err := client.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	var listed []*pb.Member
	for _, m := range c.members {
		for _, each := range response.Members {
			if slices.Contains(each.PeerURLs, "http://"+m.peer) {
				listed = append(listed, each)
			}
		}
	}
	return listed, nil
}

// leader waits until a member says that it leads, and returns it.
func (c *cluster) leader(ctx context.Context) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for ctx.Err() == nil {
		for _, m := range c.members {
			client, err := dial(m.client)
			if err != nil {
				return nil, err
			}
			once, cancel := context.WithTimeout(ctx, time.Second)
			status, err := client.Status(once, m.client)
			cancel()
			client.Close()
			if err == nil && status.Leader == status.Header.MemberId {
				return m, nil
			}
		}
	}
	return nil, fmt.Errorf("no member leads: %w", ctx.Err())
}

func dial(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialTimeout: limit})
}

// newClient connects etcd's client to the endpoints for as long as the test runs.
func newClient(t *testing.T, endpoints ...string) *clientv3.Client {
	t.Helper()
	client, err := dial(endpoints...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// newCluster is startCluster for as long as the test runs.
func newCluster(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	c, err := startCluster(t.TempDir(), n, flags...)
	if c != nil {
		t.Cleanup(func() {
			c.stop()
			if t.Failed() {
				for _, m := range c.members {
					t.Logf("the last lines of %s:\n%s", m.name, m.log)
				}
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// logTail keeps the last lines that a process wrote, and tells when it serves.
type logTail struct {
	serving chan struct{}

	mu    sync.Mutex
	lines []string
}

const tailLines = 40

func newLogTail() *logTail { return &logTail{serving: make(chan struct{})} }

func (l *logTail) read(r io.Reader) {
	served := false
	for s := bufio.NewScanner(r); s.Scan(); {
		l.mu.Lock()
		if len(l.lines) == tailLines {
			l.lines = l.lines[1:]
		}
		l.lines = append(l.lines, s.Text())
		l.mu.Unlock()
		if !served && strings.Contains(s.Text(), "ready to serve client requests") {
			served = true
			close(l.serving)
		}
	}
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
