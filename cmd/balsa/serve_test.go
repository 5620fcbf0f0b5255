package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAMemberServesStopsAsAskedAndGoesOn(t *testing.T) {
	s := newServer(t, "m1")
	metrics := freeAddress(t)
	p := s.start(t, "--listen-metrics-urls", "http://"+metrics, "--enable-pprof")
	for url, want := range map[string]string{
		"http://" + s.client + "/health":              `"health":"true"`,
		"http://" + s.client + "/metrics":             "balsa_has_leader 1",
		"http://" + s.client + "/version":             "etcdserver",
		"http://" + s.client + "/debug/pprof/cmdline": "404",
		"http://" + metrics + "/health":               `"health":"true"`,
		"http://" + metrics + "/metrics":              "balsa_log_syncs_total",
		"http://" + metrics + "/debug/pprof/cmdline":  "serve",
		"http://" + s.peer + "/members":               s.peer,
		"http://" + s.peer + "/members?stale=true":    s.client,
		"http://" + s.peer + "/metrics":               "this port is for other members",
	} {
		if got := get(t, url); !strings.Contains(got, want) {
			t.Errorf("%s answers %.300q, want %q in it", url, got, want)
		}
	}
	must(t, "put", "greeting", "hello", "--endpoints", s.client)
	p.stop()
	s.start(t, "--initial-cluster-state", "new")
	if got := must(t, "get", "greeting", "--endpoints", s.client); got != "greeting\nhello\n" {
		t.Errorf("after a restart it answers %q", got)
	}
}

func TestEveryFlagMayComeFromTheEnvironment(t *testing.T) {
	s := newServer(t, "m1")
	p := startBalsa(t, []string{
		"BALSA_NAME=m1", "BALSA_DATA_DIR=" + s.dir, "BALSA_LOG_FORMAT=text", "BALSA_LISTEN_CLIENT_URLS=http://" + s.client,
		"BALSA_LISTEN_PEER_URLS=http://" + s.peer, "BALSA_INITIAL_ADVERTISE_PEER_URLS=http://" + s.peer,
	}, "serve")
	if line, _ := p.line(0, readyLine); !strings.Contains(line, s.client) || !strings.Contains(line, s.peer) {
		t.Errorf("it is ready as %s", line)
	}
	p.stop()
	if _, err := os.Stat(filepath.Join(s.dir, "identity.json")); err != nil {
		t.Error(err)
	}
}

func TestADirectoryThatIsSomebodyElsesIsRefused(t *testing.T) {
	s := newServer(t, "m1")
	s.start(t).stop()
	lost := newServer(t, "m1")
	lost.start(t).stop()
	if err := os.RemoveAll(filepath.Join(lost.dir, "raft")); err != nil {
		t.Fatal(err)
	}
	foreign, damaged, blocked := newServer(t, "m1"), newServer(t, "m1"), newServer(t, "m1")
	blocked.dir = filepath.Join(blocked.dir, "file", "data")
	sealed := newServer(t, "m1")
	sealed.dir = "/sys" // which nobody makes files in, not even root
	for path, text := range map[string]string{
		filepath.Join(foreign.dir, "member", "snap", "db"): "etcd's",
		filepath.Join(damaged.dir, "identity.json"):        "{",
		filepath.Dir(blocked.dir):                          "a file",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		server *server
		flags  []string
		want   string
	}{
		"another member's":       {s, []string{"--name=m2", "--initial-cluster=m2=http://" + s.peer}, `belongs to member "m1"`},
		"another cluster's":      {s, []string{"--initial-cluster-token=other"}, "which was made with --initial-cluster-token=balsa-cluster, not other"},
		"at another address":     {s, []string{"--initial-cluster=m1=http://127.0.0.1:1"}, "balsa member update m1"},
		"one without its log":    {lost, nil, "is not the one that member"},
		"etcd's":                 {foreign, nil, "is not empty (it has member)"},
		"one with a damaged id":  {damaged, nil, "identity.json is damaged"},
		"one that cannot be had": {blocked, nil, "Choose another one with --data-dir"},
		"one without permission": {sealed, nil, "the data directory /sys cannot be written"},
	} {
		_, stderr, code := balsa(t, c.server.flags(c.flags...)...)
		if code != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, want 1 and %q: %s", name, code, c.want, stderr)
		}
	}
	s.start(t).stop() // nothing of this has harmed it
}

func TestWhatIsInUseIsRefused(t *testing.T) {
	s := newServer(t, "m1")
	p := s.start(t, "--listen-metrics-urls", "http://"+freeAddress(t))
	other := newServer(t, "m2")
	for name, c := range map[string]struct {
		flags []string
		want  string
	}{
		"the directory":   {(&server{name: "m1", dir: s.dir, client: other.client, peer: other.peer}).flags(), fmt.Sprintf("in use by another process, process %d", p.cmd.Process.Pid)},
		"the client port": {(&server{name: "m2", dir: other.dir, client: s.client, peer: other.peer}).flags(), "choose another address with --listen-client-urls"},
		"the peer port":   {(&server{name: "m2", dir: other.dir, client: other.client, peer: s.peer}).flags(), "choose another address with --listen-peer-urls"},
		"a metrics port":  {other.flags("--listen-metrics-urls", "http://"+s.client), "choose another address with --listen-metrics-urls"},
	} {
		_, stderr, code := balsa(t, c.flags...)
		if code != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, want 1 and %q: %s", name, code, c.want, stderr)
		}
	}
	if entries, err := os.ReadDir(other.dir); err == nil && len(entries) > 0 {
		t.Errorf("a member that could not start left %v behind", entries)
	}
}

// TestAMemberJoinsByWhatMemberAddPrints is the whole way from one member to two, by nothing but what the commands say.
func TestAMemberJoinsByWhatMemberAddPrints(t *testing.T) {
	m1, m2 := newServer(t, "m1"), newServer(t, "m2")
	m1.start(t, steady...)
	must(t, "put", "greeting", "hello", "--endpoints", m1.client)

	// Before it is added it is told to be.
	join := m2.flags(append(steady, "--initial-cluster-state=existing", fmt.Sprintf("--initial-cluster=m1=http://%s,m2=http://%s", m1.peer, m2.peer))...)
	if _, stderr, code := balsa(t, join...); code != 1 || !strings.Contains(stderr, "Add it first: balsa member add m2") {
		t.Errorf("a member that was not added: exit code %d: %s", code, stderr)
	}

	printed := must(t, "member", "add", "m2", "--peer-urls", "http://"+m2.peer, "--learner", "--endpoints", m1.client)
	var environment []string
	for line := range strings.Lines(printed) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(name, "BALSA_") {
			environment = append(environment, name+"="+strings.Trim(value, `"`))
		}
	}
	if len(environment) != 6 {
		t.Fatalf("it prints %d settings: %s", len(environment), printed)
	}
	// The client port that it proposes may be anybody's on a machine that runs tests.
	p := startBalsa(t, environment, append([]string{"serve", "--data-dir", m2.dir, "--log-format=text", "--listen-client-urls=http://" + m2.client}, steady...)...)
	p.line(0, readyLine)
	if got := must(t, "get", "greeting", "--serializable", "--endpoints", m2.client); got != "greeting\nhello\n" {
		t.Errorf("the new member answers %q", got)
	}
	if out := must(t, "status", "--endpoints", m1.client); !strings.Contains(out, "learner") || !strings.Contains(out, m2.client) {
		t.Errorf("the status shows no learner:\n%s", out)
	}
	promote(t, m1.client)
	if out := must(t, "member", "list", "--endpoints", m2.client); strings.Contains(out, "learner") {
		t.Errorf("after its promotion it is still a learner:\n%s", out)
	}
	must(t, "move-leader", "m2", "--endpoints", m1.client)

	// Stopped and started again it goes on; with its directory lost it is refused.
	p.stop()
	if out := must(t, "status", "--endpoints", m1.client); !regexp.MustCompile("m2 .* down .* connection refused").MatchString(out) {
		t.Errorf("with m2 down the status says:\n%s", out)
	}
	again := startBalsa(t, nil, join...)
	again.line(0, readyLine)
	again.stop()
	if err := os.RemoveAll(m2.dir); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"new", "existing"} {
		// The cluster has no majority without m2: an answer to "new" needs none, and one to "existing" is refused for want of it.
		_, stderr, code := balsa(t, append(join, "--initial-cluster-state="+state)...)
		want := map[string]string{"new": "has run with another data directory", "existing": "A majority has to be up"}[state]
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("with its directory lost, as %s: exit code %d, want %q: %s", state, code, want, stderr)
		}
	}
}

// promote makes m2 a voter as soon as it has caught up.
func promote(t *testing.T, endpoint string) {
	t.Helper()
	for range 1000 {
		_, stderr, code := balsa(t, "member", "promote", "m2", "--endpoints", endpoint)
		if code == 0 {
			return
		}
		if !strings.Contains(stderr, "in sync") {
			t.Fatal(stderr)
		}
	}
	t.Fatal("the learner never catches up")
}

func TestARemovedMemberStopsAndSaysWhy(t *testing.T) {
	m1, m2 := newServer(t, "m1"), newServer(t, "m2")
	m1.start(t, steady...)
	must(t, "member", "add", "m2", "--peer-urls", "http://"+m2.peer, "--learner", "--endpoints", m1.client)
	p := m2.start(t, append(steady, "--initial-cluster-state=existing", fmt.Sprintf("--initial-cluster=m1=http://%s,m2=http://%s", m1.peer, m2.peer))...)
	promote(t, m1.client)
	must(t, "member", "remove", "m2", "--endpoints", m1.client)
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.line(0, "balsa: member m2", "was removed from cluster")
	must(t, "put", "alone", "again", "--endpoints", m1.client)
}

// TestAReplacedFounderStartsAsItWasAdded makes the mistake of starting with the flags of the first time: it costs nothing but the start.
func TestAReplacedFounderStartsAsItWasAdded(t *testing.T) {
	m1, m2 := newServer(t, "m1"), newServer(t, "m2")
	both := append(steady, fmt.Sprintf("--initial-cluster=m1=http://%s,m2=http://%s", m1.peer, m2.peer))
	first := startBalsa(t, nil, m1.flags(both...)...)
	p := m2.start(t, both...)
	first.line(0, readyLine) // The last one that has started cannot be removed.
	must(t, "member", "remove", "m2", "--endpoints", m1.client)
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	must(t, "member", "add", "m2", "--peer-urls", "http://"+m2.peer, "--learner", "--endpoints", m1.client)
	if _, stderr, code := balsa(t, m2.flags(both...)...); code != 1 || !strings.Contains(stderr, "It was added anew as") {
		t.Errorf("with the removed one's directory: exit code %d: %s", code, stderr)
	}
	if err := os.RemoveAll(m2.dir); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := balsa(t, m2.flags(both...)...); code != 1 || !strings.Contains(stderr, "Start it with --initial-cluster-state=existing") {
		t.Errorf("with the flags of the first start: exit code %d: %s", code, stderr)
	}
	m2.start(t, append(both, "--initial-cluster-state=existing")...)
}

func TestLimitsAreTheFlags(t *testing.T) {
	s := newServer(t, "m1")
	s.start(t, "--max-request-bytes", "1000", "--max-txn-ops", "2")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a large request":     {[]string{"put", "big", strings.Repeat("x", 2000)}, "request is too large"},
		"many operations":     {[]string{"txn", "--then", "get a", "--then", "get b", "--then", "get c"}, "too many operations"},
		"an empty key":        {[]string{"txn", "--then", "put '' x"}, "key is not provided"},
		"the same key twice":  {[]string{"txn", "--then", "put a 1", "--then", "put a 2"}, "duplicate key"},
		"a future revision":   {[]string{"get", "a", "--rev", "99"}, "future revision"},
		"a future compaction": {[]string{"compact", "99"}, "future revision"},
		"an unknown lease":    {[]string{"put", "a", "b", "--lease", "1"}, "lease not found"},
		"an unknown member":   {[]string{"move-leader", "m9"}, "no member has the name"},
	} {
		_, stderr, code := balsa(t, append(c.args, "--endpoints", s.client)...)
		if code == 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, want %q: %s", name, code, c.want, stderr)
		}
	}
	must(t, "put", "small", strings.Repeat("x", 500), "--endpoints", s.client)
}

func TestGarbageOnThePortsDoesNoHarm(t *testing.T) {
	s := newServer(t, "m1")
	s.start(t)
	for _, address := range []string{s.client, s.peer} {
		for _, garbage := range []string{"\x00", "hello\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", strings.Repeat("\xff", 1<<20), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, garbage) // it may be closed before all is written
			if half, ok := conn.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, conn) // the server closes it; how is its business
			conn.Close()
		}
	}
	must(t, "put", "still", "here", "--endpoints", s.client)
}

func TestASecondSignalIsNotNeeded(t *testing.T) {
	s := newServer(t, "m1")
	p := startBalsa(t, nil, s.flags("--initial-cluster=m1=http://"+s.peer+",m2=http://127.0.0.1:1")...)
	p.line(0, "no leader is known") // and there never will be one
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 0 {
		t.Errorf("without a leader it stopped with exit code %d", code)
	}
}
