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
	brief   []job
	lengthy []job
}

type job struct {
	run func()
	// last says that it has to be run even if the host is closed before.
	last bool
}

// background queues a brief job.
func (h *Host) background(run func()) { h.queueJob(&h.jobs.brief, job{run: run}) }

// lengthy queues a job that takes as long as a state is large.
func (h *Host) lengthy(run func()) { h.queueJob(&h.jobs.lengthy, job{run: run}) }

// behind queues a brief job that closes what those before it use.
func (h *Host) behind(run func()) { h.queueJob(&h.jobs.brief, job{run: run, last: true}) }

func (h *Host) queueJob(jobs *[]job, j job) {
	h.jobs.mu.Lock()
	*jobs = append(*jobs, j)
	h.jobs.mu.Unlock()
	h.notify(StageBackground, 0)
}

// run takes the first job of a queue and runs it; false if there is none.
func (q *jobQueue) run(jobs *[]job) bool {
	j, ok := q.take(jobs)
	if ok {
		j.run()
	}
	return ok
}

func (q *jobQueue) take(jobs *[]job) (j job, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(*jobs) == 0 {
		return job{}, false
	}
	j = (*jobs)[0]
	(*jobs)[0] = job{}
	*jobs = (*jobs)[1:]
	return j, true
}

// finish runs what has to be run of the brief jobs that nobody will run any more.
func (q *jobQueue) finish() {
	for {
		j, ok := q.take(&q.brief)
		if !ok {
			return
		}
		if j.last {
			j.run()
		}
	}
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
