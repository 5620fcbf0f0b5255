package sim

import (
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// World is one simulated deployment. It belongs to one goroutine.
type World struct {
	seed    uint64
	options Options
	regime  Regime
	now     time.Duration
	queue   queue
	story   story
	events  uint64
	// allowed is how many events may have happened before the moment allowedTo.
	allowed   uint64
	allowedTo time.Duration

	application Application
	hosts       []*host // hosts[i] carries the member i+1 of every group
	addresses   map[string]*host
	groups      []*group
	network     *network
	clients     []*client
	admins      []*admin
	progress    *progress
	faults      []*fault
	strikes     []Strike
	counts      counts
	// ambush is what a fault will do to a member that is elected, and troubled says that a turmoil is under way: see fault_moment.go.
	ambush   *ambush
	troubled bool
	// restoring is a strike that waits for a member to take over a snapshot: see fault_change.go.
	restoring *strike

	// conditions is what an experiment controls; in all other worlds it is empty.
	conditions conditions

	// halted says why the groups do not live again after a run beyond the fault budget.
	halted string
	// healing says that the faults are over.
	healing bool
	failure *Failure
	done    bool
	stopped bool
	healed  time.Duration // when the last fault ended
	live    time.Duration // when the groups were live again
	// watch and steering are nil in worlds that nobody watches or steers.
	watch    *watch
	steering *steering
}

// NewWorld makes the world of a seed, at the moment before its first event. Run is what most want; a world by itself can be watched step by step.
func NewWorld(seed uint64, options Options) *World {
	w := emptyWorld(seed, options)
	w.regime = Draw(seed, options)
	if err := options.Check(); err != nil {
		w.network = newNetwork(w)
		w.fail("options", "%v", err)
		return w
	}
	if w.application = options.Application; w.application == nil {
		w.application = applicationNamed(w.regime.Workload)
	}
	if w.application == nil {
		w.network = newNetwork(w)
		w.fail("options", "there is no workload %q", w.regime.Workload)
		return w
	}
	w.found()
	w.startWorkload()
	w.startFaults()
	w.startProgress()
	w.startReadingBack()
	w.at(w.regime.Duration, w.heal)
	return w
}

func emptyWorld(seed uint64, options Options) *World {
	w := &World{seed: seed, options: options, counts: counts{}, addresses: map[string]*host{}}
	w.story.tell = options.Tell
	w.story.ring = make([]note, max(options.Story, 1))
	w.story.hash = 14695981039346656037
	if options.Watch != nil {
		w.watch = newWatch(w, options.Watch)
	}
	return w
}

// found makes the network, the hosts and the groups of the regime, and starts the processes.
func (w *World) found() {
	w.network = newNetwork(w)
	for i := range w.regime.Groups {
		w.groups = append(w.groups, newGroup(w, raft.GroupID(i+1)))
	}
	w.say(notePhase, "seed %d: %s", w.seed, w.regime.String())
	for i := range w.regime.Members {
		w.addHost(raft.MemberID(i+1), true)
	}
	for _, h := range w.hosts {
		h.boot()
	}
}

// Step lets the next thing happen, and tells whether the world goes on.
func (w *World) Step() bool {
	if w.failure != nil || w.done {
		return false
	}
	at, next, ok := w.queue.pop()
	if !ok {
		w.fail("liveness", "nothing is left to happen")
		return false
	}
	w.now = at
	w.events++
	if w.events > w.allowed && w.circling() {
		return false
	}
	next.happen(w)
	return w.failure == nil && !w.done
}

// eventsPerSecond bounds how much may happen in a second of virtual time, which would not end soon by itself if there were more.
const eventsPerSecond = 2_000_000

// circling is asked when as many events have happened as were allowed up to some moment, and fails the run if that moment has not come.
func (w *World) circling() bool {
	if w.now < w.allowedTo {
		w.fail("liveness", "%d events within a second of virtual time: something goes round in circles", eventsPerSecond)
		return true
	}
	w.allowed, w.allowedTo = w.events+eventsPerSecond, w.now+time.Second
	return false
}

// Now is the world's time since its beginning.
func (w *World) Now() time.Duration { return w.now }

// Hash is that of everything that has happened so far.
func (w *World) Hash() uint64 { return w.story.hash }

// Next is when the next thing is to happen; the present if nothing is.
func (w *World) Next() time.Duration {
	if at, ok := w.queue.next(); ok {
		return at
	}
	return w.now
}

// at plans something for a moment that is not in the past.
func (w *World) at(t time.Duration, run func()) { w.queue.push(max(t, w.now), plan{run: run}) }

// after plans something for d from now.
func (w *World) after(d time.Duration, run func()) { w.at(w.now+max(d, 0), run) }

// say adds a line of words to the story.
func (w *World) say(kind noteKind, format string, args ...any) {
	w.story.add(&note{at: w.now, kind: kind, text: fmt.Sprintf(format, args...)})
}

// fail ends the run: a checker found what may not be. The first failure counts.
func (w *World) fail(checker, format string, args ...any) {
	if w.steering.tolerates(checker, format, args) {
		return
	}
	if w.failure == nil {
		w.failure = &Failure{Checker: checker, Text: fmt.Sprintf(format, args...), At: w.now}
	}
}

// running returns the hosts whose process runs, paused or not.
func (w *World) running() []*host {
	var up []*host
	for _, h := range w.hosts {
		if h.engine != nil {
			up = append(up, h)
		}
	}
	return up
}

// heal ends the faults: everything that was broken on purpose is made whole, every process runs again. From then on the groups have a bounded time to
// become live.
func (w *World) heal() {
	w.say(notePhase, "the faults end")
	w.healing = true
	w.healed = w.now
	for _, f := range w.faults {
		if f.heal != nil {
			f.heal(w)
		}
	}
	w.network.heal()
	for _, h := range w.hosts {
		h.heal()
	}
	w.after(w.regime.Calm, w.startProof)
}
