package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// etcdctlVersions are the lines of etcd whose etcdctl has to work unchanged. Each is pinned by the go.mod in its folder.
var etcdctlVersions = []string{"3.5", "3.6", "3.7"}

// tools is where the programs are built that the tests run: bin/balsa and VERSION/etcdctl.
var tools string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "balsa-compat")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tools = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// balsaProgram builds the program under test, once, and returns its path.
var balsaProgram = sync.OnceValues(func() (string, error) { return build(filepath.Join(tools, "bin", "balsa"), "..", "./cmd/balsa") })

// buildEtcdctl builds one version of etcdctl and returns the folder that it is alone in.
func buildEtcdctl(t *testing.T, version string) string {
	t.Helper()
	dir := filepath.Join(tools, version)
	if _, err := build(filepath.Join(dir, "etcdctl"), filepath.Join("etcdctl", version), "tool"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func build(program, module, what string) (string, error) {
	cmd := exec.Command("go", "build", "-C", module, "-o", program, what)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, output)
	}
	return program, nil
}
