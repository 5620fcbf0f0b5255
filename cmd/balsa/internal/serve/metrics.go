package serve

import (
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/balsa-raft/balsa"
)

// metricsHandler serves what the client port serves to HTTP/1, and profiles if asked for.
func metricsHandler(api http.Handler, profiles bool) http.Handler {
	if !profiles {
		return api
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

var (
	logSyncsDesc      = prometheus.NewDesc("balsa_log_syncs_total", "How often the log was made durable, with all that had gathered since.", nil, nil)
	logBytesDesc      = prometheus.NewDesc("balsa_log_disk_bytes", "Size of the log on disk.", nil, nil)
	logFullDesc       = prometheus.NewDesc("balsa_log_full", "1 while the disk is too full to take writes.", nil, nil)
	peerConnectedDesc = prometheus.NewDesc("balsa_peer_connected", "1 while there is a connection to the peer.", []string{"peer"}, nil)
	peerRTTDesc       = prometheus.NewDesc("balsa_peer_round_trip_seconds", "The latest time from a ping to its answer.", []string{"peer"}, nil)
	peerSentDesc      = prometheus.NewDesc("balsa_peer_sent_bytes_total", "Bytes written to the peer.", []string{"peer"}, nil)
	peerReceivedDesc  = prometheus.NewDesc("balsa_peer_received_bytes_total", "Bytes read from the peer.", []string{"peer"}, nil)
	peerDroppedDesc   = prometheus.NewDesc("balsa_peer_dropped_messages_total", "Messages to the peer that were never written.", []string{"peer"}, nil)
	peerQueuedDesc    = prometheus.NewDesc("balsa_peer_queued_bytes", "Bytes that wait to be written to the peer.", []string{"peer"}, nil)
)

// hostCollector reads the log's and the connections' figures when they are asked for: counting costs the hot paths nothing more.
type hostCollector struct{ host *balsa.Host }

func newHostCollector(h *balsa.Host) prometheus.Collector { return &hostCollector{h} }

func (c *hostCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		logSyncsDesc, logBytesDesc, logFullDesc, peerConnectedDesc, peerRTTDesc, peerSentDesc, peerReceivedDesc, peerDroppedDesc, peerQueuedDesc,
	} {
		descriptions <- d
	}
}

func (c *hostCollector) Collect(metrics chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	log := c.host.Log()
	send(logSyncsDesc, prometheus.CounterValue, float64(log.Syncs()))
	send(logBytesDesc, prometheus.GaugeValue, float64(log.Size()))
	send(logFullDesc, prometheus.GaugeValue, oneIf(log.Full()))
	for _, p := range c.host.Peers() {
		send(peerConnectedDesc, prometheus.GaugeValue, oneIf(p.Connected), p.Address)
		send(peerRTTDesc, prometheus.GaugeValue, p.RTT.Seconds(), p.Address)
		send(peerSentDesc, prometheus.CounterValue, float64(p.BytesOut), p.Address)
		send(peerReceivedDesc, prometheus.CounterValue, float64(p.BytesIn), p.Address)
		send(peerDroppedDesc, prometheus.CounterValue, float64(p.Dropped), p.Address)
		send(peerQueuedDesc, prometheus.GaugeValue, float64(p.Queued), p.Address)
	}
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
