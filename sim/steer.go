package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// Span bounds a duration that is drawn uniformly.
type Span struct{ Min, Max time.Duration }

// Setup is what a steered world is like: no faults, no clients and no limits but those that somebody brings.
type Setup struct {
	Members int
	// Delay is how long a message takes one way, Disk how long an fsync takes. Everything else takes no time.
	Delay, Disk Span
	Raft        raft.Tuning
	// CompactEntries is how many applied entries a log may have before it is compacted; 0 never does. KeepEntries are left then.
	CompactEntries, KeepEntries uint64
	// NoSessions lets the machine apply a request again that comes twice.
	NoSessions bool
	// Known has the first configuration name the founders' disks. Else the first leader learns them, and writes another configuration.
	Known bool
	// Loss is how many of a thousand messages are lost.
	Loss int
}

// Bounds of a steered world, so that a run that somebody else made cannot ask for the moon.
const (
	MaxSteeredMembers = 9
	maxSpan           = time.Minute
	minHeartbeat      = time.Millisecond
)

func (s *Span) check(what string) error {
	if s.Min < 0 || s.Max < s.Min || s.Max > maxSpan {
		return fmt.Errorf("%s: from %v to %v is not within 0 to %v", what, s.Min, s.Max, maxSpan)
	}
	return nil
}

func (s *Setup) check() error {
	if s.Members < 1 || s.Members > MaxSteeredMembers {
		return fmt.Errorf("a group of %d members: it has to be 1 to %d", s.Members, MaxSteeredMembers)
	}
	if s.Loss < 0 || s.Loss > 1000 {
		return fmt.Errorf("a loss of %d in 1,000 is not within 0 to 1,000", s.Loss)
	}
	core := s.Raft.Apply(raft.Config{ID: 1})
	if core.HeartbeatInterval < minHeartbeat {
		return fmt.Errorf("a heartbeat every %v is too often: it has to be at least %v", core.HeartbeatInterval, minHeartbeat)
	}
	return errors.Join(s.Delay.check("the delay of messages"), s.Disk.check("the time of an fsync"), core.Validate())
}

// steering is what a world has that somebody steers.
type steering struct {
	world      *World
	setup      Setup
	violations []Failure
	requests   []Request
	clients    *stream // how long requests and answers take
}

// NewSteered makes a world without faults and workload, for somebody who steers it: at any moment between two steps, its processes can be stopped, its messages
// held up, its links cut, its clients set to work. Nothing is drawn but times within their bounds. A property that does not hold is noted, and the world
// goes on. Options say how it is watched; of the rest only Codec counts.
func NewSteered(seed uint64, setup Setup, options Options) (*World, error) {
	if err := setup.check(); err != nil {
		return nil, err
	}
	if options.Watch == nil {
		options.Watch = func(*Happening) {}
	}
	w := emptyWorld(seed, options)
	w.steering = &steering{world: w, setup: setup, clients: w.stream("clients of a steered world")}
	w.regime = Regime{Members: setup.Members, Groups: 1, Segment: 64 << 10, CompactBytes: 1 << 40}
	w.regime.CompactEntries, w.regime.KeepEntries = setup.CompactEntries, max(setup.KeepEntries, 1)
	w.regime.Core = setup.Raft.Apply(raft.Config{})
	w.application = notebooks{forgets: setup.NoSessions}
	w.found()
	return w, nil
}

// tolerates notes a violation, so that the world can go on. A process or the simulator that broke down is not tolerated.
func (s *steering) tolerates(checker, format string, args []any) bool {
	if s == nil || checker == "no panic" || checker == "network" || checker == "liveness" {
		return false
	}
	for i := range s.violations {
		if s.violations[i].Checker == checker {
			return true
		}
	}
	v := Failure{Checker: checker, Text: fmt.Sprintf(format, args...), At: s.world.now}
	s.violations = append(s.violations, v)
	s.world.watch.happened(&Happening{At: v.At, Kind: HappenedViolation, Text: v.Checker + ": " + v.Text})
	return true
}

// AdvanceTo lets everything happen up to a moment, and then it is that moment. It tells whether the world goes on.
func (w *World) AdvanceTo(t time.Duration) bool {
	for len(w.queue.heap) > 0 && w.queue.heap[0].at <= t {
		if !w.Step() {
			return false
		}
	}
	if w.failure != nil || w.done {
		return false
	}
	w.now = max(w.now, t)
	return true
}

// Settled tells whether nothing more happens at this very moment.
func (w *World) Settled() bool { return len(w.queue.heap) == 0 || w.queue.heap[0].at > w.now }

// Upcoming is when the next thing is to happen; false if the world is over, or nothing will happen in it unless somebody does something.
func (w *World) Upcoming() (time.Duration, bool) {
	if w.failure != nil || w.done {
		return 0, false
	}
	return w.queue.next()
}

// Events is how many things have happened.
func (w *World) Events() uint64 { return w.events }

func (w *World) hostOf(id raft.MemberID) *host {
	if id < 1 || int(id) > len(w.hosts) {
		return nil
	}
	return w.hosts[id-1]
}

// process finds a member's host, and wants it to run, or not to.
func (w *World) process(id raft.MemberID, running bool) (*host, error) {
	h := w.hostOf(id)
	switch {
	case h == nil:
		return nil, fmt.Errorf("there is no member %d", id)
	case running && h.engine == nil:
		return nil, fmt.Errorf("the process of member %d does not run", id)
	case !running && h.engine != nil:
		return nil, fmt.Errorf("the process of member %d runs already", id)
	}
	return h, nil
}

// Stop ends a process in order: what it has written is on stable storage.
func (w *World) Stop(id raft.MemberID) error {
	h, err := w.process(id, true)
	if err != nil {
		return err
	}
	h.guard(func() {
		if h.syncing {
			h.engine.EndSync()
		}
		for h.engine.Sync() {
		}
	})
	if h.engine == nil {
		return nil // The disk has ended it.
	}
	if err := h.engine.Close(); err != nil {
		w.fail("recovery", "n%d cannot stop in order: %v", id, err)
	}
	h.note(noteStop, "stops")
	h.inOrder = true
	h.disk.crash(true, lossRandom) // Closing has synced what there was.
	h.ended()
	return nil
}

// Crash ends a process at once, and its disk forgets what was not synced.
func (w *World) Crash(id raft.MemberID) error {
	h, err := w.process(id, true)
	if err == nil {
		h.inOrder = false
		h.crash("by hand")
	}
	return err
}

// Restart starts a process, and ends it before if it runs.
func (w *World) Restart(id raft.MemberID) error {
	h := w.hostOf(id)
	if h == nil {
		return fmt.Errorf("there is no member %d", id)
	}
	if h.engine != nil {
		h.crash("to be restarted")
	}
	h.inOrder = false
	h.boot()
	return nil
}

// Wipe ends a process and gives its host an empty disk. What it comes back with is another member to the group, until that admits it anew.
func (w *World) Wipe(id raft.MemberID) error {
	h := w.hostOf(id)
	if h == nil {
		return fmt.Errorf("there is no member %d", id)
	}
	if h.engine != nil {
		h.crash("the disk is lost")
	}
	h.note(noteFault, "the disk is lost")
	h.disk = newDisk(h) // A new disk is an honest one.
	h.founder, h.inOrder = false, false
	h.wiped++
	for _, m := range h.members {
		m.log, m.given, m.commit, m.previous, m.face.disk = shadow{}, promise{}, 0, nil, nil
		m.changed()
	}
	return nil
}

// Pause has a process stand still, Resume go on.
func (w *World) Pause(id raft.MemberID) error {
	h, err := w.process(id, true)
	if err != nil {
		return err
	}
	if h.paused {
		return fmt.Errorf("the process of member %d is paused already", id)
	}
	h.note(notePause, "is paused")
	h.paused = true
	return nil
}

// Resume ends a pause.
func (w *World) Resume(id raft.MemberID) error {
	h, err := w.process(id, true)
	if err != nil {
		return err
	}
	if !h.paused {
		return fmt.Errorf("the process of member %d is not paused", id)
	}
	h.resume()
	return nil
}

// TimeOut has a member's clock leap to the moment when its timer runs out: for all the member can tell, that much time has passed.
func (w *World) TimeOut(id raft.MemberID) error {
	h, err := w.process(id, true)
	if err != nil {
		return err
	}
	m := h.members[0]
	if m.running == nil || m.running.Core().Timer() == raft.NoDeadline {
		return fmt.Errorf("member %d has no timer that runs", id)
	}
	h.note(noteFault, "the timer runs out")
	h.clock.offset += max(m.running.Core().Timer()-h.clock.local(w.now), 0)
	h.plan(0, h.turn)
	return nil
}

// Tune changes the timings and switches of all members, also of those that are started later.
func (w *World) Tune(t raft.Tuning) error {
	next := w.steering.setup
	next.Raft = t
	if err := next.check(); err != nil {
		return err
	}
	w.steering.setup = next
	w.regime.Core = t.Apply(raft.Config{})
	for _, h := range w.hosts {
		if m := h.members[0]; m.running != nil {
			h.guard(func() { m.running.Tune(t, nil) })
		}
	}
	return nil
}

// Tuning returns the timings and switches in force, SetNetwork changes the times and the loss of the network and the disks.
func (w *World) Tuning() raft.Tuning { return w.steering.setup.Raft }

// Setup returns the setup as it is now.
func (w *World) Setup() Setup { return w.steering.setup }

// SetTimes changes how long messages and fsyncs take from now on, and how many of a thousand messages are lost.
func (w *World) SetTimes(delay, disk Span, loss int) error {
	next := w.steering.setup
	next.Delay, next.Disk, next.Loss = delay, disk, loss
	if err := next.check(); err != nil {
		return err
	}
	w.steering.setup = next
	return nil
}

// post puts a member's message on its way: behind those before it on its link.
func (s *steering) post(p *parcel) {
	w := s.world
	l := w.network.link(p.from, p.to)
	at := max(w.now+l.delay.between(s.setup.Delay.Min, s.setup.Delay.Max), l.last)
	if s.setup.Loss > 0 && l.harm.chance(s.setup.Loss, 1000) {
		w.watch.launch(p, w.now+(at-w.now)*2/3, true)
		return
	}
	l.last = at
	w.watch.launch(p, at, false)
}

// flight finds a message that is on its way.
func (w *World) flight(id uint64) (*flight, error) {
	f := w.watch.find(id)
	if f == nil {
		return nil, fmt.Errorf("message %d is not on its way any more", id)
	}
	return f, nil
}

// Drop loses a message.
func (w *World) Drop(id uint64) error {
	f, err := w.flight(id)
	if err != nil {
		return err
	}
	w.watch.end(f)
	f.Lost = true
	w.story.add(&note{at: w.now, kind: noteLost, host: f.From, b: uint64(f.To), text: "dropped by hand", message: f.Message})
	w.watch.happened(&Happening{At: w.now, Kind: HappenedLoss, Flight: f.Flight, Text: "dropped"})
	return nil
}

// Duplicate has a message travel once more. The copy takes as long as the message did.
func (w *World) Duplicate(id uint64) error {
	f, err := w.flight(id)
	if err != nil {
		return err
	}
	copied := f.Flight
	copied.Sent, copied.Of = w.now, f.ID
	if f.Of != 0 {
		copied.Of = f.Of
	}
	w.watch.begin(&flight{Flight: copied, land: f.land}, w.now+max(f.Arrives-f.Sent, 0))
	return nil
}

// Delay has a message take longer. Others may overtake it.
func (w *World) Delay(id uint64, by time.Duration) error {
	f, err := w.flight(id)
	if err != nil {
		return err
	}
	if by <= 0 || by > time.Hour {
		return fmt.Errorf("a delay by %v is not within 0 to an hour", by)
	}
	w.watch.aim(f, f.Arrives+by)
	return nil
}

// DeliverNow has a message arrive at this moment.
func (w *World) DeliverNow(id uint64) error {
	f, err := w.flight(id)
	if err == nil {
		f.Lost = false
		w.watch.aim(f, w.now)
	}
	return err
}

const byHand = "by hand"

// Cut keeps everything from going from one member to another, Mend ends that.
func (w *World) Cut(from, to raft.MemberID) error {
	if err := w.ends(from, to); err != nil {
		return err
	}
	w.network.mend(byHand, w.hostOf(from), w.hostOf(to))
	w.network.cut(byHand, w.hostOf(from), w.hostOf(to))
	return nil
}

// Mend ends a Cut.
func (w *World) Mend(from, to raft.MemberID) error {
	if err := w.ends(from, to); err != nil {
		return err
	}
	w.network.mend(byHand, w.hostOf(from), w.hostOf(to))
	return nil
}

func (w *World) ends(from, to raft.MemberID) error {
	if w.hostOf(from) == nil || w.hostOf(to) == nil || from == to {
		return fmt.Errorf("there is no link from member %d to member %d", from, to)
	}
	return nil
}

// Partition lets those hear each other that are in a group together, and cuts all other links. Who is in no group is alone.
func (w *World) Partition(groups [][]raft.MemberID) error {
	part := map[raft.MemberID]int{}
	for i, members := range groups {
		for _, id := range members {
			if w.hostOf(id) == nil {
				return fmt.Errorf("there is no member %d", id)
			}
			if part[id] != 0 {
				return fmt.Errorf("member %d is in two parts", id)
			}
			part[id] = i + 1
		}
	}
	for _, from := range w.hosts {
		for _, to := range w.hosts {
			if from == to {
				continue
			}
			w.network.mend(byHand, from, to)
			if part[from.id] == 0 || part[from.id] != part[to.id] {
				w.network.cut(byHand, from, to)
			}
		}
	}
	return nil
}

// HealLinks mends all links.
func (w *World) HealLinks() {
	for _, from := range w.hosts {
		for _, to := range w.hosts {
			if from != to {
				w.network.mend(byHand, from, to)
			}
		}
	}
}

// operator finds whom an operator would ask: the leader, or else whoever runs.
func (w *World) operator() (*member, error) {
	if m := w.groups[0].leader(); m != nil && !m.host.paused {
		return m, nil
	}
	for _, m := range w.groups[0].members {
		if m.running != nil && !m.host.paused {
			return m, nil
		}
	}
	return nil, errors.New("no member runs that could be asked")
}

// Transfer asks for leadership to move to a member.
func (w *World) Transfer(to raft.MemberID) error {
	m, err := w.operator()
	if err != nil {
		return err
	}
	if w.hostOf(to) == nil {
		return fmt.Errorf("there is no member %d", to)
	}
	m.host.guard(func() {
		m.running.TransferLeadershipAsync(to, func(err error) { w.changed(m, fmt.Sprintf("transfer to n%d", to), err) })
	})
	return nil
}

// changed tells how an operator's request ended.
func (w *World) changed(m *member, what string, err error) {
	if err != nil {
		what += ": " + err.Error()
	} else {
		what += ": done"
	}
	w.story.add(&note{at: w.now, kind: noteClient, host: m.host.id, text: what})
	w.watch.happened(&Happening{At: w.now, Kind: HappenedChange, Host: m.host.id, Text: what})
}

// Add has a member join: NoMember is a new one, whose process starts. It becomes a voter once it has caught up, unless it is to stay a learner.
func (w *World) Add(id raft.MemberID, learner bool) (raft.MemberID, error) {
	if id == raft.NoMember {
		if len(w.hosts) >= MaxSteeredMembers {
			return 0, fmt.Errorf("there are %d members already", len(w.hosts))
		}
		id = raft.MemberID(len(w.hosts) + 1)
	}
	h := w.hostOf(id)
	if h == nil && int(id) != len(w.hosts)+1 || id > MaxSteeredMembers {
		return 0, fmt.Errorf("there is no member %d, and the next new one is %d", id, len(w.hosts)+1)
	}
	m, err := w.operator()
	if err != nil {
		return 0, err
	}
	if h == nil {
		h = w.addHost(id, false)
		h.boot()
	} else if h.engine == nil {
		h.boot()
	}
	w.reconfigure(m, fmt.Sprintf("add n%d", id), raft.Change{Set: []raft.Member{{ID: id, Address: h.address, Learner: learner}}})
	return id, nil
}

// Remove has a member leave.
func (w *World) Remove(id raft.MemberID) error {
	return w.alter("remove", id, func(raft.Member) raft.Change { return raft.Change{Remove: []raft.MemberID{id}} })
}

// Promote makes a learner a voter, Demote a voter a learner.
func (w *World) Promote(id raft.MemberID) error {
	return w.alter("promote", id, func(m raft.Member) raft.Change {
		m.Learner, m.AutoPromote = false, false
		return raft.Change{Set: []raft.Member{m}}
	})
}

// Demote makes a voter a learner.
func (w *World) Demote(id raft.MemberID) error {
	return w.alter("demote", id, func(m raft.Member) raft.Change {
		m.Learner = true
		return raft.Change{Set: []raft.Member{m}}
	})
}

func (w *World) alter(what string, id raft.MemberID, change func(raft.Member) raft.Change) error {
	m, err := w.operator()
	if err != nil {
		return err
	}
	conf, _ := w.groups[0].configuration()
	now, ok := conf.Find(id)
	if !ok {
		return fmt.Errorf("member %d does not belong to the group", id)
	}
	w.reconfigure(m, fmt.Sprintf("%s n%d", what, id), change(now))
	return nil
}

// reconfigure asks for a change of the configuration, and again while another one is under way.
func (w *World) reconfigure(m *member, what string, change raft.Change) {
	const tries, pause = 100, 50 * time.Millisecond
	var ask func(m *member, left int)
	ask = func(m *member, left int) {
		m.host.guard(func() {
			m.running.ChangeMembersAsync(change, func(err error) {
				if left == 0 || !errors.Is(err, raft.ErrChangePending) && !errors.Is(err, raft.ErrNotReady) {
					w.changed(m, what, err)
					return
				}
				w.after(pause, func() {
					next, lost := w.operator()
					if lost != nil {
						w.changed(m, what, lost)
						return
					}
					ask(next, left-1)
				})
			})
		})
	}
	ask(m, tries)
}
