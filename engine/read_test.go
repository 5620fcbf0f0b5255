package engine

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestReadsThatAreGivenUpAreForgotten: where there is no leader, clients ask again and again, and nobody but those who still wait may take memory.
func TestReadsThatAreGivenUpAreForgotten(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, giveUp := range map[string]func(*Group) error{
		"one that waits": func(g *Group) error { return g.ReadBarrierUntil(ctx, nil) },
		"one that does not wait": func(g *Group) (err error) {
			g.ReadBarrierThen(func(e error) { err = e })(context.Canceled)
			return err
		},
	} {
		s := newStepper(t, 3, nil)
		g := s.start(1, 1) // the others are down
		s.pass(time.Second)
		stays := 0
		g.ReadBarrierAsync(func(error) { stays++ })
		for range 100 {
			if err := giveUp(g); !errors.Is(err, ErrNoLeader) || !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if s.pass(time.Second); g.Load().Reads != 1 || stays != 0 {
			t.Errorf("%s: %d reads are kept, %d answers to the one that was not given up", name, g.Load().Reads, stays)
		}
	}
}

// TestAReadIsAnsweredOnceWhenItIsGivenUp: before and after its round, and while the machine is not there.
func TestAReadIsAnsweredOnceWhenItIsGivenUp(t *testing.T) {
	s := newStepper(t, 3, nil)
	g := s.startAll()
	for name, before := range map[string]func(){
		"at once":                   func() {},
		"its round is on its way":   func() { s.turn(s.hosts[0]) },
		"the machine is not there":  func() { s.hosts[0].noApply = true; propose(g, number(1)); s.settle() },
		"it is answered before":     s.settle,
		"its leader hears no other": func() { s.drop = cut(1); s.pass(10 * time.Second) },
	} {
		var answers []error
		giveUp := g.ReadBarrierThen(func(err error) { answers = append(answers, err) })
		before()
		answered := len(answers) == 1
		giveUp(context.DeadlineExceeded)
		s.drop, s.hosts[0].noApply = nil, false
		s.pass(time.Second)
		giveUp(context.Canceled)
		if len(answers) != 1 || answered != (answers[0] == nil) || !answered && !errors.Is(answers[0], context.DeadlineExceeded) || g.Load().Reads != 0 {
			t.Errorf("%s: it is told %v, and %d reads are kept", name, answers, g.Load().Reads)
		}
	}
}
