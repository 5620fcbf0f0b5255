package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/etcdapi"
	"github.com/balsa-raft/balsa/raft"
)

// memberList is what GET /members on a peer port answers: who belongs to the cluster. A member that joins learns its id from it.
type memberList struct {
	ClusterID string         `json:"cluster_id"`
	Members   []listedMember `json:"members"`
}

type listedMember struct {
	ID         string   `json:"id"`
	Name       string   `json:"name,omitempty"`
	PeerURLs   []string `json:"peer_urls"`
	ClientURLs []string `json:"client_urls,omitempty"`
	Learner    bool     `json:"learner,omitempty"`
	// Started says that a data directory has acted as this member already.
	Started bool `json:"started"`
}

// maxMemberList bounds how much of an answer is read.
const maxMemberList = 4 << 20

// group is what answering needs of an engine.Group.
type group interface {
	ReadBarrier(ctx context.Context) error
	Status() (engine.Status, error)
}

// membersHandler answers GET /members. The list is the latest unless ?stale=true is asked for; then this member's own knowledge is enough.
type membersHandler struct {
	source atomic.Pointer[memberSource] // nil until the group is started
}

type memberSource struct {
	cluster uint64
	group   group
}

// ready says from where to take the list.
func (h *membersHandler) ready(cluster uint64, g group) { h.source.Store(&memberSource{cluster, g}) }

func (h *membersHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/members" || r.Method != http.MethodGet {
		http.Error(w, "balsa: this port is for other members; clients have another one", http.StatusNotFound)
		return
	}
	source := h.source.Load()
	if source == nil {
		http.Error(w, "balsa: the member is starting", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Query().Get("stale") != "true" {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := source.group.ReadBarrier(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	list, err := source.list()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // the asker went away: nothing to be done
}

func (s *memberSource) list() (*memberList, error) {
	status, err := s.group.Status()
	if err != nil {
		return nil, err
	}
	return listOf(s.cluster, status.Configuration)
}

func listOf(cluster uint64, c raft.Configuration) (*memberList, error) {
	list := &memberList{ClusterID: hexID(cluster)}
	for _, m := range c.Members {
		info, err := etcdapi.DecodeMeta(m.Meta)
		if err != nil {
			return nil, err
		}
		list.Members = append(list.Members, listedMember{
			ID: hexID(m.ID), Name: info.Name, PeerURLs: info.PeerURLs, ClientURLs: info.ClientURLs, Learner: m.Learner,
			Started: m.Incarnation != 0,
		})
	}
	return list, nil
}

// askMembers asks one member for the list.
func askMembers(ctx context.Context, peerURL string, stale bool) (*memberList, error) {
	address := peerURL + "/members"
	if stale {
		address += "?stale=true"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMemberList))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", address, response.Status, strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	var list memberList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("what answers at %s is no member of a Balsa cluster: %w", address, err)
	}
	return &list, nil
}

// askAny asks all members at once and gives the first answer.
func askAny(ctx context.Context, peerURLs []string, stale bool) (*memberList, error) {
	if len(peerURLs) == 0 {
		return nil, errors.New("there is no other member to ask")
	}
	type answer struct {
		list *memberList
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(peerURLs))
	for _, u := range peerURLs {
		go func() {
			list, err := askMembers(ctx, u, stale)
			answers <- answer{list, err}
		}()
	}
	var failed []error
	for range peerURLs {
		a := <-answers
		if a.err == nil {
			return a.list, nil
		}
		failed = append(failed, a.err)
	}
	return nil, errors.Join(failed...)
}

// find gives the member with exactly these peer URLs.
func (l *memberList) find(peerURLs []string) (listedMember, bool) {
	for _, m := range l.Members {
		urls := slices.Clone(m.PeerURLs)
		slices.Sort(urls)
		if slices.Equal(urls, peerURLs) {
			return m, true
		}
	}
	return listedMember{}, false
}

// has says whether the member is in the list.
func (l *memberList) has(id string) bool {
	return slices.ContainsFunc(l.Members, func(m listedMember) bool { return m.ID == id })
}

// joinAs learns from the running cluster who this member is in it.
func (s *settings) joinAs(ctx context.Context) (*identity, error) {
	if len(s.others) == 0 {
		return nil, cli.Usagef("--initial-cluster-state=existing: --initial-cluster names nobody but this member, so there is nobody to ask")
	}
	list, err := askAny(ctx, s.others, false)
	if err != nil {
		return nil, cli.Advise(fmt.Errorf("no member of the cluster says who belongs to it:\n%w", err),
			"A majority has to be up, and --initial-cluster has to name them: `balsa member add` prints it.")
	}
	m, found := list.find(s.peerURLs)
	if !found {
		return nil, cli.Advise(fmt.Errorf("cluster %s has no member at %s", list.ClusterID, strings.Join(s.peerURLs, ",")),
			"Add it first: balsa member add "+s.Name+" --peer-urls="+strings.Join(s.peerURLs, ","))
	}
	if m.Started {
		return nil, alreadyStarted(m, s)
	}
	return &identity{Format: identityFormat, ClusterID: list.ClusterID, MemberID: m.ID, Name: s.Name, Token: s.InitialClusterToken, PeerURLs: s.peerURLs}, nil
}

// foundAs is who this member is in the cluster that it founds with the others, unless one of them runs already and knows better.
func (s *settings) foundAs(ctx context.Context) (*identity, error) {
	ids := make([]raft.MemberID, len(s.bootstrap))
	for i, m := range s.bootstrap {
		ids[i] = m.ID
	}
	founder := &identity{
		Format: identityFormat, ClusterID: hexID(etcdapi.ClusterID(ids)), MemberID: hexID(s.self.ID),
		Name: s.Name, Token: s.InitialClusterToken, PeerURLs: s.peerURLs,
	}
	if list, err := s.askBriefly(ctx); err == nil {
		if err := s.mayFound(founder, list); err != nil {
			return nil, err
		}
	}
	return founder, nil
}

// mayFound compares who this member would be as a founder with what the cluster says. A member that ran before has lost its data: founding again would
// forget its votes. One that was removed would write down an identity that is of no use any more, and be in the way of the right one.
func (s *settings) mayFound(founder *identity, list *memberList) error {
	m, found := list.find(s.peerURLs)
	switch {
	case found && m.Started:
		return alreadyStarted(m, s)
	case found && m.ID != founder.MemberID:
		return cli.Advise(fmt.Errorf("cluster %s runs already, and %s was added to it as %s", list.ClusterID, strings.Join(s.peerURLs, ","), m.ID),
			"Start it with --initial-cluster-state=existing, as `balsa member add` printed it.")
	case list.ClusterID == founder.ClusterID && len(list.Members) > 0 && !list.has(founder.MemberID):
		// A member that is about to join has no list yet.
		return cli.Advise(fmt.Errorf("member %s (%s) was removed from cluster %s", s.Name, founder.MemberID, list.ClusterID),
			"To bring it back: balsa member add "+s.Name+" --peer-urls="+strings.Join(s.peerURLs, ",")+", and start it as that prints.")
	}
	return nil
}

// askBriefly asks the others for what they know. When a cluster is founded there is mostly nobody to answer yet.
func (s *settings) askBriefly(ctx context.Context) (*memberList, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return askAny(ctx, s.others, true)
}

func alreadyStarted(m listedMember, s *settings) error {
	return cli.Advise(fmt.Errorf("member %s (%s) has run with another data directory; %s is empty", s.Name, m.ID, s.dataDir),
		"If its data is lost, replace the member: balsa member remove "+m.ID+", then balsa member add "+s.Name+
			" --peer-urls="+strings.Join(s.peerURLs, ",")+", and start it as that prints.")
}

// confirmMove asks the others whether this member is known at the address that the flags give it.
func (s *settings) confirmMove(ctx context.Context, id *identity) bool {
	list, err := askAny(ctx, s.others, false)
	if err != nil || list.ClusterID != id.ClusterID {
		return false
	}
	m, found := list.find(s.peerURLs)
	return found && m.ID == id.MemberID
}
