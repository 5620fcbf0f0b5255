package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// process is one run of one member.
type process struct {
	member int
	cmd    *exec.Cmd
	pipe   io.WriteCloser // the member's standard input: it stops when that ends
	exited chan struct{}  // closed once it is gone
}

// spawner starts processes. All of them are started by one operating system thread that lives as long as the spawner does, since
// Linux ties "end when the parent does" to the thread that was the parent.
type spawner struct {
	executable string
	layout     *layout
	requests   chan func()
	exits      chan exit
	all        sync.WaitGroup
	// extra are arguments of a member beyond the layout's, at its next start; nil for none.
	extra func(member int) []string
}

// exit says that a process is gone.
type exit struct {
	process *process
	at      time.Time
	reason  string
}

func newSpawner(executable string, l *layout) *spawner {
	s := &spawner{executable: executable, layout: l, requests: make(chan func()), exits: make(chan exit, maxMembers)}
	go func() {
		runtime.LockOSThread()
		for request := range s.requests {
			request()
		}
	}()
	return s
}

// start starts a member. Its log goes to a file; its end is sent to exits.
func (s *spawner) start(member int) (*process, error) {
	p := &process{member: member, exited: make(chan struct{})}
	log, err := os.OpenFile(s.layout.logFile(member), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	arguments := s.layout.arguments(member)
	if s.extra != nil {
		arguments = append(arguments, s.extra(member)...)
	}
	p.cmd = exec.Command(s.executable, arguments...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = cli.WithoutFlags(os.Environ())
	p.cmd.SysProcAttr = processAttributes()
	if p.pipe, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error)
	s.requests <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.layout.name(member), err)
	}
	s.all.Go(func() {
		err := p.cmd.Wait()
		close(p.exited)
		s.exits <- exit{process: p, at: time.Now(), reason: describeExit(err)}
	})
	return p, nil
}

func describeExit(err error) string {
	var ended *exec.ExitError
	switch {
	case err == nil:
		return "stopped"
	case errors.As(err, &ended):
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			if status.Signal() == syscall.SIGKILL {
				return "was killed"
			}
			return "was ended by the signal " + status.Signal().String()
		}
		return fmt.Sprintf("stopped with exit code %d", ended.ExitCode())
	}
	return err.Error()
}

// stopAll asks all processes to stop, kills those that do not within the patience or once hurry is closed, and returns when all are gone.
func (s *spawner) stopAll(processes []*process, patience time.Duration, hurry <-chan struct{}) {
	for _, p := range processes {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
		if continueSignal != 0 {
			_ = p.cmd.Process.Signal(continueSignal) // one that is paused would not hear it
		}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, p := range processes {
		select {
		case <-p.exited:
			continue
		case <-timer.C:
		case <-hurry:
		}
		for _, p := range processes {
			_ = p.cmd.Process.Kill()
		}
		break
	}
	for _, p := range processes {
		<-p.exited
	}
	s.all.Wait()
	close(s.requests)
}

// lastError is the last line of a member's log that is not one of its log lines: what it said when it could not start.
func (s *spawner) lastError(member int) string {
	data, err := os.ReadFile(s.layout.logFile(member))
	if err != nil {
		return ""
	}
	data = data[max(0, len(data)-4096):]
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "balsa: ") {
			return strings.Join(lines[i:], "\n")
		}
	}
	return lines[len(lines)-1]
}
