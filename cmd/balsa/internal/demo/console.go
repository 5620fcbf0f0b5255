package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/balsa-raft/balsa/lab"
	"github.com/balsa-raft/balsa/lab/console"
)

// consolePortOffset is how far the page is from the first client port.
const consolePortOffset = 200

// orders are what the page may ask of the demo: they run in its loop, which owns the processes.
type orders struct {
	layout *layout
	loop   chan func(d *demo)
	done   <-chan struct{}

	mu     sync.Mutex
	paused map[int]bool
	cuts   map[[2]int]bool
}

func newOrders(l *layout, done <-chan struct{}) *orders {
	return &orders{layout: l, loop: make(chan func(d *demo)), done: done, paused: map[int]bool{}, cuts: map[[2]int]bool{}}
}

var _ console.Controls = (*orders)(nil)

// openConsole serves the page; it returns where, and how to end it.
func openConsole(ctx context.Context, l *layout, port int, o *orders) (address string, stop func(), err error) {
	asked := port
	if port == 0 {
		port = l.ClientPort + consolePortOffset
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil && asked == 0 {
		listener, err = net.Listen("tcp", "127.0.0.1:0") // Nobody asked for that very port.
	}
	if err != nil {
		return "", nil, l.explainPort(fmt.Sprintf("127.0.0.1:%d", port), err)
	}
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler:           console.New(console.Options{Targets: l.targets, Controls: o}),
		ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() { _ = server.Serve(listener) }() // Ends when it is closed.
	return "http://" + listener.Addr().String() + "/", func() { cancel(); _ = server.Close() }, nil
}

// targets are the members, for the console.
func (l *layout) targets() []console.Target {
	list := make([]console.Target, l.Members)
	for i := range list {
		list[i] = console.Target{Name: l.name(i), URL: "http://" + l.client(i)}
	}
	return list
}

// Names implements console.Controls.
func (o *orders) Names() []string {
	return []string{lab.InputCrash, lab.InputStop, lab.InputRestart, lab.InputPause, lab.InputResume, lab.InputCut, lab.InputMend, lab.InputPartition, lab.InputHeal, lab.InputClient}
}

// Process implements console.Controls.
func (o *orders) Process(name string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.layout.Members {
		if o.layout.name(i) == name && o.paused[i] {
			return "paused"
		}
	}
	return ""
}

// Cuts implements console.Controls.
func (o *orders) Cuts() [][2]string {
	var list [][2]string
	for _, cut := range o.sortedCuts() {
		list = append(list, [2]string{o.layout.name(cut[0]), o.layout.name(cut[1])})
	}
	return list
}

func (o *orders) sortedCuts() [][2]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list [][2]int
	for cut := range o.cuts {
		list = append(list, cut)
	}
	slices.SortFunc(list, func(a, b [2]int) int { return (a[0]-b[0])*maxMembers + a[1] - b[1] })
	return list
}

// cutArguments are what a member is started with so that its cut links stay cut.
func (o *orders) cutArguments(member int) []string {
	var list []string
	for _, cut := range o.sortedCuts() {
		if cut[0] == member {
			list = append(list, "--console-cut="+o.layout.peer(cut[1]))
		}
	}
	return list
}

// Do implements console.Controls.
func (o *orders) Do(ctx context.Context, in lab.Input) (*lab.Operation, error) {
	member := func(number uint64) (int, error) {
		if number < 1 || number > uint64(o.layout.Members) {
			return 0, fmt.Errorf("there is no member %d", number)
		}
		return int(number - 1), nil
	}
	switch in.Do {
	case lab.InputCrash, lab.InputStop, lab.InputRestart, lab.InputPause, lab.InputResume:
		i, err := member(in.Member)
		if err != nil {
			return nil, err
		}
		return nil, o.order(ctx, func(d *demo) error { return d.obey(in.Do, i) })
	case lab.InputCut, lab.InputMend:
		from, err := member(in.From)
		if err != nil {
			return nil, err
		}
		to, err := member(in.To)
		if err != nil {
			return nil, err
		}
		return nil, o.set(ctx, [][2]int{{from, to}}, in.Do == lab.InputCut)
	case lab.InputHeal:
		return nil, o.set(ctx, o.sortedCuts(), false)
	case lab.InputPartition:
		return nil, o.partition(ctx, in.Groups)
	case lab.InputClient:
		return o.client(ctx, in.Op)
	}
	return nil, fmt.Errorf("%q: not a thing that can be done to a cluster that runs", in.Do)
}

// order has the loop do something.
func (o *orders) order(ctx context.Context, do func(d *demo) error) error {
	result := make(chan error, 1)
	select {
	case o.loop <- func(d *demo) { result <- do(d) }:
	case <-o.done:
		return errors.New("the demo ends")
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-result
}

// obey does something to a process, in the loop.
func (d *demo) obey(do string, i int) error {
	p, name := d.running[i], d.layout.name(i)
	if do == lab.InputRestart && p == nil {
		return d.start(i)
	}
	if p == nil {
		return fmt.Errorf("%s does not run", name)
	}
	signal := map[string]syscall.Signal{lab.InputCrash: syscall.SIGKILL, lab.InputRestart: syscall.SIGKILL, lab.InputStop: syscall.SIGTERM, lab.InputPause: stopSignal, lab.InputResume: continueSignal}[do]
	if signal == 0 {
		return errors.New("this operating system cannot pause a process")
	}
	if err := p.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	switch do {
	case lab.InputPause:
		d.orders.setPaused(i, true)
		d.state.tell(time.Now(), "%s is paused, by the page", name)
	case lab.InputResume:
		d.orders.setPaused(i, false)
		d.state.tell(time.Now(), "%s goes on, by the page", name)
	case lab.InputStop:
		// One that stands still does not hear that it is to stop.
		_ = p.cmd.Process.Signal(continueSignal) // It may be gone.
		d.orders.setPaused(i, false)
		d.keptDown[i] = true
	case lab.InputRestart:
		d.startNow[i] = true
	}
	return nil
}

func (o *orders) setPaused(i int, paused bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if paused {
		o.paused[i] = true
	} else {
		delete(o.paused, i)
	}
}

// partition cuts all links but those within a group.
func (o *orders) partition(ctx context.Context, groups [][]uint64) error {
	part := map[int]int{}
	for k, group := range groups {
		for _, number := range group {
			if number < 1 || number > uint64(o.layout.Members) {
				return fmt.Errorf("there is no member %d", number)
			}
			if part[int(number-1)] != 0 {
				return fmt.Errorf("member %d is in two parts", number)
			}
			part[int(number-1)] = k + 1
		}
	}
	var cut, mend [][2]int
	for from := range o.layout.Members {
		for to := range o.layout.Members {
			switch {
			case from == to:
			case part[from] == 0 || part[from] != part[to]:
				cut = append(cut, [2]int{from, to})
			default:
				mend = append(mend, [2]int{from, to})
			}
		}
	}
	return errors.Join(o.set(ctx, mend, false), o.set(ctx, cut, true))
}

// set cuts links, or mends them. A member that does not run learns of it when it is started.
func (o *orders) set(ctx context.Context, links [][2]int, cut bool) error {
	var errs []error
	for _, link := range links {
		if link[0] == link[1] {
			errs = append(errs, errors.New("a member has no link to itself"))
			continue
		}
		o.mu.Lock()
		if cut {
			o.cuts[link] = true
		} else {
			delete(o.cuts, link)
		}
		o.mu.Unlock()
		if err := o.tell(ctx, link, cut); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			errs = append(errs, fmt.Errorf("%s has not heard that its link to %s is to change: %w", o.layout.name(link[0]), o.layout.name(link[1]), err))
		}
	}
	return errors.Join(errs...)
}

// tell gives a member the order to cut or mend.
func (o *orders) tell(ctx context.Context, link [2]int, cut bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	query := url.Values{"to": {o.layout.peer(link[1])}}
	if !cut {
		query.Set("mend", "true")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+o.layout.client(link[0])+console.CutPath+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	r.Header.Set(console.Header, "demo")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // The status says enough.
		return fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// client does what the page's form says, as any client would.
func (o *orders) client(ctx context.Context, op *lab.Op) (*lab.Operation, error) {
	if op == nil || op.Key == "" {
		return nil, errors.New("the client needs a key")
	}
	member := int(op.Member)
	if member > o.layout.Members {
		return nil, fmt.Errorf("there is no member %d", member)
	}
	endpoints := strings.Split(o.layout.endpoints(), ",")
	if member > 0 {
		endpoints = endpoints[member-1 : member]
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	patience := 5 * time.Second
	if op.Patience > 0 {
		patience = min(time.Duration(op.Patience), time.Minute)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result := &lab.Operation{Op: *op, Attempts: 1, Outcome: "ok"}
	switch op.Kind {
	case lab.OpSet:
		var answer *clientv3.PutResponse
		if answer, err = c.Put(ctx, op.Key, op.Value); err == nil {
			result.Wrote, result.Index = true, uint64(answer.Header.Revision)
		}
	case lab.OpDelete:
		var answer *clientv3.DeleteResponse
		if answer, err = c.Delete(ctx, op.Key, clientv3.WithPrevKV()); err == nil {
			result.Wrote, result.Index = answer.Deleted > 0, uint64(answer.Header.Revision)
			if len(answer.PrevKvs) > 0 {
				result.Found, result.Result = true, string(answer.PrevKvs[0].Value)
			}
		}
	case lab.OpRead:
		var options []clientv3.OpOption
		if op.Read == lab.ReadSerializable {
			options = append(options, clientv3.WithSerializable())
		}
		var answer *clientv3.GetResponse
		if answer, err = c.Get(ctx, op.Key, options...); err == nil {
			result.Index = uint64(answer.Header.Revision)
			if len(answer.Kvs) > 0 {
				result.Found, result.Result = true, string(answer.Kvs[0].Value)
			}
		}
	default:
		return nil, fmt.Errorf("%q: here a client can set, delete and read", op.Kind)
	}
	if err != nil {
		result.Error, result.Outcome = err.Error(), "unknown"
		if op.Kind == lab.OpRead {
			result.Outcome = "refused"
		}
	}
	return result, nil
}
