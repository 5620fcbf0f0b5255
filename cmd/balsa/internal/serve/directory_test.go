package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADirectoryIsLockedWhileItIsOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	first, err := openDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openDirectory(path)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by another process, process %d", os.Getpid())) {
		t.Errorf("opening it twice: %v", err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	second, err := openDirectory(path)
	if err != nil {
		t.Fatalf("it stays locked after it was closed: %v", err)
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
}

func TestADirectoryThatCannotBeMadeIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "data")} {
		if _, err := openDirectory(path); err == nil || !strings.Contains(err.Error(), "--data-dir") {
			t.Errorf("%s: got %v, want an error that names --data-dir", path, err)
		}
	}
}

func TestForeignFilesAreNoticed(t *testing.T) {
	d, err := openDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if empty, found, err := d.isEmpty(); !empty || err != nil {
		t.Errorf("a new directory is said to hold %q (%v)", found, err)
	}
	if err := os.WriteFile(d.join("member.snap"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if empty, found, err := d.isEmpty(); empty || found != "member.snap" || err != nil {
		t.Errorf("empty %v, found %q (%v)", empty, found, err)
	}
}

func testIdentity() *identity {
	return &identity{
		Format: identityFormat, ClusterID: "c1", MemberID: "a1", Name: "a", Token: "balsa-cluster",
		PeerURLs: []string{"http://10.0.0.1:2380"}, Incarnation: "ff", Admitted: true,
	}
}

func TestIdentitySurvives(t *testing.T) {
	dir := t.TempDir()
	if id, err := readIdentity(dir); id != nil || err != nil {
		t.Errorf("an empty directory has the identity %v (%v)", id, err)
	}
	if err := testIdentity().write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Sum = ""; fmt.Sprint(*got) != fmt.Sprint(*testIdentity()) {
		t.Errorf("got %+v, want %+v", got, testIdentity())
	}
	if ids, err := got.ids(); err != nil || ids != (parsedIDs{cluster: 0xc1, member: 0xa1, incarnation: 0xff}) {
		t.Errorf("ids %+v (%v)", ids, err)
	}
}

// TestDamagedIdentitiesAreRefused flips and cuts the file: it is read as it was written, or not at all, or not as this member's.
func TestDamagedIdentitiesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              "",
		"cut":                `{"format":1,"cluster_id":"c1"`,
		"zeros":              "\x00\x00\x00\x00",
		"no number":          `{"format":1,"cluster_id":"xyz","member_id":"a1"}`,
		"no id":              `{"format":1}`,
		"of another version": `{"format":2,"cluster_id":"c1","member_id":"a1"}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if id, err := readIdentity(dir); err == nil || !strings.Contains(err.Error(), identityFile) {
			t.Errorf("%s: got %+v (%v), want an error that names the file", name, id, err)
		}
	}
}

// TestEveryFlippedBitOfAnIdentityIsNoticed flips each bit of the file: it is refused with advice, or says what it said before.
func TestEveryFlippedBitOfAnIdentityIsNoticed(t *testing.T) {
	dir := t.TempDir()
	if err := testIdentity().write(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	refused, harmless := 0, 0
	for i := range data {
		for bit := range 8 {
			data[i] ^= 1 << bit
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
			data[i] ^= 1 << bit
			id, err := readIdentity(dir)
			switch {
			case err != nil:
				refused++
				if !strings.Contains(err.Error(), identityFile) || !strings.Contains(err.Error(), "\n") {
					t.Errorf("byte %d, bit %d: refused without advice: %v", i, bit, err)
				}
			case id == nil:
				t.Errorf("byte %d, bit %d: the directory has no identity", i, bit)
			default:
				harmless++ // A letter of a name in the other case, as JSON reads them.
				if id.Sum = ""; fmt.Sprint(*id) != fmt.Sprint(*testIdentity()) {
					t.Errorf("byte %d, bit %d: it is read as %+v", i, bit, id)
				}
			}
		}
	}
	if refused == 0 || refused < 4*harmless {
		t.Errorf("%d refused, %d harmless", refused, harmless)
	}
}

// FuzzIdentity reads arbitrary bytes as an identity: it is refused with an error that names the file, or says the same when it is written and read again.
func FuzzIdentity(f *testing.F) {
	dir := f.TempDir()
	if err := testIdentity().write(dir); err != nil {
		f.Fatal(err)
	}
	name := filepath.Join(dir, identityFile)
	written, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written)
	f.Add([]byte(`{"format":1,"cluster_id":"c1","member_id":"a1","incarnation":"ff"}`))
	f.Add([]byte(`{"format":2,"later":[[[]]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		id, err := readIdentity(dir)
		if err != nil {
			if !strings.Contains(err.Error(), identityFile) {
				t.Fatal(err)
			}
			return
		}
		again := *id
		if err := again.write(dir); err != nil {
			t.Fatal(err)
		}
		read, err := readIdentity(dir)
		if err != nil || fmt.Sprint(*read) != fmt.Sprint(again) {
			t.Fatalf("%+v came back as %+v, %v", again, read, err)
		}
	})
}

// TestAnIdentityOfAnEarlierVersionIsRead has no checksum.
func TestAnIdentityOfAnEarlierVersionIsRead(t *testing.T) {
	dir := t.TempDir()
	old := `{"format":1,"cluster_id":"c1","member_id":"a1","name":"a","token":"balsa-cluster","peer_urls":["http://10.0.0.1:2380"],"incarnation":"ff","admitted":true}`
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := readIdentity(dir); err != nil || fmt.Sprint(*got) != fmt.Sprint(*testIdentity()) {
		t.Errorf("got %+v (%v)", got, err)
	}
}

func TestADirectoryKnowsItsMember(t *testing.T) {
	cluster := "--initial-cluster=a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"
	for _, c := range []struct {
		want string // "": fine
		args []string
	}{
		{"", nil},
		{"", []string{"--name=a", cluster}},
		{"", []string{"--name=a", "--initial-cluster=a=http://10.0.0.1:2380"}},                              // the list is of no use any more
		{"", []string{"--name=a", cluster + ",c=http://10.0.0.3:2380", "--initial-cluster-state=existing"}}, // it was added meanwhile
		{`belongs to member "a"`, []string{"--name=b", cluster}},
		{"--initial-cluster-token=balsa-cluster, not other", []string{"--name=a", cluster, "--initial-cluster-token=other"}},
		{"not at http://10.0.0.9:2380", []string{"--name=a", "--initial-cluster=a=http://10.0.0.9:2380"}},
	} {
		err := testIdentity().matches(mustCheck(t, c.args...))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
		if moved := strings.Contains(c.want, "10.0.0.9"); errors.Is(err, errMoved) != moved {
			t.Errorf("%v: errMoved is %v", c.args, !moved)
		}
	}
}
