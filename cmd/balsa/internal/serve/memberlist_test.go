package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/etcdapi"
	"github.com/balsa-raft/balsa/raft"
)

// fakeGroup is a group of a fixed configuration.
type fakeGroup struct {
	members []raft.Member
	barrier error
}

func (g *fakeGroup) ReadBarrier(context.Context) error { return g.barrier }
func (g *fakeGroup) Status() (engine.Status, error) {
	var s engine.Status
	s.Configuration = raft.Configuration{Members: g.members}
	return s, nil
}

func fakeMember(id raft.MemberID, name, url string, incarnation uint64) raft.Member {
	return raft.Member{ID: id, Incarnation: incarnation, Meta: etcdapi.EncodeMeta(etcdapi.MemberInfo{Name: name, PeerURLs: []string{url}})}
}

// runningCluster is the peer port of a member of a cluster that c, at http://10.0.0.3:2380, belongs to.
func runningCluster(t *testing.T, incarnationOfC uint64, barrier error) (url string) {
	t.Helper()
	h := &membersHandler{}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.ready(0xc1, &fakeGroup{barrier: barrier, members: []raft.Member{
		fakeMember(0xa1, "a", server.URL, 7), fakeMember(0xc3, "", "http://10.0.0.3:2380", incarnationOfC),
	}})
	return server.URL
}

func TestAJoiningMemberLearnsWhoItIs(t *testing.T) {
	url := runningCluster(t, 0, nil)
	s := mustCheck(t, "--name=c", "--initial-cluster-state=existing", "--initial-cluster=a="+url+",c=http://10.0.0.3:2380")
	id, err := s.joinAs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if id.ClusterID != "c1" || id.MemberID != "c3" || id.Name != "c" {
		t.Errorf("it takes itself for %+v", id)
	}
}

func TestJoiningFailsWithAdvice(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer foreign.Close()
	starting := httptest.NewServer(&membersHandler{})
	defer starting.Close()
	for name, c := range map[string]struct{ url, own, want string }{
		"nobody there":      {closed.URL, "http://10.0.0.3:2380", "A majority has to be up"},
		"somebody else":     {foreign.URL, "http://10.0.0.3:2380", "no member of a Balsa cluster"},
		"it is starting":    {starting.URL, "http://10.0.0.3:2380", "the member is starting"},
		"no leader":         {runningCluster(t, 0, errors.New("no leader")), "http://10.0.0.3:2380", "no leader"},
		"not added":         {runningCluster(t, 0, nil), "http://10.0.0.9:2380", "Add it first: balsa member add c --peer-urls=http://10.0.0.9:2380"},
		"it ran before":     {runningCluster(t, 5, nil), "http://10.0.0.3:2380", "balsa member remove c3"},
		"alone in the list": {"", "http://10.0.0.3:2380", "names nobody but this member"},
	} {
		cluster := "--initial-cluster=c=" + c.own
		if c.url != "" {
			cluster += ",a=" + c.url
		}
		s := mustCheck(t, "--name=c", "--initial-cluster-state=existing", cluster)
		if _, err := s.joinAs(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestFoundingAgainWithoutTheDataIsRefused(t *testing.T) {
	cluster := func(url string) *settings {
		return mustCheck(t, "--name=c", "--initial-cluster=a="+url+",c=http://10.0.0.3:2380")
	}
	if _, err := cluster(runningCluster(t, 5, nil)).foundAs(t.Context()); err == nil || !strings.Contains(err.Error(), "has run with another data directory") {
		t.Errorf("a member that ran before founds again: %v", err)
	}
	if id, err := cluster("http://127.0.0.1:1").foundAs(t.Context()); err != nil || id.MemberID != hexID(cluster("http://127.0.0.1:1").self.ID) {
		t.Errorf("while nobody is up it takes itself for %+v (%v)", id, err)
	}
	if _, err := cluster(runningCluster(t, 0, nil)).foundAs(t.Context()); err == nil || !strings.Contains(err.Error(), "--initial-cluster-state=existing") {
		t.Errorf("a member that was added founds a cluster: %v", err)
	}
}

func TestWhoMayFound(t *testing.T) {
	s := mustCheck(t, "--name=c", "--initial-cluster=a=http://10.0.0.1:2380,c=http://10.0.0.3:2380")
	founder := &identity{ClusterID: "c1", MemberID: "c3"}
	a, own := listedMember{ID: "a1", PeerURLs: []string{"http://10.0.0.1:2380"}}, []string{"http://10.0.0.3:2380"}
	for name, c := range map[string]struct {
		list memberList
		want string // "" if it may
	}{
		"it is expected":                 {memberList{"c1", []listedMember{a, {ID: "c3", PeerURLs: own}}}, ""},
		"who was asked joins itself":     {memberList{"c1", nil}, ""},
		"another cluster is asked":       {memberList{"c2", []listedMember{a}}, ""},
		"it ran before":                  {memberList{"c1", []listedMember{a, {ID: "c3", PeerURLs: own, Started: true}}}, "has run with another data directory"},
		"it was removed":                 {memberList{"c1", []listedMember{a}}, "was removed from cluster c1\nTo bring it back: balsa member add c --peer-urls=http://10.0.0.3:2380"},
		"it was removed and added anew":  {memberList{"c1", []listedMember{a, {ID: "c4", PeerURLs: own}}}, "added to it as c4\nStart it with --initial-cluster-state=existing"},
		"it was added and takes no heed": {memberList{"c2", []listedMember{a, {ID: "c4", PeerURLs: own}}}, "added to it as c4\nStart it with --initial-cluster-state=existing"},
	} {
		err := s.mayFound(founder, &c.list)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestARemovedMemberIsToldWhetherItWasAddedAnew(t *testing.T) {
	m := &member{settings: mustCheck(t, "--name=c", "--data-dir=/c", "--initial-cluster=c=http://10.0.0.3:2380")}
	for want, list := range map[string]*memberList{
		"empty it and add the member anew":                        {},
		"It was added anew as c4, and only the data directory /c": {Members: []listedMember{{ID: "c4", PeerURLs: []string{"http://10.0.0.3:2380"}}}},
	} {
		if err := m.wasRemoved(list); !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAMoveIsConfirmedByTheCluster(t *testing.T) {
	url := runningCluster(t, 5, nil)
	id := &identity{ClusterID: "c1", MemberID: "c3"}
	for own, want := range map[string]bool{"http://10.0.0.3:2380": true, "http://10.0.0.9:2380": false} {
		s := mustCheck(t, "--name=c", "--initial-cluster=a="+url+",c="+own)
		if got := s.confirmMove(t.Context(), id); got != want {
			t.Errorf("%s: confirmed %v", own, got)
		}
	}
	s := mustCheck(t, "--name=c", "--initial-cluster=a="+url+",c=http://10.0.0.3:2380")
	if s.confirmMove(t.Context(), &identity{ClusterID: "c2", MemberID: "c3"}) {
		t.Error("another cluster confirmed it")
	}
}

func TestThePeerPortAnswersNothingElse(t *testing.T) {
	server := httptest.NewServer(&membersHandler{})
	defer server.Close()
	for path, want := range map[string]int{"/": 404, "/v3/kv/range": 404, "/members": 503} {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, response.StatusCode, want)
		}
	}
}

func TestTheHeirIsTheFurthestVoterThatAnswers(t *testing.T) {
	c := raft.Configuration{Members: []raft.Member{{ID: 1}, {ID: 2}, {ID: 3}, {ID: 4, Learner: true}}}
	progress := func(id raft.MemberID, match raft.Index, active bool) raft.Progress {
		return raft.Progress{ID: id, Match: match, RecentActive: active}
	}
	for name, peers := range map[string][]raft.Progress{
		"3": {progress(1, 100, true), progress(2, 50, true), progress(3, 60, true), progress(4, 99, true)},
		"2": {progress(1, 100, true), progress(2, 50, true), progress(3, 60, false)},
		"0": {progress(1, 100, true), progress(2, 50, false), progress(4, 99, true)},
	} {
		if got := heirOf(c, peers, 1); fmt.Sprint(got) != name {
			t.Errorf("of %v the heir is %v, want %s", peers, got, name)
		}
	}
}
