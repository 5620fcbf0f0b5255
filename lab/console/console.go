package console

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/balsa-raft/balsa/lab"
	"github.com/balsa-raft/balsa/lab/page"
	"github.com/balsa-raft/balsa/lab/serve"
)

// Controls do things to a cluster. A console without them only shows.
type Controls interface {
	// Names are the inputs that Do takes.
	Names() []string
	// Do does one. Of a client's operation it returns what became of it; its ID, and its times as Unix's, are the caller's.
	Do(ctx context.Context, in lab.Input) (*lab.Operation, error)
	// Process says what is known of a member's process beyond whether it answers: "paused", "stopped", "crashed"; "" if nothing.
	Process(name string) string
	// Cuts are the links that were cut, by the names of their ends.
	Cuts() [][2]string
}

// Options are what a Console is made with.
type Options struct {
	// Targets are the members, in the order in which they are numbered. New ones are added behind.
	Targets func() []Target
	// Controls may be nil.
	Controls Controls
	// Viewers is how many pages may be open: 16 by default.
	Viewers int
	Logger  *slog.Logger
}

// Console serves the page of a running cluster. It asks the members only while a page is open.
type Console struct {
	options  Options
	gatherer *gatherer
	files    http.Handler

	mu      sync.Mutex
	viewers int
	stop    context.CancelFunc // of the gathering, while somebody looks
	ops     uint64
}

// New makes a Console.
func New(o Options) *Console {
	if o.Viewers <= 0 {
		o.Viewers = 16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Console{options: o, files: serve.Files(page.Files())}
	var process func(string) string
	if o.Controls != nil {
		process = o.Controls.Process
	}
	c.gatherer = newGatherer(o.Targets, process)
	return c
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !serve.Local(r) {
		http.Error(w, "this is served on the loopback interface, to pages from there", http.StatusForbidden)
		return
	}
	if r.URL.Path != "/engine" {
		c.files.ServeHTTP(w, r)
		return
	}
	if !c.enter() {
		http.Error(w, "too many pages are open: close one", http.StatusServiceUnavailable)
		return
	}
	defer c.leave()
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered.
	}
	defer socket.CloseNow()
	socket.SetReadLimit(1 << 20)
	if err := c.view(r.Context(), socket); err != nil {
		c.options.Logger.Debug("a page is gone", "error", err)
	}
}

// enter counts a viewer; the first one starts the gathering.
func (c *Console) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.viewers >= c.options.Viewers {
		return false
	}
	c.viewers++
	if c.viewers == 1 {
		ctx, stop := context.WithCancel(context.Background())
		c.stop = stop
		go c.gatherer.run(ctx)
	}
	return true
}

func (c *Console) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.viewers--; c.viewers == 0 {
		c.stop()
	}
}

// viewer is one page. Answers to requests and what is told unasked come from two goroutines, and go out one at a time.
type viewer struct {
	socket *websocket.Conn
	mu     sync.Mutex
	since  uint64
}

func (v *viewer) send(ctx context.Context, a *lab.Answer) error {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // All of an answer can be said in JSON.
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return v.socket.Write(ctx, websocket.MessageText, b)
}

// view answers a page, and tells it what happens.
func (c *Console) view(ctx context.Context, socket *websocket.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	v := &viewer{socket: socket}
	told := make(chan error, 1)
	go func() { told <- c.tell(ctx, v) }()
	err := c.listen(ctx, v)
	cancel()
	socket.CloseNow()
	return errors.Join(err, <-told)
}

// tell tells of every round.
func (c *Console) tell(ctx context.Context, v *viewer) error {
	for {
		more, err := c.answer(ctx, v, &lab.Answer{})
		if err != nil {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

// answer sends an answer with the state and the events that this page has not seen.
func (c *Console) answer(ctx context.Context, v *viewer, a *lab.Answer) (<-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	state, events, more := c.gatherer.state(v.since)
	if n := len(events); n > 0 {
		v.since = events[n-1].ID
	}
	state.Cuts = c.cuts(state.Members)
	a.State, a.Events = state, events
	return more, v.send(ctx, a)
}

func (c *Console) cuts(members []lab.Member) [][2]uint64 {
	if c.options.Controls == nil {
		return nil
	}
	number := map[string]uint64{}
	for i := range members {
		number[members[i].Name] = members[i].ID
	}
	var cuts [][2]uint64
	for _, cut := range c.options.Controls.Cuts() {
		cuts = append(cuts, [2]uint64{number[cut[0]], number[cut[1]]})
	}
	return cuts
}

// listen answers requests.
func (c *Console) listen(ctx context.Context, v *viewer) error {
	var asked sync.WaitGroup
	defer asked.Wait()
	busy := make(chan struct{}, 16) // clients' operations of this page
	for {
		_, b, err := v.socket.Read(ctx)
		if err != nil {
			return err
		}
		var r lab.Request
		a := lab.Answer{}
		if err := json.Unmarshal(b, &r); err != nil {
			a.Error = "the request is not understood: " + err.Error()
		}
		a.ID = r.ID
		switch {
		case a.Error != "":
		case r.Do == lab.DoHello:
			a.Hello = &lab.Hello{Version: lab.Version, Host: "live", Controls: []string{}}
			if c.options.Controls != nil {
				a.Hello.Controls = c.options.Controls.Names()
			}
		case r.Do == lab.DoState:
			if _, err := c.answer(ctx, v, &a); err != nil {
				return err
			}
			continue
		case r.Do == lab.DoInput && r.Input != nil && c.options.Controls != nil:
			select {
			case busy <- struct{}{}:
				asked.Go(func() {
					defer func() { <-busy }()
					c.do(ctx, v, r.ID, *r.Input)
				})
				continue
			default:
				a.Error = "too much is under way: wait for an answer"
			}
		default:
			a.Error = "this cluster runs: it can be looked at, and nothing else"
		}
		v.mu.Lock()
		err = v.send(ctx, &a)
		v.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// do does an input, and answers when it is done.
func (c *Console) do(ctx context.Context, v *viewer, id uint64, in lab.Input) {
	g := c.gatherer
	begin := time.Now()
	op, err := c.options.Controls.Do(ctx, in)
	a := lab.Answer{ID: id, Input: &in}
	in.At.T = int64(time.Since(g.born))
	if err != nil {
		a = lab.Answer{ID: id, Error: err.Error()}
	}
	if op != nil {
		c.mu.Lock()
		c.ops++
		op.ID = c.ops
		c.mu.Unlock()
		op.Call, op.Return = int64(begin.Sub(g.born)), int64(time.Since(g.born))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if a.Error == "" {
		var events []lab.Event
		a.State, events, _ = g.state(v.since)
		if n := len(events); n > 0 {
			v.since = events[n-1].ID
		}
		a.Events = events
		a.State.Cuts = c.cuts(a.State.Members)
		if op != nil {
			a.State.Ops = []lab.Operation{*op}
		}
	}
	if err := v.send(ctx, &a); err != nil {
		_ = v.socket.CloseNow() // listen hears of it.
	}
}
