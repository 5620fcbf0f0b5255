package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

// liar is the codec of production on a network that lies: every vote that is refused arrives as one that is given.
type liar struct{ codec }

func (l liar) Decode(b []byte) (raft.GroupID, raft.Message, error) {
	group, m, err := l.codec.Decode(b)
	if vote, ok := m.(*raft.VoteReply); ok {
		vote.Granted = true
	}
	return group, m, err
}

// TestAFailureIsTold has campaigns that fail: what they print, the files they leave, and that a file brings the failure back.
func TestAFailureIsTold(t *testing.T) {
	for _, workload := range []string{"registers", "kv"} {
		t.Run(workload, func(t *testing.T) { failureIsTold(t, workload) })
	}
}

func failureIsTold(t *testing.T, workload string) {
	dir := t.TempDir()
	var out, errs strings.Builder
	f := campaignFlags{seeds: 200, from: 1, workers: 2, world: worldFlags{profile: "swarm", workload: workload}, shrinkFor: 20 * time.Second, dir: dir}
	world, err := f.world.options(func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	world.Codec = liar{}
	err = f.run(t.Context(), world, &out, &errs)
	if err == nil || !strings.Contains(err.Error(), "failed") {
		t.Fatalf("the campaign ended with %v\n%s", err, out.String())
	}
	for _, want := range []string{"SEED ", "The smallest run found", "rule:", "What happened last:", "§5.2", "balsa sim replay", "WITH EFFECT"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the campaign says nothing of %q:\n%s", want, out.String())
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("replay files: %v, %v", files, err)
	}

	var told strings.Builder
	same := telling{codec: liar{}}
	if err := same.replay(t.Context(), files[0], &told); err != nil || !strings.Contains(told.String(), "The same failure") {
		t.Errorf("the replay: %v\n%s", err, told.String())
	}
	var story strings.Builder
	all := telling{codec: liar{}, story: true, until: 50 * time.Millisecond}
	if err := all.replay(t.Context(), files[0], &story); err != nil || !strings.Contains(story.String(), "process 1 starts") || !strings.Contains(story.String(), "before the failure") {
		t.Errorf("the replay with its story: %v\n%s", err, story.String())
	}
	mended := telling{codec: codec{}}
	if err := mended.replay(t.Context(), files[0], &told); err == nil || !strings.Contains(err.Error(), "the replay differs") {
		t.Errorf("the replay on a network that tells the truth: %v", err)
	}
}

// TestProgressWithoutATerminal is plain lines.
func TestProgressWithoutATerminal(t *testing.T) {
	var out, errs strings.Builder
	f := campaignFlags{seeds: 20, from: 1, workers: 2, world: worldFlags{profile: "quick"}, shrinkFor: time.Minute, dir: t.TempDir()}
	if err := f.run(t.Context(), sim.Options{Profile: "quick", Codec: codec{}}, &out, &errs); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String()+errs.String(), "\r\x1b") || !strings.Contains(out.String(), "20 worlds in ") {
		t.Errorf("printed %q and %q", out.String(), errs.String())
	}
}

// TestDiffFindsTheFirstLine compares two processes that tell different stories.
func TestDiffFindsTheFirstLine(t *testing.T) {
	script := filepath.Join(t.TempDir(), "story")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho one\necho two $GOMAXPROCS\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMAXPROCS", "2")
	var out strings.Builder
	err := diff(t.Context(), script, nil, &out)
	if err == nil || !strings.Contains(err.Error(), "line 2") || out.String() != "  one\n- two 1\n+ two 2\n" {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestWrap(t *testing.T) {
	if got := wrap("one two three four", 12, 2); got != "one two\n  three four" {
		t.Errorf("%q", got)
	}
}

// TestARunOfTheLabIsReplayed from the file that the page exports, as far as asked.
func TestARunOfTheLabIsReplayed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "run.json")
	run := `{"v":1,"seed":3,"setup":{"members":3},"inputs":[{"at":{"t":500000000},"do":"crash","member":2},{"at":{"t":900000000},"do":"restart","member":2}]}`
	if err := os.WriteFile(name, []byte(run), 0o600); err != nil {
		t.Fatal(err)
	}
	var whole, part strings.Builder
	if err := (&telling{story: true}).replay(t.Context(), name, &whole); err != nil {
		t.Fatal(err)
	}
	if s := whole.String(); !strings.Contains(s, "CRASH by hand") || !strings.Contains(s, "seed 3, 2 inputs. At 900ms") {
		t.Error(s)
	}
	if err := (&telling{until: 300 * time.Millisecond}).replay(t.Context(), name, &part); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(part.String(), "At 300ms") {
		t.Error(part.String())
	}
}
