package lab

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// TestAFailureOpensAtItsMoment reads a replay file, and finds the world as it was when the failure was noticed; a bit earlier, too, and steps on from there.
func TestAFailureOpensAtItsMoment(t *testing.T) {
	options := sim.Options{Members: 3, Groups: 1, Duration: time.Second, Codec: codec{}}
	w := sim.NewWorld(3, options)
	for w.Now() < 700*time.Millisecond && w.Step() {
	}
	report := w.Report()
	// What the file says of the failure is made up; where it stands in the run is not.
	report.Failure = &sim.Failure{Checker: "Log Matching", Text: "as it were", At: report.Time}
	replay := sim.NewReplay(options, &report)
	var file bytes.Buffer
	if err := replay.Write(&file); err != nil {
		t.Fatal(err)
	}
	run, err := ReadRun(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	e := NewEngine(Hello{})
	a := e.Answer(Request{Do: DoLoad, Run: run})
	if a.Error != "" || a.State.N != report.Events || a.State.T != int64(report.Time) || a.State.Hash != hash(report.Hash) {
		t.Fatalf("%s: at %d after %d happenings, trace %s; it was at %d after %d, trace %016x", a.Error, a.State.T, a.State.N, a.State.Hash, report.Time, report.Events, report.Hash)
	}
	if s, err := Replay(run, nil, nil); err != nil || s.Hash != run.Trace {
		t.Errorf("replayed without a page it is %+v, %v", s, err)
	}
	run.Trace = "0123456789abcdef"
	if _, err := Replay(run, nil, nil); err == nil {
		t.Error("another trace is taken for the same")
	}
	if len(a.Events) == 0 || len(a.State.Members) < 3 {
		t.Error("it tells nothing")
	}
	a = e.Answer(Request{Do: DoLoad, Run: run, Until: &Point{T: int64(report.Time) / 2}})
	for a.Error == "" && a.State.N < report.Events {
		a = e.Answer(Request{Do: DoAdvance, By: ByEvent})
	}
	if a.Error != "" || a.State.T < int64(report.Time) {
		t.Errorf("%+v", a)
	}
	if a := e.Answer(Request{Do: DoInput, Input: &Input{Do: InputCrash, Member: 1}}); a.Error == "" {
		t.Error("a run of the campaign is steered")
	}
}

// TestAnExportedRunIsRead as it was written; what is no run is refused.
func TestAnExportedRunIsRead(t *testing.T) {
	e := NewEngine(Hello{})
	end := play(t, e, Scripts()[0])
	exported := e.Run()
	text, err := json.Marshal(&exported)
	if err != nil {
		t.Fatal(err)
	}
	run, err := ReadRun(text)
	if err != nil {
		t.Fatal(err)
	}
	if a := NewEngine(Hello{}).Answer(Request{Do: DoLoad, Run: run, Until: &Point{T: end.State.T}}); a.State.Hash != end.State.Hash {
		t.Errorf("%+v", a)
	}
	for _, wrong := range []string{"", "[]", "{}", `{"v":2}`, `{"format":1}`, `{"format":99}`} {
		if _, err := ReadRun([]byte(wrong)); err == nil {
			t.Errorf("%q is taken for a run", wrong)
		}
	}
}
