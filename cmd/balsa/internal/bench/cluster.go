package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
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
	for i := range n {
		m := &member{name: fmt.Sprintf("m%d", i+1), dir: filepath.Join(dir, fmt.Sprintf("m%d", i+1))}
		for _, address := range []*string{&m.client, &m.peer} {
			if *address, err = freeAddress(); err != nil {
				return nil, err
			}
		}
		c.members = append(c.members, m)
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

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
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
	client := c.dial(m.client)
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
			client := c.dial(m.client)
			status, err := client.Status(ctx, m.client)
			client.Close()
			if err == nil && status.Leader == status.Header.MemberId {
				return m, nil
			}
		}
	}
	return nil, fmt.Errorf("no member leads: %w", ctx.Err())
}

// restart brings back a member that was killed, and waits until it serves.
func (c *cluster) restart(ctx context.Context, m *member) error {
	if err := c.start(m); err != nil {
		return err
	}
	return c.await(ctx, m)
}

// kill is SIGKILL; it returns when the process is gone.
func (m *member) kill() {
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.cmd.Process.Kill()
		<-m.exited
	}
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
