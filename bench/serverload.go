package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/bench/load"
)

const (
	// valueSize is that of values at the server level.
	valueSize = 256
	// mostConnections carry all clients.
	mostConnections = 100
	// manyKeys are what the large range reads.
	manyKeys = 100_000
)

// serverLoad is what clients ask of servers.
type serverLoad struct {
	name, what string
	// toLeader sends everything to the leader; otherwise clients are spread over all members.
	toLeader bool
	members  int
	// clients, if set, is how many there are whatever the flags say.
	clients []int
	// nothing says that a server which does nothing can be asked that.
	nothing bool
	// prepare fills the store. next is what a client asks after so many requests.
	prepare func(ctx context.Context, kv pb.KVClient) error
	next    func(asked uint64) question
}

// serverLoads are all of them, in the order of the report.
var serverLoads = []serverLoad{
	{name: "put", what: "each client puts its key, over all members; one alone at a member that does not lead", members: 3, nothing: true, next: always(questionPut)},
	{name: "put to the leader", what: "the same, all to the leader", members: 3, toLeader: true, nothing: true, next: always(questionPut)},
	{name: "linearizable range", what: "each client reads a key, which has to be fresh", members: 3, nothing: true, prepare: fillOne, next: always(questionFresh)},
	{name: "serializable range", what: "each client reads a key, which may be stale", members: 3, nothing: true, prepare: fillOne, next: always(questionStale)},
	{name: "transaction", what: "each client compares and puts its key in a transaction", members: 3, nothing: true, next: always(questionTxn)},
	{name: "mixed", what: "nine fresh reads to one put", members: 3, nothing: true, prepare: fillOne, next: mix},
	{name: "range over 100,000 keys", what: "a client reads all of 100,000 keys", members: 3, clients: []int{1}, prepare: fillMany, next: always(questionAll)},
	{name: "put to one member", what: "each client puts its key, in a cluster of one", members: 1, nothing: true, next: always(questionPut)},
}

func serverLoadTitle(name string) string { return name }

func findServerLoad(name string) (serverLoad, error) {
	if i := slices.IndexFunc(serverLoads, func(l serverLoad) bool { return l.name == name }); i >= 0 {
		return serverLoads[i], nil
	}
	return serverLoad{}, fmt.Errorf("there is no load %q", name)
}

// serverCells lists what servers are compared in.
func (p *plan) serverCells() []cell {
	if !p.wants(p.levels, levelServer) {
		return nil
	}
	var all []cell
	for _, l := range serverLoads {
		if !p.wants(p.loads, l.name) {
			continue
		}
		clients := p.clients
		if l.clients != nil {
			clients = l.clients
		}
		var systems []string
		for _, s := range servers {
			if !p.wants(p.systems, s.name) || s.program == nil && !l.nothing {
				continue
			}
			if s.name == "balsa" && len(p.balsas) > 0 {
				systems = append(systems, p.balsaNames()...)
				continue
			}
			systems = append(systems, s.name)
		}
		for _, n := range clients {
			for _, kind := range p.clientKinds {
				all = append(all, cell{Spec{
					Level: levelServer, Load: l.name, Workers: n, Size: valueSize, Members: l.members, Client: kind, Rate: p.rate, Warmup: p.warmup, Measure: p.measure,
				}, systems})
			}
		}
	}
	return all
}

func always(q question) func(uint64) question { return func(uint64) question { return q } }

// mix is nine fresh reads to one put.
func mix(asked uint64) question {
	if asked%10 == 9 {
		return questionPut
	}
	return questionFresh
}

func fillOne(ctx context.Context, kv pb.KVClient) error {
	_, err := kv.Put(ctx, &pb.PutRequest{Key: oneKey, Value: make([]byte, valueSize)})
	return err
}

func fillMany(ctx context.Context, kv pb.KVClient) error {
	const batch = 100
	for first := 0; first < manyKeys; first += batch {
		r := &pb.TxnRequest{}
		for i := range batch {
			put := &pb.PutRequest{Key: fmt.Appendf(nil, "many/%06d", first+i), Value: make([]byte, valueSize)}
			r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
		}
		if _, err := kv.Txn(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// fill fills the store, again if there is an election in between, and waits until each member has what was put: one that is behind would answer a read that may be stale
// with less.
func (f *fleet) fill(ctx context.Context, prepare func(context.Context, pb.KVClient) error) error {
	steps := []func() error{func() error { return prepare(ctx, pb.NewKVClient(f.conns[0])) }}
	for _, conn := range f.conns {
		steps = append(steps, func() error {
			_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: oneKey})
			return err
		})
	}
	for _, step := range steps {
		err := step()
		for err != nil && ctx.Err() == nil {
			err = step()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// requestLimit is how long a client waits for an answer.
const requestLimit = 30 * time.Second

// measureServer starts a cluster of server processes and lets clients ask, over as many connections as there are clients, but no more than a hundred.
func measureServer(s Spec, dir string) (Result, error) {
	system, err := s.server()
	if err != nil {
		return Result{}, err
	}
	what, err := findServerLoad(s.Load)
	if err != nil {
		return Result{}, err
	}
	f, err := startFleet(system, dir, s.Members)
	if err != nil {
		return Result{}, err
	}
	defer f.stop()
	if what.prepare != nil && system.program != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := f.fill(ctx, what.prepare); err != nil {
			return Result{}, fmt.Errorf("fill the store: %w", err)
		}
	}
	connections := min(s.Workers, mostConnections)
	if s.Connections > 0 {
		connections = s.Connections
	}
	addresses, err := f.addresses(connections, what.toLeader)
	if err != nil {
		return Result{}, err
	}
	clients := make([]client, s.Workers)
	for i := range clients {
		clients[i] = newClient(i, s.Size, what.next)
	}
	drive, err := connectClients(s.Client, addresses, clients)
	if err != nil {
		return Result{}, err
	}
	before, err := f.term()
	if err != nil {
		return Result{}, err
	}
	used, own := newUsage(f.pids()...), newOwnCPU()
	defer used.close()
	l := s.load()
	l.Begin = func() { used.begin(); own.begin() }
	l.End = func() { own.end(); used.end() }
	out := load.Drive(l, drive)
	result := Result{Spec: s}
	result.fill(out)
	used.fill(&result)
	own.fill(&result)
	after, err := f.term()
	if err != nil {
		return result, err
	}
	result.Elections = after - before
	for i := range clients {
		if clients[i].wrong != nil {
			return result, fmt.Errorf("client %d was answered wrong: %w", i, clients[i].wrong)
		}
	}
	if system.program == nil {
		return result, nil
	}
	return result, f.check(clients)
}

// addresses are those that n connections go to: all to the leader, or to all members in turn, beginning with the one after the leader. Otherwise it would be luck
// whether the first, which is the only one if there is one client, goes to the leader, where a request takes one way less.
func (f *fleet) addresses(n int, toLeader bool) ([]string, error) {
	leader, err := f.leader()
	if err != nil {
		return nil, err
	}
	var all []string
	for i := range n {
		m := f.members[leader]
		if !toLeader {
			m = f.members[(leader+1+i)%len(f.members)]
		}
		all = append(all, m.client)
	}
	return all, nil
}

// check asks every member, linearizably, for the key of every client that put. Each put makes one version of the key: there have to be as many as were acknowledged, and no
// more than were tried; and the value has to be the last one that was acknowledged, or one that was tried after it.
func (f *fleet) check(clients []client) error {
	for i, conn := range f.conns {
		kv := pb.NewKVClient(conn)
		for j := range clients {
			c := &clients[j]
			if c.tried == 0 {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
			response, err := kv.Range(ctx, &pb.RangeRequest{Key: c.key})
			cancel()
			if err != nil {
				return fmt.Errorf("read back %s at %s: %w", c.key, f.members[i].name, err)
			}
			if err := c.check(response); err != nil {
				return fmt.Errorf("at %s: %w", f.members[i].name, err)
			}
		}
	}
	return nil
}
