package engine

import (
	"context"
	"errors"
	"testing"
)

// TestAPendingRequestIsAnsweredOnceHoweverItIsGivenUp: who gives up between two attempts, or while an attempt is refused, gets one answer, and nothing stays counted.
func TestAPendingRequestIsAnsweredOnceHoweverItIsGivenUp(t *testing.T) {
	begin := func(t *testing.T) (g *Group, p *Pending, answers *[]error) {
		s := newStepper(t, 3, nil)
		g = s.start(1, 1) // the others are down: there is no leader
		s.settle()
		answers = &[]error{}
		p = g.ProposeAsync(text(1, 20), func(_ Result, err error) { *answers = append(*answers, err) })
		s.settle()
		return g, p, answers
	}
	check := func(t *testing.T, g *Group, answers []error, others int64) {
		t.Helper()
		if len(answers) != 1 || !errors.Is(answers[0], context.DeadlineExceeded) || !errors.Is(answers[0], ErrNoLeader) {
			t.Errorf("answered with %v, want once, that there was no leader in time", answers)
		}
		if n := g.pendingBytes.Load() - others; n != 0 {
			t.Errorf("%d bytes are counted as pending", n)
		}
	}
	t.Run("between two attempts", func(t *testing.T) {
		g, p, answers := begin(t)
		next := p.make
		p.make = func() *call { p.Cancel(context.DeadlineExceeded); return next() }
		p.call.finish(outcome{err: ErrDropped, retry: true}) // as after a change of leader
		check(t, g, *answers, 0)
	})
	t.Run("while the next attempt is refused", func(t *testing.T) {
		g, p, answers := begin(t)
		next := p.make()
		p.call.state.Store(callAnswered) // with the first attempt's, of which nothing is left
		g.pendingBytes.Add(-p.size)
		p.call = next
		p.Cancel(context.DeadlineExceeded)
		others := g.host.options.MaxPendingBytes + 1
		g.pendingBytes.Add(others)
		p.enter(next)
		check(t, g, *answers, others)
	})
}
