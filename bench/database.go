package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/balsa-raft/balsa/bench/load"
)

const (
	databaseValue   = 1 << 10
	databaseKey     = 16
	databaseClients = 64
	// A transaction of the fill has so many puts, and so many are on their way.
	fillBatch, fillers = 64, 16
)

// databaseSizes are the sizes at which a database is measured while it grows.
var databaseSizes = []int64{10e6, 100e6, 500e6, 1e9, 2e9, 5e9, 10e9}

// database is a cluster that is filled further and further, and what is known of its keys: by whom each was put, and which put of it was acknowledged last.
type database struct {
	fleet *fleet
	kvs   []pb.KVClient // one of each client
	keys  int64         // how many there are
	marks []databaseMarks
	used  *usage
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
	dir := filepath.Join(g.dir, fmt.Sprintf("database-%d", round))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f, err := startFleet(system, dir, 3)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	addresses, err := f.addresses(databaseClients, false)
	if err != nil {
		return err
	}
	conns, err := dialAll(addresses)
	if err != nil {
		return err
	}
	defer closeAll(conns)
	d := &database{fleet: f, used: newUsage(f.pids()...)}
	defer d.used.close()
	for i, conn := range conns {
		d.kvs = append(d.kvs, pb.NewKVClient(conn))
		d.marks = append(d.marks, databaseMarks{acked: map[int64]uint64{}, dice: rand.New(rand.NewPCG(uint64(i), 0)), value: make([]byte, databaseValue)})
	}
	var rows []growthRow
	for _, size := range databaseSizes {
		if size > g.database {
			break
		}
		note := func(series string, r Result, err error) {
			if err != nil {
				r.Failure = err.Error()
			}
			r.Round = round
			fmt.Fprintf(g.progress, "round %d  database at %s, %s: %.0f/s so far, and to be checked\n", round, plainBytes(float64(size)), series, r.PerSecond)
			rows = append(rows, growthRow{point: point{series: series, x: float64(size)}, Result: r})
		}
		filled, err := d.fill(ctx, size/(databaseKey+databaseValue))
		note("fill", filled, err)
		if err != nil {
			tell(rows[len(rows)-1])
			return err
		}
		for _, ask := range []struct {
			series string
			do     func(ctx context.Context, client int) error
		}{{"put", d.put}, {"linearizable range", d.read}} {
			r, err := d.measure(g, ask.do)
			note(ask.series, r, err)
		}
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
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	r := &pb.TxnRequest{}
	for number := first; number < end; number++ {
		value := make([]byte, databaseValue)
		writeValue(value, number, 0)
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: keyOf(number), Value: value}}})
	}
	// Nobody else writes these keys yet, so what may or may not have happened can be done again.
	for {
		_, err := d.kvs[filler].Txn(ctx, r)
		if err == nil || ctx.Err() != nil {
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
