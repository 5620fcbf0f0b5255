package console

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/lab"
)

// reportVersion is that of Report: members and consoles of different releases may meet.
const reportVersion = 1

// Path is where a member answers with its Report, on its client port.
const Path = "/console/member"

// Report is what a member tells a console of itself. Members have the ids that the core has; times are Unix's.
type Report struct {
	Version int `json:"v"`
	// Born tells this process from the one before: its events are numbered anew.
	Born   int64       `json:"born"`
	Name   string      `json:"name"`
	Member lab.Member  `json:"member"`
	Events []lab.Event `json:"events"`
	// Last is the number of the last event: to be given back as ?since=.
	Last uint64 `json:"last"`
}

// Member answers for one member. It asks the group for its status, which costs a turn, only when it is asked itself.
type Member struct {
	Name     string
	Group    *engine.Group
	Recorder *Recorder
}

// ServeHTTP implements http.Handler.
func (m *Member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "GET is all there is", http.StatusMethodNotAllowed)
		return
	}
	since, err := strconv.ParseUint(r.FormValue("since"), 10, 64)
	if err != nil && r.FormValue("since") != "" {
		http.Error(w, "since is a number of an event", http.StatusBadRequest)
		return
	}
	status, err := m.Group.Status()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	report := Report{Version: reportVersion, Born: m.Recorder.born.UnixNano(), Name: m.Name, Member: lab.MemberOf(&status.Status)}
	report.Member.Applied = uint64(m.Group.AppliedIndex())
	report.Events, report.Last = m.Recorder.since(since, status.ID)
	body, err := json.Marshal(&report)
	if err != nil {
		panic(err) // All of a report can be said in JSON.
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // Whoever went away needs no answer.
}
