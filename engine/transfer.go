package engine

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

const (
	// snapshotChunk is how much of a body travels in one message: small enough that a heartbeat behind it is not late.
	snapshotChunk = 256 << 10
	// snapshotWindow bounds what of one body is on its way.
	snapshotWindow = 8 * snapshotChunk
	// transferPatience is how many election timeouts a follower may stay silent before a transfer is given up.
	transferPatience = 20
)

// transfer is a snapshot on its way to a follower; the turn's own. Chunks go out within a window; acknowledgements say how far the
// follower has the body, which is also how a broken transfer resumes.
type transfer struct {
	to          raft.MemberID
	meta        raft.SnapshotMeta
	file        *snapshotFile // nil until there is a snapshot to send
	opening     bool          // a snapshot is there, and its file about to be opened
	opened      handedFile    // the file on its way from the Background stage to the turn
	acked, sent int64
	begun       bool          // the first chunk has been sent
	progress    time.Duration // when the follower last had more, or the transfer began
	resend      time.Duration // when to send again what was not acknowledged
}

// handedFile is a file that one stage opens and another takes over, unless that one is not interested any more, as when its group was closed. Somebody closes it in any case.
type handedFile struct {
	file     atomic.Pointer[snapshotFile]
	unwanted atomic.Bool
}

// give hands the file over. It is closed here if nobody will take it.
func (h *handedFile) give(file *snapshotFile) {
	h.file.Store(file)
	if h.unwanted.Load() {
		h.drop()
	}
}

// take is what was given and not yet taken.
func (h *handedFile) take() *snapshotFile { return h.file.Swap(nil) }

// drop says that nobody will take the file, and closes it if it was given already.
func (h *handedFile) drop() {
	h.unwanted.Store(true)
	if file := h.take(); file != nil {
		file.Close()
	}
}

// startTransfer begins to get a snapshot on its way; driveTransfers goes on with it in the same turn.
func (g *Group) startTransfer(to raft.MemberID) {
	if g.transfers[to] == nil {
		g.transfers[to] = &transfer{to: to, progress: g.worker.now, resend: math.MaxInt64}
	}
}

// provide finds a snapshot to send: the newest there is, if the log goes on from it, else a new one. While another compaction is under way it does
// nothing, and is called again in the turn that ends it.
func (g *Group) provide(t *transfer) {
	switch {
	case t.opening:
	case g.compact.snapshotIndex >= g.core.FirstIndex()-1 && g.compact.snapshotIndex > 0:
		g.openTransfer(t)
	case !g.compact.running:
		g.compact.running = true
		g.writeSnapshot(func(_ raft.SnapshotMeta, err error) {
			g.compact.running = false
			if err != nil {
				g.host.options.Logger.Warn("cannot write a snapshot for a follower", "group", uint64(g.id), "error", err)
			}
		})
	}
}

// writeSnapshot captures the machine's state and writes it to disk; then runs in a turn. Transfers that wait for a snapshot get it.
func (g *Group) writeSnapshot(then func(raft.SnapshotMeta, error)) {
	finish := func(meta raft.SnapshotMeta, err error) {
		g.post(func() {
			if err == nil {
				g.compact.snapshotIndex = max(g.compact.snapshotIndex, meta.Index)
			}
			then(meta, err)
			for _, to := range g.transferTargets() {
				if t := g.transfers[to]; t.file == nil && !t.opening && err == nil {
					g.openTransfer(t)
				} else if t.file == nil && !t.opening {
					g.endTransfer(t, false)
				}
			}
		})
	}
	g.apply.push(g, applyTask{capture: func(at raft.Index, writer SnapshotWriter, err error) {
		if err != nil {
			finish(raft.SnapshotMeta{}, err)
			return
		}
		g.captured.Store(&writer)
		if g.closed.Load() {
			g.dropCaptured()
			return
		}
		g.post(func() {
			meta, ok := g.core.SnapshotMetaAt(at)
			g.host.lengthy(func() {
				if g.captured.Swap(nil) == nil {
					return // the group was closed
				}
				defer writer.Close()
				if !ok {
					finish(meta, raft.ErrNotReady)
					return
				}
				err := g.host.store.write(g.id, meta, writer)
				if errors.Is(err, errSnapshotDisk) {
					g.host.fail(fmt.Errorf("group %d: write a snapshot at %d: %w", g.id, meta.Index, err))
				}
				finish(meta, err)
			})
		})
	}})
}

// dropCaptured closes a captured state that nobody will write, since the group is closed. A machine may wait for that.
func (g *Group) dropCaptured() {
	if writer := g.captured.Swap(nil); writer != nil {
		(*writer).Close()
	}
}

// openTransfer opens the newest snapshot for a waiting transfer.
func (g *Group) openTransfer(t *transfer) {
	least := g.core.FirstIndex() - 1
	t.opening = true
	g.host.lengthy(func() {
		file, err := g.host.store.newest(g.id, func(m raft.SnapshotMeta) bool { return m.Index >= least })
		t.opened.give(file)
		g.post(func() {
			if g.transfers[t.to] != t {
				return
			}
			file := t.opened.take()
			if err != nil || file == nil || file.meta.Index < g.core.FirstIndex()-1 {
				if file != nil {
					file.Close()
				}
				g.compact.snapshotIndex = 0 // the file is gone or damaged: the next attempt writes a new one
				g.endTransfer(t, false)
				return
			}
			t.meta, t.file, t.opening, t.progress = file.meta, file, false, g.worker.now
			g.host.options.Logger.Info("sending a snapshot to a member that is behind the log", "group", uint64(g.id), "member", uint64(t.to),
				"index", uint64(file.meta.Index), "bytes", file.size)
		})
	})
}

func (g *Group) transferTargets() []raft.MemberID {
	ids := make([]raft.MemberID, 0, len(g.transfers))
	for id := range g.transfers {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, cmp.Compare[raft.MemberID])
	return ids
}

// driveTransfers sends what the windows allow, again what was lost, and gives up on followers that stay silent.
func (g *Group) driveTransfers() {
	if len(g.transfers) == 0 {
		return
	}
	if g.core.Role() != raft.Leader {
		g.dropTransfers()
		return
	}
	now, timeout := g.worker.now, g.host.options.Raft.ElectionTimeoutMax
	for _, to := range g.transferTargets() {
		t := g.transfers[to]
		if t.file == nil {
			g.provide(t)
			continue
		}
		// Who was removed in the meantime has no address any more.
		if now-t.progress > transferPatience*timeout || g.addressOf(to) == "" {
			g.endTransfer(t, false)
			continue
		}
		if now >= t.resend {
			t.sent, t.begun = t.acked, false
		}
		for !t.begun || t.sent < t.file.size && t.sent-t.acked < snapshotWindow {
			g.sendChunk(t)
		}
	}
}

// sendChunk reads the next piece in the background and sends it from there. A body that turns out to be damaged is not sent to its end: a new snapshot is.
func (g *Group) sendChunk(t *transfer) {
	n := min(snapshotChunk, t.file.size-t.sent)
	m := &SnapshotChunk{
		Header: g.header(t.to), Meta: t.meta, ID: t.file.id, Size: t.file.size, Offset: t.sent, BodySum: t.file.sum,
	}
	to, file := g.addressOf(t.to), t.file
	t.begun = true
	t.sent += n
	t.resend = g.worker.now + g.host.options.Raft.ElectionTimeoutMax
	g.host.background(func() {
		m.Data = make([]byte, n)
		if _, err := file.around.ReadAt(m.Data, m.Offset); err != nil {
			g.host.options.Logger.Warn("cannot read a snapshot that is being sent", "group", uint64(g.id), "error", err)
			return // nothing arrives, so the transfer ends by its timeout
		}
		if err := file.follow(m.Offset, m.Data); err != nil {
			g.host.options.Logger.Warn("a snapshot that was being sent is damaged; a new one is written", "group", uint64(g.id), "index", uint64(m.Meta.Index), "error", err)
			g.post(func() {
				if now := g.transfers[t.to]; now == t {
					g.compact.snapshotIndex = 0
					g.endTransfer(t, false)
				}
			})
			return
		}
		m.Sum = raft.Sum(m.Data)
		g.host.options.Network.Send([]Envelope{{Group: g.id, To: to, Message: m}})
	})
}

// receiveAck moves a transfer on.
func (g *Group) receiveAck(m *SnapshotAck) {
	t := g.transfers[m.From]
	if t == nil || t.file == nil || t.file.id != m.ID {
		return
	}
	switch m.Status {
	case SnapshotComplete:
		g.endTransfer(t, true)
	case SnapshotUnwanted:
		g.endTransfer(t, false)
	case SnapshotReceiving:
		if m.Offset > t.acked && m.Offset <= t.file.size {
			t.acked, t.progress = m.Offset, g.worker.now
			t.sent = max(t.sent, t.acked)
			t.resend = g.worker.now + g.host.options.Raft.ElectionTimeoutMax
		} else if m.Offset >= 0 && m.Offset < t.acked {
			t.acked, t.sent = m.Offset, m.Offset // the follower had to begin again
		}
	}
}

// endTransfer closes a transfer and tells the core how it went.
func (g *Group) endTransfer(t *transfer, ok bool) {
	delete(g.transfers, t.to)
	g.closeTransfer(t)
	g.core.SnapshotDone(t.to, t.meta, ok)
}

// closeTransfer closes the file behind the reads that are still queued.
func (g *Group) closeTransfer(t *transfer) {
	t.opened.drop()
	if file := t.file; file != nil {
		g.host.behind(func() { file.Close() })
	}
}

func (g *Group) dropTransfers() {
	for _, to := range g.transferTargets() {
		g.closeTransfer(g.transfers[to])
		delete(g.transfers, to)
	}
}

func (g *Group) transferDeadline() time.Duration {
	at := time.Duration(math.MaxInt64)
	for _, t := range g.transfers {
		if t.file != nil {
			at = min(at, t.resend)
		}
	}
	return at
}

// receiving is a snapshot that is coming in; the Background stage's own.
type receiving struct {
	id     uint64
	part   string
	file   wal.File
	offset int64
	sum    uint32
}

// receiveChunk looks whether a piece is of use, and stages it in the background.
func (g *Group) receiveChunk(m *SnapshotChunk) {
	if m.Term < g.core.Term() {
		return
	}
	if m.Size < 0 || m.Offset < 0 || m.Offset > m.Size || int64(len(m.Data)) > m.Size-m.Offset {
		return // Malformed: there is no such place in the body, and none to ask the disk for.
	}
	to := g.addressOf(m.From)
	body := receivedBody{id: m.ID, index: m.Meta.Index}
	switch {
	case m.Meta.Index <= max(g.CommitIndex(), g.apply.handed):
		// All that the snapshot stands for is here, from it or from elsewhere: the leader goes on behind it. But a core whose disk lost the
		// configuration may learn it from what the snapshot says.
		if m.Offset == 0 && m.Meta.Index <= g.core.Commit() {
			g.core.Receive(&raft.InstallSnapshot{Header: m.Header, Meta: m.Meta})
		}
		g.ackChunk(to, m, SnapshotComplete, m.Size)
		return
	case body == g.compact.received:
		// The body is here, but the core did not take it when it came, because its sender's term was over, for example.
		g.core.Receive(&raft.InstallSnapshot{Header: m.Header, Meta: m.Meta})
		g.ackChunk(to, m, SnapshotComplete, m.Size)
		return
	}
	header := g.header(m.From)
	g.host.background(func() {
		ack := &SnapshotAck{Header: header, ID: m.ID, Status: SnapshotReceiving}
		complete, err := g.stage(m)
		if err != nil {
			g.abandonReceiving()
			if errors.Is(err, errSnapshotDisk) {
				g.host.fail(fmt.Errorf("group %d: stage a snapshot at %d: %w", g.id, m.Meta.Index, err))
				return
			}
			g.host.options.Logger.Warn("cannot stage a snapshot", "group", uint64(g.id), "index", uint64(m.Meta.Index), "error", err)
			return // the leader tries again
		}
		if complete {
			ack.Status, ack.Offset = SnapshotComplete, m.Size
			g.post(func() {
				g.compact.received = body
				g.core.Receive(&raft.InstallSnapshot{Header: m.Header, Meta: m.Meta})
			})
		} else {
			ack.Offset = g.receiving.offset
		}
		g.host.options.Network.Send([]Envelope{{Group: g.id, To: to, Message: ack}})
	})
}

func (g *Group) ackChunk(to string, m *SnapshotChunk, status SnapshotStatus, offset int64) {
	ack := &SnapshotAck{Header: g.header(m.From), ID: m.ID, Status: status, Offset: offset}
	g.worker.envelopes = append(g.worker.envelopes, Envelope{Group: g.id, To: to, Message: ack})
}

// stage writes a piece where it belongs and reports whether the body is complete, checked and durable.
func (g *Group) stage(m *SnapshotChunk) (complete bool, err error) {
	r := g.receiving
	if r == nil || r.id != m.ID {
		g.abandonReceiving()
		if r, err = g.host.store.stage(g.id, m); err != nil {
			return false, err
		}
		g.receiving = r
	}
	if m.Offset == r.offset && raft.Sum(m.Data) == m.Sum && int64(len(m.Data)) <= m.Size-m.Offset {
		if _, err := r.file.WriteAt(m.Data, r.offset); err != nil {
			return false, onDisk(err)
		}
		r.sum = updateSum(r.sum, m.Data)
		r.offset += int64(len(m.Data))
	}
	if r.offset < m.Size {
		return false, nil
	}
	if r.sum != m.BodySum || r.offset > m.Size {
		// What a crash left of an earlier attempt was not what had been sent: begin again.
		r.offset, r.sum = 0, 0
		return false, r.file.Truncate(0)
	}
	g.receiving = nil
	return true, g.host.store.complete(r.file, r.part, g.id, m.Meta, m.Size, m.BodySum)
}

// abandonReceiving lets go of a body that is half here; its file stays, so that the same body can be resumed.
func (g *Group) abandonReceiving() {
	if g.receiving != nil {
		g.receiving.file.Close()
		g.receiving = nil
	}
}

// install takes over a snapshot whose body is here: first the log begins anew behind it, durably, then the machine is restored. A crash
// between the two finds a log that begins with a snapshot the machine does not have yet, and restores it then.
func (g *Group) install(out *raft.Output) {
	meta := *out.Install
	g.apply.handed = max(g.apply.handed, meta.Index)
	batch := wal.Batch{Group: g.id, HardState: out.HardState, Snapshot: &meta, Entries: out.Entries}
	if out.InstallKeeps {
		batch.Snapshot, batch.Compact = nil, &meta
	}
	g.worker.persists = append(g.worker.persists, persist{
		group: g, seq: out.Seq, after: g.address(out.AfterSync), batch: batch,
		then: func() { g.post(func() { g.apply.push(g, applyTask{restore: &meta}) }) },
	})
	g.compact.base = meta.Index
}
