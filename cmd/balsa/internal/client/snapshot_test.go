package client

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// snapshotBytes is a stream as the server sends it: a body of whole sectors, then its SHA-256.
func snapshotBytes() []byte {
	body := bytes.Repeat([]byte("balsa"), 1024)
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

func TestSavedSnapshotIsComplete(t *testing.T) {
	name := filepath.Join(t.TempDir(), "backup.db")
	want := snapshotBytes()
	if n, err := saveFile(name, bytes.NewReader(want)); err != nil || n != int64(len(want)) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file differs from the stream (%v)", err)
	}
}

func TestBrokenSnapshotLeavesNoFile(t *testing.T) {
	whole := snapshotBytes()
	flipped := bytes.Clone(whole)
	flipped[700] ^= 1
	for name, c := range map[string]struct {
		stream []byte
		want   string
	}{
		"cut":     {whole[:len(whole)-1], "broke off"},
		"empty":   {nil, "broke off"},
		"flipped": {flipped, "checksum does not match"},
	} {
		dir := t.TempDir()
		_, err := saveFile(filepath.Join(dir, "backup.db"), bytes.NewReader(c.stream))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: left %v behind", name, left)
		}
	}
}

func TestBrokenSnapshotKeepsTheOldFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(name, []byte("yesterday's"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := saveFile(name, strings.NewReader("broken")); err == nil {
		t.Fatal("a broken stream was saved")
	}
	if got, _ := os.ReadFile(name); string(got) != "yesterday's" {
		t.Errorf("the old file holds %q now", got)
	}
}
