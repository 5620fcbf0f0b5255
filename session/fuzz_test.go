package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/internal/hostile"
	"github.com/balsa-raft/balsa/raft"
)

// echo answers every command with itself, and has no state.
type echo struct{}

func (echo) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, len(entries))
	for i := range entries {
		results[i].Data = entries[i].Data
	}
	return results
}
func (echo) Snapshot() (engine.SnapshotWriter, error) { return nothing{}, nil }
func (echo) Restore(r io.Reader) error                { return nil }

type nothing struct{}

func (nothing) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (nothing) Close() error                     { return nil }

// FuzzSession applies arbitrary bytes as one command and as several, after the opening of a session: whatever they are, each has an answer that decodes, and asking the
// same again has the same answer or says that the session is over.
func FuzzSession(f *testing.F) {
	f.Add(OpenCommand(7), uint8(0))
	f.Add(Command(7, 1, []byte("command")), uint8(0))
	f.Add(append(Command(7, 2, []byte("two")), Command(7, 1, nil)...), uint8(20))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		m := NewMachine(echo{}, 3)
		m.Apply([]engine.Entry{{Index: 1, Term: 1, Data: OpenCommand(7)}})
		at := min(int(cut), len(data))
		entries := []engine.Entry{{Index: 2, Term: 1, Data: data[:at]}, {Index: 3, Term: 1, Data: data[at:]}, {Index: 4, Term: 1, Data: data}, {Index: 5, Term: 1, Data: data}}
		results := m.Apply(entries)
		if len(results) != len(entries) {
			t.Fatalf("%d answers to %d commands", len(results), len(entries))
		}
		for _, r := range results {
			_, _ = Answer(r.Data)
		}
		first, err1 := Answer(results[2].Data)
		second, err2 := Answer(results[3].Data)
		if err1 == nil && err2 == nil && !bytes.Equal(first, second) {
			t.Fatalf("the same command was answered with %q, then with %q", first, second)
		}
		// What the sessions are is the same after a snapshot.
		var b bytes.Buffer
		s, err := m.Snapshot()
		if err == nil {
			_, err = s.WriteTo(&b)
		}
		if err != nil {
			t.Fatal(err)
		}
		again := NewMachine(echo{}, 3)
		if err := again.Restore(bytes.NewReader(b.Bytes())); err != nil {
			t.Fatal(err)
		}
		if a, b := m.Apply(entries[2:3]), again.Apply(entries[2:3]); !bytes.Equal(a[0].Data, b[0].Data) {
			t.Fatalf("%q, after a snapshot %q", a[0].Data, b[0].Data)
		}
	})
}

// FuzzRestore reads arbitrary bytes as the sessions of a snapshot.
func FuzzRestore(f *testing.F) {
	f.Add(snapshotOfOne(f))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		hostile.Within(t, 64*len(b), func() { _ = NewMachine(echo{}, 3).Restore(bytes.NewReader(b)) })
		_, _ = Answer(b)
	})
}

func snapshotOfOne(t testing.TB) []byte {
	t.Helper()
	m := NewMachine(echo{}, 3)
	m.Apply([]engine.Entry{{Index: 1, Data: OpenCommand(7)}, {Index: raft.Index(2), Data: Command(7, 1, []byte("a command"))}})
	var b bytes.Buffer
	s, err := m.Snapshot()
	if err == nil {
		_, err = s.WriteTo(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestNumbersThatLieCostNoMemory puts far too large numbers into every place of the sessions of a snapshot.
func TestNumbersThatLieCostNoMemory(t *testing.T) {
	hostile.Numbers(snapshotOfOne(t), func(b []byte) {
		hostile.Within(t, 64*len(b), func() { _ = NewMachine(echo{}, 3).Restore(bytes.NewReader(b)) })
	})
	many := binary.LittleEndian.AppendUint32(nil, 1<<32-1)
	hostile.Within(t, 0, func() { _ = NewMachine(echo{}, 3).Restore(bytes.NewReader(many)) })
}

// TestASnapshotThatCannotBeReadSaysWhy: what the disk said is not lost, wherever it says it.
func TestASnapshotThatCannotBeReadSaysWhy(t *testing.T) {
	whole, failure := snapshotOfOne(t), errors.New("input/output error")
	for n := range whole {
		err := NewMachine(echo{}, 3).Restore(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(failure)))
		if !errors.Is(err, failure) {
			t.Errorf("after %d bytes of %d: %v", n, len(whole), err)
		}
		if err := NewMachine(echo{}, 3).Restore(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d bytes of %d were enough", n, len(whole))
		}
	}
}
