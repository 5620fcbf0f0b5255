package lab

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/lab"
)

// TestServesUntilItIsStopped: the page is where the first line says, and gone after the end.
func TestServesUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	screen, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, options{listen: "127.0.0.1:0", noOpen: true}, &lab.Run{Version: lab.Version}, out)
		out.Close()
	}()
	lines := bufio.NewReader(screen)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	url := strings.TrimPrefix(strings.TrimSpace(first), "The lab is at ")
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Error(answer.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("it is served after the end")
	}
}

// TestWrongFilesAreRefused says which file, and what it should have been.
func TestWrongFilesAreRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "failure.json")
	if _, err := readRun(name); err == nil {
		t.Error("a file that is not there was read")
	}
	if err := os.WriteFile(name, []byte(`{"format":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRun(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
	}
}
