package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// programs are the campaign programs that mutants are built into, by what a mutant's head calls their worlds. The store's lies above the simulator, with the
// store: nothing here imports it.
var programs = map[string]string{
	"swarm": "./sim/mutants/campaign",
	"kv":    "./kv/kvsim/campaign",
}

// balsa is the program with all of its commands.
const balsa = "./cmd/balsa"

// bounds say how far a campaign goes.
type bounds struct {
	first, seeds uint64
	limit        time.Duration
	profile      string
}

// verdict is what the campaign program says, see package worlds.
type verdict struct {
	Seeds    uint64 `json:"seeds"`
	Property string `json:"property"`
	Seed     uint64 `json:"seed"`
	Text     string `json:"text"`
	Millis   int64  `json:"millis"`
}

func (v *verdict) caught() bool        { return v.Property != "" }
func (v *verdict) took() time.Duration { return time.Duration(v.Millis) * time.Millisecond }

// hunt builds the campaign program with the mutant in it, and lets it look for a world in which a property does not hold.
func (m *mutant) hunt(root string, b bounds) (verdict, error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return verdict{}, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "campaign")
	if err := m.build(root, program, programs[m.worlds]); err != nil {
		return verdict{}, err
	}
	return campaign(program, b)
}

// build builds a program of the tree with the mutant in it.
func (m *mutant) build(root, to, program string) error {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(root, dir)
	if err != nil {
		return err
	}
	if out, err := command(root, "go", "build", "-overlay", overlay, "-ldflags", "-s -w", "-o", to, program); err != nil {
		return fmt.Errorf("mutant %s does not compile: %w\n%s", m.name, err, out)
	}
	return nil
}

// campaign runs the program. Each has one processor: several run side by side.
func campaign(program string, b bounds) (verdict, error) {
	cmd := exec.Command(program, "-first", fmt.Sprint(b.first), "-seeds", fmt.Sprint(b.seeds), "-for", b.limit.String(), "-profile", b.profile)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		// What even the program does not survive, such as a stack that overflows, or a panic of a goroutine of Pebble's.
		text := strings.TrimSpace(stderr.String())
		line, _, _ := strings.Cut(text, "\n")
		if strings.HasPrefix(line, "runtime: goroutine stack exceeds") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "panic: ") {
			return verdict{Property: "no panic", Text: line}, nil
		}
		return verdict{}, fmt.Errorf("the campaign ended by itself: %w\n%s", err, text)
	}
	var v verdict
	if err := json.Unmarshal(out, &v); err != nil {
		return verdict{}, fmt.Errorf("the campaign says %q: %w", out, err)
	}
	return v, nil
}

// compile builds the packages that the mutant changes, and nothing else.
func (m *mutant) compile(root string) error {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(root, dir)
	if err != nil {
		return err
	}
	if out, err := command(root, "go", append([]string{"build", "-overlay", overlay}, m.packages()...)...); err != nil {
		return fmt.Errorf("mutant %s does not compile: %w\n%s", m.name, err, out)
	}
	return nil
}

// scenarioFails tells whether the mutant's scenario notices it. An error says that it cannot be told: the test does not run.
func (m *mutant) scenarioFails(root string) (bool, error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(root, dir)
	if err != nil {
		return false, err
	}
	return testFails(root, m.pkg, m.test, "-overlay", overlay)
}

// testFails runs one test, and tells whether it failed.
func testFails(root, pkg, test string, flags ...string) (bool, error) {
	parts := strings.Split(test, "/")
	for i := range parts {
		parts[i] = "^" + parts[i] + "$"
	}
	args := append([]string{"test", "-count=1", "-v", "-timeout", "5m", "-run", strings.Join(parts, "/")}, flags...)
	out, err := command(root, "go", append(args, pkg)...)
	name, _, _ := strings.Cut(test, "/")
	var exit *exec.ExitError
	switch {
	case !strings.Contains(out, "=== RUN   "+test):
		return false, fmt.Errorf("%s %s did not run: %w\n%s", pkg, test, errors.Join(err, errors.New("no such test, or it does not compile")), out)
	case err == nil:
		return false, nil
	case errors.As(err, &exit) && (strings.Contains(out, "--- FAIL: "+name) || strings.Contains(out, "panic: ")):
		return true, nil
	}
	return false, fmt.Errorf("%s %s: %w\n%s", pkg, test, err, out)
}

func command(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
