package serve

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// parse makes a Config of a command line.
func parse(t *testing.T, args ...string) *Config {
	t.Helper()
	var c Config
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	c.register(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &c
}

func mustCheck(t *testing.T, args ...string) *settings {
	t.Helper()
	s, err := parse(t, args...).check()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultsAreEtcdsAndThePapers(t *testing.T) {
	s := mustCheck(t)
	if s.dataDir != "default.balsa" || s.Name != "default" {
		t.Errorf("name %q, data in %q", s.Name, s.dataDir)
	}
	if !slices.Equal(s.listenClients, []string{"localhost:2379"}) || !slices.Equal(s.listenPeers, []string{"localhost:2380"}) {
		t.Errorf("listens at %v and %v", s.listenClients, s.listenPeers)
	}
	if s.heartbeat != 50*time.Millisecond || s.electionMin != 150*time.Millisecond || s.electionMax != 300*time.Millisecond {
		t.Errorf("timing %v, %v to %v", s.heartbeat, s.electionMin, s.electionMax)
	}
	if len(s.bootstrap) != 1 || s.self.Address != "localhost:2380" || len(s.others) != 0 {
		t.Errorf("bootstrap %v, self %v, others %v", s.bootstrap, s.self, s.others)
	}
	if s.MaxRequestBytes != 1572864 || s.MaxTxnOps != 128 {
		t.Errorf("limits %d and %d", s.MaxRequestBytes, s.MaxTxnOps)
	}
}

func TestMembersAgreeOnWhoTheyAre(t *testing.T) {
	cluster := "--initial-cluster=a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380"
	a, b := mustCheck(t, "--name=a", cluster), mustCheck(t, "--name=b", cluster)
	for i := range a.bootstrap {
		if a.bootstrap[i].ID != b.bootstrap[i].ID || string(a.bootstrap[i].Meta) != string(b.bootstrap[i].Meta) {
			t.Errorf("member %d is %v to a and %v to b", i, a.bootstrap[i], b.bootstrap[i])
		}
	}
	if a.self.Address != "10.0.0.1:2380" || b.self.Address != "10.0.0.2:2380" {
		t.Errorf("they are %s and %s", a.self.Address, b.self.Address)
	}
	if !slices.Equal(b.others, []string{"http://10.0.0.1:2380", "http://10.0.0.3:2380"}) {
		t.Errorf("b's others are %v", b.others)
	}
	other := mustCheck(t, "--name=a", cluster, "--initial-cluster-token=another")
	if other.self.ID == a.self.ID {
		t.Error("clusters of different tokens have members of the same id")
	}
}

func TestAMemberMayHaveSeveralAddresses(t *testing.T) {
	s := mustCheck(t, "--name=a", "--initial-cluster=a=http://10.0.0.1:2390/,a=http://10.0.0.1:2380")
	if !slices.Equal(s.peerURLs, []string{"http://10.0.0.1:2380", "http://10.0.0.1:2390"}) || len(s.bootstrap) != 1 {
		t.Errorf("peer URLs %v, bootstrap %v", s.peerURLs, s.bootstrap)
	}
}

func TestWrongFlagsAreRefusedInTheirOwnWords(t *testing.T) {
	two := "--initial-cluster=a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--name is empty", []string{"--name="}},
		{"a name must not contain", []string{"--name=a,b"}},
		{"choose new or existing", []string{"--initial-cluster-state=old"}},
		{"--initial-cluster-token is empty", []string{"--initial-cluster-token="}},
		{"needs --initial-cluster", []string{"--initial-cluster-state=existing"}},

		{"TLS is not supported yet", []string{"--listen-client-urls=https://10.0.0.1:2379"}},
		{"--listen-client-urls=10.0.0.1 is malformed", []string{"--listen-client-urls=10.0.0.1"}},
		{"--listen-client-urls=127.0.0.1:1 is malformed: it has to be http://HOST:PORT", []string{"--listen-client-urls=127.0.0.1:1"}},
		{"--listen-client-urls=localhost:1 is malformed: it has to be http://HOST:PORT", []string{"--listen-client-urls=localhost:1"}},
		{"--initial-cluster=127.0.0.1:1 is malformed: it has to be http://HOST:PORT", []string{"--name=a", "--initial-cluster=a=127.0.0.1:1"}},
		{"both given", []string{"--listen-client-urls=http://10.0.0.1"}},
		{"both given", []string{"--listen-peer-urls=http://:2380"}},
		{"is not a port", []string{"--listen-client-urls=http://10.0.0.1:99999"}},
		{"nothing after it", []string{"--listen-client-urls=http://10.0.0.1:2379/v3"}},
		{"invalid port", []string{"--listen-client-urls=http://10.0.0.1:2379 x"}},
		{"--listen-client-urls has 10.0.0.1:1 twice", []string{"--listen-client-urls=http://10.0.0.1:1,http://10.0.0.1:1"}},
		{"need ports of their own", []string{"--listen-client-urls=http://10.0.0.1:1", "--listen-peer-urls=http://10.0.0.1:1"}},
		{"need ports of their own", []string{"--listen-client-urls=http://10.0.0.1:1", "--listen-metrics-urls=http://10.0.0.1:1"}},
		{"say with --advertise-client-urls", []string{"--listen-client-urls=http://0.0.0.0:2379"}},
		{"nobody can connect to that", []string{"--advertise-client-urls=http://0.0.0.0:2379"}},
		{"nobody can connect to that", []string{"--initial-advertise-peer-urls=http://10.0.0.1:0"}},

		{"it names a, b", []string{"--name=c", two}},
		{"they have to be the same", []string{"--name=a", two, "--initial-advertise-peer-urls=http://10.0.0.9:2380"}},
		{"is not NAME=URL", []string{"--name=a", "--initial-cluster=http://10.0.0.1:2380"}},
		{"is not NAME=URL", []string{"--name=a", "--initial-cluster=a=http://10.0.0.1:2380,"}},
		{"have the same URL", []string{"--name=a", "--initial-cluster=a=http://10.0.0.1:2380,b=http://10.0.0.1:2380"}},

		{"at least 1 millisecond", []string{"--heartbeat-interval=0"}},
		{"less than twice --heartbeat-interval", []string{"--election-timeout=99"}},
		{"is too long", []string{"--election-timeout=50001"}},
		{"--snapshot-count=0", []string{"--snapshot-count=0"}},
		{"--max-request-bytes=0", []string{"--max-request-bytes=0"}},
		{"--max-request-bytes=100000000", []string{"--max-request-bytes=100000000"}},
		{"--max-txn-ops=0", []string{"--max-txn-ops=0"}},
		{"choose debug, info, warn or error", []string{"--log-level=loud"}},
		{"choose json or text", []string{"--log-format=xml"}},
		{"--enable-pprof needs --listen-metrics-urls", []string{"--enable-pprof"}},
	} {
		_, err := parse(t, c.args...).check()
		if err == nil || !cli.IsUsage(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want a usage error with %q", c.args, err, c.want)
		}
	}
}

// FuzzParseCluster: whatever stands in --initial-cluster, it is a list of members or a usage error.
func FuzzParseCluster(f *testing.F) {
	f.Add("a=http://10.0.0.1:2380,b=http://[::1]:2380")
	f.Add("a=http://x:1,a=http://x:2,=,")
	f.Fuzz(func(t *testing.T, list string) {
		members, err := parseCluster(list)
		if err != nil && !cli.IsUsage(err) {
			t.Errorf("%q: %v", list, err)
		}
		if err == nil && len(members) == 0 {
			t.Errorf("%q makes a cluster of nobody", list)
		}
	})
}
