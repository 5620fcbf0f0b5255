package client

import (
	"bytes"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestWhatMemberAddPrintsStartsTheMember(t *testing.T) {
	added := &pb.Member{ID: 4, PeerURLs: []string{"http://127.0.0.1:2390"}}
	var b bytes.Buffer
	err := (&printer{w: &b}).added("m4", &clientv3.MemberAddResponse{
		Header: &pb.ResponseHeader{ClusterId: 0xc1}, Member: added, Members: []*pb.Member{
			{ID: 1, Name: "m1", PeerURLs: []string{"http://localhost:2380"}, ClientURLs: []string{"http://localhost:2379"}},
			{ID: 2, Name: "m2", PeerURLs: []string{"http://10.0.0.2:2381"}, ClientURLs: []string{"http://10.0.0.2:2379"}},
			{ID: 3, PeerURLs: []string{"http://10.0.0.3:2380"}}, // it has not started, so it has no name
			added,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "Member 4 is added to cluster c1. Start `balsa serve` with an empty data directory and these settings in its environment:\n" + `
BALSA_NAME="m4"
BALSA_INITIAL_CLUSTER="m1=http://localhost:2380,m2=http://10.0.0.2:2381,m4=http://127.0.0.1:2390"
BALSA_INITIAL_ADVERTISE_PEER_URLS="http://127.0.0.1:2390"
BALSA_INITIAL_CLUSTER_STATE="existing"
BALSA_LISTEN_PEER_URLS="http://127.0.0.1:2390"
BALSA_LISTEN_CLIENT_URLS="http://127.0.0.1:2381"
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestAProposedClientURLIsTheHostsFirstFreePort(t *testing.T) {
	for peer, want := range map[string]string{
		"http://10.0.0.4:2380":  "http://10.0.0.4:2379",
		"http://10.0.0.4:2379":  "http://10.0.0.4:2380",
		"http://[fd00::4]:2380": "http://[fd00::4]:2379",
		"http://db-4:2380":      "http://db-4:2379",
	} {
		m := &pb.Member{PeerURLs: []string{peer}}
		if got := freeClientURL(m, []*pb.Member{{PeerURLs: []string{"http://10.0.0.1:2380"}, ClientURLs: []string{"http://10.0.0.1:2379"}}, m}); got != want {
			t.Errorf("%s: got %s, want %s", peer, got, want)
		}
	}
}
