package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/wal"
)

// persist is one write that a group wants, and what may happen once it is durable. Without a group it is the host's own.
type persist struct {
	group *Group
	seq   uint64
	batch wal.Batch
	after []Envelope
	then  func() // runs in the Sync stage once durable
}

// empty tells whether there is nothing to write: the persist only waits for those before it.
func (p *persist) empty() bool {
	b := &p.batch
	return b.HardState == nil && len(b.Entries) == 0 && b.Snapshot == nil && b.Compact == nil && !b.Remove
}

// disk is the Sync stage: whatever all groups queued while one fsync ran goes into the next one.
type disk struct {
	host *Host
	log  *wal.Log

	mu    sync.Mutex
	queue []persist

	// The stage's own.
	work    []persist // what the pass that is under way has taken
	done    []persist // what of it, and of what waited, has been appended
	spare   []persist
	blocked []persist // writes that wait for room on the disk, in order
	batches []wal.Batch
	after   []Envelope

	// since is when the turns first saw the sync that is running, for stuck; guarded by mu.
	sinceRun uint64
	since    time.Duration
	run      atomic.Uint64 // numbers the syncs; odd while one is running
}

func (d *disk) enqueue(p []persist) {
	d.mu.Lock()
	d.queue = append(d.queue, p...)
	d.mu.Unlock()
	d.host.notify(StageSync, 0)
}

// stuck tells for how long the sync that is running has been running, as the turns see it.
func (d *disk) stuck(now time.Duration) time.Duration {
	run := d.run.Load()
	if run%2 == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sinceRun != run {
		d.sinceRun, d.since = run, now
	}
	return now - d.since
}

// Sync is one pass of the Sync stage: it writes everything that is queued with one fsync, lets the messages go that waited for it, and tells the
// groups. It blocks for as long as the disk does, and reports whether there was anything to do.
func (h *Host) Sync() bool {
	if !h.BeginSync() {
		return false
	}
	h.EndSync()
	return true
}

// BeginSync and EndSync are the two halves of Sync, for simulators in which time passes between them: what is queued in between is left for the
// next pass, a disk that takes long is seen to take long, and other stages find in the log what is not durable yet. BeginSync takes what is queued
// and appends it, as far as there is room, and reports whether there is anything; only then EndSync has to follow, which makes it durable and
// announces it.
func (h *Host) BeginSync() bool {
	d := &h.disk
	d.mu.Lock()
	d.work = d.queue
	d.queue = d.spare[:0]
	d.mu.Unlock()
	if len(d.work) == 0 && len(d.blocked) == 0 {
		d.spare = d.work
		return false
	}
	d.run.Add(1)
	if h.Err() == nil {
		d.begin(d.work)
	}
	return true
}

// EndSync is the second half of Sync: see BeginSync.
func (h *Host) EndSync() {
	d := &h.disk
	if h.Err() == nil {
		d.end()
	}
	d.run.Add(1)
	d.done = nil
	clear(d.work)
	d.spare = d.work[:0]
}

// begin appends the work to the log, what waited for room before it.
func (d *disk) begin(work []persist) {
	if len(d.blocked) > 0 {
		work = append(d.blocked, work...)
		d.blocked = nil
	}
	done, err := d.append(work)
	if err != nil {
		d.host.fail(err)
	}
	d.done = done
}

// end makes durable what was appended, and announces it.
func (d *disk) end() {
	if len(d.batches) > 0 {
		if err := d.log.Sync(); err != nil {
			d.host.fail(err)
			return
		}
	}
	clear(d.batches)
	d.batches = d.batches[:0]
	d.announce(d.done)
	if d.log.Pending() {
		d.host.notify(StageBackground, 0) // the next segment is made ready before it is needed
	}
}

// append hands the batches to the log. Where the disk is full, a group's writes stop at the first that has no room, so that their order stays; the
// other groups go on.
func (d *disk) append(work []persist) ([]persist, error) {
	for i := range work {
		if !work[i].empty() {
			d.batches = append(d.batches, work[i].batch)
		}
	}
	if len(d.batches) == 0 {
		return work, nil
	}
	err := d.log.Append(d.batches)
	if !errors.Is(err, wal.ErrFull) {
		return work, err
	}
	done := make([]persist, 0, len(work))
	full := map[*Group]bool{}
	for _, p := range work {
		if full[p.group] {
			d.blocked = append(d.blocked, p)
			continue
		}
		if !p.empty() {
			err := d.log.Append([]wal.Batch{p.batch})
			if errors.Is(err, wal.ErrFull) {
				full[p.group] = true
				d.blocked = append(d.blocked, p)
				continue
			} else if err != nil {
				return nil, err
			}
		}
		done = append(done, p)
	}
	return done, nil
}

// announce lets go what waited for the writes. The messages leave from here: a hop through the group's turn would only cost time.
func (d *disk) announce(done []persist) {
	var w *worker
	for i := range done {
		if after := done[i].after; len(after) > 0 {
			w, d.after = done[i].group.worker, append(d.after, after...)
		}
	}
	if len(d.after) > 0 {
		w.send(d.after)
		clear(d.after)
		d.after = d.after[:0]
	}
	var held *worker // whose lists are locked: one turn learns of all
	for i := range done {
		p := &done[i]
		if p.then != nil {
			held.release()
			held = nil
			p.then()
		}
		if p.group == nil || p.seq <= p.group.syncedSeq.Load() {
			continue
		}
		p.group.syncedSeq.Store(p.seq)
		if !p.group.awaitsSync.Load() {
			continue // its next turn finds out, whatever that is for
		}
		if held != p.group.worker {
			held.release()
			held = p.group.worker
			held.mu.Lock()
		}
		p.group.enqueueLocked()
	}
	held.releaseFor(len(done) == 1)
}

// blockedWrites tells whether writes wait for room, so that the stage tries again after a while.
func (d *disk) blockedWrites() bool { return len(d.blocked) > 0 }
