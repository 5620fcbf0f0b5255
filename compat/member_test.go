package compat

import (
	"errors"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// identities says who a server's first and only member is.
type identities struct {
	self         uint64
	peer, client string
}

// anonymous takes out of an answer's members what has to differ between two clusters: IDs, and the first member's name and addresses.
func (i identities) anonymous(a answer) answer {
	var known rpctypes.EtcdError
	if errors.As(rpctypes.Error(a.err), &known) {
		// etcd's server answers some of its errors with the code Unknown. Its clients know them by their texts, and put the code right.
		a.err = status.Error(known.Code(), known.Error())
	}
	var members, all []*pb.Member
	if r, ok := a.response.(interface{ GetMembers() []*pb.Member }); ok {
		members = r.GetMembers()
	}
	all = members
	if r, ok := a.response.(*pb.MemberAddResponse); ok {
		all = append(slices.Clone(members), r.Member)
	}
	for _, m := range all {
		if m.ID == i.self {
			m.Name = "self"
		}
		m.ID = 0
		for j, u := range m.PeerURLs {
			m.PeerURLs[j] = strings.ReplaceAll(u, i.peer, "self")
		}
		for j, u := range m.ClientURLs {
			m.ClientURLs[j] = strings.ReplaceAll(u, i.client, "self")
		}
	}
	slices.SortFunc(members, func(a, b *pb.Member) int { return strings.Compare(a.Name, b.Name) })
	return a
}

// single is a pair of one member each, with what tells the sides apart.
type single struct {
	*pair
	balsa, etcd identities
}

func newSingle(t *testing.T) *single {
	t.Helper()
	s := &single{pair: newPair(t, 1)}
	id := func(a answer) uint64 {
		if a.err != nil {
			t.Fatal(a.err)
		}
		return a.response.(*pb.MemberListResponse).Members[0].ID
	}
	ours, theirs := s.do(step{request: &pb.MemberListRequest{}})
	m := s.subject.members[0]
	s.balsa = identities{id(ours), m.peer, m.client}
	s.etcd = identities{id(theirs), s.oracle.server.Config().AdvertisePeerUrls[0].Host, s.oracle.client}
	return s
}

// check asks both sides, each in its own terms, and compares.
func (s *single) check(t *testing.T, what string, request func(self identities, learner uint64) proto.Message, learners [2]uint64) (balsa, etcd answer) {
	t.Helper()
	balsa = ask(s.conns[0], step{request: request(s.balsa, learners[0])})
	etcd = ask(s.oracle.conn, step{request: request(s.etcd, learners[1])})
	ids := [2]answer{balsa, etcd}
	for i, a := range ids {
		if a.response != nil {
			ids[i].response = proto.Clone(a.response)
		}
	}
	ours, theirs := s.balsa.anonymous(ids[0]), s.etcd.anonymous(ids[1])
	if !ours.equal(theirs) {
		t.Errorf("%s\n  Balsa: %v\n  etcd:  %v", what, ours, theirs)
	}
	return balsa, etcd
}

func TestMembersAreChangedAndRefusedAsInEtcd(t *testing.T) {
	s := newSingle(t)
	var learners [2]uint64
	type step struct {
		what    string
		request func(self identities, learner uint64) proto.Message
	}
	addLearner := func(urls ...string) func(identities, uint64) proto.Message {
		return func(identities, uint64) proto.Message { return &pb.MemberAddRequest{PeerURLs: urls, IsLearner: true} }
	}
	run := func(steps []step) {
		t.Helper()
		for _, step := range steps {
			balsa, etcd := s.check(t, step.what, step.request, learners)
			if r, ok := balsa.response.(*pb.MemberAddResponse); ok && etcd.err == nil {
				learners = [2]uint64{r.Member.ID, etcd.response.(*pb.MemberAddResponse).Member.ID}
			}
		}
	}
	list := func(identities, uint64) proto.Message { return &pb.MemberListRequest{Linearizable: true} }
	unknown := uint64(0x1234)
	run([]step{
		{"the members", list},
		{"the members, as one of them knows them", func(identities, uint64) proto.Message { return &pb.MemberListRequest{} }},
		{"promote a voter", func(self identities, _ uint64) proto.Message { return &pb.MemberPromoteRequest{ID: self.self} }},
		{"promote nobody", func(identities, uint64) proto.Message { return &pb.MemberPromoteRequest{ID: unknown} }},
		{"remove nobody", func(identities, uint64) proto.Message { return &pb.MemberRemoveRequest{ID: unknown} }},
		{"update nobody", func(identities, uint64) proto.Message {
			return &pb.MemberUpdateRequest{ID: unknown, PeerURLs: []string{"http://127.0.0.1:1"}}
		}},
		{"remove the only member", func(self identities, _ uint64) proto.Message { return &pb.MemberRemoveRequest{ID: self.self} }},
		{"update it to where it is", func(self identities, _ uint64) proto.Message {
			return &pb.MemberUpdateRequest{ID: self.self, PeerURLs: []string{"http://" + self.peer}}
		}},
	})
	for _, urls := range [][]string{
		nil, {""}, {"127.0.0.1:1"}, {"http://127.0.0.1"}, {"http://127.0.0.1:1/"}, {"http://127.0.0.1:1/path"}, {"ftp://127.0.0.1:1"}, {"tcp://127.0.0.1:1"},
		{"http://"}, {"http://127.0.0.1:1", "bad"}, {"://x"}, {"http://[::1"}, {"http://host:name"}, {"%"},
	} {
		balsa, _ := s.check(t, "add "+strings.Join(urls, ","), addLearner(urls...), learners)
		if r, ok := balsa.response.(*pb.MemberAddResponse); ok {
			t.Fatalf("%q was taken: %v", urls, r)
		}
	}
	run([]step{
		{"add a learner", addLearner("http://127.0.0.1:1", "http://127.0.0.1:2")},
		{"the members now", list},
		{"another learner", addLearner("http://127.0.0.1:3")},
		{"somebody with its URL", addLearner("http://127.0.0.1:2", "http://127.0.0.1:4")},
		{"somebody with the first member's URL", func(self identities, _ uint64) proto.Message {
			return &pb.MemberAddRequest{PeerURLs: []string{"http://" + self.peer, "http://127.0.0.1:4"}, IsLearner: true}
		}},
		{"promote it too soon", func(_ identities, learner uint64) proto.Message { return &pb.MemberPromoteRequest{ID: learner} }},
		{"update it", func(_ identities, learner uint64) proto.Message {
			return &pb.MemberUpdateRequest{ID: learner, PeerURLs: []string{"http://127.0.0.1:5"}}
		}},
		{"update it to the first member's URL", func(self identities, learner uint64) proto.Message {
			return &pb.MemberUpdateRequest{ID: learner, PeerURLs: []string{"http://" + self.peer}}
		}},
		{"the members after that", list},
		{"move the leadership to it", func(_ identities, learner uint64) proto.Message { return &pb.MoveLeaderRequest{TargetID: learner} }},
		{"move the leadership to nobody", func(identities, uint64) proto.Message { return &pb.MoveLeaderRequest{TargetID: unknown} }},
		{"move the leadership to where it is", func(self identities, _ uint64) proto.Message { return &pb.MoveLeaderRequest{TargetID: self.self} }},
		{"remove it", func(_ identities, learner uint64) proto.Message { return &pb.MemberRemoveRequest{ID: learner} }},
		{"remove it again", func(_ identities, learner uint64) proto.Message { return &pb.MemberRemoveRequest{ID: learner} }},
		{"promote it when it is gone", func(_ identities, learner uint64) proto.Message { return &pb.MemberPromoteRequest{ID: learner} }},
		{"update it when it is gone", func(_ identities, learner uint64) proto.Message {
			return &pb.MemberUpdateRequest{ID: learner, PeerURLs: []string{"http://127.0.0.1:5"}}
		}},
		{"the members at last", list},
	})
}

func TestMaintenanceAnswersAsInEtcd(t *testing.T) {
	s := newSingle(t)
	for _, request := range []proto.Message{
		&pb.HashKVRequest{}, &pb.CompactionRequest{Revision: -1}, &pb.CompactionRequest{}, &pb.CompactionRequest{Revision: 1}, &pb.CompactionRequest{Revision: 2},
		&pb.PutRequest{Key: []byte("a"), Value: []byte("1")}, &pb.HashRequest{}, &pb.HashKVRequest{Revision: 2}, &pb.HashKVRequest{Revision: 3},
		&pb.AlarmRequest{}, &pb.AlarmRequest{Alarm: pb.AlarmType_NOSPACE},
		&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE}, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_CORRUPT},
		&pb.DefragmentRequest{}, &pb.RangeRequest{Key: []byte("a")},
	} {
		if balsa, etcd := s.do(step{request: request}); !balsa.equal(etcd) {
			t.Errorf("%T{%v}\n  Balsa: %v\n  etcd:  %v", request, request, balsa, etcd)
		}
	}
}

// TestStatusHasWhatEtcdsHas compares the fields of Status that say the same on both sides, and looks at what the others mean.
func TestStatusHasWhatEtcdsHas(t *testing.T) {
	s := newSingle(t)
	for range 3 {
		s.do(step{request: &pb.PutRequest{Key: []byte("a"), Value: []byte("1")}})
	}
	balsa, etcd := new(pb.StatusResponse), new(pb.StatusResponse)
	if err := call(s.conns[0], pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}, balsa); err != nil {
		t.Fatal(err)
	}
	if err := call(s.oracle.conn, pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}, etcd); err != nil {
		t.Fatal(err)
	}
	if balsa.Version != etcd.Version || balsa.StorageVersion != "3.7.0" || balsa.IsLearner != etcd.IsLearner ||
		len(balsa.Errors) != len(etcd.Errors) || !proto.Equal(balsa.DowngradeInfo, etcd.DowngradeInfo) || balsa.Header.Revision != etcd.Header.Revision {
		t.Errorf("\nBalsa: %v\netcd:  %v", balsa, etcd)
	}
	if balsa.Leader != balsa.Header.MemberId || balsa.RaftTerm != balsa.Header.RaftTerm || balsa.RaftIndex < 3 || balsa.RaftAppliedIndex < 3 ||
		balsa.DbSize == 0 || balsa.DbSizeInUse == 0 || balsa.DbSizeInUse > balsa.DbSize {
		t.Errorf("Balsa's fields do not fit together: %v", balsa)
	}
}
