package ledger

import (
	"strings"
	"testing"
)

func TestALostCommandIsFound(t *testing.T) {
	l := New(2, 3)
	command := NewCommand(20, 0, 2)
	for n := range uint64(200) {
		SetNumber(command, n+1)
		l.Acknowledged(2, n+1)
		l.Applied(0, command)
		if n != 150 {
			l.Applied(1, command)
		}
	}
	if l.Complete() {
		t.Error("a replica that lacks a command is complete")
	}
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), "replica 1 lost command 151 of proposer 2") {
		t.Errorf("got %v", err)
	}
	SetNumber(command, 151)
	l.Applied(1, command)
	if err := l.Check(); err != nil || !l.Complete() {
		t.Errorf("got %v, complete %v", err, l.Complete())
	}
	l.Applied(1, command)
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), "replica 1 applied 1 commands of proposer 2 twice") {
		t.Errorf("got %v", err)
	}
}
