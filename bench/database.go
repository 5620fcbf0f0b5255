package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/balsa-raft/balsa/bench/load"
)

const (
	databaseValue   = 1 << 10
	databaseKey     = 16
	databaseClients = 64
	// A transaction of the fill has so many puts, and so many are on their way.
	fillBatch, fillers = 128, 16
)

// databaseSizes are the sizes at which a database is measured while it grows.
var databaseSizes = []int64{10e6, 100e6, 500e6, 1e9, 2e9, 5e9, 10e9}

// database is a cluster that is filled further and further, and what is known of its keys: by whom each was put, and which put of it was acknowledged last.
type database struct {
	system server
	dir    string
	note   databaseNote
	fleet  *fleet
	conns  []*grpc.ClientConn
	kvs    []pb.KVClient // one of each client
	keys   int64         // how many there are
	marks  []databaseMarks
	used   *usage
}

// databaseNote is what a later call has to know of a database that was kept.
type databaseNote struct {
	Keys    int64
	Members []memberNote
}

type memberNote struct{ Name, Client, Peer string }

// openDatabase starts the cluster of a directory, a new one if there is none.
func openDatabase(system server, dir string, members int) (*database, error) {
	d := &database{system: system, dir: dir}
	// What was put by an earlier call has lower numbers.
	first := uint64(time.Now().UnixNano())
	for i := range databaseClients {
		d.marks = append(d.marks, databaseMarks{
			acked: map[int64]uint64{}, next: first, dice: rand.New(rand.NewPCG(uint64(i), first)), value: make([]byte, databaseValue),
		})
	}
	encoded, err := os.ReadFile(filepath.Join(dir, "database.json"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		made, err := newMembers(dir, members)
		if err != nil {
			return nil, err
		}
		for _, m := range made {
			d.note.Members = append(d.note.Members, memberNote{m.name, m.client, m.peer})
		}
		if err := d.save(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(encoded, &d.note); err != nil {
			return nil, fmt.Errorf("what is kept in %s is not understood: %w", dir, err)
		}
		if len(d.note.Members) != members {
			return nil, fmt.Errorf("the database that is kept in %s has %s, not %d", dir, plural(len(d.note.Members), "members"), members)
		}
	}
	d.keys = d.note.Keys
	return d, d.start()
}

func (d *database) save() error {
	d.note.Keys = d.keys
	encoded, err := json.Marshal(&d.note)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "database.json"), encoded, 0o644)
}

// start starts the servers, and connects all clients.
func (d *database) start() (err error) {
	var members []member
	for _, m := range d.note.Members {
		members = append(members, member{name: m.Name, dir: filepath.Join(d.dir, m.Name), client: m.Client, peer: m.Peer})
	}
	if d.fleet, err = startMembers(d.system, members); err != nil {
		return err
	}
	d.used = newUsage(d.fleet.pids()...)
	addresses, err := d.fleet.addresses(databaseClients, false)
	if err != nil {
		return err
	}
	d.conns, err = dialAll(addresses)
	d.kvs = nil
	for _, conn := range d.conns {
		d.kvs = append(d.kvs, pb.NewKVClient(conn))
	}
	return err
}

// stop kills the servers.
func (d *database) stop() error {
	if d.fleet == nil {
		return nil
	}
	closeAll(d.conns)
	d.used.close()
	err := d.fleet.stop()
	d.fleet = nil
	return err
}

// restart kills the servers, and tells how long they take until all of them answer a fresh read again.
func (d *database) restart() (Result, error) {
	if err := d.stop(); err != nil {
		return Result{}, err
	}
	began := time.Now()
	err := d.start()
	return tookOnce(time.Since(began)), err
}

// snapshot saves a snapshot of one member to nowhere.
func (d *database) snapshot(ctx context.Context) (Result, error) {
	d.used.begin()
	began := time.Now()
	stream, err := pb.NewMaintenanceClient(d.conns[0]).Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		return Result{}, err
	}
	bytes := int64(0)
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Result{}, err
		}
		bytes += int64(len(piece.Blob))
	}
	r := tookOnce(time.Since(began))
	d.used.end()
	d.used.fill(&r)
	if least := d.keys * (databaseKey + databaseValue); bytes < least {
		return r, fmt.Errorf("a snapshot of %d bytes, where keys and values have %d", bytes, least)
	}
	return r, nil
}

// tookOnce is the result of what is done once.
func tookOnce(took time.Duration) Result {
	us := float64(took.Microseconds())
	return Result{Done: 1, P50: us, P99: us, Worst: us, Syncs: -1}
}

// databaseMarks are one client's puts by key. A client puts only to keys of its own, which are those whose number leaves its own as the remainder.
type databaseMarks struct {
	acked map[int64]uint64
	next  uint64
	dice  *rand.Rand
	value []byte
	_     [64]byte
}

// growDatabase fills one cluster, and measures it at every size on the way.
func growDatabase(ctx context.Context, g *growth, round int, tell func(growthRow)) (err error) {
	system, err := findServer("balsa")
	if err != nil {
		return err
	}
	dir := g.keep
	if dir == "" {
		dir = filepath.Join(g.dir, fmt.Sprintf("database-%d", round))
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d, err := openDatabase(system, dir, g.members)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	var rows []growthRow
	for _, size := range databaseSizes {
		keys := size / (databaseKey + databaseValue)
		if size > g.database || keys < d.keys {
			continue
		}
		note := func(series string, r Result, err error) error {
			if err != nil {
				r.Failure = err.Error()
			}
			if g.members > 1 {
				series += ", " + plural(g.members, "members")
			}
			r.Round = round
			fmt.Fprintf(g.progress, "round %d  database at %s, %s: %.0f/s, p50 %s so far, and to be checked\n", round, plainBytes(float64(size)), series, r.PerSecond, milliseconds(r.P50))
			rows = append(rows, growthRow{point: point{series: series, x: float64(size)}, Result: r})
			return err
		}
		if keys > d.keys {
			filled, err := d.fill(ctx, keys)
			if err = errors.Join(err, d.save()); note("fill", filled, err) != nil {
				tell(rows[len(rows)-1])
				return err
			}
		}
		if g.fillOnly {
			continue
		}
		for _, ask := range []struct {
			series string
			do     func(ctx context.Context, client int) error
		}{{"put", d.put}, {"linearizable range", d.read}} {
			r, err := d.measure(g, ask.do)
			_ = note(ask.series, r, err)
		}
		again, err := d.restart()
		if note("restart", again, err) != nil {
			return err
		}
		saved, err := d.snapshot(ctx)
		_ = note("snapshot", saved, err)
	}
	// What was acknowledged is looked for at the end. If it is not there, nothing of this round counts.
	lost := d.check(ctx)
	for _, r := range rows {
		if lost != nil && r.Failure == "" {
			r.Failure = lost.Error()
		}
		tell(r)
	}
	return nil
}

// measure lets all clients ask.
func (d *database) measure(g *growth, ask func(ctx context.Context, client int) error) (Result, error) {
	before, err := d.fleet.term()
	if err != nil {
		return Result{}, err
	}
	l := load.Load{Workers: databaseClients, Warmup: g.warmup, Measure: g.measure, Begin: d.used.begin, End: d.used.end}
	out := load.Run(l, func(client int) error {
		ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
		defer cancel()
		return ask(ctx, client)
	})
	var r Result
	r.fill(out)
	d.used.fill(&r)
	after, err := d.fleet.term()
	r.Elections = after - before
	return r, err
}

// keyOf spreads the numbers of keys over all places that keys can have.
func keyOf(number int64) []byte { return fmt.Appendf(nil, "%016x", uint64(number)*0x9e3779b97f4a7c15) }

// writeValue fills a value for a key: its number, which put of it this is, and bytes that do not compress.
func writeValue(value []byte, number int64, put uint64) {
	binary.LittleEndian.PutUint64(value, uint64(number))
	binary.LittleEndian.PutUint64(value[8:], put)
	state := uint64(number)*0x9e3779b97f4a7c15 ^ put*0xd1b54a32d192ed03
	for i := 16; i+8 <= len(value); i += 8 {
		state = state*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(value[i:], state^state>>29)
	}
}

// checkValue tells whether a value is one that was written for the key, by its put'th put or a later one.
func checkValue(value []byte, number int64, put uint64) error {
	want := make([]byte, databaseValue)
	if len(value) == len(want) {
		writeValue(want, number, binary.LittleEndian.Uint64(value[8:]))
	}
	if string(value) != string(want) {
		return fmt.Errorf("key %s has a value that nobody wrote", keyOf(number))
	}
	if have := binary.LittleEndian.Uint64(value[8:]); have < put {
		return fmt.Errorf("key %s has put %d, though put %d was acknowledged", keyOf(number), have, put)
	}
	return nil
}

// fill puts keys until there are so many.
func (d *database) fill(ctx context.Context, keys int64) (Result, error) {
	before, began := d.keys, time.Now()
	var next atomic.Int64
	next.Store(before)
	errs := make([]error, fillers)
	d.used.begin()
	var wait sync.WaitGroup
	for i := range fillers {
		wait.Go(func() {
			for errs[i] == nil {
				first := next.Add(fillBatch) - fillBatch
				if first >= keys {
					return
				}
				errs[i] = d.fillBatch(ctx, i, first, min(first+fillBatch, keys))
			}
		})
	}
	wait.Wait()
	d.used.end()
	if err := errors.Join(errs...); err != nil {
		return Result{}, fmt.Errorf("fill the database: %w", err)
	}
	d.keys = keys
	r := Result{Done: uint64(keys - before), PerSecond: float64(keys-before) / time.Since(began).Seconds()}
	d.used.fill(&r)
	return r, nil
}

func (d *database) fillBatch(ctx context.Context, filler int, first, end int64) error {
	r := &pb.TxnRequest{}
	for number := first; number < end; number++ {
		value := make([]byte, databaseValue)
		writeValue(value, number, 0)
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: keyOf(number), Value: value}}})
	}
	// Nobody else writes these keys yet, so what may or may not have happened can be done again.
	for attempt := 1; ; attempt++ {
		once, cancel := context.WithTimeout(ctx, catchUp)
		_, err := d.kvs[filler].Txn(once, r)
		cancel()
		if err == nil || ctx.Err() != nil || attempt == 100 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// own draws one of a client's own keys.
func (d *database) own(client int) int64 {
	return d.marks[client].dice.Int64N(d.keys/databaseClients)*databaseClients + int64(client)
}

func (d *database) put(ctx context.Context, client int) error {
	m, number := &d.marks[client], d.own(client)
	m.next++
	writeValue(m.value, number, m.next)
	_, err := d.kvs[client].Put(ctx, &pb.PutRequest{Key: keyOf(number), Value: m.value})
	if err == nil {
		m.acked[number] = m.next
	}
	return err
}

// read reads one of the client's own keys, so that it knows what it may find at least.
func (d *database) read(ctx context.Context, client int) error {
	number := d.own(client)
	response, err := d.kvs[client].Range(ctx, &pb.RangeRequest{Key: keyOf(number)})
	if err != nil {
		return err
	}
	if len(response.Kvs) != 1 {
		return fmt.Errorf("key %s is not there", keyOf(number))
	}
	return checkValue(response.Kvs[0].Value, number, d.marks[client].acked[number])
}

// check counts the keys at every member, and looks for every put to one of them that was acknowledged, at each member in turn; fresh reads make each of them catch up.
func (d *database) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for i, conn := range d.fleet.conns {
		response, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
		if err != nil {
			return fmt.Errorf("count the keys at %s: %w", d.fleet.members[i].name, err)
		}
		if response.Count != d.keys {
			return fmt.Errorf("%s has %d of %d keys", d.fleet.members[i].name, response.Count, d.keys)
		}
	}
	errs := make([]error, databaseClients)
	var wait sync.WaitGroup
	for client := range databaseClients {
		wait.Go(func() {
			at := client
			for number, put := range d.marks[client].acked {
				at = (at + 1) % len(d.kvs)
				response, err := d.kvs[at].Range(ctx, &pb.RangeRequest{Key: keyOf(number), Serializable: true})
				if err == nil && len(response.Kvs) != 1 {
					err = fmt.Errorf("key %s is not there", keyOf(number))
				}
				if err == nil {
					err = checkValue(response.Kvs[0].Value, number, put)
				}
				if err != nil {
					errs[client] = err
					return
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
