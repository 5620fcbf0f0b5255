package lab

import (
	"encoding/json"
	"strings"
	"testing"
)

// play puts a script to an engine and returns its last answer.
func play(t *testing.T, e *Engine, s Script) Answer {
	t.Helper()
	var last Answer
	for i, r := range s.Requests {
		r.ID = uint64(i + 1)
		b, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		last = Answer{}
		if err := json.Unmarshal(e.Handle(b), &last); err != nil {
			t.Fatal(err)
		}
		if last.Error != "" || last.ID != r.ID {
			t.Fatalf("%s, request %d, %s: %s", s.Name, i, b, last.Error)
		}
		if last.State == nil || last.State.Ended != "" {
			t.Fatalf("%s, request %d, %s: %+v", s.Name, i, b, last.State)
		}
	}
	return last
}

// TestARunIsItsInputs: whatever was done step by step comes again, with the same hash, from the run that was written down, to whatever point.
func TestARunIsItsInputs(t *testing.T) {
	for _, s := range Scripts() {
		t.Run(s.Name, func(t *testing.T) {
			e := NewEngine(Hello{})
			end := play(t, e, s)
			for _, p := range end.State.Safety {
				if p.Violated {
					t.Errorf("%s: %s", p.Name, p.Text)
				}
			}
			run := e.Run()
			text, err := json.Marshal(&run)
			if err != nil {
				t.Fatal(err)
			}
			var again Run
			if err := json.Unmarshal(text, &again); err != nil {
				t.Fatal(err)
			}
			other := NewEngine(Hello{})
			a := other.Answer(Request{Do: DoLoad, Run: &again, Until: &Point{T: end.State.T}})
			if a.Error != "" || a.State.Hash != end.State.Hash || a.State.N != end.State.N {
				t.Fatalf("%s %s at %d, and it was %s at %d", a.Error, a.State.Hash, a.State.N, end.State.Hash, end.State.N)
			}
			// Half the way, and then on: the inputs that are still to come come by themselves.
			half := other.Answer(Request{Do: DoLoad, Run: &again, Until: &Point{T: end.State.T / 2}})
			if half.Error != "" || half.State.T != end.State.T/2 {
				t.Fatalf("%s at %d", half.Error, half.State.T)
			}
			a = other.Answer(Request{Do: DoAdvance, To: end.State.T})
			if a.State.Hash != end.State.Hash || len(other.Run().Inputs) != len(again.Inputs) {
				t.Errorf("from the middle on it is %s at %d with %d inputs", a.State.Hash, a.State.N, len(other.Run().Inputs))
			}
			// Event by event it is the same, too.
			other.Answer(Request{Do: DoLoad, Run: &again, Until: &Point{}})
			for a.State.T = 0; a.State.T < end.State.T-100_000_000; {
				a = other.Answer(Request{Do: DoAdvance, By: ByEvent})
			}
			if a = other.Answer(Request{Do: DoAdvance, To: end.State.T}); a.State.Hash != end.State.Hash {
				t.Errorf("event by event it is %s", a.State.Hash)
			}
		})
	}
}

// TestAnInputInThePastForks: what would have come later in the run does not, and the other branch is still to be had.
func TestAnInputInThePastForks(t *testing.T) {
	e := NewEngine(Hello{})
	end := play(t, e, Scripts()[0])
	run := e.Run()
	e.Answer(Request{Do: DoLoad, Run: &run, Until: &Point{T: 700_000_000}})
	if a := e.Answer(Request{Do: DoInput, Input: &Input{Do: InputCrash, Member: 1}}); a.Error != "" {
		t.Fatal(a.Error)
	}
	fork := e.Answer(Request{Do: DoAdvance, To: end.State.T})
	if fork.State.Hash == end.State.Hash || fork.State.Members[0].Process != "crashed" {
		t.Error("the fork is as the branch that it came from")
	}
	if n := len(e.Run().Inputs); n >= len(run.Inputs) {
		t.Errorf("the fork has %d inputs, of %d", n, len(run.Inputs))
	}
	if a := e.Answer(Request{Do: DoLoad, Run: &run, Until: &Point{T: end.State.T}}); a.State.Hash != end.State.Hash {
		t.Error("the first branch is not what it was")
	}
}

// TestWhatTheReferencesShow looks at the states of an election and a write: the votes, the timer, the entry that is first uncommitted, then not.
func TestWhatTheReferencesShow(t *testing.T) {
	e := NewEngine(Hello{})
	a := e.Answer(Request{Do: DoLoad, Run: &Run{Version: Version, Seed: 7, Setup: Setup{Members: 5}}})
	var saw struct{ candidate, votes, timer, inflight, uncommitted, committed, applied, rule bool }
	for a.State.T < 1_500_000_000 {
		if a.State.T > 700_000_000 && len(e.Run().Inputs) == 0 {
			a = e.Answer(Request{Do: DoInput, Input: &Input{Do: InputClient, Op: &Op{Client: 1, Kind: OpSet, Key: "x", Value: "5"}}})
		} else {
			a = e.Answer(Request{Do: DoAdvance, By: ByEvent, Full: true})
		}
		if a.Error != "" {
			t.Fatal(a.Error)
		}
		for _, m := range a.State.Members {
			saw.candidate = saw.candidate || m.Role == "candidate"
			saw.votes = saw.votes || len(m.Granted) > 1
			saw.timer = saw.timer || m.Timer != nil && m.Timer.From < a.State.T && a.State.T < m.Timer.To
			saw.applied = saw.applied || len(m.Machine) == 1 && m.Machine[0] == Pair{"x", "5"}
			for _, entry := range m.Log {
				if entry.Text == "set x 5" {
					saw.uncommitted = saw.uncommitted || entry.Index > m.Commit
					saw.committed = saw.committed || entry.Index <= m.Commit
				}
			}
		}
		for _, m := range a.State.Messages {
			saw.inflight = saw.inflight || m.Kind == "append" && m.Fields != nil && len(m.Fields.Entries) > 0 && m.Sent < m.Arrives
		}
		for _, ev := range a.Events {
			saw.rule = saw.rule || ev.Kind == "committed" && ev.Section == "§5.3, §5.4.2"
		}
	}
	if saw.candidate && saw.votes && saw.timer && saw.inflight && saw.uncommitted && saw.committed && saw.applied && saw.rule {
		return
	}
	t.Errorf("%+v", saw)
}

// TestWrongRequestsAreAnswered: whatever is asked is answered with an error, and changes nothing.
func TestWrongRequestsAreAnswered(t *testing.T) {
	e := NewEngine(Hello{})
	play(t, e, Script{"begin", []Request{{Do: DoAdvance, To: 500_000_000}}})
	before := e.Hash()
	for _, request := range []string{
		"", "[]", `{"do":"dance"}`, `{"do":"load"}`, `{"do":"load","run":{"v":2}}`, `{"do":"load","run":{"v":1,"setup":{"members":99}}}`,
		`{"do":"load","run":{"v":1,"setup":{"electionMin":1}}}`, `{"do":"load","run":{"v":1,"inputs":[{"at":{"t":1},"do":"crash","member":9}]},"until":{"t":0}}x`,
		`{"do":"advance","by":"chance"}`, `{"do":"input"}`, `{"do":"input","input":{"do":"dance"}}`, `{"do":"input","input":{"do":"crash","member":6}}`,
		`{"do":"input","input":{"do":"resume","member":1}}`, `{"do":"input","input":{"do":"drop","message":99999}}`, `{"do":"input","input":{"do":"client"}}`,
		`{"do":"input","input":{"do":"client","op":{"client":1,"kind":"set"}}}`, `{"do":"input","input":{"do":"client","op":{"client":1,"kind":"read","key":"x","read":"lease"}}}`,
		`{"do":"input","input":{"do":"partition","groups":[[1],[1]]}}`, `{"do":"input","input":{"do":"cut","from":1,"to":1}}`,
		`{"do":"input","input":{"do":"set","set":{"loss":1001}}}`, `{"do":"input","input":{"do":"set","set":{"heartbeat":-1}}}`, `{"do":"input","input":{"do":"add","member":9}}`,
		`{"do":"load","run":{"v":1,"campaign":{"members":-1}}}`,
	} {
		var a Answer
		if err := json.Unmarshal(e.Handle([]byte(request)), &a); err != nil {
			t.Fatal(err)
		}
		if a.Error == "" {
			t.Errorf("%s is answered as if it were right", request)
		}
	}
	if e.Hash() != before {
		t.Error("the world has changed")
	}
	if n := len(e.Run().Inputs); n != 0 {
		t.Errorf("%d inputs were written down", n)
	}
}

// TestAnswersAreShort: what the page knows already is not said again.
func TestAnswersAreShort(t *testing.T) {
	e := NewEngine(Hello{})
	first := e.Handle([]byte(`{"id":1,"do":"state"}`))
	second := e.Handle([]byte(`{"id":2,"do":"state"}`))
	if !strings.Contains(string(first), `"log":[]`) || strings.Contains(string(second), `"log"`) || strings.Contains(string(second), `"machine"`) {
		t.Errorf("%s\n%s", first, second)
	}
}

func BenchmarkReplayOneMinute(b *testing.B) {
	for b.Loop() {
		e := NewEngine(Hello{})
		e.Answer(Request{Do: DoAdvance, To: 60_000_000_000})
	}
}

func BenchmarkFrame(b *testing.B) {
	e := NewEngine(Hello{})
	t := int64(0)
	for b.Loop() {
		t += 16_000_000
		request, err := json.Marshal(Request{Do: DoAdvance, To: t})
		if err != nil {
			b.Fatal(err)
		}
		e.Handle(request)
	}
}

// TestEventsThatThePageHasAreNotToldAgain: of a run that is replayed only what comes after the last known event is told, under the same numbers.
func TestEventsThatThePageHasAreNotToldAgain(t *testing.T) {
	e := NewEngine(Hello{})
	end := play(t, e, Scripts()[0])
	run := e.Run()
	all := e.Answer(Request{Do: DoLoad, Run: &run, Until: &Point{T: end.State.T}}).Events
	if len(all) < 100 || all[0].ID != 1 {
		t.Fatalf("%d events", len(all))
	}
	known := all[len(all)/2].ID
	later := e.Answer(Request{Do: DoLoad, Run: &run, Until: &Point{T: end.State.T}, Since: known}).Events
	if len(later) != len(all)-len(all)/2-1 || later[0].ID != known+1 || later[0].Kind != all[len(all)/2+1].Kind {
		t.Errorf("%d of %d events, from %d on", len(later), len(all), later[0].ID)
	}
	// Back in time with all of them known, nothing of the replay is told; what happens then is, for it may be another branch.
	a := e.Answer(Request{Do: DoLoad, Run: &run, Until: &Point{T: end.State.T / 2}, Since: all[len(all)-1].ID})
	if len(a.Events) != 0 || a.Skipped != 0 {
		t.Errorf("%d events", len(a.Events))
	}
	if a = e.Answer(Request{Do: DoAdvance, By: ByEvent}); len(a.Events) == 0 || a.Events[0].ID > known+100 || a.State.T > end.State.T*3/4 {
		t.Errorf("one step on: %d events, at %d", len(a.Events), a.State.T)
	}
}

// TestFoundersThatKnowEachOtherWriteNoConfiguration: the first command is entry 2, behind the no-op.
func TestFoundersThatKnowEachOtherWriteNoConfiguration(t *testing.T) {
	e := NewEngine(Hello{})
	play(t, e, Script{"write", []Request{
		{Do: DoLoad, Run: &Run{Version: Version, Seed: 2, Setup: Setup{Members: 3, Known: true}}}, {Do: DoAdvance, To: 900_000_000},
		{Do: DoInput, Input: &Input{Do: InputClient, Op: &Op{Client: 1, Kind: OpSet, Key: "x", Value: "5"}}}, {Do: DoAdvance, To: 2_000_000_000},
	}})
	a := e.Answer(Request{Do: DoState, Full: true})
	for _, m := range a.State.Members {
		if len(m.Log) != 2 || m.Log[0].Kind != "noop" || m.Log[1].Text != "set x 5" || m.Configuration.Index != 0 {
			t.Errorf("%+v", m)
		}
	}
}
