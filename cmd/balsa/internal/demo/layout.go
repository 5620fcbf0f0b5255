// Package demo is `balsa demo`: a whole cluster on one machine, to be watched and to be broken.
//
// It runs each member as a process of its own, the very `balsa serve` that one would run on three machines, and shows what they answer to the same
// API that clients use; it has no other way into them. The processes end when it does, however it ends.
//
// One goroutine, the loop in demo.go, owns all state. Processes, polls and the keyboard are goroutines that only send it events.
package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// layout is where everything of a demo is: it is kept in the directory, since members that were founded under some addresses stay
// reachable under these.
type layout struct {
	Members int `json:"members"`
	// PeerPort is the first member's; the others follow. It stays as it was at the first start.
	PeerPort int `json:"peer_port"`
	// ClientPort is the first member's of the last start.
	ClientPort int `json:"client_port"`

	dir string
}

const (
	layoutFile = "demo.json"
	// peerPortOffset is how far the peer ports are from the client ports.
	peerPortOffset = 100
	maxMembers     = 9
)

// openLayout reads the layout of a directory that had a demo already, or makes a new one. port and members are what was asked for; 0 is
// whatever it was, or the default.
func openLayout(dir string, port, members int) (*layout, error) {
	l := &layout{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, layoutFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := checkUnused(dir); err != nil {
			return nil, err
		}
		l.Members, l.ClientPort = 3, 2379
		if members != 0 {
			l.Members = members
		}
		if port != 0 {
			l.ClientPort = port
		}
		l.PeerPort = l.ClientPort + peerPortOffset
		return l, l.check()
	case err != nil:
		return nil, fmt.Errorf("reading the demo in %s: %w", dir, err)
	}
	if err := json.Unmarshal(data, l); err != nil {
		return nil, cli.Advise(fmt.Errorf("%s is damaged: %w", filepath.Join(dir, layoutFile), err), "Choose another --dir, or remove this one.")
	}
	if members != 0 && members != l.Members {
		return nil, cli.Advise(fmt.Errorf("the demo in %s has %d members, not %d", dir, l.Members, members),
			"Leave out --members, or choose another --dir.")
	}
	if port != 0 {
		l.ClientPort = port
	}
	return l, l.check()
}

// checkUnused refuses a directory that holds something else.
func checkUnused(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return cli.Advise(fmt.Errorf("%s holds something that is no demo of ours, such as %s", dir, entries[0].Name()),
			"Choose an empty directory with --dir, or one that does not exist yet.")
	}
	return nil
}

func (l *layout) check() error {
	switch {
	case l.Members < 1 || l.Members > maxMembers:
		return cli.Usagef("--members=%d: choose from 1 to %d", l.Members, maxMembers)
	case l.ClientPort < 1 || max(l.ClientPort, l.PeerPort)+l.Members > 65536:
		return cli.Usagef("--port=%d: the ports of %d members, and those %d above for their own talk, have to be from 1 to 65535",
			l.ClientPort, l.Members, peerPortOffset)
	case l.ClientPort < l.PeerPort+l.Members && l.PeerPort < l.ClientPort+l.Members:
		return cli.Usagef("--port=%d: the members in %s talk to each other on ports %d to %d: choose another one",
			l.ClientPort, l.dir, l.PeerPort, l.PeerPort+l.Members-1)
	}
	return nil
}

// save keeps the layout for the next time.
func (l *layout) save() error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, layoutFile), append(data, '\n'), 0o644)
}

func (l *layout) name(i int) string    { return fmt.Sprintf("m%d", i+1) }
func (l *layout) logFile(i int) string { return filepath.Join(l.dir, l.name(i)+".log") }
func (l *layout) client(i int) string  { return fmt.Sprintf("127.0.0.1:%d", l.ClientPort+i) }
func (l *layout) peer(i int) string    { return fmt.Sprintf("127.0.0.1:%d", l.PeerPort+i) }
func (l *layout) endpoints() string    { return strings.Join(each(l.Members, l.client), ",") }

// arguments are those of the i-th member's process.
func (l *layout) arguments(i int) []string {
	return []string{
		"serve",
		"--name", l.name(i),
		"--data-dir", filepath.Join(l.dir, l.name(i)),
		"--listen-client-urls", "http://" + l.client(i),
		"--listen-peer-urls", "http://" + l.peer(i),
		"--initial-cluster", strings.Join(each(l.Members, func(i int) string { return l.name(i) + "=http://" + l.peer(i) }), ","),
		"--initial-cluster-token", "balsa-demo",
		"--log-format", "text",
		"--stop-when-stdin-ends",
		"--console-report", "--console-cuts",
	}
}

// checkPorts finds out whether all ports are free before anything is started: first those that stay as they are.
func (l *layout) checkPorts() error {
	for _, address := range append(each(l.Members, l.peer), each(l.Members, l.client)...) {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return l.explainPort(address, err)
		}
		listener.Close()
	}
	return nil
}

func (l *layout) explainPort(address string, err error) error {
	_, port, _ := net.SplitHostPort(address)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	err = fmt.Errorf("port %s is taken by another process", port)
	if _, missing := os.Stat(filepath.Join(l.dir, layoutFile)); missing == nil && slices.Contains(each(l.Members, l.peer), address) {
		return cli.Advise(err, fmt.Sprintf("The members in %s talk to each other on ports %d to %d. Stop what uses these: another demo in the same directory?",
			l.dir, l.PeerPort, l.PeerPort+l.Members-1))
	}
	return cli.Advise(err, fmt.Sprintf("Stop that one (another demo, or etcd?), or use other ports: --port=%d", l.ClientPort+10_000))
}

func each(n int, text func(i int) string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = text(i)
	}
	return all
}
