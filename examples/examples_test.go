package examples_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/internal/freeport"
)

// build compiles an example.
func build(t *testing.T, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", binary, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func addresses(t *testing.T, n int) []string {
	t.Helper()
	list, err := freeport.Addresses(n)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// run starts a process that ends with the test.
func run(t *testing.T, dir, binary string, args ...string) (io.Writer, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir = dir
	noOrphan(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return in, bufio.NewScanner(out)
}

func TestTheCounterCountsOnAllThree(t *testing.T) {
	binary, dir, members := build(t, "counter"), t.TempDir(), addresses(t, 3)
	var in [3]io.Writer
	var out [3]*bufio.Scanner
	for i := range in {
		in[i], out[i] = run(t, dir, binary, append([]string{fmt.Sprint(i + 1)}, members...)...)
	}
	ask := func(i int, line string) string {
		fmt.Fprintln(in[i], line)
		if !out[i].Scan() {
			t.Fatalf("member %d ended", i+1)
		}
		return out[i].Text()
	}
	for i, want := range []string{"5 <nil>", "10 <nil>", "15 <nil>"} {
		got := ask(i, "5")
		for !strings.HasSuffix(got, " <nil>") { // An election got in between: whether it happened a read tells.
			if got = ask(i, "?"); strings.HasSuffix(got, " <nil>") && got != want {
				got = ask(i, "5")
			}
		}
		if got != want {
			t.Errorf("member %d answered %q, want %q", i+1, got, want)
		}
	}
	for i := range in {
		if got := ask(i, "?"); got != "15 <nil>" {
			t.Errorf("member %d reads %q", i+1, got)
		}
	}
}

func TestTheMapIsTheSameOnAllThree(t *testing.T) {
	binary, dir, peers, https := build(t, "kv"), t.TempDir(), addresses(t, 3), addresses(t, 3)
	for i := range 3 {
		run(t, dir, binary, "-id", fmt.Sprint(i+1), "-peers", strings.Join(peers, ","), "-http", strings.Join(https, ","))
	}
	// do repeats a request until the member is up, and until no election gets in between: each of them may as well be made twice.
	do := func(method string, i int, body string) (int, string) {
		for deadline := time.Now().Add(time.Minute); ; {
			request, err := http.NewRequest(method, "http://"+https[i]+"/greeting", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
				continue
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode >= 500 && time.Now().Before(deadline) {
				continue
			}
			return response.StatusCode, string(text)
		}
	}
	if code, text := do(http.MethodPut, 0, "hello"); code != http.StatusOK {
		t.Fatalf("PUT: %d %s", code, text)
	}
	for i := range 3 {
		if code, text := do(http.MethodGet, i, ""); code != http.StatusOK || text != "hello" {
			t.Errorf("GET from member %d: %d %q", i+1, code, text)
		}
	}
	if code, _ := do(http.MethodDelete, 1, ""); code != http.StatusOK {
		t.Errorf("DELETE: %d", code)
	}
	if code, _ := do(http.MethodGet, 2, ""); code != http.StatusNotFound {
		t.Errorf("GET after DELETE: %d", code)
	}
}

// TestTheExamplesAreShort keeps what the first page says of them: lines of code, without comments and empty lines.
func TestTheExamplesAreShort(t *testing.T) {
	for name, most := range map[string]int{"counter": 60, "kv": 150} {
		source, err := os.ReadFile(filepath.Join(name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(source)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				n++
			}
		}
		if n > most {
			t.Errorf("%s has %d lines of code; the first page says at most %d", name, n, most)
		}
	}
}
