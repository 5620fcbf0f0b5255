package session_test

import (
	"encoding/binary"
	"io"
	"testing"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/session"
)

// list is a machine that keeps what it is told.
type list struct{ bytes []byte }

func (l *list) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, len(entries))
	for i, e := range entries {
		l.bytes = append(l.bytes, e.Data...)
		results[i].Data = binary.LittleEndian.AppendUint64(nil, uint64(len(l.bytes)))
	}
	return results
}

func (l *list) Snapshot() (engine.SnapshotWriter, error) { return nil, io.ErrUnexpectedEOF }
func (l *list) Restore(io.Reader) error                  { return io.ErrUnexpectedEOF }

// TestTheSessionThatIsIdleLongestGoes opens one session more than a machine remembers.
func TestTheSessionThatIsIdleLongestGoes(t *testing.T) {
	inner := &list{}
	m := session.NewMachine(inner, 2)
	at := raft.Index(0)
	ask := func(command []byte) error {
		at++
		_, err := session.Answer(m.Apply([]engine.Entry{{Index: at, Data: command}})[0].Data)
		return err
	}
	for _, command := range [][]byte{
		session.OpenCommand(1), session.OpenCommand(2), session.Command(1, 1, []byte("a")), session.OpenCommand(3), session.Command(1, 2, []byte("b")),
		session.Command(3, 1, []byte("c")), session.Command(3, 1, []byte("c")),
	} {
		if err := ask(command); err != nil {
			t.Errorf("%q: %v", command, err)
		}
	}
	if err := ask(session.Command(2, 1, []byte("d"))); err != session.ErrExpired {
		t.Errorf("a session that two others have outlived: %v", err)
	}
	if string(inner.bytes) != "abc" {
		t.Errorf("the machine was told %q", inner.bytes)
	}
}
