package etcdapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/raft"
)

// Handler returns what the client port says to HTTP/1: /health, /livez, /readyz, /version and, with a gatherer, /metrics. It is
// good for a port of its own too. Answers have etcd's form.
func (a *API) Handler(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", a.serveHealth)
	mux.HandleFunc("GET /livez", a.serveChecks("serializable_read"))
	mux.HandleFunc("GET /readyz", a.serveChecks("linearizable_read", "non_learner", "serializable_read"))
	mux.HandleFunc("GET /version", a.serveVersion)
	if metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	}
	mux.HandleFunc("/v3/", serveGateway)
	for path, handler := range a.HTTP {
		mux.Handle(path, handler)
	}
	return mux
}

// serveHealth is etcd's /health: whether the member can serve, which with ?serializable=true does not need a leader.
func (a *API) serveHealth(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{Health: "true"}
	serializable := r.URL.Query().Get("serializable") == "true"
	if leader, _ := a.group.Leader(); leader == raft.NoMember && !serializable {
		answer.Health, answer.Reason = "false", "RAFT NO LEADER"
	} else if err := a.checkRead(r.Context(), serializable); err != nil {
		answer.Health, answer.Reason = "false", "RANGE ERROR:"+err.Error()
	}
	code := http.StatusOK
	if answer.Health != "true" {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, answer)
}

// checkRead reads one key, as a client would.
func (a *API) checkRead(ctx context.Context, serializable bool) error {
	if !serializable {
		if err := a.barrier(ctx); err != nil {
			return err
		}
	}
	_, err := a.store.Range(ctx, &pb.RangeRequest{Key: []byte{0}, KeysOnly: true, Limit: 1})
	return storeError(err)
}

// serveChecks runs the named checks, without those that ?exclude names.
func (a *API) serveChecks(names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		excluded := map[string]bool{}
		for _, name := range r.URL.Query()["exclude"] {
			excluded[name] = true
		}
		var text strings.Builder
		code := http.StatusOK
		for _, name := range names {
			if excluded[name] {
				continue
			}
			if err := a.check(r.Context(), name); err != nil {
				fmt.Fprintf(&text, "[-]%s failed: %v\n", name, err)
				code = http.StatusServiceUnavailable
			} else {
				fmt.Fprintf(&text, "[+]%s ok\n", name)
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		if _, verbose := r.URL.Query()["verbose"]; verbose || code != http.StatusOK {
			fmt.Fprint(w, text.String())
		} else {
			fmt.Fprintln(w, "ok")
		}
	}
}

func (a *API) check(ctx context.Context, name string) error {
	switch name {
	case "serializable_read":
		return a.checkRead(ctx, true)
	case "linearizable_read":
		return a.checkRead(ctx, false)
	case "non_learner":
		if a.learner.is(a.group) {
			return fmt.Errorf("this member is a learner")
		}
		return nil
	}
	panic("etcdapi: no health check is named " + name)
}

// serveVersion tells etcd's version whose API this is, and our own beside it.
func (a *API) serveVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Server  string `json:"etcdserver"`
		Cluster string `json:"etcdcluster"`
		Storage string `json:"storage"`
		Balsa   string `json:"balsa,omitempty"`
	}{a.ServerVersion, a.storageVersion(), a.storageVersion(), a.ProductVersion})
}

// serveGateway answers etcd's JSON gateway in the gateway's own form.
func serveGateway(w http.ResponseWriter, r *http.Request) {
	text := "balsa: the JSON gateway is not implemented: use gRPC"
	writeJSON(w, http.StatusNotImplemented, struct {
		Error   string   `json:"error"`
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Details []string `json:"details"`
	}{text, 12, text, []string{}})
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("etcdapi: an answer of strings does not encode: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that went away before its answer is no concern of ours.
	_, _ = w.Write(data)
}
