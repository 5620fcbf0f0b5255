package etcdapi

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// situation describes a group as its leader, member 1, sees it: one letter a member. V is a voter that has started and answers, v one that
// does not answer, u a voter that never started; L is a learner that is in sync, l one that lags, s one that waits for a snapshot.
func situation(letters string) *engine.Status {
	s := &engine.Status{}
	s.ID, s.Role, s.Last = 1, raft.Leader, 1000
	for i, letter := range letters {
		id := raft.MemberID(i + 1)
		info := MemberInfo{Name: fmt.Sprintf("n%d", id), PeerURLs: []string{fmt.Sprintf("http://n%d:2380", id)}}
		p := raft.Progress{ID: id, Match: 1000, RecentActive: true}
		m := raft.Member{ID: id, Learner: letter != 'V' && letter != 'v' && letter != 'u'}
		switch letter {
		case 'v':
			p.RecentActive = false
		case 'u':
			info.Name, p.RecentActive, p.Match = "", false, 0
		case 'l':
			p.Match = 899
		case 's':
			p.PendingSnapshot = 500
		}
		m.Meta = EncodeMeta(info)
		s.Configuration.Members = append(s.Configuration.Members, m)
		s.Peers = append(s.Peers, p)
	}
	return s
}

func newMemberAt(t *testing.T, url string, learner bool) raft.Member {
	t.Helper()
	m, err := NewMember(MemberInfo{PeerURLs: []string{url}}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Learner = learner
	return m
}

func TestChangesThatWouldCostTheQuorumAreRefused(t *testing.T) {
	voter, learner := newMemberAt(t, "http://new:2380", false), newMemberAt(t, "http://new:2380", true)
	taken := newMemberAt(t, "http://n2:2380", false)
	double := voter
	double.ID = 2
	joining := situation("VVV")
	joining.Configuration.Members = append(joining.Configuration.Members, raft.Member{ID: 4, Learner: true, AutoPromote: true})
	add := func(letters string, m raft.Member) error { return mayAdd(situation(letters), m, 1) }
	remove := func(letters string, id raft.MemberID) error { return mayRemove(situation(letters), id) }
	promote := func(letters string, id raft.MemberID) error { return mayPromote(situation(letters), id, 5000) }
	for name, test := range map[string]struct{ got, want error }{
		"a second member":                          {add("V", voter), nil},
		"a third while the second has not started": {add("Vu", voter), rpctypes.ErrGRPCMemberNotEnoughStarted},
		"a fourth":                                     {add("VVV", voter), nil},
		"a fourth while one is down":                   {add("VVv", voter), rpctypes.ErrGRPCUnhealthy},
		"a fifth while one is down":                    {add("VVVv", voter), nil},
		"a learner":                                    {add("VVV", learner), nil},
		"a learner while one is down":                  {add("VVv", learner), rpctypes.ErrGRPCUnhealthy},
		"a learner while one has not started":          {add("VVu", learner), rpctypes.ErrGRPCUnhealthy},
		"a second learner":                             {add("VVVL", learner), rpctypes.ErrGRPCTooManyLearners},
		"a learner beside a voter that is catching up": {mayAdd(joining, learner, 1), nil},
		"a voter beside a learner":                     {add("VVVL", voter), nil},
		"an ID that is taken":                          {add("VVV", double), rpctypes.ErrGRPCMemberExist},
		"a peer URL that is taken":                     {add("VVV", taken), rpctypes.ErrGRPCPeerURLExist},

		"the only member goes":                          {remove("V", 1), rpctypes.ErrGRPCMemberNotEnoughStarted},
		"one of three":                                  {remove("VVV", 2), nil},
		"the leader of three":                           {remove("VVV", 1), nil},
		"the one of three that is down":                 {remove("VVv", 3), nil},
		"one that is up while another is down":          {remove("VVv", 2), rpctypes.ErrGRPCUnhealthy},
		"the one of two that is down":                   {remove("Vv", 2), nil},
		"the one of two that never started":             {remove("Vu", 2), nil},
		"one of two":                                    {remove("VV", 2), nil},
		"the one that started":                          {remove("Vu", 1), rpctypes.ErrGRPCMemberNotEnoughStarted},
		"somebody unknown":                              {remove("VVV", 9), rpctypes.ErrGRPCMemberNotFound},
		"a learner goes":                                {remove("VvL", 3), nil},
		"a learner in sync":                             {promote("VVVL", 4), nil},
		"the learner of one voter":                      {promote("VL", 2), nil},
		"a learner that lags":                           {promote("VVVl", 4), rpctypes.ErrGRPCLearnerNotReady},
		"a learner that waits for a snapshot":           {promote("VVVs", 4), rpctypes.ErrGRPCLearnerNotReady},
		"a voter":                                       {promote("VVVL", 2), rpctypes.ErrGRPCMemberNotLearner},
		"nobody":                                        {promote("VVVL", 9), rpctypes.ErrGRPCMemberNotFound},
		"a learner while two of three have not started": {promote("VuuL", 4), rpctypes.ErrGRPCMemberNotEnoughStarted},

		"new peer URLs":           {mayUpdate(situation("VVV"), double), nil},
		"one's own peer URLs":     {mayUpdate(situation("VVV"), situation("VVV").Configuration.Members[1]), nil},
		"another's peer URLs":     {mayUpdate(situation("VVV"), raft.Member{ID: 3, Meta: taken.Meta}), rpctypes.ErrGRPCPeerURLExist},
		"peer URLs of a stranger": {mayUpdate(situation("VVV"), raft.Member{ID: 9, Meta: voter.Meta}), rpctypes.ErrGRPCMemberNotFound},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %v, want %v", name, test.got, test.want)
		}
	}
}

func TestALongLogDoesNotMakeALearnerReady(t *testing.T) {
	s := situation("VL")
	s.Last, s.Peers[1].Match = 1_000_000, 950_000
	if inSync(s, 2, 5000) {
		t.Error("a learner that lacks 50,000 entries is in sync")
	}
	s.Peers[1].Match = 995_000
	if !inSync(s, 2, 5000) {
		t.Error("a learner that lacks 5,000 entries of a million is not in sync")
	}
}

func TestAFollowerCountsEverybodyAsActive(t *testing.T) {
	s := situation("VVv")
	s.Peers = nil
	wantStatus(t, mayAdd(s, newMemberAt(t, "http://new:2380", false), 1), codes.OK, "")
}
