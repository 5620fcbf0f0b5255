package sim

import (
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// A leader whose disk is stuck keeps the others: they hear it, and elect nobody else. It cannot do its own part, though, and whoever asks it waits; so it has to
// give up its leadership after a while, which is ten election timeouts by the host's own clock. A leader that has fallen silent keeps nobody.

// stuckGrace is how much longer it may take: until a turn sees what the disk does, and the next one draws the consequence.
const stuckGrace = time.Second

// lookAtStuck fails the run when a process leads although its disk has been at one and the same fsync for too long.
func (w *World) lookAtStuck(h *host) {
	if h.engine == nil || h.paused || !h.syncing || h.sluggish > 1 {
		h.leadsStuck = 0
		return
	}
	stuck := h.clock.local(w.now) - h.clock.local(h.syncBegan)
	leads := (*member)(nil)
	for _, m := range h.members {
		if m.running != nil && m.running.Core().Role() == raft.Leader && !m.running.Core().Status().Quiesced {
			leads = m
		}
	}
	if leads == nil || stuck < 10*max(h.config().ElectionTimeoutMin, 150*time.Millisecond)+stuckGrace {
		h.leadsStuck = 0
		return
	}
	if h.leadsStuck == 0 {
		h.leadsStuck = w.now
	}
	if w.now-h.leadsStuck > stuckGrace {
		w.fail("liveness", "%v leads term %d although its disk has been stuck for %v", leads, leads.running.Core().Term(), w.now-h.syncBegan)
	}
}
