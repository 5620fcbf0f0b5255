package lab

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/sim"
)

// Bounds of what one engine holds and of what one request may cost.
const (
	maxInputs  = 20_000
	maxEvents  = 20_000  // kept for one answer; the oldest go first
	maxAdvance = 100_000 // happenings in one request
	maxStep    = 5 * time.Second
	maxRequest = 4 << 20 // bytes
)

// Engine answers the requests of one page. It is to be used by one goroutine at a time.
type Engine struct {
	hello Hello
	run   Run
	world *sim.World
	// future are the inputs of the run that are not given yet: they are when their time comes, unless somebody does something else before.
	future []Input

	tape *tape // what the next answer will tell
	told told
	// tell, if set, gets every line of the world's story.
	tell func(line string)
}

// told is what the page knows already.
type told struct {
	logs, machines map[uint64]uint64 // versions, by member
	ops            []uint64          // versions, by operation
}

// NewEngine makes an engine with the default run loaded; hello says what it tells of itself.
func NewEngine(hello Hello) *Engine {
	hello.Version = Version
	e := &Engine{hello: hello}
	if err := e.load(Run{Version: Version, Seed: 1}, nil, 0); err != nil {
		panic(err)
	}
	return e
}

// Handle answers one request.
func (e *Engine) Handle(request []byte) []byte {
	var r Request
	var a Answer
	switch err := json.Unmarshal(request, &r); {
	case len(request) > maxRequest:
		a.Error = fmt.Sprintf("a request of %d bytes is too long", len(request))
	case err != nil:
		a.Error = "the request is not understood: " + err.Error()
	default:
		a = e.Answer(r)
	}
	b, err := json.Marshal(&a)
	if err != nil {
		panic(err) // All of an answer can be said in JSON.
	}
	return b
}

// Answer does what a request asks for.
func (e *Engine) Answer(r Request) Answer {
	a := Answer{ID: r.ID}
	var err error
	switch r.Do {
	case DoHello:
		hello := e.hello
		a.Hello = &hello
		return a
	case DoRun:
		run := e.Run()
		a.Run = &run
		return a
	case DoState:
	case DoLoad:
		if r.Run == nil {
			err = fmt.Errorf("there is no run to load")
			break
		}
		err = e.load(*r.Run, r.Until, r.Since)
	case DoAdvance:
		err = e.advance(r.To, r.By)
	case DoInput:
		if r.Input == nil {
			err = fmt.Errorf("there is no input")
			break
		}
		a.Input, err = e.give(*r.Input)
	default:
		err = fmt.Errorf("%q: not a thing that can be asked", r.Do)
	}
	if err != nil {
		a.Error = err.Error()
		return a
	}
	if r.Full || r.Do == DoLoad {
		e.told = told{}
	}
	a.State = e.state()
	a.Events, a.Skipped = e.tape.take()
	return a
}

// Run returns the run so far.
func (e *Engine) Run() Run {
	run := e.run
	run.Inputs = append([]Input(nil), e.run.Inputs...)
	return run
}

// Hash is that of all that has happened.
func (e *Engine) Hash() string { return hash(e.world.Hash()) }

func hash(h uint64) string { return fmt.Sprintf("%016x", h) }

// load begins with a run and replays it.
func (e *Engine) load(run Run, until *Point, since uint64) error {
	if run.Version != Version {
		return fmt.Errorf("the run is of version %d, and this engine understands version %d", run.Version, Version)
	}
	if len(run.Inputs) > maxInputs {
		return fmt.Errorf("the run has %d inputs, at most %d are understood", len(run.Inputs), maxInputs)
	}
	next := Engine{hello: e.hello, run: run, future: run.Inputs, tell: e.tell, tape: &tape{mute: since}}
	next.run.Inputs = nil
	var err error
	if len(run.Campaign) > 0 {
		err = next.loadCampaign()
	} else {
		var setup sim.Setup
		if setup, err = run.Setup.steered(); err == nil {
			next.world, err = sim.NewSteered(run.Seed, setup, sim.Options{Codec: codec{}, Watch: next.tape.happened, Tell: e.tell})
		}
	}
	if err != nil {
		return err
	}
	*e = next
	defer func() { e.tape.mute = 0 }() // What comes after the replay is told, known or not: it may be of another branch.
	e.world.AdvanceTo(0)
	if until == nil && run.Moment != nil {
		until = run.Moment
	}
	if until == nil && len(e.future) > 0 {
		last := e.future[len(e.future)-1].At
		return e.goTo(last)
	}
	if until != nil {
		return e.goTo(*until)
	}
	return nil
}

// loadCampaign makes the world of a failure that a campaign has found.
func (e *Engine) loadCampaign() error {
	var options sim.Options
	if err := json.Unmarshal(e.run.Campaign, &options); err != nil {
		return fmt.Errorf("the options of the campaign are not understood: %w", err)
	}
	if err := options.Check(); err != nil {
		return err
	}
	options.Codec, options.Watch, options.Tell = codec{}, e.tape.happened, e.tell
	e.world = sim.NewWorld(e.run.Seed, options)
	e.future = nil
	return nil
}

// goTo replays until a point. Inputs of that very moment have been given then.
func (e *Engine) goTo(p Point) error {
	for len(e.future) > 0 && e.comesBy(e.future[0].At, p) {
		if err := e.giveNext(); err != nil {
			return err
		}
	}
	e.reach(p)
	return nil
}

// comesBy tells whether an input at a moment has been given by a point. One without N has been given once all of its time has happened, which has to happen to be known.
func (e *Engine) comesBy(input, p Point) bool {
	switch {
	case input.T != p.T:
		return input.T < p.T
	case p.N == 0:
		return true
	case input.N != 0:
		return input.N <= p.N
	}
	e.reach(p)
	next, any := e.world.Upcoming()
	return !any || next > time.Duration(p.T)
}

// reach lets happen what happens up to a point.
func (e *Engine) reach(p Point) {
	t := time.Duration(p.T)
	for {
		next, any := e.world.Upcoming()
		if !any || next > t {
			e.world.AdvanceTo(t)
			return
		}
		if p.N != 0 && e.world.Events() >= p.N || !e.world.Step() {
			return
		}
	}
}

// giveNext gives the next input of the future, at its time.
func (e *Engine) giveNext() error {
	in := e.future[0]
	e.reach(in.At)
	e.future = e.future[1:]
	if err := e.do(&in); err != nil {
		return fmt.Errorf("input %d of the run, %s, at %v: %w", len(e.run.Inputs)+1, in.Do, time.Duration(in.At.T), err)
	}
	e.run.Inputs = append(e.run.Inputs, in)
	return nil
}

// advance lets time pass.
func (e *Engine) advance(to int64, by string) error {
	switch by {
	case "":
		return e.advanceTo(time.Duration(to))
	case ByEvent:
		return e.advanceBy(func(ev *Event) bool { return ev.Kind != "synced" })
	case ByMessage:
		return e.advanceBy(func(ev *Event) bool { return ev.Kind == "delivered" || ev.Kind == "lost" })
	}
	return fmt.Errorf("%q: one advances to a time, or by %s or %s", by, ByEvent, ByMessage)
}

func (e *Engine) advanceTo(to time.Duration) error {
	from := e.world.Events()
	for e.world.Events()-from < maxAdvance {
		if len(e.future) > 0 && time.Duration(e.future[0].At.T) <= to {
			if err := e.giveNext(); err != nil {
				return err
			}
			continue
		}
		next, any := e.world.Upcoming()
		if !any || next > to {
			e.world.AdvanceTo(to)
			return nil
		}
		if !e.world.Step() {
			return nil
		}
	}
	return nil
}

// advanceBy goes on until there is an event that counts, but not for longer than maxStep of virtual time.
func (e *Engine) advanceBy(counts func(*Event) bool) error {
	limit := e.world.Now() + maxStep
	for range maxAdvance {
		seen := e.tape.last
		next, any := e.world.Upcoming()
		if len(e.future) > 0 {
			if at := e.future[0].At; !any || (Point{T: int64(next), N: e.world.Events() + 1}).after(at) {
				return e.giveNext()
			}
		}
		if any && next > limit {
			e.world.AdvanceTo(limit)
			return nil
		}
		if !any || !e.world.Step() {
			return nil
		}
		for _, ev := range e.tape.since(seen) {
			if counts(&ev) {
				return nil
			}
		}
	}
	return nil
}

// after tells whether a happening at this point comes after an input at another.
func (p Point) after(input Point) bool {
	if input.N != 0 {
		return p.N > input.N
	}
	return p.T > input.T
}

// give does something to the world now. What the run would have had in the future is gone: this is another branch.
func (e *Engine) give(in Input) (*Input, error) {
	if len(e.run.Campaign) > 0 {
		return nil, fmt.Errorf("this is a run of the fault campaign, which can be looked at, not steered")
	}
	if len(e.run.Inputs) >= maxInputs {
		return nil, fmt.Errorf("a run has at most %d inputs", maxInputs)
	}
	in.At = Point{T: int64(e.world.Now())}
	if !e.world.Settled() {
		in.At.N = e.world.Events()
	}
	if err := e.do(&in); err != nil {
		return nil, err
	}
	e.future = nil
	e.run.Inputs = append(e.run.Inputs, in)
	return &in, nil
}
