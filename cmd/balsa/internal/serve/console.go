package serve

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/etcdapi"
	"github.com/balsa-raft/balsa/lab/console"
	"github.com/balsa-raft/balsa/raft"
)

// defaultConsole is where a console is that is asked for without saying where: reached from this machine alone.
const defaultConsole = "127.0.0.1:2378"

// consoleFlags are the flags of the console. Those that are hidden are for who runs a demonstration.
type consoleFlags struct {
	Console       string
	ConsoleReport bool     // answer other members' consoles
	ConsoleCuts   bool     // take orders to cut links
	ConsoleCut    []string // links that are cut from the beginning
}

func (c *consoleFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.Console, "console", "", "serve a page that shows the cluster live, at HOST:PORT; it shows and changes nothing, and members without this flag tell it little. Without a value: "+defaultConsole)
	flags.Lookup("console").NoOptDefVal = defaultConsole
	flags.BoolVar(&c.ConsoleReport, "console-report", false, "tell consoles of this member's events")
	flags.BoolVar(&c.ConsoleCuts, "console-cuts", false, "let a demonstration cut links")
	flags.StringSliceVar(&c.ConsoleCut, "console-cut", nil, "a link that is cut from the beginning")
	for _, name := range []string{"console-report", "console-cuts", "console-cut"} {
		if err := flags.MarkHidden(name); err != nil {
			panic(err)
		}
	}
}

func (c *consoleFlags) check() error {
	if c.Console == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Console); err != nil {
		return cli.Usagef("--console=%s is malformed: it has to be HOST:PORT, such as %s", c.Console, defaultConsole)
	}
	return nil
}

// watched tells whether this member's events are recorded.
func (c *consoleFlags) watched() bool { return c.Console != "" || c.ConsoleReport }

// observer is what the host tells of its events: the metrics, and a recorder if somebody may want to watch.
func (m *member) observer() func(balsa.GroupID, balsa.MemberID, []raft.Event) {
	if !m.watched() {
		return m.requests.Observe
	}
	m.recorder = console.NewRecorder(keyValueGroup)
	return func(group balsa.GroupID, member balsa.MemberID, events []raft.Event) {
		m.requests.Observe(group, member, events)
		m.recorder.Observe(group, member, events)
	}
}

// consoleHandlers are what the client port answers to consoles.
func (m *member) consoleHandlers() map[string]http.Handler {
	more := map[string]http.Handler{}
	if m.watched() {
		more[console.Path] = &console.Member{Name: m.Name, Group: m.group, Recorder: m.recorder}
	}
	if m.cutter != nil {
		more[console.CutPath] = m.cutter
	}
	return more
}

// startConsole serves the page.
func (m *member) startConsole() {
	if m.sockets.console == nil {
		return
	}
	l := m.sockets.console
	m.sockets.console = nil
	ctx, cancel := context.WithCancel(context.Background())
	m.console = &http.Server{
		Handler: console.New(console.Options{Targets: m.targets, Logger: m.logger}), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	m.endConsole = cancel
	m.logger.Info("serving the console", "url", "http://"+l.Addr().String()+"/")
	go func() {
		if err := m.console.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.logger.Error("serving the console ended", "address", l.Addr().String(), "error", err)
		}
	}()
}

// targets are the members to show, as the configuration in force has them.
func (m *member) targets() []console.Target {
	status, err := m.group.Status()
	if err != nil {
		return nil
	}
	var list []console.Target
	for i := range status.Configuration.Members {
		other := &status.Configuration.Members[i]
		t := console.Target{ID: uint64(other.ID), Name: hexID(other.ID)}
		if info, err := etcdapi.DecodeMeta(other.Meta); err == nil {
			t.Name = cmp.Or(info.Name, t.Name)
			if len(info.ClientURLs) > 0 {
				t.URL = info.ClientURLs[0]
			}
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b console.Target) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
