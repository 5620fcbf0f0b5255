package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/internal/freeport"
)

// freePorts finds a port that is free together with the two after it and those 100 above, and the page's.
func freePorts(t *testing.T) string {
	t.Helper()
	port, err := freeport.Run(0, 1, 2, 100, 101, 102, 200)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

var startedLine = regexp.MustCompile(`(m\d) started, process (\d+)`)

// memberPIDs are the processes that a demo says it started.
func memberPIDs(t *testing.T, p *process) []int {
	t.Helper()
	var pids []int
	for _, match := range startedLine.FindAllStringSubmatch(p.output(), -1) {
		pid, err := strconv.Atoi(match[2])
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// gone waits until none of the processes is left.
func gone(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && !isZombie(pid) {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("process %d is left", pid)
			}
		}
	}
}

// isZombie says whether a process has ended and only waits for whoever adopted it to notice.
func isZombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// TestTheDemoDoesWhatItShows runs a demo as a script would: the commands that it prints work, a killed leader is replaced and started again, and at the
// end nothing is left running; the next one goes on from the same data.
func TestTheDemoDoesWhatItShows(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "demo"), freePorts(t)
	p := startBalsa(t, nil, "demo", "--dir", dir, "--port", port, "--restart-after", "100ms")
	p.line(0, "leads, term")
	line, _ := p.line(0, "export BALSA_ENDPOINTS=")
	endpoints := strings.TrimPrefix(strings.TrimSpace(line), "export BALSA_ENDPOINTS=")
	t.Setenv("BALSA_ENDPOINTS", endpoints)
	insist(t, "put", "greeting", "hello")

	after := killLeader(p)
	p.line(after, "leads, term", "elected", "was killed")
	_, after = p.line(after, "started, process")
	p.line(after, "answers,", "after its start")
	if got := must(t, "get", "greeting"); got != "greeting\nhello\n" {
		t.Errorf("after the leader was killed: %q", got)
	}

	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	gone(t, memberPIDs(t, p))

	next := startBalsa(t, nil, "demo", "--dir", dir)
	next.line(0, "leads, term")
	if got := must(t, "get", "greeting"); got != "greeting\nhello\n" {
		t.Errorf("the next demo answers %q", got)
	}
	next.signal(syscall.SIGTERM)
	if code := next.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	gone(t, memberPIDs(t, next))
}

// killLeader does what the demo proposes, and returns how many lines it had said when it said that the leader was killed. Meanwhile the leadership may have moved: then
// whom it proposes next is killed too.
func killLeader(p *process) int {
	p.t.Helper()
	proposed, ended := 0, 0
	for {
		var line string
		line, proposed = p.line(proposed, "kill -9 ")
		pid, err := strconv.Atoi(strings.Fields(line)[2])
		if err != nil {
			p.t.Fatal(err)
		}
		if syscall.Kill(pid, syscall.SIGKILL) != nil {
			continue // It was killed in vain before.
		}
		if line, ended = p.line(ended, "was killed"); strings.Contains(line, ", the leader, was killed") {
			return ended
		}
	}
}

func TestADemoThatIsKilledLeavesNoProcess(t *testing.T) {
	p := startBalsa(t, []string{"TMPDIR=" + t.TempDir()}, "demo", "--port", freePorts(t))
	p.line(0, "leads, term")
	pids := memberPIDs(t, p)
	if len(pids) != 3 {
		t.Fatalf("it started %v", pids)
	}
	p.signal(syscall.SIGKILL)
	p.wait()
	gone(t, pids)
}

func TestADemoWithoutADirectoryLeavesNoData(t *testing.T) {
	temporary := t.TempDir()
	p := startBalsa(t, []string{"TMPDIR=" + temporary}, "demo", "--members", "1", "--port", freePorts(t))
	p.line(0, "leads, term")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestADemoSaysWhenAPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_, stderr, code := balsa(t, "demo", "--port", port, "--members", "1")
	if code != 1 || !strings.Contains(stderr, "port "+port+" is taken") || !strings.Contains(stderr, "--port=") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
