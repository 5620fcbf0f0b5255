package kv

import (
	"context"
	"errors"
	"math"
	"slices"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/balsa-raft/balsa/engine"
)

// applier turns commands into batches. It belongs to the goroutine that calls Apply.
type applier struct {
	store      *Store
	generation *generation
	// batch is what is about to be committed: versions that were superseded first, then, at the commit, the notes and the latest records. What lies close in the
	// database is written one after the other, which is half the work for Pebble's memtable; a key that changes often is written once.
	batch, notes *pebble.Batch

	// view is what commands read: the database with what the batch adds to it. Its overlay holds the batch's changes.
	view    view
	pending overlay
	recent  recent
	find    finder
	// latestBytes is about what the latest records will take in the batch, changed the memory to sort their keys in.
	latestBytes int
	changed     []string
	// local says that the result of the running command is wanted.
	local   bool
	results results
	compact bool // the batch has a compaction

	key, head []byte // memory to encode in
}

// A batch is committed early when it grows beyond these, so that memory stays bounded and no batch exceeds a memtable.
const (
	maxBatchBytes   = 4 << 20
	maxBatchRecords = 16 << 10
)

// reset makes the applier start from the store's current generation.
func (a *applier) reset(s *Store) {
	*a = applier{store: s}
	a.begin(s.current.Load())
}

func (a *applier) begin(g *generation) {
	a.generation = g
	a.pending = overlay{records: make(map[string]record), recent: &a.recent}
	a.find = finder{db: g.db}
	a.view = view{from: g.db, pending: &a.pending, find: &a.find, state: state{
		applied: g.appliedIndex(), revision: g.revision.Load(), compacted: g.compacted.Load(),
	}}
}

// Apply implements engine.StateMachine. Commands that the store has applied before are passed over, with empty results. When the store fails, what was not
// committed is forgotten and results say ErrCorrupt, now and in every later Apply until Restore.
func (s *Store) Apply(entries []engine.Entry) []engine.Result {
	out := make([]engine.Result, len(entries))
	g, err := s.use()
	if err == nil {
		err = s.apply.run(entries, out)
		g.release()
	}
	if err != nil {
		_ = s.fail(err)
		for i := range entries {
			if entries[i].Local {
				out[i] = engine.Result{Data: []byte{byte(codeBroken)}}
			}
		}
	}
	return out
}

func (a *applier) run(entries []engine.Entry, out []engine.Result) (err error) {
	a.batch, a.notes = a.generation.db.NewBatch(), a.generation.db.NewBatch()
	defer func() { err = errors.Join(err, a.batch.Close(), a.notes.Close(), a.find.reset()) }()
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
	return a.commit()
}

// isFull tells whether the batch has to be committed before the next command.
func (a *applier) isFull() bool {
	bytes, records := a.batch.Len()+a.notes.Len()+a.latestBytes, len(a.pending.records)
	if a.generation.manual && sizeInMemory(bytes, records+int(a.batch.Count()+a.notes.Count())) > manualFlushBytes/2 {
		return true
	}
	return bytes > maxBatchBytes || records > maxBatchRecords
}

// endCommand makes the revision of what the command has changed, if it has.
func (a *applier) endCommand() {
	if a.pending.changes > 0 {
		a.view.state.revision++
		a.pending.changes = 0
	}
}

// commit writes the batch together with the state that it leads to. It is only called between two commands.
func (a *applier) commit() error {
	g, st := a.generation, a.view.state
	if g.appliedIndex() == st.applied {
		return nil
	}
	if err := a.batch.Apply(a.notes, nil); err != nil {
		return storageError("write", err)
	}
	if err := a.writeLatest(); err != nil {
		return err
	}
	if err := a.batch.Set(stateKey, st.append(a.head[:0]), nil); err != nil {
		return storageError("write", err)
	}
	g.pending.Store(st.revision)
	if err := g.commit(a.batch); err != nil {
		return storageError("write", err)
	}
	g.publish(st)
	if err := a.find.reset(); err != nil {
		return err
	}
	a.batch.Reset()
	a.notes.Reset()
	a.latestBytes = 0
	for _, key := range a.changed {
		a.recent.put(key, a.pending.records[key])
	}
	clear(a.changed)
	a.changed = a.changed[:0]
	if len(a.pending.records) > maxBatchRecords {
		a.pending.records = make(map[string]record)
	} else {
		clear(a.pending.records)
	}
	if a.compact {
		a.compact = false
		a.store.scrub.kick()
	}
	return nil
}

// writeLatest adds the latest records of the keys that have changed to the batch, in the order of the keys.
func (a *applier) writeLatest() error {
	for key := range a.pending.records {
		a.changed = append(a.changed, key)
	}
	slices.Sort(a.changed)
	for _, key := range a.changed {
		r := a.pending.records[key]
		a.key = append(append(a.key[:0], prefixLatest), key...)
		var err error
		if r.exists() {
			err = a.setRecord(a.key, &r)
		} else {
			err = storageError("write", a.batch.Delete(a.key, nil))
		}
		if err != nil {
			return err
		}
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

// set writes a new version of a key. Key and value stay referenced until the commit. The previous record goes into the response if there is one that wants it.
func (a *applier) set(p put, response *pb.PutResponse) error {
	at := a.nextChange()
	next := record{created: at.main, changed: at, version: 1, lease: p.lease, value: p.value}
	err := a.view.point(p.key, func(key []byte, previous *record) error {
		next.created, next.version = previous.created, previous.version+1
		if p.ignoreValue {
			next.value = append([]byte(nil), previous.value...)
		}
		if p.ignoreLease {
			next.lease = previous.lease
		}
		if p.previous && response != nil && a.local {
			response.PrevKv = copyKeyValue(key, previous, false)
		}
		return a.supersede(key, previous)
	})
	if err != nil {
		return err
	}
	// The command's memory is never written to, so the map can use the key as it is.
	a.change(unsafe.String(unsafe.SliceData(p.key), len(p.key)), next)
	return a.note(at, changePut, p.key)
}

// change makes r the latest record of a key.
func (a *applier) change(key string, r record) {
	a.pending.records[key] = r
	a.latestBytes += len(key) + len(r.value)
}

// nextChange returns the revision of the next change that the running command makes.
func (a *applier) nextChange() revision {
	return revision{a.view.state.revision + 1, a.pending.changes}
}

// supersede keeps a record that is about to be replaced.
func (a *applier) supersede(key []byte, r *record) error {
	a.key = appendHistoryKey(a.key[:0], key, r.changed)
	return a.setRecord(a.key, r)
}

func (a *applier) setRecord(key []byte, r *record) error {
	a.head = r.appendHead(a.head[:0])
	op := a.batch.SetDeferred(len(key), len(a.head)+len(r.value))
	copy(op.Key, key)
	copy(op.Value[copy(op.Value, a.head):], r.value)
	return storageError("write", op.Finish())
}

// note writes which key a revision changed, and counts the change.
func (a *applier) note(at revision, kind changeKind, key []byte) error {
	if a.pending.changes == math.MaxUint32 {
		return ErrInvalidCommand
	}
	a.pending.changes++
	a.key = appendRevisionKey(a.key[:0], at)
	op := a.notes.SetDeferred(len(a.key), 1+len(key))
	copy(op.Key, a.key)
	op.Value[0] = byte(kind)
	copy(op.Value[1:], key)
	return storageError("write", op.Finish())
}

func (a *applier) deleteCommand(body []byte) ([]byte, error) {
	var r pb.DeleteRangeRequest
	if err := decodeCommand(body, &r); err != nil {
		return nil, err
	}
	if len(r.Key) == 0 {
		return nil, ErrInvalidCommand
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

// remove writes a tombstone for a key that exists.
func (a *applier) remove(key []byte, r *record) error {
	at := a.nextChange()
	if err := a.supersede(key, r); err != nil {
		return err
	}
	a.key = appendHistoryKey(a.key[:0], key, at)
	if err := a.batch.Set(a.key, nil, nil); err != nil {
		return storageError("write", err)
	}
	a.change(string(key), record{})
	return a.note(at, changeDelete, key)
}

func (a *applier) txnCommand(body []byte) ([]byte, error) {
	var r pb.TxnRequest
	if err := decodeCommand(body, &r); err != nil {
		return nil, err
	}
	if err := checkTxn(&r); err != nil {
		return nil, err
	}
	if readsHistory(&r) {
		// The past is read from the database alone, so what the batch has for it has to be there.
		if err := a.commit(); err != nil {
			return nil, err
		}
	}
	t := txn{ctx: context.Background(), view: &a.view, write: a}
	response, err := t.run(&r)
	switch {
	case err != nil || !a.local:
		return nil, err
	case onlyPuts(response):
		outcome := int64(2 * len(response.Responses))
		if response.Succeeded {
			outcome++
		}
		return a.results.short(codePuts, response.Header.Revision, outcome), nil
	}
	return a.answer(response), nil
}

// readsHistory tells whether the transaction may read at a revision of its own.
func readsHistory(r *pb.TxnRequest) bool {
	for _, branch := range [...][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			switch request := op.Request.(type) {
			case *pb.RequestOp_RequestRange:
				if request.RequestRange.Revision > 0 {
					return true
				}
			case *pb.RequestOp_RequestTxn:
				if readsHistory(request.RequestTxn) {
					return true
				}
			}
		}
	}
	return false
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
	a.key = append(append(a.key[:0], prefixSetting), name...)
	if len(value) == 0 {
		err = a.batch.Delete(a.key, nil)
	} else {
		err = a.batch.Set(a.key, value, nil)
	}
	if err != nil {
		return nil, storageError("write", err)
	}
	return a.answer(nil), nil
}
