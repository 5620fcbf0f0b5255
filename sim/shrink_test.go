package sim_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

// forgetful is a network that lies: every vote that is refused arrives as one that is given.
func forgetful() sim.Codec {
	return wireCodec{lie: func(m raft.Message) raft.Message {
		if vote, ok := m.(*raft.VoteReply); ok {
			lie := *vote
			lie.Granted = true
			return &lie
		}
		return m
	}}
}

// TestAFailureIsFoundShrunkWrittenAndReplayed takes a failure through all that can be done with it.
func TestAFailureIsFoundShrunkWrittenAndReplayed(t *testing.T) {
	options := sim.Options{Codec: forgetful()}
	var found sim.Report
	const worthIt = 2000 // events before the failure: one that comes at once leaves little to shrink
	for seed := uint64(1); seed <= 200 && (found.Failure == nil || found.Events < worthIt); seed++ {
		found = sim.Run(seed, options)
	}
	if found.Failure == nil || found.Events < worthIt {
		t.Fatal("200 worlds whose candidates get every vote, and no property failed after a while")
	}
	t.Logf("found in seed %d, after %d events: %v", found.Seed, found.Events, found.Failure)

	s := sim.Shrinking{Seed: found.Seed, Options: options, Report: found}
	s.Done = func() bool { return s.Tried >= 400 }
	s.Shrink()
	was, is := found.Regime, s.Report.Regime
	t.Logf("after %d runs: seed %d, %d events, %d strikes: %v", s.Tried, s.Seed, s.Report.Events, len(s.Report.Strikes), s.Report.Failure)
	if s.Report.Failure.Checker != found.Failure.Checker {
		t.Errorf("%v was shrunk to %v", found.Failure, s.Report.Failure)
	}
	if s.Report.Events >= found.Events || is.Duration >= was.Duration || len(s.Report.Strikes) > len(found.Strikes) || is.Members > was.Members {
		t.Errorf("%d events, %d strikes of %v were shrunk to %d events, %d strikes of %v", found.Events, len(found.Strikes), was, s.Report.Events, len(s.Report.Strikes), is)
	}

	var file bytes.Buffer
	replay := sim.NewReplay(s.Options, &s.Report)
	if err := replay.Write(&file); err != nil {
		t.Fatal(err)
	}
	read, err := sim.ReadReplay(&file)
	if err != nil {
		t.Fatal(err)
	}
	read.Options.Codec = options.Codec
	again := sim.Run(read.Seed, read.Options)
	if difference := read.Compare(&again); difference != "" {
		t.Errorf("the replay differs: %s", difference)
	}
	words := strings.Join(again.Failure.Words, "\n")
	if !strings.Contains(words, "BECOMES LEADER") || !strings.Contains(words, "§5.2") {
		t.Errorf("the story does not tell of the leaders:\n%s", words)
	}
	if sim.Property(again.Failure.Checker) == "" {
		t.Errorf("nothing says what %q demands", again.Failure.Checker)
	}
	read.Options.Codec = wireCodec{}
	if again := sim.Run(read.Seed, read.Options); read.Compare(&again) == "" {
		t.Error("the replay does not notice that the failure is gone")
	}
}

// TestReplayFilesAreChecked reads files that are none.
func TestReplayFilesAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "not a replay file",
		`{"format": 2}`:                  "format 2",
		`{"format": 1}`:                  "does not say what was drawn",
		`{"format": 1, "seed": "three"}`: "not a replay file",
		`{"format": 1, "options": {"regime": {"members": 3, "groups": 1, "faults": [{"name": "weather", "every_ns": 1}]}}}`: `no fault "weather"`,
		`{"format": 1, "options": {"regime": {"members": -3, "groups": 1}}}`:                                                "-3 members",
	} {
		if _, err := sim.ReadReplay(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
}
