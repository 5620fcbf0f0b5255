package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/balsa-raft/balsa/bench/replica"
)

// measureHere is the process of one measurement: it works in the current directory, and writes the result to standard output.
func measureHere(encoded string) error {
	var s Spec
	if err := json.Unmarshal([]byte(encoded), &s); err != nil {
		return fmt.Errorf("a measurement that is not understood: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	measure := map[string]func(Spec, string) (Result, error){levelLibrary: measureLibrary, levelLimit: measureLimit, levelServer: measureServer}[s.Level]
	if measure == nil {
		return fmt.Errorf("there is no level %q", s.Level)
	}
	result, err := measure(s, dir)
	result.Spec = s
	if err != nil {
		result.Failure = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// measureApart runs the measurement in a process of its own, in an empty directory, and kills it with all that it started if it takes too long.
func measureApart(ctx context.Context, s Spec, dir string, environment []string) (Result, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)
	settings := filepath.Join(dir, "dragonboat-soft-settings.json")
	if err := os.WriteFile(settings, []byte(replica.DragonboatSettings), 0o644); err != nil {
		return Result{}, err
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		return Result{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Warmup+s.Measure+5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "measure", string(encoded))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environment...)
	prepareProcess(cmd)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	failed := Result{Spec: s, Syncs: -1}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		failed.Failure = fmt.Sprintf("%v: %s", err, tail(errs.Bytes()))
		return failed, nil
	}
	// Some libraries write to standard output; the result is the last line.
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	var result Result
	if err := json.Unmarshal(lines[len(lines)-1], &result); err != nil {
		failed.Failure = fmt.Sprintf("no result: %s", tail(out.Bytes()))
		return failed, nil
	}
	return result, nil
}

func tail(text []byte) []byte { return text[max(0, len(text)-500):] }
