package etcdapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/raft"
)

// Metrics counts what the API does. What a request costs here is one lookup by its method and two atomic additions. A nil *Metrics counts nothing.
type Metrics struct {
	requests        *prometheus.CounterVec
	proposalsFailed prometheus.Counter
	leaderChanges   prometheus.Counter
	methods         map[string]*methodMetrics
	other           *methodMetrics
}

// methodMetrics are one method's, looked up once.
type methodMetrics struct {
	label   string
	ok      prometheus.Counter
	seconds prometheus.Observer
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "balsa_grpc_requests_total", Help: "Requests that were answered, by method and gRPC code.",
		}, []string{"method", "code"}),
		proposalsFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "balsa_proposals_failed_total", Help: "Writes that were proposed and ended in an error other than the store's.",
		}),
		leaderChanges: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "balsa_leader_changes_seen_total", Help: "How often this member learned of a leader of another term.",
		}),
		methods: map[string]*methodMetrics{},
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "balsa_grpc_request_seconds", Help: "Time from a request's arrival to its answer, by method.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18), // 0.1 ms to 13 s
	}, []string{"method"})
	registry.MustRegister(m.requests, m.proposalsFailed, m.leaderChanges, seconds)

	method := func(label string) *methodMetrics {
		return &methodMetrics{label: label, ok: m.requests.WithLabelValues(label, codes.OK.String()), seconds: seconds.WithLabelValues(label)}
	}
	for _, service := range []grpc.ServiceDesc{pb.KV_ServiceDesc, pb.Cluster_ServiceDesc, pb.Maintenance_ServiceDesc, ownService} {
		for _, each := range service.Methods {
			m.methods["/"+service.ServiceName+"/"+each.MethodName] = method(each.MethodName)
		}
		for _, each := range service.Streams {
			m.methods["/"+service.ServiceName+"/"+each.StreamName] = method(each.StreamName)
		}
	}
	// Methods that do not exist share one label: their names are the clients' to choose.
	m.other = method("other")
	return m
}

func (m *Metrics) handled(method string, start time.Time, err error) {
	if m == nil {
		return
	}
	of, known := m.methods[method]
	if !known {
		of = m.other
	}
	of.seconds.Observe(time.Since(start).Seconds())
	if err == nil {
		of.ok.Inc()
		return
	}
	m.requests.WithLabelValues(of.label, status.Code(err).String()).Inc()
}

func (m *Metrics) proposalFailed() {
	if m != nil {
		m.proposalsFailed.Inc()
	}
}

// Observe counts the leaders among a group's events. It fits engine.Options.Observe for a host that carries one group.
func (m *Metrics) Observe(_ raft.GroupID, _ raft.MemberID, events []raft.Event) {
	for i := range events {
		switch events[i].Kind {
		case raft.EventLeaderKnown, raft.EventBecameLeader:
			m.leaderChanges.Inc()
		}
	}
}

// RegisterGroup adds what a group and its store say of themselves whenever the metrics are asked for.
func RegisterGroup(registry prometheus.Registerer, group Group, store Store) {
	registry.MustRegister(&groupCollector{group: group, store: store})
}

type groupCollector struct {
	group Group
	store Store
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("balsa_"+name, help, labels, nil)
}

var (
	hasLeaderDesc  = describe("has_leader", "1 if this member knows a leader, else 0.")
	isLeaderDesc   = describe("is_leader", "1 if this member leads, else 0.")
	isLearnerDesc  = describe("is_learner", "1 if this member is a learner, else 0.")
	termDesc       = describe("raft_term", "The current term.")
	committedDesc  = describe("proposals_committed_index", "The commit index.")
	appliedDesc    = describe("proposals_applied_index", "The applied index.")
	lastDesc       = describe("raft_last_index", "The index of the log's last entry.")
	unappliedDesc  = describe("proposals_unapplied", "Committed entries that are not applied yet.")
	logBytesDesc   = describe("wal_group_bytes", "How much of the log on disk is this group's.")
	peerMatchDesc  = describe("peer_match_index", "At the leader: the last index that is known to be durable at the member.", "member")
	peerActiveDesc = describe("peer_active", "At the leader: 1 if the member answered lately, else 0.", "member")
	revisionDesc   = describe("kv_revision", "The store's current revision.")
	sizeDesc       = describe("kv_size_bytes", "What the store takes on disk.")
	inUseDesc      = describe("kv_in_use_bytes", "What of it is live data.")
)

// Describe implements prometheus.Collector.
func (c *groupCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		hasLeaderDesc, isLeaderDesc, isLearnerDesc, termDesc, committedDesc, appliedDesc, lastDesc, unappliedDesc, logBytesDesc,
		peerMatchDesc, peerActiveDesc, revisionDesc, sizeDesc, inUseDesc,
	} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector. A group that is closed has nothing to say.
func (c *groupCollector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	state, err := c.group.Status()
	if err != nil {
		return
	}
	m, _ := find(state.Configuration, state.ID)
	gauge(hasLeaderDesc, oneIf(state.Leader != raft.NoMember))
	gauge(isLeaderDesc, oneIf(state.Role == raft.Leader))
	gauge(isLearnerDesc, oneIf(m.Learner))
	gauge(termDesc, float64(state.Term))
	gauge(committedDesc, float64(state.Commit))
	gauge(appliedDesc, float64(state.Applied))
	gauge(lastDesc, float64(state.Last))
	gauge(unappliedDesc, float64(state.Unapplied))
	gauge(logBytesDesc, float64(state.LogBytes))
	for _, p := range state.Peers {
		gauge(peerMatchDesc, float64(p.Match), memberLabel(p.ID))
		gauge(peerActiveDesc, oneIf(p.RecentActive), memberLabel(p.ID))
	}
	total, inUse := c.store.Size()
	gauge(revisionDesc, float64(c.store.Revision()))
	gauge(sizeDesc, float64(total))
	gauge(inUseDesc, float64(inUse))
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// memberLabel writes an ID as etcdctl does.
func memberLabel(id raft.MemberID) string { return strconv.FormatUint(uint64(id), 16) }
