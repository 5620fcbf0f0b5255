// Package kvsim puts the key-value store into the simulator: the store on Pebble is the state machine of a world, with its files on a simulated volume that
// loses at a crash what was not synced, and clients that put, delete, compare, compact and read. A model of etcd's semantics (package reference) says
// what every answer has to be, and all stores have to have the same HashKV at the same revision.
//
// Pebble's own goroutines run as they like, and nothing that a world sees may depend on them: what is durable is what was flushed, nothing is flushed by
// itself (kv.Options.ManualFlush sees to that, and stops a store in which it happens), what is moved by a compaction reads the same before and after, and when
// a file is removed that is not needed any more does not matter. So the same seed gives the same trace. Crashes in the middle of a start, a flush or a
// restoration are taken from worlds without compactions of Pebble's own, where one goroutine works on files at a time: its operations have the same order
// and the same sizes every time, which TestTheSameSeedGivesTheSameTrace looks at, too.
//
// The package is not for production, and is not built for the browser, where Pebble does not go.
package kvsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/kv"
	"github.com/balsa-raft/balsa/kv/reference"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
)

// Application is the key-value store, for sim.Options.Application.
type Application struct {
	// CrashPoints says that some processes end in the middle of what Pebble does, and that Pebble compacts nothing by itself.
	CrashPoints bool
	// watched, if set, gets the operations on files that there were up to the end of each start, flush, restoration and crash, as a hash.
	watched *[]uint64
}

var _ sim.Application = Application{}

// Name implements sim.Application.
func (a Application) Name() string {
	if a.CrashPoints {
		return "key-value store with crash points"
	}
	return "key-value store"
}

// dir is where a store is on its volume.
const dir = "kv"

// Machine implements sim.Application.
func (a Application) Machine(at sim.Place) (engine.StateMachine, error) {
	m := &machine{application: a, files: newFiles(), rng: at.Rand}
	before, again := at.Previous.(*machine)
	if again {
		m.files, m.durable = before.files, before.durable
	}
	if a.CrashPoints && m.rng.IntN(8) == 0 {
		m.files.arm(1+m.rng.IntN(20), rand.New(rand.NewPCG(m.rng.Uint64(), 3)))
	}
	store, err := kv.Open(dir, kv.Options{
		FS: m.files, CacheBytes: 1 << 20, MemTableBytes: 8 << 20, ManualScrub: true, ManualFlush: true, NoCompactions: a.CrashPoints,
		Fatal: func(err error) { panic(fmt.Sprintf("the store cannot go on: %v", err)) },
	})
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	m.store = store
	m.watch()
	if at, happened := m.files.disarm(); happened {
		// What the start has left is what the next one finds; of a store that never was there, nothing.
		if again {
			before.files = m.files.image
		}
		_ = store.Close()
		sim.CrashNow("the store's files, at its start: " + at)
	}
	if found := store.AppliedIndex(); found < m.durable {
		return nil, errors.Join(fmt.Errorf("the store comes back as of %d, and had said that it is durable up to %d", found, m.durable), store.Close())
	}
	m.durable = store.AppliedIndex()
	return m, nil
}

// machine is one member's store.
type machine struct {
	application Application
	store       *kv.Store
	files       *files
	rng         *rand.Rand
	durable     raft.Index
	captured    map[*captured]bool
}

var (
	_ engine.DurableStateMachine = (*machine)(nil)
	_ sim.Crasher                = (*machine)(nil)
	_ sim.Hasher                 = (*machine)(nil)
)

// Apply implements engine.StateMachine. Results are put into the one form that can be compared, whatever the encoder made of them. Now and then some of what
// a compaction has left is removed.
func (m *machine) Apply(entries []engine.Entry) []engine.Result {
	results := m.store.Apply(entries)
	for i := range results {
		if entries[i].Local {
			results[i].Data = normal(entries[i].Data, results[i].Data)
		}
	}
	if m.rng.IntN(4) == 0 {
		if _, err := m.store.ScrubStep(); err != nil {
			panic(fmt.Sprintf("remove what was compacted: %v", err))
		}
	}
	return results
}

// Snapshot implements engine.StateMachine.
func (m *machine) Snapshot() (engine.SnapshotWriter, error) {
	w, err := m.store.Snapshot()
	if err != nil {
		return nil, err
	}
	c := &captured{SnapshotWriter: w, machine: m}
	if m.captured == nil {
		m.captured = map[*captured]bool{}
	}
	m.captured[c] = true
	return c, nil
}

// captured is a snapshot that the store holds for somebody.
type captured struct {
	engine.SnapshotWriter
	machine *machine
}

// Close implements engine.SnapshotWriter.
func (c *captured) Close() error {
	delete(c.machine.captured, c)
	return c.SnapshotWriter.Close()
}

// Restore implements engine.StateMachine.
func (m *machine) Restore(r io.Reader) error {
	var err error
	m.mayCrash(60, func() { err = m.store.Restore(r) })
	if err == nil {
		m.durable = m.store.AppliedIndex()
	}
	return err
}

// DurableIndex implements engine.DurableStateMachine.
func (m *machine) DurableIndex() raft.Index {
	if found := m.store.DurableIndex(); found < m.durable {
		panic(fmt.Sprintf("the store is durable up to %d, and was up to %d", found, m.durable))
	}
	return m.durable
}

// Flush implements engine.DurableStateMachine.
func (m *machine) Flush() error {
	applied := m.store.AppliedIndex()
	var err error
	m.mayCrash(40, func() { err = m.store.Flush() })
	if err == nil {
		m.durable = applied
	}
	return err
}

// watch tells of the operations so far.
func (m *machine) watch() {
	if to := m.application.watched; to != nil {
		m.files.mu.Lock()
		defer m.files.mu.Unlock()
		*to = append(*to, m.files.sum)
	}
}

// mayCrash ends the process, now and then, in the middle of something: at one of the first operations on files.
func (m *machine) mayCrash(within int, do func()) {
	if !m.application.CrashPoints || m.rng.IntN(6) != 0 {
		do()
		m.watch()
		return
	}
	m.files.arm(1+m.rng.IntN(within), rand.New(rand.NewPCG(m.rng.Uint64(), 1)))
	do()
	m.watch()
	if at, happened := m.files.disarm(); happened {
		sim.CrashNow("the store's files: " + at)
	}
}

// Crash implements sim.Crasher.
func (m *machine) Crash() {
	was := m.files
	m.files = was.crashed(rand.New(rand.NewPCG(m.rng.Uint64(), 2)))
	m.watch()
	for c := range m.captured { // Closing has no order.
		_ = c.SnapshotWriter.Close()
	}
	m.captured = nil
	_ = m.store.Close() // It flushes to files that are no more.
}

// Hash implements sim.Hasher: of all keys and versions that can be read, and of the settings.
func (m *machine) Hash() uint64 {
	state, err := m.store.Hash()
	if err != nil {
		panic(fmt.Sprintf("hash the store: %v", err))
	}
	keys, revision, compacted, err := m.store.HashKV(0)
	if err != nil {
		panic(fmt.Sprintf("hash the keys: %v", err))
	}
	if revision != m.store.Revision() || compacted != m.store.CompactedRevision() {
		panic(fmt.Sprintf("the keys were hashed at %d, compacted at %d; the store is at %d and %d", revision, compacted, m.store.Revision(), m.store.CompactedRevision()))
	}
	return uint64(state)<<32 ^ uint64(keys) ^ uint64(revision)<<16
}

// Read implements sim.Application.
func (Application) Read(at engine.StateMachine, query []byte) []byte {
	store, ctx := at.(*machine).store, context.Background()
	switch r := queryOf(query).(type) {
	case *pb.TxnRequest:
		return form(store.ReadTxn(ctx, r))
	case *pb.RangeRequest:
		if query[0] == askChunks {
			return form(inChunks(ctx, store, r))
		}
		return form(store.Range(ctx, r))
	}
	panic("unknown query")
}

// inChunks puts together what comes in pieces.
func inChunks(ctx context.Context, store *kv.Store, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	whole := &pb.RangeResponse{}
	err := store.RangeChunks(ctx, r, func(chunk *pb.RangeResponse) error {
		proto.Merge(whole, chunk)
		return nil
	})
	return whole, err
}

// queryOf decodes a query of a client.
func queryOf(query []byte) proto.Message {
	m := proto.Message(&pb.RangeRequest{})
	if query[0] == askTxn {
		m = &pb.TxnRequest{}
	}
	if err := proto.Unmarshal(query[1:], m); err != nil {
		panic(err)
	}
	return m
}

// Model implements sim.Application.
func (Application) Model() sim.Model {
	return &model{reference.New(reference.Refusals{
		Compacted: kv.ErrCompacted, FutureRev: kv.ErrFutureRev, KeyNotFound: kv.ErrKeyNotFound, LeaseNotFound: kv.ErrLeaseNotFound,
	})}
}

// model is the oracle.
type model struct{ *reference.Model }

// Apply implements sim.Model.
func (m *model) Apply(e engine.Entry) []byte {
	request, err := requestOf(e.Data)
	if err != nil {
		panic(err)
	}
	response, err := m.Model.Apply(request)
	if m.Compacted() > 0 {
		m.Forget()
	}
	return form(response, err)
}

// Read implements sim.Model.
func (m *model) Read(query []byte) []byte {
	switch r := queryOf(query).(type) {
	case *pb.TxnRequest:
		return form(m.ReadTxn(r))
	case *pb.RangeRequest:
		return form(m.Range(r))
	}
	panic("unknown query")
}

// Clone implements sim.Model.
func (m *model) Clone() sim.Model { return &model{m.Model.Clone()} }

// kinds are the commands by the lower half of their first byte, as docs/formats/kv.md has them.
var kinds = map[byte]func() proto.Message{
	1: func() proto.Message { return &pb.PutRequest{} },
	2: func() proto.Message { return &pb.DeleteRangeRequest{} },
	3: func() proto.Message { return &pb.TxnRequest{} },
	4: func() proto.Message { return &pb.CompactionRequest{} },
}

// requestOf decodes a command.
func requestOf(command []byte) (proto.Message, error) {
	if len(command) == 0 || kinds[command[0]&15] == nil {
		return nil, fmt.Errorf("%x is no command of the store", command)
	}
	m := kinds[command[0]&15]()
	return m, proto.Unmarshal(command[1:], m)
}

// normal decodes a store's result, and puts it into the form of the model's.
func normal(command, result []byte) []byte {
	request, err := requestOf(command)
	if err != nil {
		return []byte(err.Error())
	}
	var response proto.Message
	switch request.(type) {
	case *pb.PutRequest:
		response, err = kv.PutResponse(result)
	case *pb.DeleteRangeRequest:
		response, err = kv.DeleteRangeResponse(result)
	case *pb.TxnRequest:
		response, err = kv.TxnResponse(result)
	default:
		response, err = kv.CompactionResponse(result)
	}
	return form(response, err)
}

// form is an answer in the one form that can be compared.
func form[M proto.Message](response M, err error) []byte {
	if err != nil {
		for _, refusal := range []error{kv.ErrCompacted, kv.ErrFutureRev, kv.ErrKeyNotFound, kv.ErrLeaseNotFound} {
			if errors.Is(err, refusal) {
				return []byte("refused: " + refusal.Error())
			}
		}
		return []byte("failed: " + err.Error())
	}
	var b bytes.Buffer
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(response)
	if err != nil {
		return []byte("failed: " + err.Error())
	}
	b.WriteString("ok ")
	b.Write(encoded)
	return b.Bytes()
}
