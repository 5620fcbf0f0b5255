package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDamagedFilesAreNeverSilent takes the directory of a member that was stopped, cuts or flips one file at a time, and starts the member on the result. It
// may refuse, with an error that names what is wrong and exit code 1, or it may repair what it can prove to be unneeded and serve; then every write that was
// acknowledged is there. It never panics, and never serves less than it acknowledged.
func TestDamagedFilesAreNeverSilent(t *testing.T) {
	s := newServer(t, "m1")
	p := s.start(t)
	for _, key := range []string{"a", "b", "c"} {
		must(t, "put", key, "value of "+key, "--endpoints", s.client)
	}
	p.stop()
	p = s.start(t) // twice, so that the first run's files are old ones
	must(t, "put", "d", "value of d", "--endpoints", s.client)
	p.stop()
	const want = "a\nvalue of a\nb\nvalue of b\nc\nvalue of c\nd\nvalue of d\n"

	var files []string
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && entry.Name() != "LOCK" && entry.Name() != "ORIGINAL" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 4 {
		t.Fatalf("the directory has only %v (%v)", files, err)
	}
	damages := map[string]func(data []byte) []byte{
		"emptied":            func([]byte) []byte { return nil },
		"cut in half":        func(data []byte) []byte { return data[:len(data)/2] },
		"flipped at a half":  func(data []byte) []byte { return flip(data, lastByte(data)/2) },
		"flipped at the end": func(data []byte) []byte { return flip(data, lastByte(data)) },
		"somebody else's":    func([]byte) []byte { return []byte("PK\x03\x04 this is an archive of something else altogether") },
	}
	refused, served := 0, 0
	for _, file := range files {
		name, _ := filepath.Rel(s.dir, file)
		for how, damage := range damages {
			copied := &server{name: s.name, dir: filepath.Join(t.TempDir(), "copy"), client: s.client, peer: s.peer}
			if err := os.CopyFS(copied.dir, os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			forget(t, copied.dir)
			target := filepath.Join(copied.dir, name)
			data, err := os.ReadFile(target)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(target, damage(data), 0o644); err != nil {
				t.Fatal(err)
			}
			member := startBalsa(t, nil, copied.flags()...)
			if serves(t, member) {
				served++
				if got := must(t, "get", "--prefix", "", "--endpoints", s.client); got != want {
					t.Errorf("%s %s: it serves %q", name, how, got)
				}
				member.stop()
				continue
			}
			refused++
			out := member.output()
			if code := member.wait(); code != 1 || strings.Contains(out, "panic") || !strings.Contains(out, "balsa: ") {
				t.Errorf("%s %s: exit code %d:\n%s", name, how, code, out)
			}
		}
	}
	t.Logf("%d files; %d damages refused, %d harmless", len(files), refused, served)
}

// TestACopyOfADataDirectoryIsRefused: a copy, from a backup, say, would vote a second time, or would have forgotten what the member has promised since.
func TestACopyOfADataDirectoryIsRefused(t *testing.T) {
	s := newServer(t, "m1")
	p := s.start(t)
	must(t, "put", "a", "1", "--endpoints", s.client)
	p.stop()
	copied := &server{name: s.name, dir: filepath.Join(t.TempDir(), "copy"), client: s.client, peer: s.peer}
	if err := os.CopyFS(copied.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	member := startBalsa(t, nil, copied.flags()...)
	if serves(t, member) {
		t.Fatal("it serves")
	}
	if out, code := member.output(), member.wait(); code != 1 || !strings.Contains(out, "copy") || !strings.Contains(out, "remove") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	// A directory that was moved is a copy whose original is no more. Who says so is believed.
	forget(t, copied.dir)
	member = startBalsa(t, nil, copied.flags()...)
	if !serves(t, member) {
		t.Fatalf("it does not serve:\n%s", member.output())
	}
	if got := must(t, "get", "a", "--endpoints", s.client); got != "a\n1\n" {
		t.Errorf("it serves %q", got)
	}
	member.stop()
}

// forget has a copy of a data directory pass for the original.
func forget(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "raft", "wal", "ORIGINAL")); err != nil {
		t.Fatal(err)
	}
}

// serves waits until a member serves, or has ended instead.
func serves(t *testing.T, p *process) bool {
	t.Helper()
	deadline := time.After(limit)
	for {
		p.mu.Lock()
		text, more := strings.Join(p.lines, "\n"), p.more
		p.mu.Unlock()
		if strings.Contains(text, readyLine) {
			return true
		}
		select {
		case <-more:
		case <-p.exited:
			return false
		case <-deadline:
			t.Fatalf("it neither serves nor ends:\n%s", text)
		}
	}
}

// lastByte is the place of the last byte that is not zero: files that are filled ahead end in zeros.
func lastByte(data []byte) int {
	for i := len(data) - 1; i >= 0; i-- {
		if data[i] != 0 {
			return i
		}
	}
	return 0
}

func flip(data []byte, at int) []byte {
	if at < len(data) {
		data[at] ^= 0x10
	}
	return data
}
