package etcdapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/balsa-raft/balsa/internal/freeport"
	"github.com/balsa-raft/balsa/raft"
)

// showMembers writes members in one line: name, or "?" of one that has not started, and "(learner)".
func showMembers(members []*pb.Member) string {
	var list []string
	for _, m := range members {
		name := m.Name
		if name == "" {
			name = "?"
		}
		if m.IsLearner {
			name += "(learner)"
		}
		list = append(list, name+" "+strings.Join(m.PeerURLs, ","))
	}
	return strings.Join(list, "; ")
}

func TestMembersThroughEtcdsClient(t *testing.T) {
	a := newTestAPI(t, nil)
	client := newClient(t, serve(t, a))
	ctx := t.Context()
	var id uint64
	add := func(r *clientv3.MemberAddResponse, err error) string {
		if err != nil {
			return err.Error()
		}
		id = r.Member.ID
		if r.Header.ClusterId != testCluster || r.Header.Revision != 0 {
			return fmt.Sprintf("header %v", r.Header)
		}
		return showMembers(r.Members)
	}
	start := func(name string) string {
		if err := (&API{Options: a.Options, group: a.group, store: a.store, memberID: id, forward: a.forward, changes: a.changes}).
			Publish(ctx, name, []string{"http://" + name + ":2379"}); err != nil {
			return err.Error()
		}
		r, err := client.MemberList(ctx)
		if err != nil {
			return err.Error()
		}
		return showMembers(r.Members)
	}
	script(t, []line{
		{"URLs that are none", func() string { return add(client.MemberAdd(ctx, []string{"http://n2:2380/x"})) }, "URL must not contain a path: http://n2:2380/x"},
		{"a second", func() string { return add(client.MemberAdd(ctx, []string{"http://n2:2380"})) }, "n1 http://n1:2380; ? http://n2:2380"},
		{"a third too soon", func() string { return add(client.MemberAdd(ctx, []string{"http://n3:2380"})) }, rpctypes.ErrGRPCMemberNotEnoughStarted.Error()[len("rpc error: code = FailedPrecondition desc = "):]},
		{"the second starts", func() string { return start("n2") }, "n1 http://n1:2380; n2 http://n2:2380"},
		{"a taken URL", func() string { return add(client.MemberAdd(ctx, []string{"http://n4:2380", "http://n2:2380"})) }, "etcdserver: Peer URLs already exists"},
		{"a learner", func() string { return add(client.MemberAddAsLearner(ctx, []string{"http://n3:2380"})) }, "n1 http://n1:2380; n2 http://n2:2380; ?(learner) http://n3:2380"},
		{"another", func() string { return add(client.MemberAddAsLearner(ctx, []string{"http://n4:2380"})) }, "etcdserver: too many learner members in cluster"},
		{"it moves", func() string {
			r, err := client.MemberUpdate(ctx, id, []string{"http://n5:2380"})
			if err != nil {
				return err.Error()
			}
			return showMembers(r.Members)
		}, "n1 http://n1:2380; n2 http://n2:2380; ?(learner) http://n5:2380"},
		{"it stays where it is", func() string {
			r, err := client.MemberUpdate(ctx, id, []string{"http://n5:2380"})
			if err != nil {
				return err.Error()
			}
			return showMembers(r.Members)
		}, "n1 http://n1:2380; n2 http://n2:2380; ?(learner) http://n5:2380"},
		{"it becomes a voter", func() string {
			r, err := client.MemberPromote(ctx, id)
			if err != nil {
				return err.Error()
			}
			return showMembers(r.Members)
		}, "n1 http://n1:2380; n2 http://n2:2380; ? http://n5:2380"},
		{"again", func() string { _, err := client.MemberPromote(ctx, id); return err.Error() }, "etcdserver: can only promote a learner member"},
		{"it goes", func() string {
			r, err := client.MemberRemove(ctx, id)
			if err != nil {
				return err.Error()
			}
			return showMembers(r.Members)
		}, "n1 http://n1:2380; n2 http://n2:2380"},
		{"again", func() string { _, err := client.MemberRemove(ctx, id); return err.Error() }, "etcdserver: member not found"},
		{"nobody moves", func() string { _, err := client.MemberUpdate(ctx, id, []string{"http://n6:2380"}); return err.Error() }, "etcdserver: member not found"},
		{"nobody becomes a voter", func() string { _, err := client.MemberPromote(ctx, id); return err.Error() }, "etcdserver: member not found"},
	})
	if m, _ := find(a.solo().state.Configuration, 1); m.Address != "n1:2380" {
		t.Errorf("the first member's address is %q", m.Address)
	}
}

func TestAnUpdateMovesTheAddressAndKeepsTheRest(t *testing.T) {
	a := newTestAPI(t, nil)
	g := a.solo()
	g.state.Configuration.Members[0].Incarnation, g.state.Configuration.Members[0].Priority = 5, 3
	client := newClient(t, serve(t, a))
	if _, err := client.MemberUpdate(t.Context(), 1, []string{"http://z:1", "http://b:2"}); err != nil {
		t.Fatal(err)
	}
	m := g.state.Configuration.Members[0]
	info, err := DecodeMeta(m.Meta)
	if err != nil || m.Address != "b:2" || m.Incarnation != 5 || m.Priority != 3 || info.Name != "n1" || len(info.ClientURLs) != 1 {
		t.Errorf("got %+v, %+v, %v", m, info, err)
	}
}

func TestAChangeThatIsRefusedForAMomentIsTriedAgain(t *testing.T) {
	a := newTestAPI(t, nil)
	client := newClient(t, serve(t, a))
	for i, passing := range []error{raft.ErrChangePending, raft.ErrNotReady, raft.ErrTransferring} {
		a.solo().with(func() { a.solo().changeErr = passing }) // once
		if _, err := client.MemberUpdate(t.Context(), 1, []string{fmt.Sprintf("http://n1:%d", 2390+i)}); err != nil {
			t.Errorf("%v: %v", passing, err)
		}
	}
	a.solo().with(func() { a.solo().changeErr = fmt.Errorf("%w: odd", raft.ErrBadChange) })
	_, err := (&clusterService{API: a}).MemberUpdate(t.Context(), &pb.MemberUpdateRequest{ID: 1, PeerURLs: []string{"http://n1:2380"}})
	wantStatus(t, err, codes.InvalidArgument, "etcdserver: "+raft.ErrBadChange.Error()+": odd")
}

// pair is a leader, member 1, and a follower, member 2, of whom only the leader's group takes changes.
func pair(t *testing.T) (leader, follower *API, followerClient *clientv3.Client) {
	t.Helper()
	// Twice this is what the follower has to connect to the leader: without a connection it would make the change itself.
	patient := func(o *Options) { o.ElectionTimeout = time.Minute }
	leader, follower = newTestAPI(t, patient), newTestAPI(t, patient)
	address := serve(t, leader)
	members := []raft.Member{
		{ID: 1, Address: "n1:2380", Meta: EncodeMeta(MemberInfo{
			Name: "n1", PeerURLs: []string{"http://n1:2380"}, ClientURLs: []string{"https://n1:2379", "http://" + refusing(t), "http://" + address},
		})},
		{ID: 2, Address: "n2:2380", Meta: EncodeMeta(MemberInfo{Name: "n2", PeerURLs: []string{"http://n2:2380"}})},
	}
	for _, a := range []*API{leader, follower} {
		a.solo().state.Configuration.Members = members
		a.solo().setPeers()
	}
	follower.memberID = 2
	follower.solo().state.ID, follower.solo().state.Role, follower.solo().state.Peers = 2, raft.Follower, nil
	return leader, follower, newClient(t, serve(t, follower))
}

// refusing returns an address that nobody listens at.
func refusing(t *testing.T) string {
	t.Helper()
	addresses, err := freeport.Addresses(1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

func TestAFollowerPassesChangesOnToTheLeader(t *testing.T) {
	leader, follower, client := pair(t)
	ctx := t.Context()
	added, err := client.MemberAddAsLearner(ctx, []string{"http://n3:2380"})
	if err != nil {
		t.Fatal(err)
	}
	if added.Header.MemberId != 2 {
		t.Errorf("the answer is member %d's; the client asked member 2", added.Header.MemberId)
	}
	if _, err := client.MemberAddAsLearner(ctx, []string{"http://n4:2380"}); err != rpctypes.ErrTooManyLearners {
		t.Errorf("the leader's refusal arrives as %v", err)
	}
	if _, err := client.MemberUpdate(ctx, added.Member.ID, []string{"http://n5:2380"}); err != nil {
		t.Error(err)
	}
	if _, err := client.MemberPromote(ctx, added.Member.ID); err != nil {
		t.Error(err)
	}
	if err := follower.Publish(ctx, "n2", []string{"http://n2:2379"}); err != nil {
		t.Error(err)
	}
	if _, err := client.MemberRemove(ctx, added.Member.ID); err != nil {
		t.Error(err)
	}
	want := "n1 http://n1:2380; n2 http://n2:2380"
	if got := showMembers(viewAll(leader.solo().state.Configuration)); got != want {
		t.Errorf("the leader has %s", got)
	}
	if m, _ := find(leader.solo().state.Configuration, 2); len(view(m).ClientURLs) != 1 {
		t.Errorf("member 2 is published as %v", view(m))
	}
	if len(follower.solo().state.Configuration.Members) != 2 || follower.solo().state.Last != 0 {
		t.Error("the follower made a change itself")
	}
}

func TestARequestForSomebodyElseIsNotPassedOnOrCarriedOut(t *testing.T) {
	leader, follower, client := pair(t)
	// The leader's client URL is really the follower's own: a loop, if it were not noticed.
	m := follower.solo().state.Configuration.Members[0]
	info, err := DecodeMeta(m.Meta)
	if err != nil {
		t.Fatal(err)
	}
	info.ClientURLs = []string{"http://" + client.Endpoints()[0]}
	m.Meta = EncodeMeta(info)
	follower.solo().with(func() {
		follower.solo().state.Configuration.Members = []raft.Member{m, follower.solo().state.Configuration.Members[1]}
	})
	if _, err := client.MemberUpdate(t.Context(), 2, []string{"http://n9:2380"}); err != nil {
		t.Fatal(err)
	}
	// Nobody was found, so the follower did it itself, through its group.
	if got := showMembers(viewAll(follower.solo().state.Configuration)); !strings.Contains(got, "n2 http://n9:2380") {
		t.Errorf("the follower has %s", got)
	}
	if leader.solo().state.Last != 0 {
		t.Error("the leader was asked")
	}
	// How far a learner is nobody but the leader knows.
	_, err = client.MemberPromote(t.Context(), 2)
	if err != rpctypes.ErrTimeoutDueToConnectionLost {
		t.Errorf("a promotion without the leader: %v", err)
	}
}

func TestPublishingTwiceChangesOnce(t *testing.T) {
	a := newTestAPI(t, nil)
	for range 2 {
		if err := a.Publish(t.Context(), "new", []string{"http://a:1"}); err != nil {
			t.Fatal(err)
		}
	}
	if a.solo().state.Last != 1 {
		t.Errorf("%d changes were made", a.solo().state.Last)
	}
	if err := a.Publish(t.Context(), "\xff", nil); err == nil {
		t.Error("a name that is not UTF-8 was published")
	}
	a.memberID = 9
	wantStatus(t, a.Publish(t.Context(), "new", nil), codes.NotFound, "etcdserver: member not found")
}
