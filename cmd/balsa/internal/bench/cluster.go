package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/internal/freeport"
)

// cluster is a few members as processes on loopback, on ports that happen to be free.
type cluster struct {
	executable string
	members    []*member
}

// member is one process of it.
type member struct {
	name, dir, client, peer string
	cmd                     *exec.Cmd
	exited                  chan struct{}
	log                     *bytes.Buffer
}

func startCluster(ctx context.Context, dir string, n int) (*cluster, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &cluster{executable: executable}
	addresses, err := freeport.Addresses(2 * n)
	if err != nil {
		return nil, err
	}
	for i := range n {
		name := fmt.Sprintf("m%d", i+1)
		c.members = append(c.members, &member{name: name, dir: filepath.Join(dir, name), client: addresses[i], peer: addresses[n+i]})
	}
	for _, m := range c.members {
		if err := c.start(m); err != nil {
			c.stop()
			return nil, err
		}
	}
	for _, m := range c.members {
		if err := c.await(ctx, m); err != nil {
			c.stop()
			return nil, err
		}
	}
	return c, nil
}

func (c *cluster) start(m *member) error {
	var all []string
	for _, o := range c.members {
		all = append(all, o.name+"=http://"+o.peer)
	}
	m.log = &bytes.Buffer{}
	m.cmd = exec.Command(c.executable, "serve", "--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", "http://"+m.client, "--advertise-client-urls", "http://"+m.client,
		"--listen-peer-urls", "http://"+m.peer, "--initial-advertise-peer-urls", "http://"+m.peer,
		"--initial-cluster", strings.Join(all, ","), "--initial-cluster-token", "balsa-bench", "--log-level", "warn", "--stop-when-stdin-ends")
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.Env = cli.WithoutFlags(os.Environ())
	if _, err := m.cmd.StdinPipe(); err != nil { // ends when this process does, and the member with it
		return err
	}
	if err := m.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", m.name, err)
	}
	exited, cmd := make(chan struct{}), m.cmd
	m.exited = exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

// await waits until the member answers reads.
func (c *cluster) await(ctx context.Context, m *member) error {
	client := dial(m.client)
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		try, end := context.WithTimeout(ctx, time.Second)
		_, err := client.Get(try, "bench/ready")
		end()
		if err == nil {
			return nil
		}
		select {
		case <-m.exited:
			return fmt.Errorf("%s stopped:\n%s", m.name, m.log)
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w", m.name, err)
		default:
		}
	}
}

// leader finds the member that leads.
func (c *cluster) leader(ctx context.Context) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		for _, m := range c.members {
			if m.gone() {
				continue
			}
			if status, err := m.status(ctx); err == nil && leads(status) {
				return m, nil
			}
		}
	}
	return nil, fmt.Errorf("no member leads: %w", ctx.Err())
}

// status is what the member says of itself.
func (m *member) status(ctx context.Context) (*clientv3.StatusResponse, error) {
	client := dial(m.client)
	defer client.Close()
	try, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	status, err := client.Status(try, m.client)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its status: %w", m.name, err)
	}
	return status, nil
}

// leads says whether the member that said this leads.
func leads(s *clientv3.StatusResponse) bool { return s.Leader != 0 && s.Leader == s.Header.MemberId }

// restart brings back a member that was killed, and waits until it serves.
func (c *cluster) restart(ctx context.Context, m *member) error {
	if err := c.start(m); err != nil {
		return err
	}
	return c.await(ctx, m)
}

// gone says whether the member's process has ended.
func (m *member) gone() bool {
	select {
	case <-m.exited:
		return true
	default:
		return false
	}
}

// kill is SIGKILL; it returns when the process is gone.
func (m *member) kill() {
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.cmd.Process.Kill()
		<-m.exited
	}
}

// endpoints are the addresses of all members.
func (c *cluster) endpoints() []string {
	var all []string
	for _, m := range c.members {
		all = append(all, m.client)
	}
	return all
}

// dial makes a client. It connects when it is first used.
func dial(endpoints ...string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		panic(err) // the endpoints are ours, and New does not connect
	}
	return client
}

// compareHashes demands the same state of every member, at one revision.
func (c *cluster) compareHashes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := dial(c.endpoints()...)
	defer client.Close()
	var revision int64
	var first uint32
	for i, m := range c.members {
		own := dial(m.client)
		defer own.Close()
		response, err := own.Get(ctx, "bench/ready") // the member has applied all that was acknowledged when it answers
		if err != nil {
			return fmt.Errorf("reading from %s: %w", m.name, err)
		}
		if i == 0 {
			revision = response.Header.Revision
		}
		hash, err := client.HashKV(ctx, m.client, revision)
		if err != nil {
			return fmt.Errorf("asking %s for its hash: %w", m.name, err)
		}
		if i == 0 {
			first = hash.Hash
		} else if hash.Hash != first {
			return fmt.Errorf("at revision %d %s has hash %08x, and %s has %08x", revision, c.members[0].name, first, m.name, hash.Hash)
		}
	}
	return nil
}

func (c *cluster) stop() {
	for _, m := range c.members {
		if m.cmd != nil && m.cmd.Process != nil {
			_ = m.cmd.Process.Kill()
		}
	}
	for _, m := range c.members {
		m.kill()
	}
}
