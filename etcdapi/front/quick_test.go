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
