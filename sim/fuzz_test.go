package sim

import (
	"bytes"
	"testing"

	"github.com/balsa-raft/balsa/internal/hostile"
)

// FuzzReplay reads arbitrary bytes as a replay file: it is refused, or is the same when it is written and read again.
func FuzzReplay(f *testing.F) {
	report := Run(3, Options{Members: 1, Groups: 1, Duration: 1})
	report.Failure = &Failure{Checker: "durability", Text: "an entry is gone"}
	replay := NewReplay(Options{Members: 1, Groups: 1, Duration: 1}, &report)
	var b bytes.Buffer
	if err := replay.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		hostile.Within(t, 1<<20+64*len(data), func() {
			replay, err := ReadReplay(bytes.NewReader(data))
			if err != nil {
				return
			}
			var b bytes.Buffer
			if err := replay.Write(&b); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadReplay(bytes.NewReader(b.Bytes())); err != nil {
				t.Fatalf("it was read, and written as %s, and that is not read: %v", b.Bytes(), err)
			}
		})
	})
}

// FuzzCommands decodes arbitrary bytes as what the machines of simulated worlds take and answer: envelopes, registers, notes.
func FuzzCommands(f *testing.F) {
	c := registerCommand{expect: []assignment{{register: 1, value: 2}}, set: []assignment{{register: 3, value: 4}}}
	f.Add(sealCommand(1, 5, c.encode()))
	f.Add(c.encode())
	f.Add((&registerAnswer{done: true, before: []uint64{7}}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		hostile.Within(t, 64*len(data), func() {
			if id, command, err := openCommand(data); err == nil && (len(command) > len(data) || id == 0 && len(data) == 0) {
				t.Fatal("a command is longer than its envelope")
			}
			if c, err := decodeRegisterCommand(data); err == nil && !bytes.Equal(c.encode(), data) {
				t.Fatalf("%x became %x", data, c.encode())
			}
			if a, err := decodeRegisterAnswer(data); err == nil && !bytes.Equal(a.encode(), data) {
				t.Fatalf("%x became %x", data, a.encode())
			}
			_, _, _ = openAnswer(data)
			_, _ = ParseCommand(data)
			_, _ = decodeReply(data)
			new(values).apply(data)
		})
	})
}
