package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// ReplayFormat is the version of the replay file that this code writes and reads. It changes when the file does; that what a seed draws changes from
// one Balsa to the next is told by the trace's hash.
const ReplayFormat = 1

// Replay is a failure that can be had again: what fixes the run, and what came of it. As JSON it is a replay file.
type Replay struct {
	Format int `json:"format"`
	// Balsa is the version that found the failure.
	Balsa string `json:"balsa"`
	// Property is the property that failed, Text what was found, At when, Trace the hash of all that happened up to there, Events how much that was.
	Property string        `json:"property"`
	Text     string        `json:"text"`
	At       time.Duration `json:"at_ns"`
	Trace    string        `json:"trace"`
	Events   uint64        `json:"events"`
	// Machine names the state machine, for a program that knows several.
	Machine string `json:"machine,omitempty"`
	// Found is the seed in which the failure was found, and Shrunk how many runs it took to make it small.
	Found  uint64 `json:"found_in_seed"`
	Shrunk int    `json:"runs_to_shrink"`
	// Seed and Options fix the run.
	Seed    uint64  `json:"seed"`
	Options Options `json:"options"`
}

// NewReplay makes the replay of a run that failed. All that was drawn is written down.
func NewReplay(options Options, report *Report) Replay {
	regime := report.Regime
	options.Regime = &regime
	return Replay{
		Format: ReplayFormat, Property: report.Failure.Checker, Text: report.Failure.Text, At: report.Failure.At, Trace: trace(report.Hash),
		Events: report.Events, Found: report.Seed, Seed: report.Seed, Options: options,
	}
}

func trace(hash uint64) string { return strconv.FormatUint(hash, 16) }

// Write writes the replay file.
func (r *Replay) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// ReadReplay reads a replay file, which may say anything.
func ReadReplay(in io.Reader) (Replay, error) {
	var version struct {
		Format int `json:"format"`
	}
	text, err := io.ReadAll(io.LimitReader(in, 16<<20))
	if err != nil {
		return Replay{}, err
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return Replay{}, fmt.Errorf("not a replay file: %w", err)
	}
	if version.Format != ReplayFormat {
		return Replay{}, fmt.Errorf("the replay file has format %d, and this is written for %d: use the Balsa that wrote it", version.Format, ReplayFormat)
	}
	var r Replay
	if err := json.Unmarshal(text, &r); err != nil {
		return Replay{}, fmt.Errorf("not a replay file: %w", err)
	}
	if r.Options.Regime == nil {
		return Replay{}, fmt.Errorf("the replay file does not say what was drawn (options.regime)")
	}
	if err := r.Options.Check(); err != nil {
		return Replay{}, err
	}
	return r, nil
}

// Compare says how a run differs from the one that was written down; "" if it is the same.
func (r *Replay) Compare(report *Report) string {
	switch {
	case report.Failure == nil:
		return fmt.Sprintf("it did not fail: %s held, after %d events", r.Property, report.Events)
	case report.Failure.Checker != r.Property:
		return fmt.Sprintf("it failed otherwise: %v", report.Failure)
	case trace(report.Hash) != r.Trace:
		return fmt.Sprintf("%s failed again, but on another way: trace %s after %d events, and it was %s after %d", r.Property, trace(report.Hash), report.Events, r.Trace, r.Events)
	}
	return ""
}
