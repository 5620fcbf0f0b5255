package demo

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// options are the flags.
type options struct {
	dir          string
	port         int
	members      int
	restartAfter time.Duration
	noRestart    bool
	noConsole    bool
	consolePort  int
}

// redrawInterval is how often the screen follows what goes on.
const redrawInterval = 200 * time.Millisecond

// stopPatience is how long members get to stop by themselves.
const stopPatience = 10 * time.Second

// demo is the loop's state.
type demo struct {
	options
	layout  *layout
	state   *state
	display display
	spawner *spawner
	polls   chan poll
	pace    atomic.Int64 // a time.Duration
	running map[int]*process
	// failures counts, for each member, how often in a row it ended without ever having answered.
	failures map[int]int
	// orders are those of the page. startNow are members that are to be started as soon as they are gone, keptDown those that stay down until somebody starts them.
	orders             *orders
	startNow, keptDown map[int]bool
}

// run runs a demo until ctx ends, or until it cannot go on. hurry is closed when whoever watches is tired of waiting for a clean end.
func run(ctx context.Context, o options, in *os.File, out *os.File, hurry <-chan struct{}) (err error) {
	dir, temporary, err := o.directory()
	if err != nil {
		return err
	}
	if temporary {
		defer func() {
			if e := os.RemoveAll(dir); err == nil {
				err = e
			}
		}()
	}
	l, err := openLayout(dir, o.port, o.members)
	if err != nil {
		return err
	}
	if err := l.checkPorts(); err != nil {
		return err
	}
	if err := l.save(); err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	d := &demo{
		options: o, layout: l, state: newState(l, time.Now()), spawner: newSpawner(executable, l),
		polls: make(chan poll), running: map[int]*process{}, failures: map[int]int{}, startNow: map[int]bool{}, keptDown: map[int]bool{},
	}
	d.orders = newOrders(l, ctx.Done())
	d.spawner.extra = d.orders.cutArguments
	v := &view{layout: l, balsa: pastable(executable, dir), restarts: !o.noRestart, temporary: temporary}
	if !o.noConsole {
		page, stop, err := openConsole(ctx, l, o.consolePort, d.orders)
		if err != nil {
			return err
		}
		defer stop()
		v.page = page
	}
	d.display = newDisplay(out, v)
	err = d.loop(ctx, lines(ctx, in))
	d.display.close()
	fmt.Fprintln(out, "Stopping the members.")
	d.stop(hurry)
	if err == nil {
		fmt.Fprintln(out, farewell(dir, temporary))
	}
	return err
}

// directory is where the data goes; temporary says that it is nobody's wish to keep it.
func (o *options) directory() (dir string, temporary bool, err error) {
	if o.dir == "" {
		dir, err = os.MkdirTemp("", "balsa-demo-")
		return dir, true, err
	}
	if dir, err = filepath.Abs(o.dir); err != nil {
		return "", false, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, cli.Advise(fmt.Errorf("making the directory: %w", err), "Choose another one with --dir.")
	}
	return dir, false, nil
}

func farewell(dir string, temporary bool) string {
	if temporary {
		return "All stopped, the data is removed. `balsa demo --dir DIR` keeps it."
	}
	return "All stopped. `balsa demo --dir " + shellQuote(dir) + "` goes on from here."
}

// pastable is how to call this binary from anywhere. What `go run` builds has a path that nobody wants to read, and gets a link in the
// demo's directory.
func pastable(executable, dir string) string {
	if !isTemporaryBuild(executable, os.TempDir()) {
		return shellQuote(executable)
	}
	link := filepath.Join(dir, "balsa")
	_ = os.Remove(link) // a demo that goes on has an old one
	if err := os.Symlink(executable, link); err != nil {
		return shellQuote(executable)
	}
	return shellQuote(link)
}

func newDisplay(out *os.File, v *view) display {
	fd := int(out.Fd())
	if !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" {
		return &lineLog{w: out, view: v}
	}
	v.style = style(os.Getenv("NO_COLOR") == "")
	return newTerminal(out, v, func() (int, int) {
		width, height, err := term.GetSize(fd)
		if err != nil || width < 1 || height < 1 {
			return 80, 24
		}
		return width, height
	})
}

// lines tells of every line that is typed, if there is somebody to type.
func lines(ctx context.Context, in *os.File) <-chan struct{} {
	typed := make(chan struct{})
	if !term.IsTerminal(int(in.Fd())) {
		return typed
	}
	go func() {
		r := bufio.NewReader(in)
		for {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			select {
			case typed <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return typed
}

// loop starts the members and then follows what happens, until ctx ends.
func (d *demo) loop(ctx context.Context, typed <-chan struct{}) error {
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range d.layout.Members {
		if err := d.start(i); err != nil {
			return err
		}
		p, err := newPoller(i, d.layout.client(i), d.polls)
		if err != nil {
			return err
		}
		go p.run(polling, func() time.Duration { return time.Duration(d.pace.Load()) })
	}
	ticker := time.NewTicker(redrawInterval)
	defer ticker.Stop()
	for {
		d.pace.Store(int64(d.state.pace()))
		d.display.show(d.state, time.Now())
		select {
		case p := <-d.polls:
			d.state.polled(p)
			if p.err == nil {
				d.failures[p.member] = 0
			}
		case e := <-d.spawner.exits:
			if err := d.ended(e); err != nil {
				return err
			}
		case order := <-d.orders.loop:
			order(d)
		case <-typed:
			d.display.refresh()
			d.restart(func(*memberState) bool { return true })
		case now := <-ticker.C:
			d.restart(func(m *memberState) bool { return !m.restartAt.IsZero() && !now.Before(m.restartAt) })
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *demo) start(i int) error {
	p, err := d.spawner.start(i)
	if err != nil {
		return err
	}
	d.running[i] = p
	delete(d.keptDown, i)
	delete(d.startNow, i)
	d.orders.setPaused(i, false)
	d.state.started(i, p.cmd.Process.Pid, time.Now())
	return nil
}

// restart starts those of the members that are down for which which says so.
func (d *demo) restart(which func(m *memberState) bool) {
	for i := range d.state.members {
		m := &d.state.members[i]
		if m.running || !which(m) {
			continue
		}
		if err := d.start(i); err != nil {
			d.state.tell(time.Now(), "%v", err)
			m.restartAt = time.Now().Add(d.restartAfter)
		}
	}
}

// ended takes in that a process is gone. A member that could not even start ends the demo: it would not start the next time either.
func (d *demo) ended(e exit) error {
	i := e.process.member
	m := &d.state.members[i]
	delete(d.running, i)
	if m.status == nil && e.reason != "was killed" {
		if d.failures[i]++; d.failures[i] > 1 || d.state.term == 0 {
			return fmt.Errorf("%s could not start: it %s\n%s", m.name, e.reason, d.spawner.lastError(i))
		}
	}
	var restartAt time.Time
	switch {
	case d.startNow[i]:
		restartAt = e.at
	case !d.noRestart && !d.keptDown[i]:
		restartAt = e.at.Add(d.restartAfter)
	}
	d.state.ended(i, e.reason, e.at, restartAt)
	return nil
}

// stop ends all processes.
func (d *demo) stop(hurry <-chan struct{}) {
	var processes []*process
	for _, p := range d.running {
		processes = append(processes, p)
	}
	d.spawner.stopAll(processes, stopPatience, hurry)
}
