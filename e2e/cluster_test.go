package e2e

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

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/balsa-raft/balsa/internal/freeport"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "balsa-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "balsa")
	build := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", binary, "../cmd/balsa")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// limit bounds everything that a test waits for: it says "this never happens", not "this is slow".
const limit = 2 * time.Minute

// node is one member: a process that can be killed and started again on the same directory.
type node struct {
	t             *testing.T
	name, dir     string
	client, peer  string // host:port
	advertisePeer string // by default peer; a proxy's address where a test cuts the network
	flags         []string

	cmd    *exec.Cmd
	exited chan struct{}
	log    *logBook
}

// logBook keeps what a process wrote, for the test's report, and tells when it wrote a line.
type logBook struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

func (b *logBook) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		b.mu.Lock()
		b.lines = append(b.lines, s.Text())
		close(b.more)
		b.more = make(chan struct{})
		b.mu.Unlock()
	}
}

// has tells whether a line contains the text, and otherwise gives a channel that is closed with the next line.
func (b *logBook) has(text string) (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.lines, func(l string) bool { return strings.Contains(l, text) }), b.more
}

func (b *logBook) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines[max(0, len(b.lines)-n):], "\n")
}

// freePort finds an address that nobody else uses.
func freePort(t *testing.T) string {
	t.Helper()
	addresses, err := freeport.Addresses(1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

func newNode(t *testing.T, name string) *node {
	t.Helper()
	n := &node{t: t, name: name, dir: filepath.Join(t.TempDir(), name), client: freePort(t), peer: freePort(t)}
	n.advertisePeer = n.peer
	t.Cleanup(func() {
		n.kill()
		if t.Failed() && n.log != nil {
			t.Logf("the last lines of %s:\n%s", name, n.log.tail(30))
		}
	})
	return n
}

// start runs the process and returns at once. cluster is --initial-cluster.
func (n *node) start(cluster, state string) {
	n.t.Helper()
	args := append([]string{"serve", "--name", n.name, "--data-dir", n.dir,
		"--listen-client-urls", "http://" + n.client, "--advertise-client-urls", "http://" + n.client,
		"--listen-peer-urls", "http://" + n.peer, "--initial-advertise-peer-urls", "http://" + n.advertisePeer,
		"--initial-cluster", cluster, "--initial-cluster-state", state, "--initial-cluster-token", "e2e"}, n.flags...)
	n.cmd = exec.Command(binary, args...)
	noOrphan(n.cmd)
	r, w, err := os.Pipe()
	if err != nil {
		n.t.Fatal(err)
	}
	n.cmd.Stdout, n.cmd.Stderr = w, w
	n.log = &logBook{more: make(chan struct{})}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	w.Close()
	exited, cmd, log := make(chan struct{}), n.cmd, n.log
	n.exited = exited
	go func() {
		log.read(r)
		r.Close()
		cmd.Wait()
		close(exited)
	}()
}

// ready waits until the member serves.
func (n *node) ready() {
	n.t.Helper()
	deadline := time.After(limit)
	for {
		ok, more := n.log.has("ready to serve client requests")
		if ok {
			return
		}
		select {
		case <-more:
		case <-n.exited:
			n.t.Fatalf("%s stopped before it was ready:\n%s", n.name, n.log.tail(20))
		case <-deadline:
			n.t.Fatalf("%s is not ready:\n%s", n.name, n.log.tail(20))
		}
	}
}

// says waits until the member writes a line with the text; false if it never does. What has happened may have to be read yet.
func (n *node) says(text string) bool {
	deadline := time.After(limit)
	for {
		ok, more := n.log.has(text)
		if ok {
			return true
		}
		select {
		case <-more:
		case <-n.exited:
			ok, _ := n.log.has(text)
			return ok
		case <-deadline:
			return false
		}
	}
}

// kill is SIGKILL, and waits until the process is gone.
func (n *node) kill() {
	if n.cmd != nil {
		n.cmd.Process.Kill()
		<-n.exited
		n.cmd = nil
	}
}

// stop is SIGTERM; the process has to end by itself, with exit code 0.
func (n *node) stop() {
	n.t.Helper()
	n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-time.After(limit):
		n.t.Fatalf("%s does not stop", n.name)
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		n.t.Errorf("%s stopped with exit code %d:\n%s", n.name, code, n.log.tail(20))
	}
	n.cmd = nil
}

// cluster is the members of one test.
type cluster struct {
	t     *testing.T
	nodes []*node
}

func (c *cluster) initial() string {
	var parts []string
	for _, n := range c.nodes {
		parts = append(parts, n.name+"=http://"+n.advertisePeer)
	}
	return strings.Join(parts, ",")
}

// newCluster starts n members together and waits until they serve.
func newCluster(t *testing.T, size int, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for i := range size {
		n := newNode(t, fmt.Sprintf("m%d", i+1))
		n.flags = flags
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		n.start(c.initial(), "new")
	}
	for _, n := range c.nodes {
		n.ready()
	}
	return c
}

// dial makes a client of the given members, of all by default.
func (c *cluster) dial(nodes ...*node) *clientv3.Client {
	c.t.Helper()
	if len(nodes) == 0 {
		nodes = c.nodes
	}
	var endpoints []string
	for _, n := range nodes {
		endpoints = append(endpoints, n.client)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { client.Close() })
	return client
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// eventually repeats f until it succeeds.
func eventually(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := within(limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		try, end := context.WithTimeout(ctx, 10*time.Second)
		err := f(try)
		end()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// leader waits for a leader and returns its node.
func (c *cluster) leader() *node {
	c.t.Helper()
	var found *node
	eventually(c.t, "finding the leader", func(ctx context.Context) error {
		for _, n := range c.nodes {
			if n.cmd == nil {
				continue
			}
			client := c.dial(n)
			status, err := client.Status(ctx, n.client)
			client.Close()
			if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId {
				found = n
				return nil
			}
		}
		return fmt.Errorf("no member leads")
	})
	return found
}

// writers write keys of their own, each once, and remember which were acknowledged.
type writers struct {
	client *clientv3.Client
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu       sync.Mutex
	acked    map[string]string
	failed   int
	progress chan struct{}
}

func startWriters(client *clientv3.Client, n int) *writers {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{client: client, cancel: cancel, acked: map[string]string{}, progress: make(chan struct{})}
	for i := range n {
		w.group.Go(func() {
			for seq := 0; ctx.Err() == nil; seq++ {
				key, value := fmt.Sprintf("w%02d/%07d", i, seq), fmt.Sprintf("%d-%d", i, seq)
				try, end := context.WithTimeout(ctx, 5*time.Second)
				_, err := client.Put(try, key, value)
				end()
				w.mu.Lock()
				if err == nil {
					w.acked[key] = value
					close(w.progress)
					w.progress = make(chan struct{})
				} else {
					w.failed++
				}
				w.mu.Unlock()
			}
		})
	}
	return w
}

// count returns how many writes were acknowledged, and a channel that is closed with the next one.
func (w *writers) count() (int, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked), w.progress
}

// await waits until n more writes are acknowledged, as slow as they may be.
func (w *writers) await(t *testing.T, n int) {
	t.Helper()
	start, _ := w.count()
	stuck := time.NewTimer(limit)
	defer stuck.Stop()
	for {
		now, more := w.count()
		if now >= start+n {
			return
		}
		select {
		case <-more:
			stuck.Reset(limit)
		case <-stuck.C:
			w.mu.Lock()
			failed := w.failed
			w.mu.Unlock()
			t.Fatalf("of %d writes %d were acknowledged, then none for %v; %d failed", n, now-start, limit, failed)
		}
	}
}

func (w *writers) stop() {
	w.cancel()
	w.group.Wait()
}

// checkNothingLost reads the whole store from every member and compares it with what was acknowledged; then the members' hashes.
func (c *cluster) checkNothingLost(w *writers) {
	c.t.Helper()
	if len(w.acked) == 0 {
		c.t.Fatal("nothing was acknowledged")
	}
	c.t.Logf("%d writes acknowledged, %d with an unknown outcome", len(w.acked), w.failed)
	for _, n := range c.nodes {
		client := c.dial(n)
		have := map[string]string{}
		eventually(c.t, "reading everything from "+n.name, func(ctx context.Context) error {
			response, err := client.Get(ctx, "", clientv3.WithPrefix())
			if err != nil {
				return err
			}
			clear(have)
			for _, kv := range response.Kvs {
				have[string(kv.Key)] = string(kv.Value)
			}
			return nil
		})
		lost := 0
		for key, value := range w.acked {
			if have[key] != value {
				lost++
				if lost <= 5 {
					c.t.Errorf("%s lost %s, which was acknowledged", n.name, key)
				}
			}
		}
		if lost > 5 {
			c.t.Errorf("%s lost %d acknowledged writes in all", n.name, lost)
		}
	}
	c.checkEqualHashes()
}

// checkEqualHashes compares HashKV at one revision on every member.
func (c *cluster) checkEqualHashes() {
	c.t.Helper()
	client := c.dial()
	eventually(c.t, "comparing hashes", func(ctx context.Context) error {
		response, err := client.Get(ctx, "any")
		if err != nil {
			return err
		}
		hashes := map[uint32][]string{}
		for _, n := range c.nodes {
			h, err := client.HashKV(ctx, n.client, response.Header.Revision)
			if err != nil {
				return err
			}
			hashes[h.Hash] = append(hashes[h.Hash], n.name)
		}
		if len(hashes) != 1 {
			c.t.Errorf("the members differ at revision %d: %v", response.Header.Revision, hashes)
		}
		return nil
	})
}
