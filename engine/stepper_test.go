package engine

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// stepper is hosts without goroutines: a test calls their stages itself, so that it sees what happens before what, and holds back what it likes. Time,
// disks and network are the test's.
type stepper struct {
	t       *testing.T
	options func(*Options)
	now     time.Duration
	hosts   []*steppedHost // by member id, from 1
	flight  []Envelope
	// drop says which messages never arrive.
	drop func(Envelope) bool
	// seen gets every message that is sent.
	seen func(Envelope)
}

// steppedHost is one host, with one member of each group.
type steppedHost struct {
	*Host
	files    *wal.MemFS
	machines map[raft.GroupID]*pile
	// What the host does not get round to.
	noTurn, noSync, noApply bool
}

// pile is a machine that keeps every command.
type pile struct {
	commands [][]byte
	refuse   error // what Restore says, if it is to refuse
}

func (p *pile) Apply(entries []Entry) []Result {
	results := make([]Result, len(entries))
	for i, e := range entries {
		p.commands = append(p.commands, e.Data)
		results[i].Data = e.Data
	}
	return results
}

type pileSnapshot []byte

func (p *pile) Snapshot() (SnapshotWriter, error) {
	return pileSnapshot(bytes.Join(p.commands, nil)), nil
}
func (s pileSnapshot) WriteTo(w io.Writer) (int64, error) { n, err := w.Write(s); return int64(n), err }
func (s pileSnapshot) Close() error                       { return nil }

func (p *pile) Restore(r io.Reader) error {
	if p.refuse != nil {
		return p.refuse
	}
	all, err := io.ReadAll(r)
	p.commands = [][]byte{all}
	return err
}

// bytes are what the commands come to, which a snapshot keeps.
func (p *pile) bytes() []byte { return bytes.Join(p.commands, nil) }

type steppedPort struct {
	s    *stepper
	from string
}

func (p steppedPort) Send(envelopes []Envelope) {
	for _, e := range envelopes {
		e.From = p.from
		if p.s.seen != nil {
			p.s.seen(e)
		}
		p.s.flight = append(p.s.flight, e)
	}
}

func newStepper(t *testing.T, n int, options func(*Options)) *stepper {
	s := &stepper{t: t, options: options}
	for range n {
		s.hosts = append(s.hosts, &steppedHost{files: wal.NewMemFS()})
	}
	for id := raft.MemberID(1); int(id) <= n; id++ {
		s.open(id)
	}
	return s
}

// open opens a host on its disk, as a process that starts does.
func (s *stepper) open(id raft.MemberID) {
	s.t.Helper()
	h := s.hosts[id-1]
	log, err := wal.Open(wal.Options{FS: h.files, Dir: "wal", SegmentBytes: 64 << 10, Incarnation: uint64(id)})
	if err != nil {
		s.t.Fatal(err)
	}
	o := Options{
		Log: log, FS: h.files, SnapshotDir: "snap", Network: steppedPort{s, addressOf(id)}, Address: addressOf(id),
		Epoch: uint64(s.now) + 1, Seed: uint64(id), Check: true,
	}
	if s.options != nil {
		s.options(&o)
	}
	if h.Host, err = NewHost(o, nil); err != nil {
		s.t.Fatal(err)
	}
	h.machines = map[raft.GroupID]*pile{}
	s.t.Cleanup(func() { h.Close() })
}

// start starts the host's member of a group of all hosts.
func (s *stepper) start(id raft.MemberID, group raft.GroupID) *Group {
	s.t.Helper()
	var first raft.Configuration
	for i := range s.hosts {
		first.Members = append(first.Members, raft.Member{ID: raft.MemberID(i + 1), Address: addressOf(raft.MemberID(i + 1))})
	}
	h := s.hosts[id-1]
	h.machines[group] = &pile{}
	g, err := h.Start(StartOptions{Group: group, Self: id, Bootstrap: first, Machine: h.machines[group]})
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

// startAll starts group 1 on every host, and has member 1 lead it.
func (s *stepper) startAll() *Group {
	s.t.Helper()
	for i := range s.hosts {
		s.start(raft.MemberID(i+1), 1)
	}
	leader := s.hosts[0].Group(1)
	leader.post(func() { leader.core.Campaign() })
	s.until("member 1 leads", func() bool { return leader.isLeader() && leader.CommitIndex() > 0 })
	s.pass(time.Second) // it also notes which disk each member has
	return leader
}

func (g *Group) isLeader() bool {
	id, _ := g.Leader()
	return id == g.self
}

// turn gives a host the stages it is not kept from, once, and tells whether one of them did something.
func (s *stepper) turn(h *steppedHost) (did bool) {
	if h.noTurn {
		return false
	}
	h.Turn(s.now)
	if !h.noSync {
		did = h.Sync()
	}
	for !h.noApply && h.Apply() {
		did = true
	}
	for h.Background() {
		did = true
	}
	return did
}

// deliver brings what is under way to where it goes.
func (s *stepper) deliver() (did bool) {
	flight := s.flight
	s.flight = nil
	for _, e := range flight {
		i := slices.IndexFunc(s.hosts, func(h *steppedHost) bool { return h.options.Address == e.To })
		if i < 0 || s.drop != nil && s.drop(e) {
			continue
		}
		s.hosts[i].Deliver([]Envelope{e})
		did = true
	}
	return did
}

// settle lets everything happen that needs no time.
func (s *stepper) settle() {
	s.t.Helper()
	for range 10_000 {
		did := false
		for _, h := range s.hosts {
			did = s.turn(h) || did
		}
		if did = s.deliver() || did; !did {
			return
		}
	}
	s.t.Fatal("it never settles")
}

// pass lets time pass.
func (s *stepper) pass(d time.Duration) {
	s.t.Helper()
	for end := s.now + d; s.now < end; {
		s.now = min(s.now+5*time.Millisecond, end)
		s.settle()
	}
}

// until lets time pass until something is so.
func (s *stepper) until(what string, so func() bool) {
	s.t.Helper()
	for range 4000 {
		if s.settle(); so() {
			return
		}
		s.now += 5 * time.Millisecond
	}
	s.t.Fatalf("this never happens: %s", what)
}

// answer is how a request ended; nil while it has not.
type answer struct{ err error }

// propose asks without waiting.
func propose(g *Group, data []byte) **answer {
	a := new(*answer)
	g.ProposeAsync(data, func(_ Result, err error) { *a = &answer{err} })
	return a
}

// cut keeps everything from and to a member.
func cut(id raft.MemberID) func(Envelope) bool {
	return func(e Envelope) bool { return e.From == addressOf(id) || e.To == addressOf(id) }
}

func text(n, size int) []byte {
	return append(fmt.Appendf(nil, "%08d ", n), bytes.Repeat([]byte("x"), max(0, size-9))...)
}
