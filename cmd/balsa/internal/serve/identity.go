package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/raft"
)

// identity is the file in a data directory that says whose it is. Starting somebody else's data under the wrong name could count one
// vote twice, or bring back what a cluster had deleted: so it is read, and compared with the flags, before anything else is.
type identity struct {
	Format int `json:"format"`
	// ClusterID and MemberID are hexadecimal, as all commands print them.
	ClusterID string `json:"cluster_id"`
	MemberID  string `json:"member_id"`
	Name      string `json:"name"`
	Token     string `json:"token"`
	// PeerURLs are where the other members reached this one when it last ran.
	PeerURLs []string `json:"peer_urls"`
	// Incarnation is that of the log beside this file, "" until the log was made. A log with another one is not the log that
	// this member voted with.
	Incarnation string `json:"incarnation,omitempty"`
	// Admitted says that this member has seen itself in the cluster's configuration; if it sees itself missing later, it was removed.
	Admitted bool `json:"admitted,omitempty"`
	// Sum is the CRC-32C of all the rest, as sum makes it, in hexadecimal: a digit that a bad disk changed could be another member's. Files of earlier
	// versions have none.
	Sum string `json:"sum,omitempty"`
}

const (
	identityFile   = "identity.json"
	identityFormat = 1
)

// readIdentity gives nil for a directory that has no identity yet.
func readIdentity(dir string) (*identity, error) {
	name := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading whose data directory it is: %w", err)
	}
	damaged := func(err error) error {
		return cli.Advise(fmt.Errorf("%s is damaged: %w", name, err),
			"It says whose data this is. If you have no copy of the file, remove this member from the cluster and add it anew, with an empty directory.")
	}
	id, err := decodeIdentity(data)
	if err != nil {
		return nil, damaged(err)
	}
	if id.Format != identityFormat {
		return nil, cli.Advise(fmt.Errorf("%s has format %d, this program knows %d", name, id.Format, identityFormat),
			"The directory was written by another version of balsa: start that one.")
	}
	if sum := id.sum(); id.Sum != "" && id.Sum != sum {
		return nil, damaged(fmt.Errorf("its checksum is %s, not %s", sum, id.Sum))
	}
	if _, err := id.ids(); err != nil {
		return nil, damaged(err)
	}
	return id, nil
}

// decodeIdentity reads the file's JSON. Of another format only the format is read.
func decodeIdentity(data []byte) (*identity, error) {
	var id identity
	if err := json.Unmarshal(data, &id); err != nil {
		return nil, err
	}
	if id.Format != identityFormat {
		return &id, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields() // A name that is not known was damaged, and its value would be missing.
	return &id, d.Decode(&id)
}

// sum is the checksum of an identity.
func (id *identity) sum() string {
	rest := *id
	rest.Sum = ""
	data, err := json.Marshal(rest)
	if err != nil {
		panic(err) // It is strings and numbers.
	}
	return fmt.Sprintf("%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}

// write replaces the file, in one step that a crash cannot split.
func (id *identity) write(dir string) error {
	id.Sum = id.sum()
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, identityFile)
	if err := writeSynced(name+".new", append(data, '\n')); err != nil {
		return fmt.Errorf("writing whose data directory it is: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("writing whose data directory it is: %w", err)
	}
	return syncDirectory(dir)
}

func writeSynced(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDirectory(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// parsedIDs are the numbers of an identity.
type parsedIDs struct {
	cluster     uint64
	member      raft.MemberID
	incarnation uint64 // 0: none yet
}

func (id *identity) ids() (parsedIDs, error) {
	cluster, err1 := strconv.ParseUint(id.ClusterID, 16, 64)
	member, err2 := strconv.ParseUint(id.MemberID, 16, 64)
	var incarnation uint64
	var err3 error
	if id.Incarnation != "" {
		incarnation, err3 = strconv.ParseUint(id.Incarnation, 16, 64)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return parsedIDs{}, err
	}
	return parsedIDs{cluster: cluster, member: raft.MemberID(member), incarnation: incarnation}, nil
}

// errMoved says that the flags give this member another address than it had: right if the cluster was told, else the wrong directory.
var errMoved = errors.New("the member is at another address now")

// matches compares a directory's identity with what the flags say, as far as they say anything: after the first start they need not.
// errMoved leaves the answer to the cluster.
func (id *identity) matches(s *settings) error {
	owner := fmt.Sprintf("the data directory %s belongs to member %q (%s) of cluster %s", s.dataDir, id.Name, id.MemberID, id.ClusterID)
	if s.given("name") && s.Name != id.Name {
		return cli.Advise(fmt.Errorf("%s, but --name is %q", owner, s.Name),
			"Give the right --data-dir, or start it under its own name.")
	}
	if s.given("initial-cluster-token") && s.InitialClusterToken != id.Token {
		return cli.Advise(fmt.Errorf("%s, which was made with --initial-cluster-token=%s, not %s", owner, id.Token, s.InitialClusterToken),
			"Give the right --data-dir, or an empty one to found another cluster.")
	}
	told := s.given("initial-cluster") || s.given("initial-advertise-peer-urls")
	if told && strings.Join(s.peerURLs, ",") != strings.Join(id.PeerURLs, ",") {
		return cli.Advise(fmt.Errorf("%s, and that one is at %s, not at %s: %w", owner, strings.Join(id.PeerURLs, ","), strings.Join(s.peerURLs, ","), errMoved),
			"Give the right --data-dir. If the member itself did move, tell the cluster first: balsa member update "+id.Name+
				" --peer-urls="+strings.Join(s.peerURLs, ","))
	}
	return nil
}
