package engine

import (
	"errors"
	"sync"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// jobQueue holds slow work that nobody waits for on the spot. There are two kinds, each of which runs one after the other, in order: brief jobs read or
// write a piece of a file, lengthy ones all of a state. A member that catches up, and the next segment of the log, do not wait for a lengthy one.
type jobQueue struct {
	mu      sync.Mutex
	brief   []func()
	lengthy []func()
}

// background queues a brief job.
func (h *Host) background(job func()) {
	h.jobs.mu.Lock()
	h.jobs.brief = append(h.jobs.brief, job)
	h.jobs.mu.Unlock()
	h.notify(StageBackground, 0)
}

// lengthy queues a job that takes as long as a state is large.
func (h *Host) lengthy(job func()) {
	h.jobs.mu.Lock()
	h.jobs.lengthy = append(h.jobs.lengthy, job)
	h.jobs.mu.Unlock()
	h.notify(StageBackground, 0)
}

// run takes the first job of a queue and runs it; false if there is none.
func (q *jobQueue) run(jobs *[]func()) bool {
	q.mu.Lock()
	var job func()
	if len(*jobs) > 0 {
		job = (*jobs)[0]
		(*jobs)[0] = nil
		*jobs = (*jobs)[1:]
	}
	q.mu.Unlock()
	if job == nil {
		return false
	}
	job()
	return true
}

// Background is one pass of the Background stage: it runs one job, or makes the next segment of the log ready, and reports whether there was anything to do.
// Run has a goroutine for lengthy jobs, and one for all else.
func (h *Host) Background() bool {
	return h.jobs.run(&h.jobs.brief) || h.jobs.run(&h.jobs.lengthy) || h.prepare()
}

// prepare makes the next segment of the log ready, a piece at a time.
func (h *Host) prepare() bool {
	if h.Err() != nil {
		return false
	}
	did, err := h.options.Log.Prepare()
	if err != nil && !errors.Is(err, wal.ErrFull) {
		h.fail(err)
	}
	return did && err == nil
}

// fetch reads entries that a follower needs and the core no longer holds.
func (g *Group) fetch(f raft.Fetch) {
	g.host.background(func() {
		entries, err := g.host.options.Log.Entries(g.id, f.From, f.To, f.MaxBytes)
		if err != nil {
			if !errors.Is(err, wal.ErrCompacted) {
				g.host.options.Logger.Warn("cannot read entries for a follower; it gets a snapshot", "group", uint64(g.id), "member", uint64(f.Member),
					"from", uint64(f.From), "to", uint64(f.To), "error", err)
			}
			entries = nil
		}
		g.post(func() { g.core.Fetched(f, entries) })
	})
}
