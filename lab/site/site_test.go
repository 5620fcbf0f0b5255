package site

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/lab"
)

// TestTheEngineIsTheSameAsWebAssembly puts the scripts to the engine in Go and to the engine as WebAssembly, and compares the answers byte for byte. It needs
// Node; where that is missing, the browser's tests do the same.
func TestTheEngineIsTheSameAsWebAssembly(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("there is no node here")
		return
	}
	ctx := context.Background()
	engine := filepath.Join(t.TempDir(), "engine.wasm")
	if err := Engine(ctx, engine); err != nil {
		t.Fatal(err)
	}
	root, err := output(ctx, nil, "go", "env", "GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	var requests, want bytes.Buffer
	native := lab.NewEngine(lab.Hello{})
	id := uint64(0)
	for _, s := range lab.Scripts() {
		for _, r := range s.Requests {
			id++
			r.ID = id
			b, err := json.Marshal(&r)
			if err != nil {
				t.Fatal(err)
			}
			requests.Write(append(b, '\n'))
			want.Write(append(native.Handle(b), '\n'))
		}
	}
	cmd := exec.Command(node, filepath.Join("testdata", "node.js"), filepath.Join(root, "lib", "wasm", "wasm_exec.js"), engine)
	cmd.Stdin, cmd.Stderr = &requests, os.Stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	a, b := strings.Split(want.String(), "\n"), strings.Split(string(got), "\n")
	if len(a) != len(b) {
		t.Fatalf("%d answers in Go, %d as WebAssembly", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("answer %d differs:\n%s\n%s", i+1, a[i], b[i])
		}
	}
}

// TestBuild makes the site, twice into the same place, and looks whether all is there and small enough.
func TestBuild(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		size, err := Build(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if size > 3<<20 {
			t.Errorf("it has %d bytes", size)
		}
	}
	for _, name := range []string{"index.html", "engine.js", "worker.js", "wasm_exec.js", "engine.bin"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
