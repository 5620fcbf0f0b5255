package etcdapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fetch asks the client port by HTTP/1 and returns status code and body.
func fetch(t *testing.T, method, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestHealthOverHTTP(t *testing.T) {
	a := newTestAPI(t, nil)
	base := "http://" + serve(t, a)
	g := a.solo()
	noLeader := func() { g.state.Leader = 0 }
	noBarrier := func() { g.barrierErr = engine.ErrNoLeader }
	for _, test := range []struct {
		what   string
		before func()
		path   string
		code   int
		body   string
	}{
		{"healthy", nil, "/health", 200, `{"health":"true","reason":""}`},
		{"alive", nil, "/livez", 200, "ok\n"},
		{"ready", nil, "/readyz?verbose", 200, "[+]linearizable_read ok\n[+]non_learner ok\n[+]serializable_read ok\n"},
		{"no quorum", noBarrier, "/health", 503, `{"health":"false","reason":"RANGE ERROR:rpc error: code = Unavailable desc = etcdserver: no leader"}`},
		{"no quorum, but not ready", nil, "/readyz", 503,
			"[-]linearizable_read failed: rpc error: code = Unavailable desc = etcdserver: no leader\n[+]non_learner ok\n[+]serializable_read ok\n"},
		{"no quorum, which does not matter", nil, "/readyz?exclude=linearizable_read", 200, "ok\n"},
		{"no leader", noLeader, "/health", 503, `{"health":"false","reason":"RAFT NO LEADER"}`},
		{"no leader, but alive", nil, "/livez", 200, "ok\n"},
		{"no leader, which does not matter", nil, "/health?serializable=true", 200, `{"health":"true","reason":""}`},
	} {
		if test.before != nil {
			g.with(test.before)
		}
		if code, body := fetch(t, "GET", base+test.path); code != test.code || body != test.body {
			t.Errorf("%s: GET %s: %d %q", test.what, test.path, code, body)
		}
	}
	if code, _ := fetch(t, "POST", base+"/health"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST /health: %d", code)
	}
	if code, _ := fetch(t, "GET", base+"/nothing"); code != http.StatusNotFound {
		t.Errorf("GET /nothing: %d", code)
	}
}

func TestALearnerIsNotReady(t *testing.T) {
	a := newTestAPI(t, nil)
	a.solo().state.Configuration.Members[0].Learner = true
	if code, body := fetch(t, "GET", "http://"+serve(t, a)+"/readyz"); code != 503 || !strings.Contains(body, "[-]non_learner failed: this member is a learner") {
		t.Errorf("got %d %q", code, body)
	}
}

func TestVersionAndGatewayOverHTTP(t *testing.T) {
	base := "http://" + serve(t, newTestAPI(t, func(o *Options) { o.ProductVersion = "0.1.0" }))
	code, body := fetch(t, "GET", base+"/version")
	var version map[string]string
	if err := json.Unmarshal([]byte(body), &version); err != nil || code != 200 || version["etcdserver"] != "3.7.3" || version["balsa"] != "0.1.0" {
		t.Errorf("/version: %d %s, %v", code, body, err)
	}
	code, body = fetch(t, "POST", base+"/v3/kv/put")
	var refusal struct{ Code int }
	if err := json.Unmarshal([]byte(body), &refusal); err != nil || code != 501 || refusal.Code != 12 {
		t.Errorf("the gateway: %d %s, %v", code, body, err)
	}
}

func TestMetricsCountRequestsAndShowTheGroup(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	a := newTestAPI(t, func(o *Options) { o.Metrics = metrics })
	RegisterGroup(registry, a.Group, a.Store)
	client := newClient(t, serve(t, a))
	ctx := t.Context()
	if _, err := client.Put(ctx, "a", "1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := client.Put(ctx, "", "1"); err == nil {
			t.Fatal("a put without a key went through")
		}
	}
	a.solo().with(func() { a.solo().proposeErr = errors.New("odd") })
	if _, err := client.Put(ctx, "a", "1"); err == nil {
		t.Fatal("a put went through")
	}
	if _, err := client.Grant(ctx, 1); err == nil {
		t.Fatal("a lease was granted")
	}
	metrics.Observe(1, 1, []raft.Event{{Kind: raft.EventLeaderKnown}, {Kind: raft.EventVoteGranted}, {Kind: raft.EventBecameLeader}})

	page := scrape(t, registry)
	for _, want := range []string{
		`balsa_grpc_requests_total{code="OK",method="Put"} 1`,
		`balsa_grpc_requests_total{code="InvalidArgument",method="Put"} 2`,
		`balsa_grpc_requests_total{code="Unknown",method="Put"} 1`,
		`balsa_grpc_requests_total{code="Unimplemented",method="other"} 1`,
		`balsa_grpc_request_seconds_count{method="Put"} 4`,
		`balsa_proposals_failed_total 1`,
		`balsa_leader_changes_seen_total 2`,
		`balsa_has_leader 1`,
		`balsa_is_leader 1`,
		`balsa_is_learner 0`,
		`balsa_raft_term 7`,
		`balsa_proposals_committed_index 1`,
		`balsa_proposals_applied_index 1`,
		`balsa_peer_active{member="1"} 1`,
		`balsa_kv_revision 2`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

func scrape(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	a := newTestAPI(t, nil)
	l := listen(t)
	s := NewServer(a, registry)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	code, page := fetch(t, "GET", "http://"+l.Addr().String()+"/metrics")
	if code != 200 {
		t.Errorf("/metrics: %d", code)
	}
	s.Stop(context.Background())
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	return page
}

func TestStopLetsRequestsEnd(t *testing.T) {
	a := newTestAPI(t, nil)
	l := listen(t)
	s := NewServer(a, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	client := newClient(t, l.Addr().String())
	if _, err := client.Put(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	// The request runs until the group lets it go, which happens only once the server refuses new ones.
	g := a.solo()
	g.with(func() { g.entered, g.release = make(chan struct{}), make(chan struct{}) })
	answered := make(chan error, 1)
	go func() {
		_, err := client.Put(t.Context(), "a", "2")
		answered <- err
	}()
	<-g.entered
	stopped := make(chan struct{})
	go func() {
		s.Stop(context.Background())
		close(stopped)
	}()
	for {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
	}
	close(g.release)
	<-stopped
	if err := <-answered; err != nil {
		t.Errorf("the request that was running: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestTheHealthServiceOfGRPC(t *testing.T) {
	client := newClient(t, serve(t, newTestAPI(t, nil)))
	answer, err := healthpb.NewHealthClient(client.ActiveConnection()).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", answer, err)
	}
}

func TestOptionsThatMustNotBeMissing(t *testing.T) {
	whole := newTestAPI(t, nil).Options
	for name, remove := range map[string]func(*Options){
		"group": func(o *Options) { o.Group = nil }, "store": func(o *Options) { o.Store = nil }, "cluster ID": func(o *Options) { o.ClusterID = 0 },
	} {
		o := whole
		remove(&o)
		if _, err := New(o); err == nil {
			t.Errorf("options without a %s were taken", name)
		}
	}
}
