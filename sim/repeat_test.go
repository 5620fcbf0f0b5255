package sim_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// tracesVariable, if set, has the test binary print traces and end: that is how a test asks other processes for theirs.
const tracesVariable = "BALSA_SIM_TRACES"

func TestMain(m *testing.M) {
	if os.Getenv(tracesVariable) != "" {
		fmt.Print(traces())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// traces runs worlds of each profile, and tells what their traces were.
func traces() string {
	var b strings.Builder
	seed := uint64(1000)
	for _, p := range sim.Profiles() {
		for range 2 {
			seed++
			r := sim.Run(seed, sim.Options{Profile: p.Name, Duration: 2 * time.Second, Codec: wireCodec{}})
			fmt.Fprintf(&b, "%s %d: trace %016x of %d events and %d inputs, %d operations, %d committed, failure %v\n", p.Name, seed, r.Hash, r.Events, r.Inputs, r.Asked, r.Committed, r.Failure)
		}
	}
	return b.String()
}

// TestTheSameSeedGivesTheSameTrace runs the same worlds here, on one processor and on two, and in other processes, which have other seeds for their maps and
// other addresses for everything: one alone on a processor, one that collects its garbage all the time on many, and one that is no native code at
// all, if there is a node to run it.
func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	was := runtime.GOMAXPROCS(1)
	want := traces()
	runtime.GOMAXPROCS(2)
	same(t, "the same process, on two processors", want, traces())
	runtime.GOMAXPROCS(was)

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a process on one processor", want, tracesOf(t, exec.Command(self), "GOMAXPROCS=1", "GOGC=400"))
	same(t, "a process on eight processors, with a small heap", want, tracesOf(t, exec.Command(self), "GOMAXPROCS=8", "GOGC=10"))

	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	runner := filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "go_js_wasm_exec")
	if _, err := exec.LookPath("node"); err != nil {
		t.Logf("WebAssembly is left out: %v", err)
		return
	}
	binary := filepath.Join(t.TempDir(), "sim.wasm")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for WebAssembly: %v\n%s", err, out)
	}
	same(t, "WebAssembly", want, tracesOf(t, exec.Command(runner, binary)))
}

func tracesOf(t *testing.T, command *exec.Cmd, environment ...string) string {
	t.Helper()
	command.Env = append(append(os.Environ(), tracesVariable+"=1"), environment...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return string(out)
}

// same compares traces, and points to the first world that differs.
func same(t *testing.T, where, want, got string) {
	t.Helper()
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range wants {
		if i >= len(gots) || wants[i] != gots[i] {
			t.Errorf("%s:\n%s\nhas here:\n%s\n`balsa sim diff SEED --profile NAME --duration 2s` finds the first line that differs", where, strings.Join(gots[min(i, len(gots)):], "\n"), wants[i])
			return
		}
	}
}

// TestSeedsDiffer keeps the hash honest.
func TestSeedsDiffer(t *testing.T) {
	seen := map[uint64]uint64{}
	for seed := uint64(1); seed <= 10; seed++ {
		hash := sim.Run(seed, sim.Options{Members: 3, Groups: 1}).Hash
		if other, twice := seen[hash]; twice {
			t.Errorf("seeds %d and %d have the same trace", seed, other)
		}
		seen[hash] = seed
	}
}
