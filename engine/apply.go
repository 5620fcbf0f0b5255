package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// applyTask is one thing to do with a group's machine, in order: apply entries (given, or named as a range of the log), restore a snapshot, or
// capture one.
type applyTask struct {
	entries  []raft.Entry
	from, to raft.Index
	restore  *raft.SnapshotMeta
	capture  func(at raft.Index, writer SnapshotWriter, err error)
}

// applyQueue is what a group's machine still has to do. The turn pushes, one Apply stage at a time works on it.
type applyQueue struct {
	mu      sync.Mutex
	tasks   []applyTask
	spare   []applyTask
	running bool // on the ready list, or being worked on
	closed  bool
	idle    chan struct{} // closed once the group is, and its machine is left alone for good

	// handed is the last index ever pushed; the turn's own.
	handed raft.Index
	// snapshot is the index of a snapshot that will be restored, and that the log already begins with (see supersede); the applier's own.
	snapshot raft.Index
	// batch is the applier's scratch space.
	batch []Entry
	calls []*call
}

// push queues a task and puts the group on the ready list if it is not there.
func (q *applyQueue) push(g *Group, t applyTask) {
	switch {
	case len(t.entries) > 0:
		q.handed = t.entries[len(t.entries)-1].Index
	case t.to != 0:
		q.handed = t.to
	case t.restore != nil:
		q.handed = max(q.handed, t.restore.Index)
	}
	q.mu.Lock()
	start := !q.running && !q.closed
	if !q.closed {
		q.tasks = append(q.tasks, t)
		q.running = true
	}
	q.mu.Unlock()
	if start {
		g.host.ready.push(g)
		g.host.notify(StageApply, 0)
	}
}

// close makes sure that no more tasks come in.
func (q *applyQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if !q.running {
		close(q.idle)
	}
}

// readyGroups lists the groups whose machines have work.
type readyGroups struct {
	mu     sync.Mutex
	groups []*Group // from the one at next on; those before it were taken
	next   int
	taken  uint64
}

func (r *readyGroups) push(g *Group) {
	r.mu.Lock()
	if len(r.groups) == cap(r.groups) {
		r.groups, r.next = slices.Delete(r.groups, 0, r.next), 0
	}
	r.groups = append(r.groups, g)
	r.mu.Unlock()
}

func (r *readyGroups) pop() *Group {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == len(r.groups) {
		return nil
	}
	g := r.groups[r.next]
	r.groups[r.next] = nil
	r.taken++
	if r.next++; r.next == len(r.groups) {
		r.groups, r.next = r.groups[:0], 0
	}
	return g
}

// waiting tells how many groups are on the list, and how many were ever taken from it.
func (r *readyGroups) waiting() (n int, taken uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.groups) - r.next, r.taken
}

// Apply is one pass of the Apply stage: it takes one group that has work, and lets its machine do all of it. It blocks for as long as the machine
// does, and reports whether there was anything to do. Several callers may be in it at once: a group is only ever with one of them.
func (h *Host) Apply() bool {
	g := h.ready.pop()
	if g == nil {
		return false
	}
	q := &g.apply
	for {
		q.mu.Lock()
		tasks := q.tasks
		if len(tasks) == 0 {
			q.running = false
			if q.closed {
				close(q.idle)
			}
			q.mu.Unlock()
			return true
		}
		q.tasks = q.spare[:0]
		q.mu.Unlock()
		for i := range tasks {
			if h.Err() == nil && !g.closed.Load() {
				g.applyTask(&tasks[i])
			} else if tasks[i].capture != nil {
				tasks[i].capture(0, nil, ErrClosed)
			}
		}
		clear(tasks)
		q.spare = tasks[:0]
	}
}

// maxApplyBytes bounds what is read back from the log at a time.
const maxApplyBytes = 4 << 20

func (g *Group) applyTask(t *applyTask) {
	if t.restore == nil && t.capture == nil && g.apply.superseded(t) {
		return
	}
	switch {
	case t.restore != nil:
		g.restoreInstalled(*t.restore)
	case t.capture != nil:
		writer, err := g.machine.Snapshot()
		t.capture(g.AppliedIndex(), writer, err)
	case len(t.entries) > 0:
		g.applyEntries(t.entries)
	default:
		g.applyLogged(t.from, t.to)
	}
}

// applyLogged reads entries back from the log and applies them.
func (g *Group) applyLogged(from, to raft.Index) {
	scan := g.host.options.Log.Scan(g.id, from, to, maxApplyBytes)
	defer scan.Close()
	for from <= to {
		entries, err := scan.Next()
		if errors.Is(err, wal.ErrCompacted) && g.supersede(to) {
			return
		}
		if err != nil {
			g.host.fail(fmt.Errorf("group %d: read committed entries from %d to %d back from the log: %w", g.id, from, to, err))
			return
		}
		g.applyEntries(entries)
		from = entries[len(entries)-1].Index + 1
	}
}

// supersede notes that a snapshot took the place of the log up to index to at least, while the machine had not yet applied that much. The task that
// restores the machine from it follows: until then there is nothing to apply. False if there is no such snapshot.
func (g *Group) supersede(to raft.Index) bool {
	state, ok := g.host.options.Log.State(g.id)
	if !ok || state.Snapshot.Index < to {
		return false
	}
	g.apply.snapshot = state.Snapshot.Index
	return true
}

// superseded tells whether a snapshot that is about to be restored stands for the task's entries.
func (q *applyQueue) superseded(t *applyTask) bool {
	to := t.to
	if n := len(t.entries); n > 0 {
		to = t.entries[n-1].Index
	}
	return to <= q.snapshot
}

// applyEntries hands the commands among the entries to the machine as one batch, and answers those who wait for them.
func (g *Group) applyEntries(entries []raft.Entry) {
	q := &g.apply
	q.batch, q.calls = q.batch[:0], g.waiting.take(entries, q.calls[:0])
	wake := false
	for i := range entries {
		e, c := &entries[i], q.calls[i]
		if e.Kind == raft.EntryCommand {
			q.calls[len(q.batch)] = c // moved up where others than commands are among the entries
			q.batch = append(q.batch, Entry{Index: e.Index, Term: e.Term, Data: e.Data, Local: c != nil})
			continue
		}
		wake = true
		if c != nil {
			// The answer to a change goes out with the batch's, so that the machine is as far as its caller may assume.
			defer c.finish(outcome{index: e.Index})
		}
	}
	last := entries[len(entries)-1].Index
	if len(q.batch) > 0 {
		results := g.machine.Apply(q.batch)
		if len(results) != len(q.batch) {
			panic(fmt.Sprintf("balsa: the state machine of group %d returned %d results for %d entries", g.id, len(results), len(q.batch)))
		}
		g.applied.Store(uint64(last))
		for i, c := range q.calls[:len(q.batch)] {
			if c != nil {
				c.finish(outcome{result: results[i], index: q.batch[i].Index})
			}
		}
		clear(q.batch)
	} else {
		g.applied.Store(uint64(last))
	}
	clear(q.calls)
	g.reads.release(last)
	if wake {
		g.touch()
	}
}

// restoreInstalled gives the machine the state of a snapshot that came from the leader and that the log already begins with.
func (g *Group) restoreInstalled(meta raft.SnapshotMeta) {
	if g.AppliedIndex() >= meta.Index {
		panic(fmt.Sprintf("balsa: group %d: a snapshot at %d would take the machine back from %d", g.id, meta.Index, g.AppliedIndex()))
	}
	_, found, err := g.host.store.restore(g.id, func(m raft.SnapshotMeta) bool { return m.Index == meta.Index && m.Term == meta.Term }, false, g.machine.Restore)
	if err == nil && !found {
		err = fmt.Errorf("the file is missing or damaged in %s", g.host.store.dir)
	}
	if refused := (refusal{}); errors.As(err, &refused) {
		// The body is as it was sent, so it is the machine that does not understand it.
		g.fail(fmt.Errorf("the state machine does not take the snapshot at %d: %w: see that all members run the same machine, stop the group on this host, and start it again",
			meta.Index, refused.error))
		return
	}
	if err != nil {
		g.host.fail(fmt.Errorf("group %d: restore the state machine from the snapshot at %d: %w", g.id, meta.Index, err))
		return
	}
	g.host.options.Logger.Info("the state machine was restored from a snapshot of the leader", "group", uint64(g.id), "index", uint64(meta.Index))
	g.waiting.skip(meta.Index)
	g.applied.Store(uint64(meta.Index))
	g.reads.release(meta.Index)
	g.post(func() {
		g.commit.Store(max(g.commit.Load(), uint64(meta.Index)))
		g.core.SnapshotInstalled(meta, true)
		g.compact.snapshotIndex = meta.Index
		g.pruneSnapshots()
	})
}
