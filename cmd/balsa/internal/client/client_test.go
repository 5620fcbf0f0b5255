package client

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestFindMember(t *testing.T) {
	members := []*pb.Member{{ID: 0xa1, Name: "m1"}, {ID: 0xa2, Name: "twin"}, {ID: 0xa3, Name: "twin"}, {ID: 0xa4}, {ID: 0xa5, Name: "a1"}}
	for in, want := range map[string]uint64{"m1": 0xa1, "a2": 0xa2, "0xA3": 0xa3, "a4": 0xa4, "a1": 0xa5} {
		got, err := findMember(members, in)
		if err != nil || got.ID != want {
			t.Errorf("%q: got %v (%v), want %x", in, got, err, want)
		}
	}
	for in, want := range map[string]string{"twin": "2 members have the name", "m9": "no member has the name or id", "": "no member has"} {
		if _, err := findMember(members, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", in, err, want)
		}
	}
}

func TestErrorsSayWhatToDoNext(t *testing.T) {
	o := &options{timeout: 5 * time.Second}
	for name, c := range map[string]struct {
		err     error
		mutates bool
		want    string
		not     string
	}{
		"a refusal is told as it is":     {rpctypes.ErrGRPCCompacted, true, "required revision has been compacted", "may or may not"},
		"no leader":                      {rpctypes.ErrGRPCNoLeader, true, "majority of the members has to be up", "rpc error"},
		"a lost answer to a write":       {rpctypes.ErrGRPCTimeout, true, "may or may not have been made", "rpc error"},
		"a lost answer to a read":        {rpctypes.ErrGRPCTimeout, false, "balsa status", "may or may not"},
		"no answer to a write":           {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), true, "no answer within 5s", "context"},
		"a broken connection in a write": {status.Error(codes.Unavailable, "error reading from server: EOF"), true, "may or may not", "rpc error"},
		"what the server lacks":          {status.Error(codes.Unimplemented, "leases"), true, "does not have this", "may or may not"},
	} {
		got := o.explain(c.err, c.mutates).Error()
		if !strings.Contains(got, c.want) || strings.Contains(got, c.not) {
			t.Errorf("%s: got %q, want %q in it and no %q", name, got, c.want, c.not)
		}
	}
	if o.explain(nil, true) != nil {
		t.Error("no error was turned into one")
	}
	plain := errors.New("disk full")
	if got := o.explain(plain, false); got.Error() != "disk full" {
		t.Errorf("an error that is not the API's came out as %q", got)
	}
}

func TestMembersAreListedByName(t *testing.T) {
	members := []*pb.Member{{ID: 1}, {ID: 2, Name: "m3"}, {ID: 3, Name: "m1"}, {ID: 4}, {ID: 5, Name: "m2"}}
	sortByName(members)
	var ids []uint64
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	if !slices.Equal(ids, []uint64{3, 5, 2, 1, 4}) {
		t.Errorf("got the ids %v", ids)
	}
}
