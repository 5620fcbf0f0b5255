package front

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestARequestIsAnsweredByWhoeverKnowsTheAnswer(t *testing.T) {
	h := open(t, listen(t))
	c := dial(t, h)
	for request, want := range map[string]string{"now": "now", "not": "the method"} {
		if answer, err := ask(t.Context(), c, "Later", []byte(request)); err != nil || string(answer) != want {
			t.Errorf("%s: %q, %v", request, answer, err)
		}
	}
	// The first one is answered last, by a goroutine that may wait.
	const many = 100
	var clients sync.WaitGroup
	for i := range many {
		clients.Go(func() {
			want := fmt.Sprint("request ", i)
			if answer, err := ask(t.Context(), c, "Later", []byte(want)); err != nil || string(answer) != want {
				t.Errorf("%q, %v instead of %s", answer, err, want)
			}
		})
	}
	var begun []later
	for range many {
		begun = append(begun, <-h.later)
	}
	for i := len(begun) - 1; i >= 0; i-- {
		begun[i].Continue(func() { begun[i].echo(nil) })
	}
	clients.Wait()
}

// TestAnAnswerThatIsNotWaitedForAnyMoreIsGivenUp says who gives up, and what the one who knows the answer is told.
func TestAnAnswerThatIsNotWaitedForAnyMoreIsGivenUp(t *testing.T) {
	for name, one := range map[string]struct {
		patience, timeout time.Duration
		cancel, hangUp    bool
		cause, ctxErr     error
		code              codes.Code
	}{
		"the client":              {patience: time.Hour, cancel: true, cause: context.Canceled, ctxErr: context.Canceled, code: codes.Canceled},
		"the client, in its time": {patience: time.Hour, timeout: 20 * time.Millisecond, cause: context.DeadlineExceeded, code: codes.DeadlineExceeded},
		"the server":              {patience: 20 * time.Millisecond, cause: context.DeadlineExceeded, code: codes.DeadlineExceeded},
		"a connection that ends":  {patience: time.Hour, hangUp: true, cause: context.Canceled, ctxErr: context.Canceled, code: codes.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			h := openWith(t, listen(t), one.patience)
			c := dial(t, h)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if one.timeout > 0 {
				ctx, cancel = context.WithTimeout(ctx, one.timeout)
				defer cancel()
			}
			answered := make(chan error, 1)
			go func() {
				_, err := ask(ctx, c, "Later", []byte("x"))
				answered <- err
			}()
			begun := <-h.later
			switch {
			case one.cancel:
				cancel()
			case one.hangUp:
				c.Close()
			}
			// A client that gives up in its time says so as well, and either may be heard first.
			cause := <-begun.gaveUp
			if cause != one.cause && (one.timeout == 0 || cause != context.Canceled) {
				t.Errorf("it is told %v", cause)
			}
			if err := begun.Err(); one.timeout == 0 && err != one.ctxErr {
				t.Errorf("its context says %v", err)
			}
			begun.echo(cause)
			if err := <-answered; status.Code(err) != one.code {
				t.Errorf("the client is told %v", err)
			}
			if answer, err := ask(t.Context(), dial(t, h), "Echo", []byte("more")); err != nil || string(answer) != "more" {
				t.Errorf("afterwards: %q, %v", answer, err)
			}
		})
	}
}

// TestNobodyWaitsForTwiceThePatience: whenever others begin to wait, also while a sweep looks at who does.
func TestNobodyWaitsForTwiceThePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience, moment = 7 * time.Second, 10 * time.Millisecond
		s := NewServer(Options{Patience: patience})
		c := &conn{server: s, calls: map[uint32]*call{}}
		s.conns[c] = struct{}{}
		var calls []*call
		for i := range uint32(3) {
			one := &call{conn: c, id: 2*i + 1, message: &buffer{bytes: make([]byte, prefixSize)}}
			one.quick = func(Request, []byte, []byte) (func(error), bool) { return func(error) {}, true }
			calls, c.calls[one.id] = append(calls, one), one
		}
		waits := func(one *call) bool { return one.isDue(one.began, patience) }

		s.watching.Store(true) // A request that was before these has seen to a sweep.
		calls[0].begin()
		<-time.After(patience - moment) // virtual time
		c.mu.Lock()
		swept := make(chan struct{})
		go func() {
			s.sweep()
			close(swept)
		}()
		for range 1000 {
			runtime.Gosched() // It comes to the connection, which is ours.
		}
		calls[1].begin()
		c.mu.Unlock()
		if <-swept; !waits(calls[0]) {
			t.Error("it is given up early")
		}
		if <-time.After(patience / 16); waits(calls[0]) || !waits(calls[1]) {
			t.Error("the first one is due and the second is not")
		}
		if <-time.After(patience); waits(calls[1]) {
			t.Error("the second one is due")
		}

		if <-time.After(patience); s.watching.Load() {
			t.Error("the server looks for those who wait, and nobody does")
		}
		calls[2].begin()
		if <-time.After(patience + patience/16); waits(calls[2]) {
			t.Error("one that began after a pause is due")
		}
		<-time.After(patience) // for the last sweep
	})
}

// TestAServerThatStopsGivesUp: what is answered after all is answered to nobody.
func TestAServerThatStopsGivesUp(t *testing.T) {
	h := open(t, listen(t))
	c := dial(t, h)
	answered := make(chan error, 1)
	go func() {
		_, err := ask(t.Context(), c, "Later", []byte("x"))
		answered <- err
	}()
	begun := <-h.later
	h.front.Close()
	if cause := <-begun.gaveUp; !errors.Is(cause, context.Canceled) {
		t.Errorf("it is told %v", cause)
	}
	begun.Continue(func() { t.Error("it goes on") })
	begun.echo(nil)
	if err := <-answered; err == nil {
		t.Error("the client was answered")
	}
}

// TestWhatGoesOnIsNotHeldUpByWhatIsStuck: others come while all goroutines that can run are stuck, and are few when there is little to do.
func TestWhatGoesOnIsNotHeldUpByWhatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f further
		stuck := make(chan struct{})
		for range 3 * runtime.GOMAXPROCS(0) {
			f.run(func() { <-stuck })
		}
		const many = 1000
		done := 0
		var mu sync.Mutex
		for range many {
			f.run(func() {
				mu.Lock()
				done++
				mu.Unlock()
			})
		}
		<-time.After(time.Duration(8*runtime.GOMAXPROCS(0)) * furtherPatience)
		if mu.Lock(); done != many {
			t.Errorf("%d of %d are done", done, many)
		}
		mu.Unlock()
		close(stuck)
		synctest.Wait()
		f.mu.Lock()
		if f.busy != 0 || f.idle > keptFurther || f.called != 0 {
			t.Errorf("%d are busy, %d idle, %d called", f.busy, f.idle, f.called)
		}
		f.mu.Unlock()
		again := make(chan struct{})
		f.run(func() { close(again) })
		<-again
		f.stop()
		f.run(func() { t.Error("it runs after the end") })
	})
}
