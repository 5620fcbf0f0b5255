package main

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/balsa-raft/balsa/lab"
)

// livePage is what a page of a running cluster knows.
type livePage struct {
	t      *testing.T
	socket *websocket.Conn
	state  *lab.State
}

func openPage(t *testing.T, url string) *livePage {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, url+"engine", nil)
	if err != nil {
		t.Fatal(err)
	}
	socket.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = socket.CloseNow() })
	return &livePage{t: t, socket: socket}
}

func (p *livePage) read() lab.Answer {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, b, err := p.socket.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var a lab.Answer
	if err := json.Unmarshal(b, &a); err != nil {
		p.t.Fatal(err)
	}
	if a.State != nil {
		p.state = a.State
	}
	return a
}

func (p *livePage) until(what string, holds func(s *lab.State) bool) {
	p.t.Helper()
	for range 600 { // a minute
		if p.state != nil && holds(p.state) {
			return
		}
		p.read()
	}
	p.t.Fatalf("never: %s; last %+v", what, p.state)
}

// do does an input, which has to succeed.
func (p *livePage) do(in lab.Input) lab.Answer {
	p.t.Helper()
	b, err := json.Marshal(&lab.Request{ID: 99, Do: lab.DoInput, Input: &in})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.socket.Write(context.Background(), websocket.MessageText, b); err != nil {
		p.t.Fatal(err)
	}
	for {
		if a := p.read(); a.ID == 99 {
			if a.Error != "" {
				p.t.Fatalf("%s: %s", in.Do, a.Error)
			}
			return a
		}
	}
}

func leader(s *lab.State) uint64 {
	for _, m := range s.Members {
		if m.Process == "running" && m.Role == "leader" {
			return m.ID
		}
	}
	return 0
}

// lead waits until somebody leads: nobody may, for a moment, whenever members starve.
func (p *livePage) lead() uint64 {
	p.t.Helper()
	p.until("a leader", func(s *lab.State) bool { return leader(s) != 0 })
	return leader(p.state)
}

// ask has a client do something, again until it goes well: what is under way when a leader goes may end as unknown.
func (p *livePage) ask(op lab.Op) lab.Operation {
	p.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		a := p.do(lab.Input{Do: lab.InputClient, Op: &op})
		if len(a.State.Ops) != 1 {
			p.t.Fatalf("one operation is answered with %+v", a.State.Ops)
		}
		if a.State.Ops[0].Outcome == "ok" {
			return a.State.Ops[0]
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("it never goes well: %+v", a.State.Ops[0])
		}
	}
}

func processOf(s *lab.State, member uint64) string { return s.Members[member-1].Process }

// TestTheDemosPageBreaksTheClusterForReal: a client writes and reads; a member is paused and goes on; the leader is cut off, and another one leads; one is
// killed and started; at the end no process is left, though one of them is paused.
func TestTheDemosPageBreaksTheClusterForReal(t *testing.T) {
	demo := startBalsa(t, []string{"TMPDIR=" + t.TempDir()}, "demo", "--port", freePorts(t), "--restart-after", "1h")
	line, _ := demo.line(0, "in a browser:")
	p := openPage(t, strings.TrimSpace(line[strings.Index(line, "http://"):]))
	p.until("a leader, and all members", func(s *lab.State) bool {
		if leader(s) == 0 || len(s.Members) != 3 {
			return false
		}
		for _, m := range s.Members {
			if m.Process != "running" || m.In != "voter" {
				return false
			}
		}
		return true
	})
	if wrote := p.ask(lab.Op{Client: 1, Kind: lab.OpSet, Key: "x", Value: "5"}); !wrote.Wrote {
		t.Fatalf("%+v", wrote)
	}
	follower := p.lead()%3 + 1
	if read := p.ask(lab.Op{Client: 1, Kind: lab.OpRead, Key: "x", Member: follower}); read.Result != "5" || !read.Found {
		t.Fatalf("%+v", read)
	}

	p.do(lab.Input{Do: lab.InputPause, Member: follower})
	p.until("it is paused", func(s *lab.State) bool { return processOf(s, follower) == "paused" })
	p.do(lab.Input{Do: lab.InputResume, Member: follower})
	p.until("it goes on", func(s *lab.State) bool { return processOf(s, follower) == "running" })

	old := p.lead()
	others := []uint64{old%3 + 1, (old+1)%3 + 1}
	p.do(lab.Input{Do: lab.InputPartition, Groups: [][]uint64{others}})
	p.until("one of the others leads", func(s *lab.State) bool { l := leader(s); return len(s.Cuts) == 4 && l != 0 && l != old })
	p.do(lab.Input{Do: lab.InputHeal})
	p.until("the old one follows", func(s *lab.State) bool {
		return len(s.Cuts) == 0 && leader(s) != 0 && s.Members[old-1].Leader == leader(s) && s.Members[old-1].Role == "follower"
	})

	p.do(lab.Input{Do: lab.InputCrash, Member: old})
	p.until("it is gone", func(s *lab.State) bool { return processOf(s, old) == "crashed" })
	p.do(lab.Input{Do: lab.InputRestart, Member: old})
	p.until("it is back", func(s *lab.State) bool { return processOf(s, old) == "running" })

	p.do(lab.Input{Do: lab.InputPause, Member: old})
	demo.signal(syscall.SIGTERM)
	if code := demo.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	gone(t, memberPIDs(t, demo))
}
