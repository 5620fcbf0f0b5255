package engine

import (
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// compaction is how a group keeps its log short; the turn's own.
type compaction struct {
	// running says that a snapshot is being written or a machine flushed.
	running bool
	// snapshotIndex is that of the newest snapshot on disk.
	snapshotIndex raft.Index
	// received is the last body that arrived in full.
	received receivedBody
	// base is where the log begins.
	base raft.Index
	// grown is what was handed out to be applied, about, since the log's size was last looked at: that takes a lock which whoever writes the log holds.
	grown uint64
	// retryAt keeps a failed attempt from being repeated at once.
	retryAt time.Duration
}

// receivedBody names a snapshot that arrived: by its content, and by what it stands for, since a state may be the same at two indexes.
type receivedBody struct {
	id    uint64
	index raft.Index
}

// maybeCompact starts a compaction when the log has grown past its bounds: by bytes, or by entries if so asked.
func (g *Group) maybeCompact() {
	c, o := &g.compact, &g.host.options
	if c.running || g.worker.now < c.retryAt || g.core.Installing() {
		return
	}
	applied := g.AppliedIndex()
	entries := uint64(applied) - min(uint64(applied), uint64(max(c.base, g.core.FirstIndex()-1)))
	byEntries := o.CompactEntries > 0 && entries > o.CompactEntries+o.KeepEntries
	if !byEntries && (entries < 2 || !g.tooLong()) {
		return
	}
	if g.compactTarget(applied) <= g.core.FirstIndex()-1 {
		c.retryAt = g.worker.now + o.Raft.HeartbeatInterval // a reachable member still needs all of it
		return
	}
	c.running = true
	if g.durable != nil {
		g.host.lengthy(g.flush)
		return
	}
	g.writeSnapshot(func(meta raft.SnapshotMeta, err error) { g.compacted(meta.Index, err) })
}

// flush makes the machine's state durable, as far as it is.
func (g *Group) flush() {
	g.beside.RLock()
	defer g.beside.RUnlock()
	if g.closed.Load() {
		return // the machine is its owner's again
	}
	err := g.durable.Flush()
	at := g.durable.DurableIndex()
	g.post(func() { g.compacted(at, err) })
}

// hasDurable tells whether the machine needs no snapshot up to an index, as far as is known without waiting.
func (g *Group) hasDurable(index raft.Index) bool {
	if g.durable == nil || !g.beside.TryRLock() {
		return false
	}
	defer g.beside.RUnlock()
	return !g.closed.Load() && g.durable.DurableIndex() >= index
}

// tooLong tells whether the log is beyond its bound in bytes. It may be late by a 64th of that.
func (g *Group) tooLong() bool {
	c, bound := &g.compact, g.host.options.CompactBytes
	if c.grown < bound/64 {
		return false
	}
	if g.host.options.Log.Bytes(g.id) > bound {
		return true
	}
	c.grown = 0
	return false
}

// compacted cuts the log once the machine's state up to index at is safe without it.
func (g *Group) compacted(at raft.Index, err error) {
	c := &g.compact
	c.running = false
	if err != nil {
		c.retryAt = g.worker.now + 10*time.Second
		g.host.options.Logger.Warn("log not compacted", "group", uint64(g.id), "error", err)
		return
	}
	if g.core.Installing() {
		return // A snapshot of the leader takes the log's place, and the core forgets nothing before.
	}
	to := g.compactTarget(min(at, g.AppliedIndex()))
	meta, ok := g.core.SnapshotMetaAt(to)
	if !ok || to < g.core.FirstIndex() {
		c.retryAt = g.worker.now + time.Second
		return
	}
	g.worker.persists = append(g.worker.persists, persist{batch: wal.Batch{Group: g.id, Compact: &meta}})
	g.core.Compacted(meta)
	c.base = to
	g.pruneSnapshots()
}

// compactTarget is how far the log may be cut when the state up to index at is safe: some entries are left for members that were
// away for a moment, all that a reachable member still lacks, and all from a snapshot on that is on its way; the latter two only while the log
// is not far beyond its bound, since a disk is finite.
func (g *Group) compactTarget(at raft.Index) raft.Index {
	o := &g.host.options
	keep := raft.Index(o.KeepEntries)
	if g.host.options.Log.Bytes(g.id) > o.CompactBytes && uint64(at) > uint64(g.core.FirstIndex()) {
		// By bytes: keep at most the newer half.
		keep = min(keep, (at-g.core.FirstIndex()+1)/2)
	}
	to := at - min(at, keep)
	if g.host.options.Log.Bytes(g.id) > 8*o.CompactBytes {
		return to
	}
	for _, t := range g.transfers {
		if t.file != nil {
			to = min(to, t.meta.Index)
		}
	}
	for _, p := range g.core.Status().Peers {
		if p.RecentActive && p.ID != g.self && p.Match > 0 {
			to = min(to, p.Match)
		}
	}
	return to
}

// pruneSnapshots removes the snapshots that nothing needs any more. While one is being opened to be sent it is not known which that is: the next time does.
func (g *Group) pruneSnapshots() {
	newest := g.compact.snapshotIndex
	for _, t := range g.transfers {
		if t.opening {
			return
		}
		if t.file != nil {
			newest = min(newest, t.meta.Index)
		}
	}
	keepNone := len(g.transfers) == 0 && g.hasDurable(newest)
	g.host.lengthy(func() { g.host.store.prune(g.id, newest, keepNone) })
}
