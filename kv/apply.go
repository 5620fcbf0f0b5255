package kv

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/balsa-raft/balsa/engine"
)

// applier turns commands into batches. Everything of it is guarded by mu, which Apply holds for its length, and a reader while it has written what waits.
//
// What was applied is written to the database when somebody wants to read, or when enough has come together: one large batch costs much less than many small ones, and
// nothing is lost by waiting. As long as the database does not have a command it has the applied index of one before it, and after a crash the log
// begins with that one.
type applier struct {
	store      *Store
	generation *generation

	// view is what commands read: the database with what waits on top.
	view    view
	pending pending
	find    finder
	batch   *pebble.Batch // to write what waits with; empty
	// local says that the result of the running command is wanted.
	local   bool
	short   ShortTxn // the running command, if it is one
	results results
	compact bool // there is a compaction in what waits
}

// writing is what the applier and its readers have in common.
type writing struct {
	mu sync.Mutex
	// behind says that the database lacks something that was applied; it is true before Apply returns.
	behind atomic.Bool
	// wanted says that somebody has read since the last Apply: it is likely that somebody does again, who would have to wait.
	wanted atomic.Bool
	closed bool // nothing is written any more; guarded by mu

	// What was applied, whether the database has it or not.
	revision, compacted atomic.Int64
	applied             atomic.Uint64
}

func (w *writing) reached(st state) {
	w.compacted.Store(st.compacted)
	w.revision.Store(st.revision)
	w.applied.Store(uint64(st.applied))
}

// What was applied is written when it is more than this, so that memory stays bounded, no batch exceeds a memtable, and the first one who reads after many writes does not wait for long.
const (
	maxBatchBytes   = 7 << 18 // so that it fits into 2 MiB, which a batch grows to
	maxBatchRecords = 32 << 10
	maxKeptBatch    = 2 << 20 // what a batch has room for is kept for the next, but not if it became larger
)

// reset makes the applier start from the store's current generation. What waits is forgotten. writing.mu is held, or nobody knows the store yet.
func (a *applier) reset(s *Store) {
	*a = applier{store: s}
	s.writing.behind.Store(false)
	a.begin(s.current.Load())
}

func (a *applier) begin(g *generation) {
	a.generation = g
	a.pending.clear()
	a.find = finder{db: g.db}
	a.view = view{from: g.db, pending: &a.pending, find: &a.find, state: state{
		applied: g.appliedIndex(), revision: g.revision.Load(), compacted: g.compacted.Load(),
	}}
	a.store.writing.reached(a.view.state)
}

// Apply implements engine.StateMachine. Commands that the store has applied before are passed over, with empty results. When the store fails, what was not
// written is forgotten and results say ErrCorrupt, now and in every later Apply until Restore.
func (s *Store) Apply(entries []engine.Entry) []engine.Result {
	out := make([]engine.Result, len(entries))
	g, err := s.use()
	if err == nil {
		s.writing.mu.Lock()
		// The store has failed before anybody else may write: what waits may have half a command in it.
		if err = s.fail(s.apply.run(entries, out)); err == nil {
			s.writing.reached(s.apply.view.state)
		}
		s.writing.mu.Unlock()
		g.release()
	}
	if err != nil {
		for i := range entries {
			if entries[i].Local {
				out[i] = engine.Result{Data: []byte{byte(codeBroken)}}
			}
		}
	}
	return out
}

// settle makes the database have what was applied before it was called, for somebody who is about to read. An error is one of the store, which has failed.
func (s *Store) settle() error {
	w := &s.writing
	if !w.wanted.Load() {
		w.wanted.Store(true)
	}
	if !w.behind.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if failure := s.failure.Load(); failure != nil {
		return *failure
	}
	return s.fail(s.apply.commit())
}

func (a *applier) run(entries []engine.Entry, out []engine.Result) (err error) {
	w := &a.store.writing
	if w.closed {
		return ErrClosed
	}
	if failure := a.store.failure.Load(); failure != nil {
		return *failure // of somebody who has settled since
	}
	defer func() { err = errors.Join(err, a.find.reset()) }()
	for i := range entries {
		e := &entries[i]
		if e.Index <= a.view.state.applied {
			continue
		}
		a.local = e.Local
		result, err := a.command(e.Data)
		if err != nil {
			if !isRefusal(err) {
				return err
			}
			if result = nil; e.Local {
				result = a.results.short(codeOf(err))
			}
		}
		out[i].Data = result
		a.view.state.applied = e.Index
		a.endCommand()
		if a.isFull() {
			if err := a.commit(); err != nil {
				return err
			}
		}
	}
	if w.wanted.Load() || a.compact {
		w.wanted.Store(false)
		return a.commit()
	}
	w.behind.Store(a.generation.appliedIndex() != a.view.state.applied)
	return nil
}

// isFull tells whether what waits has to be written before the next command.
func (a *applier) isFull() bool {
	bytes, records := a.pending.bytes, a.pending.records()
	if a.generation.manual && sizeInMemory(bytes, records) > manualFlushBytes/2 {
		return true
	}
	return bytes > maxBatchBytes || records > maxBatchRecords
}

// endCommand makes the revision of what the command has changed, if it has.
func (a *applier) endCommand() {
	if a.pending.running > 0 {
		a.view.state.revision++
		a.pending.running = 0
	}
}

// commit writes what waits, together with the state that it leads to. It is only called between two commands.
func (a *applier) commit() (err error) {
	g, st := a.generation, a.view.state
	if a.store.writing.closed || g.appliedIndex() == st.applied {
		return nil
	}
	if a.batch == nil {
		a.batch = g.db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxKeptBatch))
	}
	defer a.batch.Reset()
	if err := a.pending.write(a.batch, st); err != nil {
		return storageError("write", err)
	}
	g.pending.Store(st.revision)
	if err := g.commit(a.batch); err != nil {
		return storageError("write", err)
	}
	g.publish(st)
	a.store.writing.behind.Store(false)
	if err := a.find.reset(); err != nil {
		return err
	}
	a.pending.clear()
	if a.compact {
		a.compact = false
		a.store.scrub.kick()
	}
	return nil
}

// command carries out one command and returns its result. An error that is a refusal has changed nothing.
func (a *applier) command(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, ErrInvalidCommand
	}
	switch body := data[1:]; data[0] {
	case commandPut:
		return a.putCommand(body)
	case commandDelete:
		return a.deleteCommand(body)
	case commandTxn:
		return a.txnCommand(body)
	case commandCompact:
		return a.compactCommand(body)
	case commandSetting:
		return a.settingCommand(body)
	}
	return nil, ErrInvalidCommand
}

// answer encodes a response, or a short form of it that is the revision alone.
func (a *applier) answer(m proto.Message) []byte {
	switch {
	case !a.local:
		return nil
	case m == nil:
		return a.results.short(codeRevision, a.view.revision())
	}
	return a.results.message(m)
}

func (a *applier) putCommand(body []byte) ([]byte, error) {
	p, err := decodePut(body)
	switch {
	case err != nil:
		return nil, err
	case len(p.key) == 0:
		return nil, ErrInvalidCommand
	case p.lease != 0:
		return nil, ErrLeaseNotFound
	}
	if p.ignoreValue || p.ignoreLease || p.previous {
		return a.fullPutCommand(p)
	}
	if err := a.set(p, nil); err != nil {
		return nil, err
	}
	return a.answer(nil), nil
}

// fullPutCommand is for puts that have to do with the previous record.
func (a *applier) fullPutCommand(p put) ([]byte, error) {
	if p.ignoreValue || p.ignoreLease {
		exists := false
		err := a.view.point(p.key, func([]byte, *record) error {
			exists = true
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !exists {
			return nil, ErrKeyNotFound
		}
	}
	response, err := a.put(p)
	if err != nil {
		return nil, err
	}
	return a.answer(response), nil
}

// put carries out a put and makes its response.
func (a *applier) put(p put) (*pb.PutResponse, error) {
	response := &pb.PutResponse{Header: &pb.ResponseHeader{}}
	if err := a.set(p, response); err != nil {
		return nil, err
	}
	response.Header.Revision = a.view.revision()
	return response, nil
}

// set makes a new version of a key. The previous record goes into the response if there is one that wants it.
func (a *applier) set(p put, response *pb.PutResponse) error {
	at := a.nextChange()
	next := record{created: at.main, changed: at, version: 1, lease: p.lease, value: p.value}
	previous, err := a.latest(p.key)
	if err != nil {
		return err
	}
	if previous.exists() {
		next.created, next.version = previous.created, previous.version+1
		if p.ignoreValue {
			next.value = append([]byte(nil), previous.value...)
		}
		if p.ignoreLease {
			next.lease = previous.lease
		}
		if p.previous && response != nil && a.local {
			response.PrevKv = copyKeyValue(p.key, &previous, false)
		}
	}
	// The command's memory is never written to, so it can be used as it is.
	key := unsafe.String(unsafe.SliceData(p.key), len(p.key))
	a.pending.replace(key, previous, next)
	return a.note(at, changePut, key)
}

// latest returns the latest record of a key, which lasts until the commit; one that does not exist if there is none.
func (a *applier) latest(key []byte) (record, error) {
	if r, known := a.pending.get(key); known {
		return r, nil
	}
	var latest record
	err := a.find.point(key, func(_ []byte, found *record) error {
		latest = *found
		latest.value = a.pending.keep(found.value)
		return nil
	})
	return latest, err
}

// nextChange returns the revision of the next change that the running command makes.
func (a *applier) nextChange() revision {
	return revision{a.view.state.revision + 1, a.pending.running}
}

// note keeps which key a revision changed, and counts the change.
func (a *applier) note(at revision, kind changeKind, key string) error {
	if a.pending.running == math.MaxUint32 {
		return ErrInvalidCommand
	}
	a.pending.running++
	a.pending.note(at, kind, key)
	return nil
}

func (a *applier) deleteCommand(body []byte) ([]byte, error) {
	var r pb.DeleteRangeRequest
	if err := decodeCommand(body, &r); err != nil {
		return nil, err
	}
	if len(r.Key) == 0 {
		return nil, ErrInvalidCommand
	}
	if err := a.beforeScan(len(r.RangeEnd) > 0); err != nil {
		return nil, err
	}
	response, err := a.deleteRange(&r)
	switch {
	case err != nil || !a.local:
		return nil, err
	case len(response.PrevKvs) == 0:
		return a.results.short(codeCount, a.view.revision(), response.Deleted), nil
	}
	return a.answer(response), nil
}

// deleteRange carries out a deletion and makes its response.
func (a *applier) deleteRange(r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	response := &pb.DeleteRangeResponse{Header: &pb.ResponseHeader{}}
	var pairs pairMaker
	err := a.view.scan(context.Background(), keyRangeOf(r.Key, r.RangeEnd), 0, func(key []byte, found *record) error {
		if response.Deleted++; r.PrevKv && a.local {
			response.PrevKvs = append(response.PrevKvs, pairs.copy(key, found, true))
		}
		return a.remove(key, found)
	})
	response.Header.Revision = a.view.revision()
	return response, err
}

// remove makes a tombstone for a key that exists. What it is given need not last.
func (a *applier) remove(lent []byte, r *record) error {
	at, key, previous := a.nextChange(), string(lent), *r
	previous.value = a.pending.keep(previous.value)
	a.pending.replace(key, previous, record{})
	a.pending.bury(key, at)
	return a.note(at, changeDelete, key)
}

func (a *applier) txnCommand(body []byte) ([]byte, error) {
	r, err := decodeTxn(body, &a.short)
	if err != nil {
		return nil, err
	}
	if err := checkTxn(r); err != nil {
		return nil, err
	}
	past, ranges := reads(r)
	if past {
		// The past is read from the database alone, so it has to be there.
		if err := a.commit(); err != nil {
			return nil, err
		}
	}
	if err := a.beforeScan(ranges); err != nil {
		return nil, err
	}
	t := txn{ctx: context.Background(), view: &a.view, write: a}
	p, err := t.choose(r)
	if err != nil {
		return nil, err
	}
	if puts := p.branch(r); onlyPuts(puts) {
		return a.putAll(puts, p.succeeded)
	}
	response, err := t.finish(r, p)
	if err != nil || !a.local {
		return nil, err
	}
	return a.answer(response), nil
}

// putAll carries out the branch of a transaction whose response is a short one.
func (a *applier) putAll(puts []*pb.RequestOp, succeeded bool) ([]byte, error) {
	for _, op := range puts {
		if err := a.set(putOf(op.GetRequestPut()), nil); err != nil {
			return nil, err
		}
	}
	if !a.local {
		return nil, nil
	}
	outcome := int64(2 * len(puts))
	if succeeded {
		outcome++
	}
	return a.results.short(codePuts, a.view.revision(), outcome), nil
}

// fewChanges are so many that a scan may go through them all.
const fewChanges = 64

// beforeScan writes what waits if the command is going to scan ranges and would go through much of it each time.
func (a *applier) beforeScan(ranges bool) error {
	if ranges && len(a.pending.changes) > fewChanges {
		return a.commit()
	}
	return nil
}

// reads tells whether the transaction may read at a revision of its own, and whether it may read or delete more than single keys.
func reads(r *pb.TxnRequest) (past, ranges bool) {
	for _, c := range r.Compare {
		ranges = ranges || len(c.RangeEnd) > 0
	}
	for _, branch := range [...][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			switch request := op.Request.(type) {
			case *pb.RequestOp_RequestRange:
				past = past || request.RequestRange.Revision > 0
				ranges = ranges || len(request.RequestRange.RangeEnd) > 0
			case *pb.RequestOp_RequestDeleteRange:
				ranges = ranges || len(request.RequestDeleteRange.RangeEnd) > 0
			case *pb.RequestOp_RequestTxn:
				innerPast, innerRanges := reads(request.RequestTxn)
				past, ranges = past || innerPast, ranges || innerRanges
			}
		}
	}
	return past, ranges
}

func (a *applier) compactCommand(body []byte) ([]byte, error) {
	var r pb.CompactionRequest
	if err := decodeCommand(body, &r); err != nil {
		return nil, err
	}
	switch {
	case r.Revision <= a.view.state.compacted:
		return nil, ErrCompacted
	case r.Revision > a.view.state.revision:
		return nil, ErrFutureRev
	}
	a.view.state.compacted, a.compact = r.Revision, true
	return a.answer(nil), nil
}

func (a *applier) settingCommand(body []byte) ([]byte, error) {
	name, value, err := decodeSetting(body)
	if err != nil {
		return nil, err
	}
	a.pending.set(name, value)
	return a.answer(nil), nil
}
