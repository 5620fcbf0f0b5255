package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

func TestFramesFitTheirScreen(t *testing.T) {
	s := newStory(5)
	s.view.style = true
	for i := range 5 {
		s.state.started(i, 1000+i, s.now)
	}
	s.says(0, 1, 1, 1)
	for range 100 {
		s.state.tell(s.now, "something happened")
	}
	for _, height := range []int{24, 30, 60} {
		if n := len(fold(s.view.frame(s.state, s.now, 120, height), 120)); n > height {
			t.Errorf("a frame for %d rows has %d", height, n)
		}
	}
	for _, line := range fold(s.view.frame(s.state, s.now, 40, 60), 40) {
		if visible(line) > 40 {
			t.Errorf("a line for 40 columns has %d: %q", visible(line), line)
		}
	}
}

func TestNothingIsFoldedOnAnUsualScreen(t *testing.T) {
	s := newStory(3)
	for i := range 3 {
		s.state.started(i, 12345+i, s.now)
		s.says(i, 1, 12, 12345)
	}
	s.state.ended(1, "was killed", s.now, s.now.Add(10*time.Second))
	frame := s.view.frame(s.state, s.now, 80, 24)
	if folded := fold(frame, 80); len(folded) != len(frame) || len(frame) > 24 {
		t.Errorf("80 columns and 24 rows are not enough for this:\n%s", strings.Join(frame, "\n"))
	}
}

func TestTheTableIsNeverFolded(t *testing.T) {
	s := newStory(3)
	for i := range 3 {
		s.state.started(i, 12345+i, s.now)
		s.says(i, 1, 12, 12345)
	}
	for width := 30; width < 120; width++ {
		for _, line := range s.view.table(s.state, s.now, width) {
			if visible(line) > width {
				t.Fatalf("a row for %d columns has %d: %q", width, visible(line), line)
			}
		}
	}
}

func TestCommandsSurviveFolding(t *testing.T) {
	s := newStory(3)
	s.view.style = true
	lines := s.view.commands(s.state)
	if got := strings.Join(fold(lines, 20), ""); got != strings.Join(lines, "") {
		t.Errorf("folding changed the text:\n%q\n%q", got, strings.Join(lines, ""))
	}
}

func TestTerminalWritesOnlyWhatChanged(t *testing.T) {
	s := newStory(3)
	var out strings.Builder
	terminal := newTerminal(&out, s.view, func() (int, int) { return 120, 40 })
	terminal.show(s.state, s.now)
	out.Reset()
	terminal.show(s.state, s.now)
	if out.Len() != 0 {
		t.Errorf("an unchanged screen was written again: %q", out.String())
	}
	s.state.started(1, 77, s.now)
	terminal.show(s.state, s.now)
	if !strings.Contains(out.String(), "m2 started") || strings.Contains(out.String(), "BALSA_ENDPOINTS") {
		t.Errorf("after one change this was written: %q", out.String())
	}
	out.Reset()
	terminal.refresh()
	terminal.show(s.state, s.now)
	if !strings.Contains(out.String(), "BALSA_ENDPOINTS") {
		t.Error("a refresh does not write everything")
	}
	out.Reset()
	terminal.close()
	if out.String() != leaveScreen {
		t.Errorf("closing writes %q", out.String())
	}
}

func TestLinesTellEachEventOnce(t *testing.T) {
	s := newStory(2)
	var out strings.Builder
	log := &lineLog{w: &out, view: s.view}
	s.state.started(0, 11, s.now)
	log.show(s.state, s.now)
	log.show(s.state, s.now)
	s.state.started(1, 12, s.now)
	s.says(0, 1, 1, 1)
	log.show(s.state, s.now)
	log.show(s.state, s.now)
	for _, want := range []string{"m1 started, process 11", "m2 started, process 12", "m1 leads, term 1", "export BALSA_ENDPOINTS=", "kill -9 11"} {
		if n := strings.Count(out.String(), want); n != 1 {
			t.Errorf("%q is told %d times in:\n%s", want, n, out.String())
		}
	}
	out.Reset()
	s.pass(time.Second)
	s.says(1, 2, 2, 2)
	log.show(s.state, s.now)
	if !strings.Contains(out.String(), "kill -9 12") || strings.Contains(out.String(), "BALSA_ENDPOINTS") {
		t.Errorf("a new leader is told as:\n%s", out.String())
	}
}

func TestLinesTellHowFastItGoes(t *testing.T) {
	s := newStory(2)
	var out strings.Builder
	log := &lineLog{w: &out, view: s.view}
	s.state.started(0, 11, s.now)
	s.state.started(1, 12, s.now)
	for i := range 4 {
		s.says(0, 1, 1, 100*uint64(i))
		s.says(1, 1, 1, 50*uint64(i))
		log.show(s.state, s.now)
		s.pass(measureInterval / 2)
	}
	if n := strings.Count(out.String(), "writes/s"); n != 1 {
		t.Errorf("in one and a half intervals it tells %d times:\n%s", n, out.String())
	}
	if want := "m1 leads, term 1: commit 200, 40 writes/s, lag:  m1 0  m2 100\n"; !strings.Contains(out.String(), want) {
		t.Errorf("it does not tell %q:\n%s", want, out.String())
	}
	for range 3 {
		s.pass(measureInterval)
		log.show(s.state, s.now)
	}
	if n := strings.Count(out.String(), "writes/s"); n != 2 {
		t.Errorf("what does not move any more is told %d times:\n%s", n, out.String())
	}
}

func TestLayoutIsKept(t *testing.T) {
	dir := t.TempDir()
	first, err := openLayout(dir, 12379, 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.save(); err != nil {
		t.Fatal(err)
	}
	again, err := openLayout(dir, 0, 0)
	if err != nil || *again != *first {
		t.Errorf("got %+v (%v), want %+v", again, err, first)
	}
	moved, err := openLayout(dir, 22379, 0)
	if err != nil || moved.ClientPort != 22379 || moved.PeerPort != first.PeerPort {
		t.Errorf("with another port: got %+v (%v): the members have to find each other where they were", moved, err)
	}
}

func TestWrongLayoutsAreRefused(t *testing.T) {
	foreign, damaged, kept := t.TempDir(), t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(foreign, "thesis.tex"): "x",
		filepath.Join(damaged, layoutFile):   "{",
		filepath.Join(kept, layoutFile):      `{"members":3,"peer_port":2479,"client_port":2379}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		dir           string
		port, members int
		want          string
		usage         bool
	}{
		"somebody else's directory": {foreign, 0, 0, "no demo of ours", false},
		"a damaged one":             {damaged, 0, 0, "is damaged", false},
		"other members":             {kept, 0, 5, "has 3 members, not 5", false},
		"ports of the members":      {kept, 2478, 0, "choose another", true},
		"too many":                  {t.TempDir(), 0, 10, "choose from 1 to 9", true},
		"too high":                  {t.TempDir(), 65530, 0, "from 1 to 65535", true},
	} {
		_, err := openLayout(c.dir, c.port, c.members)
		if err == nil || !strings.Contains(err.Error(), c.want) || cli.IsUsage(err) != c.usage {
			t.Errorf("%s: got %v (usage: %v), want %q (usage: %v)", name, err, cli.IsUsage(err), c.want, c.usage)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"/a/b-1.2": "/a/b-1.2", "/a b": "'/a b'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'"} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestTemporaryBuildsAreRecognised(t *testing.T) {
	for in, want := range map[string]bool{
		"/tmp/go-build123/b001/exe/balsa": true, "/tmp/balsa": false, "/home/me/go/bin/balsa": false, "/home/go-build/balsa": false,
	} {
		if got := isTemporaryBuild(in, "/tmp"); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}
