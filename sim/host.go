package sim

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// host is a machine with a disk and a clock, and the process on it, if it runs.
type host struct {
	world   *World
	id      raft.MemberID
	address string
	founder bool // its first configuration is the bootstrap's
	disk    *disk
	clock   clock
	members []*member // one of each group
	// timing is how long stages wait, syncs how long fsyncs take, restarts when a process starts again, losses what a crash takes from the disk.
	timing, syncs, restarts, losses *stream

	// life numbers the processes: what was planned for an earlier one does not happen.
	life   uint64
	engine *engine.Host // nil while no process runs
	// planned tells which stages are about to run, syncing that the disk is at work.
	planned   [4]bool
	syncing   bool
	syncBegan time.Duration
	// leadsStuck is since when it leads although it should not, 0 if it does not: see check_stuck.go.
	leadsStuck time.Duration
	// due is when the process wants its next turn, by its own clock; timer numbers the timers set for it, of which only the last one counts, and rings is
	// when that one does if it is not late, 0 if it has.
	due   time.Duration
	timer uint64
	rings time.Duration
	// paused is when the process was stopped, deferred what it missed.
	paused   bool
	deferred []plan
	// slow multiplies the time of an fsync, and sluggish that of everything else the process does.
	slow, sluggish int
	// stalled is until when machines apply nothing. loop ends the process again and again, nil if nothing does.
	stalled time.Duration
	loop    *loop
	// log is the process's; starting says that it is not up yet.
	log      *wal.Log
	starting bool
	// program is the version of the program that the process runs, or will.
	program program
	// wiped counts the disks that were lost: each new one is another incarnation.
	wiped uint64
	// away is until when the process stays down. twin is a second process of the same id and address, on a disk of its own: swapped says that it is the one
	// who is reached, and twinOf, spoke and gone are the twin's own.
	away                 time.Duration
	twin, twinOf         *host
	swapped, spoke, gone bool
	// disputed is until when what is sent to a host and its twin reaches both.
	disputed time.Duration
	// turns counts the turns since the last look, and causes what may have led to one: see check_bounds.go.
	turns, causes int
	// inOrder says that the process was stopped, and did not crash.
	inOrder bool
}

// addHost adds a machine; founder says whether its members are of the first configuration, or wait to be added.
func (w *World) addHost(id raft.MemberID, founder bool) *host {
	h := w.newHost(id, founder)
	for _, m := range h.members {
		m.group.members = append(m.group.members, m)
	}
	w.hosts = append(w.hosts, h)
	w.addresses[h.address] = h
	w.network.grow(len(w.hosts))
	return h
}

// newHost makes a machine that the world does not know of yet.
func (w *World) newHost(id raft.MemberID, founder bool) *host {
	h := &host{world: w, id: id, address: fmt.Sprintf("n%d", id), founder: founder, clock: clock{rate: 1}, slow: 1, sluggish: 1, program: w.regime.program()}
	h.disk = newDisk(h)
	h.timing, h.syncs = w.stream("stages", uint64(id)), w.stream("fsyncs", uint64(id))
	h.restarts, h.losses = w.stream("restarts", uint64(id)), w.stream("losses", uint64(id))
	for _, g := range w.groups {
		h.members = append(h.members, newMember(g, h))
	}
	return h
}

// note adds to the story.
func (h *host) note(kind noteKind, format string, args ...any) {
	h.world.story.add(&note{at: h.world.now, kind: kind, host: h.id, text: fmt.Sprintf(format, args...)})
}

// incarnation names the host's disk.
func (h *host) incarnation() uint64 { return h.disks(h.wiped) }

// disks names the disk that it has when so many were lost.
func (h *host) disks(wiped uint64) uint64 { return h.world.seed<<20 | wiped<<8 | uint64(h.id) }

// boot starts the process on what the disk has. A crash may interrupt it like anything else.
func (h *host) boot() {
	w := h.world
	h.life++
	h.planned, h.syncing, h.paused, h.deferred = [4]bool{}, false, false, nil
	h.timer++
	h.due, h.rings = math.MaxInt64, 0
	h.note(noteBoot, "process %d starts", h.life)
	h.starting = true
	defer func() { h.starting = false }()
	h.guard(func() {
		log, err := wal.Open(wal.Options{
			FS: h.disk, Dir: logDir, SegmentBytes: h.program.segment, Incarnation: h.incarnation(),
		})
		if err != nil {
			h.refused("open the log", err)
			return
		}
		if h.disk.backup {
			w.fail("identity", "n%d starts on a disk that was restored from an old backup: it has forgotten what it has promised since", h.id)
		}
		if h.disk.newer != nil {
			w.fail("versions", "n%d reads a log that a newer version has written", h.id)
		}
		o := engine.Options{
			Log: log, FS: h.disk, SnapshotDir: snapshotDir, Network: sender{h}, Address: h.address, Epoch: h.life,
			Seed: w.stream("engine", uint64(h.id), h.life).Uint64(), Raft: h.program.core, CompactBytes: h.program.compactBytes, CompactEntries: h.program.compactEntries,
			KeepEntries: h.program.keepEntries, Check: true, Observe: h.observe,
		}
		e, err := engine.NewHost(o, h.notify)
		if err != nil {
			h.refused("make the host", err)
			return
		}
		h.engine, h.log = e, log
		for _, m := range h.members {
			if err := m.start(e, log); err != nil {
				if errors.Is(err, wal.ErrFaulty) && h.disk.hurtNow() {
					h.crash("is restarted to find what was damaged after the log had been recovered")
					return
				}
				h.refused("start the group", err)
				return
			}
		}
		h.again()
	})
}

// refused ends a process that does not start, or stops by itself. Only a disk that was made to fail may be the reason, and the error has to say what to
// do. Where that is to give the member a new disk, the operator does so.
func (h *host) refused(what string, err error) {
	why := "cannot " + what + ": " + err.Error()
	full := errors.Is(err, wal.ErrNoSpace) && h.disk.capacity > 0
	switch {
	case h.disk.tooNew(why):
		h.end(why, false, lossRandom)
	case h.disk.backup && errors.Is(err, wal.ErrCopy):
		h.world.counts.effective(oldBackup)
		h.end(why, false, lossRandom)
		h.replaceDisk()
	case errors.Is(err, errBroken) && h.disk.guilty:
		// What the disk has is what the page cache has, until the power goes.
		h.end(why, h.losses.chance(1, 2), lossRandom)
	case full && h.engine == nil:
		h.end(why, false, lossRandom)
	case !h.disk.hurtNow():
		h.world.fail("recovery", "n%d %s", h.id, why)
		h.end(why, true, lossRandom)
	case h.starting:
		if !strings.Contains(why, "put back") && !strings.Contains(why, "remove") {
			h.world.fail("recovery", "n%d was damaged, and %s: that does not say what to do", h.id, why)
		}
		h.end(why, true, lossRandom)
		h.replaceDisk()
	default:
		h.end(why, true, lossRandom)
	}
}

// notify is what the engine calls when a stage has something to do.
func (h *host) notify(stage engine.Stage, _ int) {
	w := h.world
	if h.planned[stage] || stage == engine.StageSync && h.syncing {
		return
	}
	h.planned[stage] = true
	delay := h.timing.around(w.regime.Hop)
	if stage == engine.StageApply {
		delay = h.timing.around(w.regime.Apply)
	}
	if h.sluggish > 1 {
		w.counts.effective("slow member")
		delay = (delay + 100*time.Microsecond) * time.Duration(h.sluggish)
	}
	h.push(delay, plan{kind: planStage, stage: stage})
}

// plan has the process do something later, if it still runs then; while it is paused, it waits.
func (h *host) plan(delay time.Duration, f func()) { h.push(delay, plan{kind: planProcess, run: f}) }

func (h *host) push(delay time.Duration, p plan) {
	p.host, p.life = h, h.life
	h.world.queue.push(h.world.now+max(delay, 0), p)
}

// live lets happen what was planned for a process, if that is still the one that runs.
func (h *host) live(p *plan) {
	switch {
	case h.life != p.life || h.engine == nil:
	case h.paused:
		h.world.counts.effective("pause")
		h.deferred = append(h.deferred, *p)
	default:
		h.guard(func() { h.perform(p) })
	}
}

func (h *host) perform(p *plan) {
	if p.kind != planStage || p.stage != engine.StageTurn && p.stage != engine.StageBackground {
		h.causes++
	}
	switch p.kind {
	case planStage:
		h.run(p.stage)
	case planTimer:
		h.ring(p.timer)
	case planDelivery:
		h.world.network.deliver(p.parcel)
	default:
		p.run()
	}
}

// run runs a stage.
func (h *host) run(stage engine.Stage) {
	if stage == engine.StageApply && h.world.now < h.stalled {
		h.world.counts.effective(stalledMachine)
		h.push(h.stalled-h.world.now, plan{kind: planStage, stage: stage})
		return
	}
	h.planned[stage] = false
	switch stage {
	case engine.StageTurn:
		h.turn()
	case engine.StageSync:
		h.beginSync()
	case engine.StageApply:
		h.world.story.add(&note{at: h.world.now, kind: noteApply, host: h.id})
		if h.engine.Apply() {
			h.notify(engine.StageApply, 0)
		}
	case engine.StageBackground:
		h.world.story.add(&note{at: h.world.now, kind: noteBackground, host: h.id})
		if h.engine.Background() {
			h.notify(engine.StageBackground, 0)
		}
	}
}

// turn runs the Turn stage, looks at what it changed, and sets the timer for the next.
func (h *host) turn() {
	w := h.world
	h.turns++
	next := h.engine.Turn(h.clock.local(w.now))
	w.story.add(&note{at: w.now, kind: noteTurn, host: h.id})
	for _, m := range h.members {
		m.look()
	}
	h.due = next
	if h.engine != nil {
		h.wind()
	}
}

// wind sets the timer for the moment when the next turn is due. One that rings before that does as well: it is wound up again then. Otherwise each of
// the many turns that change nothing of the deadline would leave a timer behind.
func (h *host) wind() {
	w := h.world
	if h.due == math.MaxInt64 {
		return
	}
	at := max(h.clock.world(h.due), w.now)
	if h.rings != 0 && h.rings <= at {
		return
	}
	h.timer++
	h.rings = at
	wait := at - w.now
	if late := w.conditions.late; late != nil {
		wait += late(h)
	}
	h.push(wait, plan{kind: planTimer, timer: h.timer})
}

// ring is what the timer does: a turn, if one is due.
func (h *host) ring(timer uint64) {
	if timer != h.timer {
		return
	}
	h.rings = 0
	if h.due == math.MaxInt64 {
		return
	}
	if h.clock.local(h.world.now) < h.due {
		h.wind()
		return
	}
	h.turn()
}

// beginSync lets the disk work for as long as it takes; the writes reach it at the end.
func (h *host) beginSync() {
	if !h.engine.BeginSync() {
		return
	}
	h.syncing, h.syncBegan = true, h.world.now
	took := h.syncTime()
	h.plan(took, func() {
		h.world.story.add(&note{at: h.world.now, kind: noteSync, host: h.id, text: "sync"})
		h.engine.EndSync()
		h.syncing = false
		if h.log.Full() {
			h.plan(50*time.Millisecond, func() { h.notify(engine.StageSync, 0) }) // as the engine's own loop does
			return
		}
		h.notify(engine.StageSync, 0)
	})
}

// syncTime is how long the next fsync takes.
func (h *host) syncTime() time.Duration {
	if fsync := h.world.conditions.fsync; fsync != nil {
		return fsync(h)
	}
	if s := h.world.steering; s != nil {
		return h.syncs.between(s.setup.Disk.Min, s.setup.Disk.Max)
	}
	return h.syncs.around(h.world.regime.Disk) * time.Duration(h.slow)
}

// observe is the engine's way to tell a group's events, from within a turn.
func (h *host) observe(g raft.GroupID, _ raft.MemberID, events []raft.Event) {
	m := h.members[g-1]
	m.events = append(m.events, events...)
	for i := range events {
		h.world.story.add(&note{at: h.world.now, kind: noteEvent, host: h.id, a: uint64(g), event: events[i]})
	}
}

// crashing is what a disk panics with in order to crash the process in the middle of what it does.
type crashing struct {
	fault, at string
	loss      lossKind
	// alone says that the process ends, and the machine does not.
	alone bool
	// loop has what is started then end again and again, nil if nothing does.
	loop *loop
}

// guard runs a part of the process. It ends the process where the disk says so, and where the process stopped by itself; any other panic
// is a failure of the run.
func (h *host) guard(f func()) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case crashing:
			if h.loop == nil && !h.world.healing {
				h.loop = p.loop
			}
			lost := h.end("in the middle of: "+p.at, !p.alone, p.loss)
			if p.worked(lost) {
				h.world.counts.effective(p.fault)
			}
		default:
			h.world.fail("no panic", "n%d: %v\n%s", h.id, p, debug.Stack())
		}
	}()
	f()
	if h.engine == nil {
		return
	}
	if err := h.engine.Err(); err != nil {
		h.refused("go on", err)
	}
}

// worked tells whether a crash did what it was to do.
func (c crashing) worked(l loss) bool {
	switch c.fault {
	case tornWrite:
		return l.torn
	case reorderedWrites:
		return l.reordered
	case partialSync:
		return l.some
	}
	return true
}

// crash ends the machine, and all that was not on stable storage.
func (h *host) crash(why string) {
	h.cutSync()
	h.end(why, true, lossRandom)
}

// end ends the process: with the power or, where only the process ends, with the page cache as it is.
func (h *host) end(why string, power bool, kind lossKind) loss {
	if h.engine == nil && h.life == 0 {
		return loss{}
	}
	if !power {
		why += " (the machine goes on)"
	}
	h.note(noteCrash, "CRASH %s", why)
	l := h.disk.crash(power, kind)
	h.ended()
	if h.world.steering != nil {
		return l // Whoever steers starts it again.
	}
	if h.loop != nil {
		h.hurry()
	}
	if h.world.healing {
		h.restart(h.restarts.between(time.Millisecond, 100*time.Millisecond))
	} else {
		h.restart(h.restarts.between(time.Millisecond, 2*time.Second))
	}
	return l
}

// ended forgets the process, and lets those notice who had to do with it.
func (h *host) ended() {
	h.engine, h.log = nil, nil
	h.life++
	h.paused, h.deferred = false, nil
	for _, m := range h.members {
		m.stopped()
	}
	h.world.network.disconnect(h)
	for _, c := range h.world.clients {
		c.hostCrashed(h)
	}
	for _, a := range h.world.admins {
		a.hostCrashed(h)
	}
	h.world.steering.hostEnded(h)
}

// restart boots the process after a while, unless somebody did before.
func (h *host) restart(after time.Duration) {
	life := h.life
	h.world.after(after, func() {
		switch {
		case h.life != life || h.engine != nil || h.gone:
		case h.world.now < h.away && !h.world.healing:
			h.restart(h.away - h.world.now)
		default:
			h.boot()
		}
	})
}

// pause stops the process, as a virtual machine or a collector of garbage does: the world goes on without it.
func (h *host) pause(d time.Duration) {
	if h.engine == nil || h.paused {
		return
	}
	h.note(notePause, "is paused for %v", d)
	h.paused = true
	life := h.life
	h.world.after(d, func() {
		if h.life == life {
			h.resume()
		}
	})
}

// resume lets the process do at once what it missed.
func (h *host) resume() {
	if !h.paused {
		return
	}
	h.note(noteResume, "goes on")
	h.paused = false
	missed := h.deferred
	h.deferred = nil
	for _, p := range missed {
		h.world.queue.push(h.world.now, p)
	}
}

// heal makes the host whole at the end of the faults.
func (h *host) heal() {
	h.slow, h.sluggish, h.stalled, h.loop = 1, 1, 0, nil
	h.endTwin()
	h.disk.heal()
	h.resume()
	if h.engine != nil && h.disk.unread() {
		h.crash("is restarted to find what is damaged")
	}
	if h.engine == nil {
		h.restart(h.restarts.between(time.Millisecond, 50*time.Millisecond))
	}
}
