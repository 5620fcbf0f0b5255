package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/etcdapi"
	"github.com/balsa-raft/balsa/kv"
	"github.com/balsa-raft/balsa/lab/console"
)

// keyValueGroup is the one group that a server carries.
const keyValueGroup balsa.GroupID = 1

// cachedBytes is how much of the log stays in memory for members that are behind. Who is further behind gets it from the disk; and each byte that stays costs two, since the
// garbage collector lets the heap become twice of what is alive.
const cachedBytes = 1 << 20

// member is one running member: everything that start made and stop has to take apart, in the order in which it was made.
type member struct {
	*settings
	logger   *slog.Logger
	sockets  *sockets
	dir      *directory
	identity *identity
	ids      parsedIDs
	peerPort *splitListener
	members  *membersHandler
	peerWeb  *http.Server
	host     *balsa.Host
	store    *kv.Store
	group    *balsa.Group
	api      *etcdapi.API
	server   *etcdapi.Server
	registry *prometheus.Registry
	requests *etcdapi.Metrics
	metrics  *http.Server // nil without --listen-metrics-urls
	recorder *console.Recorder
	cutter   *console.Cutter
	console  *http.Server // nil without --console
	// endConsole ends the console's WebSockets, which the server does not know any more.
	endConsole context.CancelFunc
}

// start brings a member up to the point where it takes part in its group and answers clients. On an error nothing is left behind but what is
// on disk.
func start(ctx context.Context, s *settings, logger *slog.Logger) (_ *member, err error) {
	m := &member{settings: s, logger: logger.With("member", s.Name), registry: prometheus.NewRegistry()}
	m.requests = etcdapi.NewMetrics(m.registry)
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if m.sockets, err = openSockets(s); err != nil {
		return nil, err
	}
	if m.dir, err = openDirectory(s.dataDir); err != nil {
		return nil, err
	}
	m.openPeerPort()
	identified := make(chan struct{})
	go m.peerPort.turnAway(identified)
	err = m.identify(ctx)
	close(identified)
	if err != nil {
		return nil, err
	}
	if dialled, listening := m.unheard(); dialled != "" {
		m.logger.Warn("nothing listens at the port that the other members dial: give --listen-peer-urls, unless something forwards it",
			"peer_url", dialled, "listening", listening)
	}
	if err = m.openHost(); err != nil {
		return nil, err
	}
	if m.store, err = kv.Open(m.dir.join(kvDir), kv.Options{Logger: m.logger, Fatal: m.fatal}); err != nil {
		return nil, fmt.Errorf("opening the database in %s: %w", s.dataDir, err)
	}
	if err = m.startGroup(); err != nil {
		return nil, err
	}
	return m, m.startAPI()
}

// openPeerPort begins to answer other members' questions, though there is no answer yet.
func (m *member) openPeerPort() {
	m.peerPort = splitPeers(m.sockets.peers)
	m.sockets.peers = nil // they are the port's now
	m.members = &membersHandler{}
	m.peerWeb = newPeerWeb(m.members)
	go func() { _ = m.peerWeb.Serve(m.peerPort.web) }() // ends when the port is closed
}

// identify settles who this member is: the directory says so, or else the cluster, or else the flags.
func (m *member) identify(ctx context.Context) error {
	known, err := readIdentity(m.dataDir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch {
	case known != nil:
		err = m.recognise(ctx, known)
	default:
		known, err = m.introduce(ctx)
	}
	if err != nil {
		return err
	}
	m.identity = known
	m.ids, err = known.ids()
	return err
}

// recognise compares a directory that was used before with the flags.
func (m *member) recognise(ctx context.Context, known *identity) error {
	err := known.matches(m.settings)
	if errors.Is(err, errMoved) && m.confirmMove(ctx, known) {
		m.logger.Info("the cluster confirms that this member moved", "from", known.PeerURLs, "to", m.peerURLs)
		known.PeerURLs = m.peerURLs
		return known.write(m.dataDir)
	}
	if err != nil {
		return err
	}
	m.peerURLs, m.Name = known.PeerURLs, known.Name
	return nil
}

// unheard gives the peer URL that the other members dial if nothing here listens at its port, and what is listened at instead.
func (m *member) unheard() (dialled string, listening []string) {
	u, err := url.Parse(m.peerURLs[0])
	if err != nil {
		return "", nil
	}
	for _, base := range m.peerPort.bases {
		address := base.Addr().String()
		if _, port, err := net.SplitHostPort(address); err == nil && port == u.Port() {
			return "", nil
		}
		listening = append(listening, address)
	}
	return m.peerURLs[0], listening
}

// introduce makes the identity of a member that starts for the first time.
func (m *member) introduce(ctx context.Context) (*identity, error) {
	empty, found, err := m.dir.isEmpty()
	if err != nil {
		return nil, err
	}
	if !empty {
		return nil, cli.Advise(fmt.Errorf("the data directory %s is not empty (it has %s) and is not one of Balsa's: it has no %s", m.dataDir, found, identityFile),
			"Give an empty directory, or one that does not exist yet, with --data-dir.")
	}
	who := m.foundAs
	if m.InitialClusterState == stateExisting {
		who = m.joinAs
	}
	known, err := who(ctx)
	if err != nil {
		return nil, err
	}
	return known, known.write(m.dataDir)
}

// fatal ends the process when the database says, from one of its own goroutines, that it cannot go on.
func (m *member) fatal(err error) {
	m.logger.Error("the database cannot go on", "error", err)
	line, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintf(os.Stderr, "balsa: %s\nIf the disk is sound, the file was damaged: replace the member. balsa member remove %s, empty %s, then balsa member add %s --peer-urls=%s\n",
		line, hexID(m.ids.member), m.dataDir, m.Name, strings.Join(m.peerURLs, ","))
	os.Exit(cli.ExitFailed)
}

// openHost opens the log and the peer port, and makes sure that this is the log the member voted with.
func (m *member) openHost() error {
	address, err := etcdapi.PeerAddress(m.peerURLs[0])
	if err != nil {
		return err
	}
	o := balsa.Options{
		Dir: m.dir.join(raftDir), Listener: m.peerPort, Advertise: address, Cluster: m.ids.cluster,
		HeartbeatInterval: m.heartbeat, ElectionTimeoutMin: m.electionMin, ElectionTimeoutMax: m.electionMax,
		CompactEntries: m.SnapshotCount, CachedBytes: cachedBytes, MaxCommandBytes: int(m.MaxRequestBytes) + 64<<10,
		Logger: m.logger, Observe: m.observer(),
	}
	if m.ConsoleCuts {
		m.cutter = console.NewCutter(m.ConsoleCut)
		o.Dial = m.cutter.Dial
	}
	m.host, err = balsa.Open(o)
	if err != nil {
		return fmt.Errorf("opening the log in %s: %w", m.dataDir, err)
	}
	if m.ids.incarnation == 0 {
		m.ids.incarnation = m.host.Incarnation()
		m.identity.Incarnation = hexID(m.ids.incarnation)
		return m.identity.write(m.dataDir)
	}
	if m.ids.incarnation != m.host.Incarnation() {
		return cli.Advise(fmt.Errorf("the log in %s is not the one that member %s voted with: that one is gone", m.dir.join(raftDir), m.identity.MemberID),
			"Bring the log back if you moved it. If it is lost, replace the member: balsa member remove "+m.identity.MemberID+
				", empty the directory, then balsa member add "+m.Name+" --peer-urls="+strings.Join(m.peerURLs, ","))
	}
	return nil
}

// startGroup founds the group, joins it, or goes on with it.
func (m *member) startGroup() (err error) {
	if !m.host.Has(keyValueGroup) && m.InitialClusterState == stateNew {
		m.group, err = m.host.Start(keyValueGroup, m.bootstrap, m.store)
	} else {
		m.group, err = m.host.Join(keyValueGroup, m.ids.member, m.store)
	}
	if err != nil {
		return fmt.Errorf("restoring this member from %s: %w", m.dataDir, err)
	}
	m.members.ready(m.ids.cluster, m.group)
	return nil
}

// startAPI begins to answer clients. Who asks before there is a leader waits for one, or is told.
func (m *member) startAPI() (err error) {
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newHostCollector(m.host))
	etcdapi.RegisterGroup(m.registry, m.group, m.store)
	m.api, err = etcdapi.New(etcdapi.Options{
		Group: m.group, Store: m.store, ClusterID: m.ids.cluster,
		MaxRequestBytes: int(m.MaxRequestBytes), MaxTxnOps: int(m.MaxTxnOps), ElectionTimeout: m.electionMax,
		ProductVersion: cli.Version(), Logger: m.logger, Metrics: m.requests, HTTP: m.consoleHandlers(),
	})
	if err != nil {
		return err
	}
	m.server = etcdapi.NewServer(m.api, m.registry)
	for _, l := range m.sockets.clients {
		go func() {
			if err := m.server.Serve(l); err != nil {
				m.logger.Error("serving clients ended", "address", l.Addr().String(), "error", err)
			}
		}()
	}
	m.sockets.clients = nil // they are the server's now
	m.startMetrics()
	m.startConsole()
	return nil
}

func (m *member) startMetrics() {
	if len(m.sockets.metrics) == 0 {
		return
	}
	m.metrics = &http.Server{Handler: metricsHandler(m.api.Handler(m.registry), m.EnablePprof), ReadHeaderTimeout: 5 * time.Second}
	for _, l := range m.sockets.metrics {
		go func() {
			if err := m.metrics.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				m.logger.Error("serving metrics ended", "address", l.Addr().String(), "error", err)
			}
		}()
	}
	m.sockets.metrics = nil
}

// clientURLs are those to tell others. Where a port was left to the operating system, it is known by now.
func (m *member) clientURLs() []string {
	if len(m.advertiseClientURLs) > 0 {
		return m.advertiseClientURLs
	}
	return m.sockets.clientURLs
}

// sockets are the ports, taken before anything else is done so that a taken one changes nothing.
type sockets struct {
	clients, peers, metrics []net.Listener
	console                 net.Listener
	clientURLs              []string
}

func openSockets(s *settings) (*sockets, error) {
	open := &sockets{}
	for _, list := range []struct {
		flag      string
		addresses []string
		listeners *[]net.Listener
	}{
		{"listen-client-urls", s.listenClients, &open.clients},
		{"listen-peer-urls", s.listenPeers, &open.peers},
		{"listen-metrics-urls", s.listenHTTP, &open.metrics},
	} {
		for _, address := range list.addresses {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return nil, errors.Join(explainListen(err, address, list.flag), open.close())
			}
			*list.listeners = append(*list.listeners, l)
		}
	}
	if s.Console != "" {
		l, err := net.Listen("tcp", s.Console)
		if err != nil {
			return nil, errors.Join(explainListen(err, s.Console, "console"), open.close())
		}
		open.console = l
	}
	for i, l := range open.clients {
		address := s.listenClients[i]
		if strings.HasSuffix(address, ":0") {
			address = l.Addr().String()
		}
		open.clientURLs = append(open.clientURLs, "http://"+address)
	}
	return open, nil
}

// explainListen says why a port cannot be had and which flag helps.
func explainListen(err error, address, flag string) error {
	reason := err.Error()
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		reason = strings.TrimPrefix(op.Err.Error(), "bind: ")
	}
	return cli.Advise(fmt.Errorf("cannot listen on %s: %s", address, reason),
		fmt.Sprintf("Stop what uses it, or choose another address with --%s.", flag))
}

// close closes what nobody took over.
func (s *sockets) close() error {
	var errs []error
	if s.console != nil {
		errs = append(errs, s.console.Close())
	}
	for _, list := range [][]net.Listener{s.clients, s.peers, s.metrics} {
		for _, l := range list {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}
