package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

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
	// prepare fills the store. ask is one request of one client.
	prepare func(ctx context.Context, kv pb.KVClient) error
	ask     func(c *client, ctx context.Context) error
}

// serverLoads are all of them, in the order of the report.
var serverLoads = []serverLoad{
	{name: "put", what: "each client puts its key, over all members", members: 3, nothing: true, ask: (*client).put},
	{name: "put to the leader", what: "the same, all to the leader", members: 3, toLeader: true, nothing: true, ask: (*client).put},
	{name: "linearizable range", what: "each client reads a key, which has to be fresh", members: 3, nothing: true, prepare: fillOne, ask: (*client).readFresh},
	{name: "serializable range", what: "each client reads a key, which may be stale", members: 3, nothing: true, prepare: fillOne, ask: (*client).readStale},
	{name: "transaction", what: "each client compares and puts its key in a transaction", members: 3, nothing: true, ask: (*client).txn},
	{name: "mixed", what: "nine fresh reads to one put", members: 3, nothing: true, prepare: fillOne, ask: (*client).mix},
	{name: "range over 100,000 keys", what: "a client reads all of 100,000 keys", members: 3, clients: []int{1}, prepare: fillMany, ask: (*client).readAll},
	{name: "put to one member", what: "each client puts its key, in a cluster of one", members: 1, nothing: true, ask: (*client).put},
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
			all = append(all, cell{Spec{
				Level: levelServer, Load: l.name, Workers: n, Size: valueSize, Members: l.members, Rate: p.rate, Warmup: p.warmup, Measure: p.measure,
			}, systems})
		}
	}
	return all
}

// client is one of those that ask. Its puts go to a key of its own, and each value says as which put it came.
type client struct {
	kv       pb.KVClient
	key      []byte
	value    []byte
	tried    uint64 // puts, whatever became of them
	acked    uint64 // puts that were acknowledged
	lastAck  uint64 // the number of the last one
	requests uint64
	_        [64]byte
}

func (c *client) next() []byte {
	c.tried++
	binary.BigEndian.PutUint64(c.value, c.tried)
	return c.value
}

func (c *client) note(err error) error {
	if err == nil {
		c.acked++
		c.lastAck = c.tried
	}
	return err
}

func (c *client) put(ctx context.Context) error {
	_, err := c.kv.Put(ctx, &pb.PutRequest{Key: c.key, Value: c.next()})
	return c.note(err)
}

func (c *client) txn(ctx context.Context) error {
	response, err := c.kv.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{Target: pb.Compare_VERSION, Result: pb.Compare_GREATER, Key: c.key, TargetUnion: &pb.Compare_Version{Version: -1}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: c.key, Value: c.next()}}}},
	})
	if err == nil && !response.Succeeded {
		return fmt.Errorf("a version is not greater than -1")
	}
	return c.note(err)
}

// oneKey is what reads read.
var oneKey = []byte("one")

func (c *client) readFresh(ctx context.Context) error { return c.read(ctx, false) }
func (c *client) readStale(ctx context.Context) error { return c.read(ctx, true) }

func (c *client) read(ctx context.Context, stale bool) error {
	response, err := c.kv.Range(ctx, &pb.RangeRequest{Key: oneKey, Serializable: stale})
	if err == nil && len(response.Kvs) != 1 {
		return fmt.Errorf("the key that was put before is not there")
	}
	return err
}

func (c *client) mix(ctx context.Context) error {
	if c.requests++; c.requests%10 == 0 {
		return c.put(ctx)
	}
	return c.readFresh(ctx)
}

func (c *client) readAll(ctx context.Context) error {
	response, err := c.kv.Range(ctx, &pb.RangeRequest{Key: []byte("many/"), RangeEnd: []byte("many0")})
	if err == nil && len(response.Kvs) != manyKeys {
		return fmt.Errorf("%d of %d keys", len(response.Kvs), manyKeys)
	}
	return err
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
		if err := what.prepare(ctx, pb.NewKVClient(f.conns[0])); err != nil {
			return Result{}, fmt.Errorf("fill the store: %w", err)
		}
	}
	connections := min(s.Workers, mostConnections)
	if s.Connections > 0 {
		connections = s.Connections
	}
	conns, err := f.connect(connections, what.toLeader)
	if err != nil {
		return Result{}, err
	}
	defer closeAll(conns)
	clients := make([]client, s.Workers)
	for i := range clients {
		clients[i] = client{kv: pb.NewKVClient(conns[i%len(conns)]), key: fmt.Appendf(nil, "client/%06d", i), value: make([]byte, max(s.Size, 8))}
	}
	before, err := f.term()
	if err != nil {
		return Result{}, err
	}
	used := newUsage(f.pids()...)
	defer used.close()
	l := s.load()
	l.Begin, l.End = used.begin, used.end
	out := load.Run(l, func(worker int) error {
		ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
		defer cancel()
		return what.ask(&clients[worker], ctx)
	})
	result := Result{Spec: s}
	result.fill(out)
	used.fill(&result)
	after, err := f.term()
	if err != nil {
		return result, err
	}
	result.Elections = after - before
	if system.program == nil {
		return result, nil
	}
	return result, f.check(clients)
}

func (f *fleet) connect(n int, toLeader bool) ([]*grpc.ClientConn, error) {
	leader := 0
	if toLeader {
		var err error
		if leader, err = f.leader(); err != nil {
			return nil, err
		}
	}
	var conns []*grpc.ClientConn
	for i := range n {
		m := f.members[leader]
		if !toLeader {
			m = f.members[i%len(f.members)]
		}
		conn, err := dialMember(m.client)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll(conns []*grpc.ClientConn) {
	for _, conn := range conns {
		conn.Close()
	}
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

func (c *client) check(r *pb.RangeResponse) error {
	var versions, last uint64
	if len(r.Kvs) > 0 {
		versions, last = uint64(r.Kvs[0].Version), binary.BigEndian.Uint64(r.Kvs[0].Value)
	}
	if versions < c.acked || versions > c.tried || last < c.lastAck || last > c.tried {
		return fmt.Errorf("%s was put %d times and acknowledged %d times, at last as number %d, and has %d versions, the last of which is number %d",
			c.key, c.tried, c.acked, c.lastAck, versions, last)
	}
	return nil
}
