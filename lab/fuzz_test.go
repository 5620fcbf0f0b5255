package lab

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzRequests puts anything to an engine: whatever it is, it is answered, the answer is JSON, and the run that is written down can be had again.
func FuzzRequests(f *testing.F) {
	for _, s := range Scripts() {
		var text []byte
		for _, r := range s.Requests[:min(len(s.Requests), 12)] {
			b, err := json.Marshal(&r)
			if err != nil {
				f.Fatal(err)
			}
			text = append(append(text, b...), '\n')
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := NewEngine(Hello{})
		var last Answer
		for i, request := range bytes.Split(text, []byte("\n")) {
			var r Request
			if i > 10 || json.Unmarshal(request, &r) == nil && (r.To > 2_000_000_000 || r.Until != nil || r.Run != nil && len(r.Run.Inputs) > 0) {
				continue // It would take long.
			}
			var a Answer
			if err := json.Unmarshal(e.Handle(request), &a); err != nil {
				t.Fatalf("%s: %v", request, err)
			}
			if a.State != nil {
				last = a
			}
		}
		if last.State == nil || last.State.Ended != "" {
			return
		}
		run := e.Run()
		again := NewEngine(Hello{})
		until := Point{T: last.State.T, N: last.State.N}
		if a := again.Answer(Request{Do: DoLoad, Run: &run, Until: &until}); a.Error != "" || a.State.Hash != last.State.Hash {
			b, _ := json.Marshal(&run)
			t.Fatalf("the run %s is at %d, %s; again it is %s %+v", b, last.State.N, last.State.Hash, a.Error, a.State)
		}
	})
}
