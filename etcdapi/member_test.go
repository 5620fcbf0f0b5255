package etcdapi

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/internal/hostile"
	"github.com/balsa-raft/balsa/raft"
)

// The values are those of an etcd that was started with these flags.
func TestIDsAreEtcds(t *testing.T) {
	one := MemberID([]string{"http://localhost:2380"}, "etcd-cluster", nil)
	if one != 0x8e9e05c52164694d {
		t.Errorf("the member's ID is %x", uint64(one))
	}
	if id := ClusterID([]raft.MemberID{one}); id != 0xcdf818194e3a8c32 {
		t.Errorf("the cluster's ID is %x", id)
	}
}

func TestIDsDependOnWhatTheyAreMadeOf(t *testing.T) {
	now := time.Unix(1700000000, 0)
	later := now.Add(time.Second)
	urls, swapped := []string{"http://a:1", "http://b:2"}, []string{"http://b:2", "http://a:1"}
	ids := []raft.MemberID{
		MemberID(urls, "", nil), MemberID(urls, "token", nil), MemberID(urls, "", &now), MemberID(urls, "", &later), MemberID(urls[:1], "", nil),
	}
	for i := range ids {
		for j := range i {
			if ids[i] == ids[j] {
				t.Errorf("%d and %d have the same ID", i, j)
			}
		}
	}
	if MemberID(swapped, "token", nil) != ids[1] {
		t.Error("the order of the peer URLs changes the ID")
	}
	if swapped[0] != "http://b:2" {
		t.Error("the caller's slice was sorted")
	}
	if ClusterID(ids) != ClusterID([]raft.MemberID{ids[4], ids[3], ids[2], ids[1], ids[0]}) {
		t.Error("the order of the members changes the cluster's ID")
	}
}

func TestMetaComesBack(t *testing.T) {
	for _, info := range []MemberInfo{
		{},
		{PeerURLs: []string{"http://a:1"}},
		{Name: "wörth", PeerURLs: []string{"http://a:1", "https://b:2"}, ClientURLs: []string{"http://a:3"}},
	} {
		got, err := DecodeMeta(EncodeMeta(info))
		if err != nil || !reflect.DeepEqual(got, info) {
			t.Errorf("%+v came back as %+v, %v", info, got, err)
		}
	}
	if got, err := DecodeMeta(nil); err != nil || !reflect.DeepEqual(got, MemberInfo{}) {
		t.Errorf("no bytes are %+v, %v", got, err)
	}
}

// Yesterday's bytes have to be read for ever: they are in logs and snapshots.
func TestMetaOfVersion1IsRead(t *testing.T) {
	got, err := DecodeMeta([]byte("\x01\x12\x02n1\x1a\x0ahttp://a:1\x22\x0ahttp://a:2"))
	want := MemberInfo{Name: "n1", PeerURLs: []string{"http://a:1"}, ClientURLs: []string{"http://a:2"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestForeignMetaIsRefusedWithAReason(t *testing.T) {
	for meta, reason := range map[string]string{
		"\x02":         "version 2",
		"\x01\x12\xff": "damaged",
		"{}":           "version 123",
	} {
		if _, err := DecodeMeta([]byte(meta)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: got %v, want an error that says %q", meta, err, reason)
		}
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeMeta(MemberInfo{Name: "n", PeerURLs: []string{"http://a:1"}, ClientURLs: []string{"http://a:2"}}))
	f.Fuzz(func(t *testing.T, meta []byte) {
		var info MemberInfo
		var err error
		if hostile.Within(t, 64*len(meta), func() { info, err = DecodeMeta(meta) }); err != nil {
			return
		}
		again, err := DecodeMeta(EncodeMeta(info))
		if err != nil || !reflect.DeepEqual(again, info) {
			t.Errorf("%+v came back as %+v, %v", info, again, err)
		}
	})
}

func TestPeerURLs(t *testing.T) {
	for _, test := range []struct {
		urls, want []string
		err        string
	}{
		{urls: []string{" http://b:2 ", "https://a:1"}, want: []string{"http://b:2", "https://a:1"}},
		{urls: []string{"http://[::1]:2380"}, want: []string{"http://[::1]:2380"}},
		{urls: nil, err: "no peer URL"},
		{urls: []string{"http://a"}, err: "needs the form"},
		{urls: []string{"http://a:"}, err: "needs the form"},
		{urls: []string{"a:1"}, err: "scheme"},
		{urls: []string{"unix://a:1"}, err: "scheme"},
		{urls: []string{"http://a:1/path"}, err: "only scheme, host and port"},
		{urls: []string{"http://a:1?q"}, err: "only scheme, host and port"},
		{urls: []string{"http://me@a:1"}, err: "only scheme, host and port"},
		{urls: []string{"http://a:b"}, err: "peer URL"},
		{urls: []string{"http://a:1", ""}, err: "scheme"},
		{urls: []string{"http://\xff:1"}, err: "peer URL"},
	} {
		got, err := ParsePeerURLs(test.urls)
		switch {
		case test.err == "" && (err != nil || !reflect.DeepEqual(got, test.want)):
			t.Errorf("%q: got %q, %v", test.urls, got, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%q: got error %v, want one that says %q", test.urls, err, test.err)
		}
	}
}

func TestNewMember(t *testing.T) {
	m, err := NewMember(MemberInfo{Name: "n", PeerURLs: []string{"http://localhost:2380"}, ClientURLs: []string{"http://localhost:2379"}}, "etcd-cluster", nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != 0x8e9e05c52164694d || m.Address != "localhost:2380" || m.Learner {
		t.Errorf("got %+v", m)
	}
	if v := view(m); v.Name != "n" || v.ID != uint64(m.ID) || len(v.PeerURLs) != 1 || len(v.ClientURLs) != 1 {
		t.Errorf("it is shown as %v", v)
	}
	for _, bad := range []MemberInfo{{Name: "n"}, {Name: "\xff", PeerURLs: []string{"http://a:1"}}, {PeerURLs: []string{"http://a:1"}, ClientURLs: []string{"\xff"}}} {
		if _, err := NewMember(bad, "", nil); err == nil {
			t.Errorf("%+q was taken", bad)
		}
	}
}
