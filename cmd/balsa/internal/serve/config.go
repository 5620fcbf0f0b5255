// Package serve is `balsa serve`: it runs one member of a cluster.
//
// It turns flags into a checked Config, sees to it that the data directory is this member's and nobody else's, and wires the rooms below: the key-value
// store, the replicated group, the etcd API in front of it. Nothing of the protocol or of the API is decided here.
//
// Order of a start: what can be checked without touching anything is checked first, then the ports are taken, then the directory is
// locked, and only then is anything written.
package serve

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/etcdapi"
	"github.com/balsa-raft/balsa/raft"
)

// Config is what the flags say, as they say it. Check makes settings of it.
type Config struct {
	Name    string
	DataDir string

	ListenClientURLs, AdvertiseClientURLs []string
	ListenPeerURLs, AdvertisePeerURLs     []string
	ListenMetricsURLs                     []string

	InitialCluster, InitialClusterState, InitialClusterToken string

	HeartbeatInterval, ElectionTimeout uint // milliseconds
	SnapshotCount                      uint64
	MaxRequestBytes                    uint
	MaxTxnOps                          uint

	LogLevel, LogFormat string
	EnablePprof         bool

	consoleFlags

	// given says which flags were set, by the command line or by the environment.
	given func(flag string) bool
}

// The defaults of etcd, and the paper's timing.
const (
	defaultName      = "default"
	defaultClientURL = "http://localhost:2379"
	defaultPeerURL   = "http://localhost:2380"
	stateNew         = "new"
	stateExisting    = "existing"

	maxElectionTimeout = 50_000 // milliseconds, as in etcd
	maxRequestBytes    = 8<<20 - 64<<10
)

func (c *Config) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&c.Name, "name", defaultName, "this member's name, as --initial-cluster has it")
	flags.StringVar(&c.DataDir, "data-dir", "", "where this member keeps its data (default NAME.balsa)")
	flags.StringSliceVar(&c.ListenClientURLs, "listen-client-urls", []string{defaultClientURL}, "where to listen for clients")
	flags.StringSliceVar(&c.AdvertiseClientURLs, "advertise-client-urls", nil, "where clients reach this member (default: as --listen-client-urls)")
	flags.StringSliceVar(&c.ListenPeerURLs, "listen-peer-urls", []string{defaultPeerURL}, "where to listen for other members")
	flags.StringSliceVar(&c.AdvertisePeerURLs, "initial-advertise-peer-urls", nil, "where other members reach this one (default: as --initial-cluster says, else "+defaultPeerURL+")")
	flags.StringVar(&c.InitialCluster, "initial-cluster", "", "all members at the first start: NAME=URL,NAME=URL,... (default: this one alone)")
	flags.StringVar(&c.InitialClusterState, "initial-cluster-state", stateNew, "new: found the cluster; existing: join one that this member was added to")
	flags.StringVar(&c.InitialClusterToken, "initial-cluster-token", "balsa-cluster", "makes clusters of the same addresses differ")
	flags.UintVar(&c.HeartbeatInterval, "heartbeat-interval", 50, "how often a leader is heard of, in milliseconds")
	flags.UintVar(&c.ElectionTimeout, "election-timeout", 150, "shortest silence of the leader that starts an election, in milliseconds; the longest is twice that")
	flags.Uint64Var(&c.SnapshotCount, "snapshot-count", 100_000, "compact the log after so many entries")
	flags.UintVar(&c.MaxRequestBytes, "max-request-bytes", 3<<19, "largest request")
	flags.UintVar(&c.MaxTxnOps, "max-txn-ops", 128, "most operations in a transaction")
	flags.StringSliceVar(&c.ListenMetricsURLs, "listen-metrics-urls", nil, "where to serve /metrics and /health too (the client port always does)")
	flags.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&c.LogFormat, "log-format", "json", "json or text")
	flags.BoolVar(&c.EnablePprof, "enable-pprof", false, "serve /debug/pprof on --listen-metrics-urls")
	c.consoleFlags.register(flags)
	cli.Environment(flags)
	c.given = flags.Changed
}

// settings are a Config that was checked, in the terms of the rooms below.
type settings struct {
	Config
	dataDir                                string
	listenClients, listenPeers, listenHTTP []string // host:port
	advertiseClientURLs                    []string // empty: as the listeners turn out
	// peerURLs are this member's own. They come from the data directory when the flags do not say and it does.
	peerURLs []string
	// bootstrap are all members of --initial-cluster; self is this one.
	bootstrap []raft.Member
	self      raft.Member
	others    []string // the other members' peer URLs

	heartbeat, electionMin, electionMax time.Duration
}

// check reports the first thing that cannot be right, in the words of the flags. It touches nothing.
func (c *Config) check() (*settings, error) {
	s := &settings{Config: *c, dataDir: c.DataDir}
	if err := s.checkName(); err != nil {
		return nil, err
	}
	if s.dataDir == "" {
		s.dataDir = c.Name + ".balsa"
	}
	for _, step := range []func() error{s.checkURLs, s.checkCluster, s.checkLimits, s.checkLogging, s.consoleFlags.check} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *settings) checkName() error {
	switch {
	case s.Name == "":
		return cli.Usagef("--name is empty: a member needs a name")
	case strings.ContainsAny(s.Name, "=, \t\n"):
		return cli.Usagef("--name=%q: a name must not contain '=', ',' or spaces, since --initial-cluster is made of names", s.Name)
	case !slices.Contains([]string{stateNew, stateExisting}, s.InitialClusterState):
		return cli.Usagef("--initial-cluster-state=%s: choose new or existing", s.InitialClusterState)
	case s.InitialClusterToken == "":
		return cli.Usagef("--initial-cluster-token is empty: leave it out, or say something")
	}
	return nil
}

func (s *settings) checkURLs() error {
	var err error
	if s.listenClients, err = listenAddresses("listen-client-urls", s.ListenClientURLs); err != nil {
		return err
	}
	if s.listenPeers, err = listenAddresses("listen-peer-urls", s.ListenPeerURLs); err != nil {
		return err
	}
	if s.listenHTTP, err = listenAddresses("listen-metrics-urls", s.ListenMetricsURLs); err != nil && len(s.ListenMetricsURLs) > 0 {
		return err
	}
	for _, address := range slices.Concat(s.listenPeers, s.listenHTTP) {
		if slices.Contains(s.listenClients, address) && !strings.HasSuffix(address, ":0") {
			return cli.Usagef("%s is in --listen-client-urls and in another list of addresses: clients, members and metrics need ports of their own", address)
		}
	}
	if s.advertiseClientURLs, err = advertisedURLs("advertise-client-urls", s.AdvertiseClientURLs); err != nil {
		return err
	}
	for _, address := range s.listenClients {
		if host, _, _ := net.SplitHostPort(address); isUnspecified(host) && len(s.advertiseClientURLs) == 0 {
			return cli.Usagef("--listen-client-urls has %s, which means all addresses of this machine: say with --advertise-client-urls which one clients shall use", address)
		}
	}
	s.peerURLs, err = advertisedURLs("initial-advertise-peer-urls", s.AdvertisePeerURLs)
	return err
}

// checkCluster makes the members of --initial-cluster, and finds this one among them.
func (s *settings) checkCluster() error {
	list := s.InitialCluster
	if list == "" {
		if s.InitialClusterState == stateExisting {
			return cli.Usagef("--initial-cluster-state=existing needs --initial-cluster, to know whom to ask: `balsa member add` prints it")
		}
		if len(s.peerURLs) == 0 {
			s.peerURLs = []string{defaultPeerURL}
		}
		list = s.Name + "=" + strings.Join(s.peerURLs, ","+s.Name+"=")
	}
	members, err := parseCluster(list)
	if err != nil {
		return err
	}
	own := slices.IndexFunc(members, func(m clusterMember) bool { return m.name == s.Name })
	if own < 0 {
		return cli.Usagef("--initial-cluster does not have this member: --name is %q, and it names %s", s.Name, names(members))
	}
	if len(s.peerURLs) == 0 {
		s.peerURLs = members[own].urls
	} else if !slices.Equal(s.peerURLs, members[own].urls) {
		return cli.Usagef("--initial-cluster says that %s is at %s, --initial-advertise-peer-urls says %s: they have to be the same",
			s.Name, strings.Join(members[own].urls, ","), strings.Join(s.peerURLs, ","))
	}
	for i, m := range members {
		member, err := etcdapi.NewMember(etcdapi.MemberInfo{Name: m.name, PeerURLs: m.urls}, s.InitialClusterToken, nil)
		if err != nil {
			return cli.Usagef("--initial-cluster, member %s: %v", m.name, err)
		}
		s.bootstrap = append(s.bootstrap, member)
		if i == own {
			s.self = member
		} else {
			s.others = append(s.others, m.urls...)
		}
	}
	return nil
}

func (s *settings) checkLimits() error {
	switch {
	case s.HeartbeatInterval == 0:
		return cli.Usagef("--heartbeat-interval=0: has to be at least 1 millisecond")
	case s.ElectionTimeout < 2*s.HeartbeatInterval:
		return cli.Usagef("--election-timeout=%d is less than twice --heartbeat-interval=%d: one lost heartbeat would start an election",
			s.ElectionTimeout, s.HeartbeatInterval)
	case s.ElectionTimeout > maxElectionTimeout:
		return cli.Usagef("--election-timeout=%d is too long: at most %d milliseconds", s.ElectionTimeout, maxElectionTimeout)
	case s.SnapshotCount == 0:
		return cli.Usagef("--snapshot-count=0: the log would never be compacted; say at least 1")
	case s.MaxRequestBytes == 0 || s.MaxRequestBytes > maxRequestBytes:
		return cli.Usagef("--max-request-bytes=%d: has to be from 1 to %d", s.MaxRequestBytes, maxRequestBytes)
	case s.MaxTxnOps == 0:
		return cli.Usagef("--max-txn-ops=0: has to be at least 1")
	}
	s.heartbeat = time.Duration(s.HeartbeatInterval) * time.Millisecond
	s.electionMin = time.Duration(s.ElectionTimeout) * time.Millisecond
	s.electionMax = 2 * s.electionMin
	return nil
}

func (s *settings) checkLogging() error {
	if _, known := logLevels[s.LogLevel]; !known {
		return cli.Usagef("--log-level=%s: choose debug, info, warn or error", s.LogLevel)
	}
	if !slices.Contains(logFormats, s.LogFormat) {
		return cli.Usagef("--log-format=%s: choose json or text", s.LogFormat)
	}
	if s.EnablePprof && len(s.listenHTTP) == 0 {
		return cli.Usagef("--enable-pprof needs --listen-metrics-urls: profiles are not for clients")
	}
	return nil
}

// clusterMember is one name of --initial-cluster with its URLs in ascending order.
type clusterMember struct {
	name string
	urls []string
}

// parseCluster reads NAME=URL,NAME=URL,... A name may come several times, a URL only once.
func parseCluster(list string) ([]clusterMember, error) {
	var members []clusterMember
	owner := map[string]string{}
	for item := range strings.SplitSeq(list, ",") {
		name, raw, found := strings.Cut(strings.TrimSpace(item), "=")
		if !found || name == "" {
			return nil, cli.Usagef("--initial-cluster: %q is not NAME=URL; an example: m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380", item)
		}
		u, err := parseURL("initial-cluster", raw)
		if err != nil {
			return nil, err
		}
		if other, taken := owner[u]; taken {
			return nil, cli.Usagef("--initial-cluster: %s and %s have the same URL %s", other, name, u)
		}
		owner[u] = name
		i := slices.IndexFunc(members, func(m clusterMember) bool { return m.name == name })
		if i < 0 {
			members, i = append(members, clusterMember{name: name}), len(members)
		}
		members[i].urls = append(members[i].urls, u)
		slices.Sort(members[i].urls)
	}
	return members, nil
}

func names(members []clusterMember) string {
	var all []string
	for _, m := range members {
		all = append(all, m.name)
	}
	return strings.Join(all, ", ")
}

// listenAddresses reads URLs to listen at, and gives their host:port.
func listenAddresses(flag string, urls []string) ([]string, error) {
	if len(urls) == 0 {
		return nil, cli.Usagef("--%s is empty: say where to listen, such as http://127.0.0.1:2379", flag)
	}
	var addresses []string
	for _, raw := range urls {
		text, err := parseURL(flag, raw)
		if err != nil {
			return nil, err
		}
		address := strings.TrimPrefix(text, "http://")
		if slices.Contains(addresses, address) && !strings.HasSuffix(address, ":0") {
			return nil, cli.Usagef("--%s has %s twice", flag, address)
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

// advertisedURLs reads URLs that are told to others, in ascending order.
func advertisedURLs(flag string, urls []string) ([]string, error) {
	var all []string
	for _, raw := range urls {
		text, err := parseURL(flag, raw)
		if err != nil {
			return nil, err
		}
		host, port, _ := net.SplitHostPort(strings.TrimPrefix(text, "http://"))
		if isUnspecified(host) || port == "0" {
			return nil, cli.Usagef("--%s=%s: nobody can connect to that; say the address by which this machine is reached", flag, raw)
		}
		if slices.Contains(all, text) {
			return nil, cli.Usagef("--%s has %s twice", flag, text)
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all, nil
}

// parseURL checks one URL and gives it without a trailing slash.
func parseURL(flag, raw string) (string, error) {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	switch {
	case !strings.Contains(raw, "://"):
		// Of host:port the parser says something about path segments, or takes the host for the scheme.
		return "", cli.Usagef("--%s=%s is malformed: it has to be http://HOST:PORT", flag, raw)
	case err != nil:
		return "", cli.Usagef("--%s: %v", flag, err)
	case u.Scheme == "https":
		return "", cli.Usagef("--%s=%s: TLS is not supported yet, use http://", flag, raw)
	case u.Scheme != "http":
		return "", cli.Usagef("--%s=%s is malformed: it has to be http://HOST:PORT", flag, raw)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", cli.Usagef("--%s=%s: only http://HOST:PORT is allowed, nothing after it", flag, raw)
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil || host == "" || port == "" {
		return "", cli.Usagef("--%s=%s is malformed: it has to be http://HOST:PORT, both given", flag, raw)
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n > 65535 {
		return "", cli.Usagef("--%s=%s: %s is not a port", flag, raw, port)
	}
	return "http://" + u.Host, nil
}

// isUnspecified says whether a host means all addresses of the machine.
func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

func hexID[T ~uint64](id T) string { return fmt.Sprintf("%x", uint64(id)) }
