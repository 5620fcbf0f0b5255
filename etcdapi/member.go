package etcdapi

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/raft"
)

// MemberInfo is what etcd's API says of a member beyond what the protocol needs. It is kept in raft.Member.Meta, so that every
// member learns it through the log. A member without a name has not started yet.
type MemberInfo struct {
	Name                 string
	PeerURLs, ClientURLs []string
}

// metaVersion is the first byte of an encoded MemberInfo; what follows is etcd's Member message.
const metaVersion = 1

// EncodeMeta returns the bytes for raft.Member.Meta.
func EncodeMeta(info MemberInfo) []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{metaVersion},
		&pb.Member{Name: info.Name, PeerURLs: info.PeerURLs, ClientURLs: info.ClientURLs})
	if err != nil {
		panic(fmt.Sprintf("etcdapi: a member's name and URLs must be valid UTF-8, as they were checked to be: %v", err))
	}
	return data
}

// DecodeMeta reads what EncodeMeta wrote. No bytes at all are a member of whom nothing is known.
func DecodeMeta(meta []byte) (MemberInfo, error) {
	if len(meta) == 0 {
		return MemberInfo{}, nil
	}
	if meta[0] != metaVersion {
		return MemberInfo{}, fmt.Errorf("etcdapi: member information of version %d; this program reads version %d: use a newer one", meta[0], metaVersion)
	}
	var m pb.Member
	if err := proto.Unmarshal(meta[1:], &m); err != nil {
		return MemberInfo{}, fmt.Errorf("etcdapi: member information is damaged: %w", err)
	}
	return MemberInfo{Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs}, nil
}

// NewMember returns the member that a group is bootstrapped with or that is added to it: its address is that of its first peer URL. now is nil for
// a bootstrap member, whose ID every member has to derive alike; see MemberID.
func NewMember(info MemberInfo, token string, now *time.Time) (raft.Member, error) {
	if !validText(info.Name) || !validText(info.ClientURLs...) {
		return raft.Member{}, errors.New("a member's name and client URLs have to be valid UTF-8")
	}
	urls, err := ParsePeerURLs(info.PeerURLs)
	if err != nil {
		return raft.Member{}, err
	}
	address, err := PeerAddress(urls[0])
	if err != nil {
		return raft.Member{}, err
	}
	info.PeerURLs = urls
	return raft.Member{ID: MemberID(urls, token, now), Address: address, Meta: EncodeMeta(info)}, nil
}

// MemberID derives a member's ID as etcd does: from its peer URLs in ascending order, the token of its cluster and, for a member that is
// added to a running cluster (with an empty token), the time in seconds, so that the same URLs never give the ID of an earlier member again.
func MemberID(peerURLs []string, token string, now *time.Time) raft.MemberID {
	urls := slices.Clone(peerURLs)
	slices.Sort(urls)
	text := strings.Join(urls, "") + token
	if now != nil {
		text += strconv.FormatInt(now.Unix(), 10)
	}
	sum := sha1.Sum([]byte(text))
	return raft.MemberID(max(binary.BigEndian.Uint64(sum[:8]), 1))
}

// ClusterID derives a cluster's ID, as etcd does, from the IDs of the members that it is founded with.
func ClusterID(members []raft.MemberID) uint64 {
	ids := slices.Clone(members)
	slices.Sort(ids)
	var text []byte
	for _, id := range ids {
		text = binary.BigEndian.AppendUint64(text, uint64(id))
	}
	sum := sha1.Sum(text)
	return max(binary.BigEndian.Uint64(sum[:8]), 1)
}

// ParsePeerURLs checks peer URLs and returns them in ascending order, trimmed. At least one is needed, each http or https with host and port and without a path.
func ParsePeerURLs(list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, errors.New("no peer URL given")
	}
	urls := make([]string, len(list))
	for i, text := range list {
		u, err := parsePeerURL(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		urls[i] = u.String()
	}
	slices.Sort(urls)
	return urls, nil
}

// PeerAddress returns the host and port that a member is dialled at, from its peer URL.
func PeerAddress(peerURL string) (string, error) {
	u, err := parsePeerURL(peerURL)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}

func parsePeerURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("peer URL %q: %w", text, err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("peer URL %q: the scheme has to be http or https", text)
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("peer URL %q: only scheme, host and port are allowed", text)
	case !validText(text):
		return nil, fmt.Errorf("peer URL %q is not valid UTF-8", text)
	}
	if _, port, err := net.SplitHostPort(u.Host); err != nil || port == "" {
		return nil, fmt.Errorf("peer URL %q needs the form http://host:port", text)
	}
	return u, nil
}

func validText(texts ...string) bool {
	return !slices.ContainsFunc(texts, func(text string) bool { return strings.ToValidUTF8(text, "") != text })
}

// view is a member as the API shows it.
func view(m raft.Member) *pb.Member {
	// What cannot be read was written by a newer version; the rest of the member is still worth showing.
	info, _ := DecodeMeta(m.Meta)
	return &pb.Member{
		ID: uint64(m.ID), Name: info.Name, PeerURLs: info.PeerURLs, ClientURLs: info.ClientURLs, IsLearner: m.Learner,
	}
}

func viewAll(c raft.Configuration) []*pb.Member {
	members := make([]*pb.Member, len(c.Members))
	for i, m := range c.Members {
		members[i] = view(m)
	}
	return members
}

// find returns the member with that ID.
func find(c raft.Configuration, id raft.MemberID) (raft.Member, bool) {
	i := slices.IndexFunc(c.Members, func(m raft.Member) bool { return m.ID == id })
	if i < 0 {
		return raft.Member{}, false
	}
	return c.Members[i], true
}
