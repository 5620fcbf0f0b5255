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
	if n, level := l.Level(); level || n != 200 {
		t.Errorf("a replica that lacks a command is level with the others at %d", n)
	}
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), "replica 1 lost command 151 of proposer 2") {
		t.Errorf("got %v", err)
	}
	SetNumber(command, 151)
	l.Applied(1, command)
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	if n, level := l.Level(); !level || n != 200 {
		t.Errorf("replicas that have all commands are level: %v, at %d", level, n)
	}
	// What nobody acknowledged makes one replica have as much as was acknowledged, and not all of it.
	SetNumber(command, 201)
	l.Applied(0, command)
	if _, level := l.Level(); level {
		t.Error("replicas are level while a command is on its way")
	}
	l.Applied(1, command)
	l.Applied(1, command)
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), "replica 1 applied 1 commands of proposer 2 twice") {
		t.Errorf("got %v", err)
	}
}
