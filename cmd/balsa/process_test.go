package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/internal/freeport"
)

// limit bounds every wait: it says "this never happens", not "this is slow".
const limit = 2 * time.Minute

// process is a running balsa whose output is read line by line.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	exited chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

// startBalsa runs the binary until it ends or the test does.
func startBalsa(t *testing.T, environment []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command("balsa", args...), exited: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), environment...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
		}
		r.Close()
		_ = p.cmd.Wait() // the exit code is looked at where it matters
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.exited
		if t.Failed() {
			t.Logf("balsa %s said:\n%s", strings.Join(args, " "), p.output())
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may be gone

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// line waits for a line after the first `after` that has all of the texts, and returns it and how many lines there were up to it.
func (p *process) line(after int, texts ...string) (string, int) {
	p.t.Helper()
	deadline := time.After(limit)
	for {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for i := after; i < len(lines); i++ {
			if hasAll(lines[i], texts) {
				return lines[i], i + 1
			}
		}
		select {
		case <-more:
		case <-p.exited:
			if p.output() == strings.Join(lines, "\n") {
				p.t.Fatalf("it ended without saying %q:\n%s", texts, p.output())
			}
		case <-deadline:
			p.t.Fatalf("it does not say %q:\n%s", texts, p.output())
		}
	}
}

func hasAll(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}

// wait waits for the process to end by itself and returns its exit code, -1 after a signal.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.t.Fatalf("it does not end:\n%s", p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop asks the process to stop, as an operator does; it has to end well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("it stopped with exit code %d:\n%s", code, p.output())
	}
}

// steady is timing for the members of a cluster that a busy machine does not upset: who starves for longer than an election timeout gets another leader, and
// what was asked meanwhile may end as unknown.
var steady = []string{"--heartbeat-interval=100", "--election-timeout=2000"}

// balsa runs a command to its end.
func balsa(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command("balsa", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to go well, and returns what it said.
func must(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := balsa(t, args...)
	if code != 0 {
		t.Fatalf("balsa %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// insist is must for a command that may as well be done twice: in a cluster whose members starve an election may begin at any moment, and what is under way then may
// end as unknown.
func insist(t *testing.T, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; {
		_, stderr, code := balsa(t, args...)
		if code == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("balsa %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
		}
	}
}

// freeAddress finds an address that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	addresses, err := freeport.Addresses(1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

// server is one member that a test runs.
type server struct {
	name, dir, client, peer string
}

func newServer(t *testing.T, name string) *server {
	t.Helper()
	return &server{name: name, dir: filepath.Join(t.TempDir(), name), client: freeAddress(t), peer: freeAddress(t)}
}

// flags are those to found a cluster of this member alone, with more appended.
func (s *server) flags(more ...string) []string {
	return append([]string{
		"serve", "--name", s.name, "--data-dir", s.dir, "--log-format", "text", "--listen-client-urls", "http://" + s.client,
		"--listen-peer-urls", "http://" + s.peer, "--initial-cluster", fmt.Sprintf("%s=http://%s", s.name, s.peer),
	}, more...)
}

const readyLine = "ready to serve client requests"

// start runs the member and waits until it serves.
func (s *server) start(t *testing.T, more ...string) *process {
	t.Helper()
	p := startBalsa(t, nil, s.flags(more...)...)
	p.line(0, readyLine)
	return p
}
