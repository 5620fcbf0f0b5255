package engine

import (
	"errors"
	"sync"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// jobQueue holds slow work that nobody waits for on the spot. Jobs of one host run one after the other, in order.
type jobQueue struct {
	mu   sync.Mutex
	jobs []func()
}

func (h *Host) background(job func()) {
	h.jobs.mu.Lock()
	h.jobs.jobs = append(h.jobs.jobs, job)
	h.jobs.mu.Unlock()
	h.notify(StageBackground, 0)
}

// Background is one pass of the Background stage: it runs one job, or makes the next segment of the log ready, and reports whether there was anything to do.
func (h *Host) Background() bool {
	h.jobs.mu.Lock()
	var job func()
	if len(h.jobs.jobs) > 0 {
		job = h.jobs.jobs[0]
		h.jobs.jobs[0] = nil
		h.jobs.jobs = h.jobs.jobs[1:]
	}
	h.jobs.mu.Unlock()
	if job != nil {
		job()
		return true
	}
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
