package sim

import (
	"io"
	"maps"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// View is what a world is like at a moment, of its first group. Its slices may share memory with the world: read it before the next step.
type View struct {
	Now    time.Duration
	Events uint64
	Hash   uint64
	// Next is when something happens next; NoDeadline if nothing will.
	Next time.Duration
	// Failure is why the run ended; Violations are the properties that did not hold, in the order they were found.
	Failure    *Failure
	Done       bool
	Violations []Failure
	Members    []MemberView
	Flights    []Flight
	// Cuts are the one-way links that carry nothing.
	Cuts [][2]raft.MemberID
	// Committed is the highest index that any member has known to be committed. Configuration is the newest that any running member has.
	Committed     raft.Index
	Configuration raft.Configuration
	// Requests are what clients asked, all of them.
	Requests []Request
}

// MemberView is a member at a moment.
type MemberView struct {
	ID      raft.MemberID
	Address string
	// Running is false for a process that is stopped or crashed; Stopped tells which. Paused stands still.
	Running, Paused, Stopped bool
	// Status is what the member knows; of a process that does not run, what its disk has.
	Status raft.Status
	// Disk is the term and vote on stable storage.
	Disk raft.HardState
	// Timer is the election or heartbeat timer, in the world's time; TimerEnd is NoDeadline if there is none.
	TimerStart, TimerEnd time.Duration
	Granted, Refused     []raft.MemberID
	// Base is the last entry that is compacted away, Entries those after it.
	Base     raft.Index
	BaseTerm raft.Term
	Entries  []raft.Entry
	// LogVersion and MachineVersion change whenever Entries and Machine do.
	LogVersion, MachineVersion uint64
	Machine                    []KeyValue
	// Lying says that the disk acknowledges what it does not do.
	Lying bool
	// Syncing says that the disk is at work, Waiting is how many messages wait for a paused process.
	Syncing bool
	Waiting int
}

// KeyValue is a key of a machine, and its value.
type KeyValue struct{ Key, Value string }

// face is what a member shows, beyond what the checkers need.
type face struct {
	version, applied     uint64
	timerStart, timerEnd time.Duration
	book                 *notebook
	disk                 *diskFace // of a process that does not run, once somebody looked
}

// diskFace is what the disk of a process that does not run has.
type diskFace struct {
	state   wal.GroupState
	entries []raft.Entry
}

func (m *member) changed() { m.face.version++ }

// wind notes when the timer was wound up, and when it runs out.
func (m *member) wind() {
	if m.world.watch == nil {
		return
	}
	end := m.running.Core().Timer()
	if end != raft.NoDeadline {
		end = m.host.clock.world(end)
	}
	if f := &m.face; end != f.timerEnd {
		f.timerStart, f.timerEnd = m.world.now, end
	}
}

// View looks at the world. It needs Options.Watch.
func (w *World) View() View {
	g := w.groups[0]
	v := View{
		Now: w.now, Events: w.events, Hash: w.story.hash, Next: raft.NoDeadline, Failure: w.failure, Done: w.done, Committed: g.size(),
	}
	if len(w.queue.heap) > 0 {
		v.Next = w.queue.heap[0].at
	}
	v.Configuration, _ = g.configuration()
	if s := w.steering; s != nil {
		v.Violations, v.Requests = s.violations, s.requests
	}
	for _, m := range g.members {
		v.Members = append(v.Members, m.view())
	}
	for _, f := range w.watch.flying {
		v.Flights = append(v.Flights, f.Flight)
	}
	for i := range w.network.links {
		for j := range w.network.links[i] {
			if len(w.network.links[i][j].cuts) > 0 {
				v.Cuts = append(v.Cuts, [2]raft.MemberID{raft.MemberID(i + 1), raft.MemberID(j + 1)})
			}
		}
	}
	return v
}

func (m *member) view() MemberView {
	h := m.host
	v := MemberView{ID: h.id, Address: h.address, Paused: h.paused, Stopped: h.inOrder, TimerEnd: raft.NoDeadline, LogVersion: m.face.version, MachineVersion: m.face.applied}
	v.Lying = h.disk.liar
	if m.running == nil {
		m.viewDisk(&v)
		return v
	}
	core := m.running.Core()
	v.Running, v.Status, v.Disk = true, core.Status(), core.DurableHardState()
	v.Status.Applied, v.Status.Durable = m.running.AppliedIndex(), m.running.DurableIndex()
	v.Granted, v.Refused = core.Votes()
	v.TimerStart, v.TimerEnd = m.face.timerStart, m.face.timerEnd
	v.Base, v.BaseTerm, v.Entries = m.log.base, m.log.baseTerm, m.log.entries
	v.Machine = m.contents()
	v.Syncing, v.Waiting = h.syncing, len(h.deferred)
	return v
}

// viewDisk looks at the disk of a process that does not run, as its next start would, on a copy.
func (m *member) viewDisk(v *MemberView) {
	if m.face.disk == nil {
		m.face.disk = m.readDisk()
	}
	d := m.face.disk
	v.Disk = d.state.HardState
	v.Base, v.BaseTerm, v.Entries = d.state.Snapshot.Index, d.state.Snapshot.Term, d.entries
	v.Status = raft.Status{
		ID: m.host.id, Term: v.Disk.Term, Vote: v.Disk.Vote, First: v.Base + 1, Last: d.state.LastIndex, Durable: d.state.LastIndex,
		Configuration: d.state.Snapshot.Configuration, ConfigurationIndex: d.state.Snapshot.ConfigurationIndex,
	}
	if n := len(d.state.Configurations); n > 0 {
		v.Status.Configuration, v.Status.ConfigurationIndex = d.state.Configurations[n-1].Configuration, d.state.Configurations[n-1].Index
	}
}

func (m *member) readDisk() *diskFace {
	d := &diskFace{}
	log, err := wal.Open(wal.Options{FS: platter{m.host.disk.sectors.clone()}, Dir: "wal", SegmentBytes: m.world.regime.Segment})
	if err != nil {
		return d // A disk that cannot be read shows nothing; the next start says why.
	}
	d.state, _ = log.State(m.group.id)
	for from := d.state.Snapshot.Index + 1; from <= d.state.LastIndex; {
		entries, err := log.Entries(m.group.id, from, d.state.LastIndex, 1<<20)
		if err != nil {
			break
		}
		d.entries = append(d.entries, entries...)
		from += raft.Index(len(entries))
	}
	return d
}

// platter is a file system that nobody else uses.
type platter struct{ *sectors }

// Lock implements wal.FS.
func (platter) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// contents lists what the machine has.
func (m *member) contents() []KeyValue {
	if m.face.book != nil {
		return m.face.book.list()
	}
	return m.machine.list()
}

// forget loses everything that was not synced.
func (s *sectors) forget() {
	for i := len(s.names) - 1; i >= 0; i-- {
		s.put(s.names[i].name, s.names[i].old)
	}
	s.names = nil
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		f := s.files[name]
		if f.oldSize >= 0 {
			f.resize(f.oldSize)
		}
		for _, n := range numbers(f.dirty) {
			f.put(n*sectorSize, f.dirty[n].was)
		}
		f.settle()
	}
}
