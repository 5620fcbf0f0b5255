package sim_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/sim"
)

// sum is a machine that adds up numbers, and can be wrong in several ways.
type sum struct {
	total, count uint64
	wrong        string
}

func (s *sum) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, len(entries))
	for i, e := range entries {
		s.count++
		if len(e.Data) > 0 {
			s.total += uint64(e.Data[0])
		}
		switch {
		case s.wrong == "adds what others wait for" && e.Local:
			s.total++
		case s.wrong == "adds for each batch" && i == 0:
			s.total++
		case s.wrong == "panics" && s.count == 40:
			panic("forty")
		}
		results[i].Data = binary.LittleEndian.AppendUint64(nil, s.total)
	}
	if s.wrong == "answers with the batch's end" {
		for i := range results {
			results[i].Data = binary.LittleEndian.AppendUint64(nil, s.total)
		}
	}
	return results
}

type sumSnapshot struct {
	s       *sum
	written []byte
}

func (s sumSnapshot) WriteTo(w io.Writer) (int64, error) {
	b := s.written
	if b == nil {
		b = s.s.encode()
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (sumSnapshot) Close() error { return nil }

func (s *sum) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, s.total)
	if s.wrong != "forgets its count" {
		b = binary.LittleEndian.AppendUint64(b, s.count)
	}
	return b
}

// Hash makes the count visible that a snapshot may forget.
func (s *sum) Hash() uint64 { return s.total*0x9e3779b97f4a7c15 ^ s.count }

func (s *sum) Snapshot() (engine.SnapshotWriter, error) {
	if s.wrong == "captures late" {
		return sumSnapshot{s: s}, nil
	}
	return sumSnapshot{s: s, written: s.encode()}, nil
}

func (s *sum) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil || len(b) < 8 {
		return fmt.Errorf("%d bytes: %w", len(b), err)
	}
	if s.wrong != "restores on top" {
		s.total = 0
	}
	s.total += binary.LittleEndian.Uint64(b)
	if len(b) == 16 {
		s.count = binary.LittleEndian.Uint64(b[8:])
	}
	return nil
}

var sums = sim.Workload{
	Command: func(rng *rand.Rand) []byte { return []byte{byte(rng.IntN(4))} },
	Query:   func(*rand.Rand) []byte { return []byte("total") },
	Read: func(m engine.StateMachine, _ []byte) []byte {
		s := m.(*sum)
		if s.wrong == "changes when read" {
			s.total++
		}
		return binary.LittleEndian.AppendUint64(nil, s.total)
	},
}

// TestCheckFindsWrongMachines has Check look at machines that are wrong in the ways in which machines are.
func TestCheckFindsWrongMachines(t *testing.T) {
	// Most are seen in the state or in an answer, whichever a world comes to first.
	differs := []string{": state machine equality: ", ": answers: ", ": linearizability: "}
	for _, c := range []struct {
		wrong      string
		properties []string
	}{
		{wrong: ""},
		{"adds what others wait for", differs},
		{"adds for each batch", differs},
		{"answers with the batch's end", []string{": answers: "}},
		{"panics", []string{": no panic: "}},
		{"forgets its count", []string{": state machine equality: "}},
		{"captures late", differs},
		{"restores on top", differs},
		{"changes when read", differs},
	} {
		t.Run(c.wrong, func(t *testing.T) {
			var found told
			sim.Check(&found, sim.Options{Seeds: 60}, func() engine.StateMachine { return &sum{wrong: c.wrong} }, sums)
			switch {
			case c.wrong == "" && found.text != "":
				t.Errorf("a machine that is right is taken for wrong: %s", found.text)
			case c.wrong != "" && found.text == "":
				t.Error("it is taken for right")
			case c.wrong != "" && !slices.ContainsFunc(c.properties, func(p string) bool { return strings.Contains(found.text, p) }):
				t.Errorf("it is found to break something else than one of %q: %.300s", c.properties, found.text)
			}
		})
	}
}

// letters is what was written last, as text; with upper, a snapshot brings it back in upper case.
type letters struct {
	text  string
	upper bool
}

func (l *letters) Apply(entries []engine.Entry) []engine.Result {
	for _, e := range entries {
		l.text = string(e.Data)
	}
	return make([]engine.Result, len(entries))
}

func (l *letters) Snapshot() (engine.SnapshotWriter, error) {
	return sumSnapshot{written: []byte("letters " + l.text)}, nil
}

func (l *letters) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if l.text = strings.TrimPrefix(string(b), "letters "); l.upper {
		l.text = strings.ToUpper(l.text)
	}
	return err
}

// TestCheckShowsTheStatesThatDiffer has small snapshots, which are shown, and large ones, of which the part that differs is.
func TestCheckShowsTheStatesThatDiffer(t *testing.T) {
	for _, c := range []struct{ command, want string }{
		{"ab", `; its snapshot is "letters AB", and should be "letters ab"`},
		{strings.Repeat("-", 200) + "ab", `; its snapshot of 210 bytes should have 210, and from byte 208 on has "AB" in the place of "ab"`},
	} {
		var found told
		sim.Check(&found, sim.Options{Seeds: 60}, func() engine.StateMachine { return &letters{upper: true} },
			sim.Workload{Command: func(*rand.Rand) []byte { return []byte(c.command) }})
		if !strings.Contains(found.text, c.want) {
			t.Errorf("it does not say %s: %.600s", c.want, found.text)
		}
	}
}

// told takes what Check has to say.
type told struct{ text string }

func (f *told) Helper() {}

func (f *told) Errorf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) }
