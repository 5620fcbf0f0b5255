package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/balsa-raft/balsa/internal/freeport"
)

// server is a system that runs as processes and is asked over gRPC, with etcd's API.
type server struct {
	name string
	// program builds the program into a directory; without it, this program itself is run.
	program func(ctx context.Context, dir string) (string, error)
	// args are those of one member, with everything else at its default.
	args func(m member, initial string) []string
	// binary, if set, is the program that was named on the command line.
	binary string
}

// member is one server process.
type member struct {
	name, dir, client, peer string // the addresses are host:port
}

// servers are all that can be measured. The last one does nothing: it answers every request at once with the answer that it would get.
var servers = []server{
	{
		name: "balsa",
		program: func(ctx context.Context, dir string) (string, error) {
			// As the README says: without the tag, grpc-go brings pages of its own with templates, and the linker keeps every method that such a page might call.
			return build(ctx, "..", filepath.Join(dir, "balsa"), "./cmd/balsa", "-tags", "grpcnotrace")
		},
		args: func(m member, initial string) []string { return append([]string{"serve"}, etcdFlags(m, initial)...) },
	},
	{
		name: "etcd",
		program: func(ctx context.Context, dir string) (string, error) {
			return build(ctx, "etcd", filepath.Join(dir, "etcd"), "tool")
		},
		args: func(m member, initial string) []string {
			return append([]string{"--log-level", "error"}, etcdFlags(m, initial)...)
		},
	},
	{
		name: "nothing",
		args: func(m member, _ string) []string { return []string{"nothing", m.client} },
	},
}

func etcdFlags(m member, initial string) []string {
	return []string{
		"--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", "http://" + m.client, "--advertise-client-urls", "http://" + m.client,
		"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
		"--initial-cluster", initial, "--initial-cluster-state", "new",
	}
}

func findServer(name string) (server, error) {
	if i := slices.IndexFunc(servers, func(s server) bool { return s.name == name }); i >= 0 {
		return servers[i], nil
	}
	return server{}, fmt.Errorf("there is no server %q", name)
}

func build(ctx context.Context, module, program, what string, flags ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-C", module, "-o", program}, flags, []string{what})...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return program, nil
}

// programVariable names the environment variable that tells a measurement's process where a server's program is.
func programVariable(name string) string { return "BALSA_BENCH_PROGRAM_" + strings.ToUpper(name) }

// buildServers builds the programs of all servers that take part.
func (r *run) buildServers(ctx context.Context, cells []cell) error {
	for _, s := range servers {
		takesPart := slices.ContainsFunc(cells, func(c cell) bool { return c.spec.Level == levelServer && slices.Contains(c.systems, s.name) })
		if !takesPart || s.program == nil || r.plan.programOf(s.name) != "" {
			continue
		}
		fmt.Fprintf(r.progress, "building %s\n", s.name)
		dir, err := filepath.Abs(filepath.Join(r.dir, "programs"))
		if err != nil {
			return err
		}
		program, err := s.program(ctx, dir)
		if err != nil {
			return err
		}
		r.environment = append(r.environment, programVariable(s.name)+"="+program)
	}
	return nil
}

// fleet is a cluster of server processes.
type fleet struct {
	members   []member
	processes []*exec.Cmd
	output    tailBuffer
	conns     []*grpc.ClientConn // one to each member, to look after them
}

// startFleet starts so many new members and waits until each of them answers a linearizable read.
func startFleet(s server, dir string, n int) (*fleet, error) {
	members, err := newMembers(dir, n)
	if err != nil {
		return nil, err
	}
	return startMembers(s, members)
}

// newMembers makes up members with directories and free addresses of their own.
func newMembers(dir string, n int) ([]member, error) {
	addresses, err := freeport.Addresses(2 * n)
	if err != nil {
		return nil, err
	}
	var members []member
	for i := range n {
		m := member{name: fmt.Sprintf("m%d", i+1), client: addresses[2*i], peer: addresses[2*i+1]}
		m.dir = filepath.Join(dir, m.name)
		members = append(members, m)
	}
	return members, nil
}

// startMembers starts members, new ones or some that had been started before, and waits until each of them answers a linearizable read.
func startMembers(s server, members []member) (_ *fleet, err error) {
	program := s.binary
	if program == "" {
		program = os.Getenv(programVariable(s.name))
	}
	if s.program == nil {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	if program == "" {
		return nil, fmt.Errorf("%s has not been built", s.name)
	}
	f := &fleet{members: members}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the servers said: %s", errors.Join(err, f.stop()), &f.output)
		}
	}()
	var initial []string
	for _, m := range f.members {
		initial = append(initial, m.name+"=http://"+m.peer)
	}
	for _, m := range f.members {
		cmd := exec.Command(program, s.args(m, strings.Join(initial, ","))...)
		cmd.Stdout, cmd.Stderr = &f.output, &f.output
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		f.processes = append(f.processes, cmd)
	}
	for _, m := range f.members {
		conn, err := dialMember(m.client)
		if err != nil {
			return nil, err
		}
		f.conns = append(f.conns, conn)
	}
	return f, f.awaitServing()
}

func dialMember(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
}

func (f *fleet) awaitServing() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// A connection that is refused is tried again after a second, which is longer than most starts take.
	for _, m := range f.members {
		for {
			conn, err := net.DialTimeout("tcp", m.client, time.Second)
			if err == nil {
				conn.Close()
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("a server does not serve: %w", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	for _, conn := range f.conns {
		for {
			once, cancel := context.WithTimeout(ctx, time.Second)
			_, err := pb.NewKVClient(conn).Range(once, &pb.RangeRequest{Key: []byte("ready")}, grpc.WaitForReady(true))
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("a server does not serve: %w", err)
			}
		}
	}
	return nil
}

// leader returns the number of the member that leads.
func (f *fleet) leader() (int, error) {
	for i, conn := range f.conns {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
		cancel()
		if err != nil {
			return 0, err
		}
		if status.Leader == status.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("no member leads")
}

// term is the highest one that a member knows.
func (f *fleet) term() (highest uint64, err error) {
	for _, conn := range f.conns {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
		cancel()
		if err != nil {
			return 0, fmt.Errorf("ask for the term: %w", err)
		}
		highest = max(highest, status.RaftTerm)
	}
	return highest, nil
}

func (f *fleet) pids() []int {
	var pids []int
	for _, cmd := range f.processes {
		pids = append(pids, cmd.Process.Pid)
	}
	return pids
}

func (f *fleet) stop() error {
	var errs []error
	for _, conn := range f.conns {
		errs = append(errs, conn.Close())
	}
	for _, cmd := range f.processes {
		errs = append(errs, cmd.Process.Kill())
	}
	for _, cmd := range f.processes {
		_ = cmd.Wait() // it was killed
	}
	return errors.Join(errs...)
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	b.text = b.text[max(0, len(b.text)-1000):]
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
