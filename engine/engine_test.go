package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// adder is a machine that adds up numbers and remembers in which order they came.
type adder struct {
	mu   sync.Mutex
	sum  uint64
	hash uint64
	n    uint64
}

func (a *adder) Apply(entries []Entry) []Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	results := make([]Result, len(entries))
	for i, e := range entries {
		v := binary.LittleEndian.Uint64(e.Data)
		a.sum += v
		a.hash = a.hash*1099511628211 + v
		a.n++
		if e.Local {
			results[i].Data = binary.LittleEndian.AppendUint64(nil, a.sum)
		}
	}
	return results
}

func (a *adder) state() [3]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return [3]uint64{a.sum, a.hash, a.n}
}

type adderSnapshot [3]uint64

func (a *adder) Snapshot() (SnapshotWriter, error) { return adderSnapshot(a.state()), nil }

func (s adderSnapshot) WriteTo(w io.Writer) (int64, error) {
	return 24, binary.Write(w, binary.LittleEndian, [3]uint64(s))
}
func (s adderSnapshot) Close() error { return nil }

func (a *adder) Restore(r io.Reader) error {
	var s [3]uint64
	if err := binary.Read(r, binary.LittleEndian, &s); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum, a.hash, a.n = s[0], s[1], s[2]
	return nil
}

// mesh is a network within the process. Hosts that are cut hear nothing.
type mesh struct {
	mu    sync.RWMutex
	sinks map[string]Sink
	cut   map[string]bool
}

type meshPort struct {
	mesh *mesh
	from string
}

func (p meshPort) Send(envelopes []Envelope) {
	for _, e := range envelopes {
		if sink := p.sink(e.To); sink != nil {
			e.From = p.from
			sink.Deliver([]Envelope{e})
		}
	}
}

// sink returns who is reached at that address, if anybody. Delivering to it may send.
func (p meshPort) sink(to string) Sink {
	p.mesh.mu.RLock()
	defer p.mesh.mu.RUnlock()
	if p.mesh.cut[to] || p.mesh.cut[p.from] {
		return nil
	}
	return p.mesh.sinks[to]
}

func (m *mesh) set(address string, sink Sink, cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sinks[address], m.cut[address] = sink, cut
}

// cluster is some hosts with one group each, on real goroutines.
type cluster struct {
	t        testing.TB
	mesh     *mesh
	hosts    map[raft.MemberID]*Host
	groups   map[raft.MemberID]*Group
	machines map[raft.MemberID]*adder
	options  func(*Options)
	several  bool // hosts from the beginning
	dir      string
}

func addressOf(id raft.MemberID) string { return fmt.Sprintf("host-%d", id) }

// patient is timing with which nobody who starves for a while loses the leadership: what is under way then may end as unknown, which is not what most tests are about.
func patient(o *Options) {
	o.Raft.HeartbeatInterval, o.Raft.ElectionTimeoutMin, o.Raft.ElectionTimeoutMax = 100*time.Millisecond, 10*time.Second, 20*time.Second
}

// replaceable is timing for tests that wait for an election timeout: as patient as may be.
func replaceable(o *Options) {
	o.Raft.HeartbeatInterval, o.Raft.ElectionTimeoutMin, o.Raft.ElectionTimeoutMax = 100*time.Millisecond, time.Second, 2*time.Second
}

// newCluster starts n hosts, of which the first campaigns. Unless the options say otherwise several are patient.
func newCluster(t testing.TB, n int, options func(*Options)) *cluster {
	c := &cluster{
		t: t, mesh: &mesh{sinks: map[string]Sink{}, cut: map[string]bool{}}, options: options, several: n > 1, dir: t.TempDir(),
		hosts: map[raft.MemberID]*Host{}, groups: map[raft.MemberID]*Group{}, machines: map[raft.MemberID]*adder{},
	}
	var first raft.Configuration
	for id := raft.MemberID(1); id <= raft.MemberID(n); id++ {
		first.Members = append(first.Members, raft.Member{ID: id, Address: addressOf(id)})
	}
	for _, m := range first.Members {
		c.start(m.ID, first)
	}
	g := c.groups[1]
	g.post(func() { g.core.Campaign() })
	return c
}

func (c *cluster) start(id raft.MemberID, first raft.Configuration) {
	c.t.Helper()
	dir := fmt.Sprintf("%s/%d", c.dir, id)
	log, err := wal.Open(wal.Options{FS: wal.OSFS(), Dir: dir + "/wal", SegmentBytes: 1 << 20, Incarnation: uint64(id)})
	if err != nil {
		c.t.Fatal(err)
	}
	o := Options{
		Log: log, FS: wal.OSFS(), SnapshotDir: dir + "/snap", Network: meshPort{c.mesh, addressOf(id)}, Address: addressOf(id),
		Epoch: uint64(time.Now().UnixMilli()), Seed: uint64(id), Check: true,
	}
	if c.several {
		patient(&o)
	}
	if c.options != nil {
		c.options(&o)
	}
	h, err := NewHost(o, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	began := time.Now()
	h.Run(func() time.Duration { return time.Since(began) })
	c.t.Cleanup(func() { h.Close() })
	machine := &adder{}
	g, err := h.Start(StartOptions{Group: 1, Self: id, Bootstrap: first, Machine: machine})
	if err != nil {
		c.t.Fatal(err)
	}
	c.hosts[id], c.groups[id], c.machines[id] = h, g, machine
	c.mesh.set(addressOf(id), h, false)
}

func (c *cluster) stop(id raft.MemberID) {
	c.mesh.set(addressOf(id), nil, false)
	if err := c.hosts[id].Close(); err != nil {
		c.t.Error(err)
	}
	delete(c.hosts, id)
	delete(c.groups, id)
}

// leader waits until the members agree on one that is among them.
func (c *cluster) leader() raft.MemberID {
	c.t.Helper()
	for {
		leaders := map[raft.MemberID]bool{}
		for _, g := range c.groups {
			id, _, changed := g.LeaderChange()
			for ; c.groups[id] == nil; id, _, changed = g.LeaderChange() {
				<-changed
			}
			leaders[id] = true
		}
		for id := range leaders {
			if len(leaders) == 1 {
				return id
			}
		}
	}
}

func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func (c *cluster) propose(at raft.MemberID, n uint64) uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := c.groups[at].Propose(ctx, number(n))
	if err != nil {
		c.t.Fatalf("propose at %d: %v", at, err)
	}
	return binary.LittleEndian.Uint64(r.Data)
}

// converge waits until all machines hold what has been committed, and checks that they are equal.
func (c *cluster) converge() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var want *[3]uint64
	for id, g := range c.groups {
		if err := g.ReadBarrier(ctx); err != nil {
			c.t.Fatalf("member %d: %v", id, err)
		}
		got := c.machines[id].state()
		if want == nil {
			want = &got
		} else if *want != got {
			c.t.Errorf("member %d has %v, another %v", id, got, *want)
		}
	}
}

func TestAnyMemberTakesProposals(t *testing.T) {
	c := newCluster(t, 3, nil)
	var sum uint64
	for i := range uint64(30) {
		sum += i
		if got := c.propose(raft.MemberID(i%3+1), i); got != sum {
			t.Fatalf("proposal %d answered %d, want %d", i, got, sum)
		}
	}
	c.converge()
}

func TestManyProposersAtOnce(t *testing.T) {
	c := newCluster(t, 3, nil)
	var wg sync.WaitGroup
	for p := range 64 {
		wg.Go(func() {
			for range 50 {
				c.propose(raft.MemberID(p%3+1), 1)
			}
		})
	}
	wg.Wait()
	c.converge()
	if got := c.machines[1].state(); got[0] != 64*50 {
		t.Errorf("sum is %d, want %d", got[0], 64*50)
	}
}

func TestALeaderThatStopsIsReplacedAndCatchesUp(t *testing.T) {
	c := newCluster(t, 3, replaceable)
	c.propose(1, 5)
	old := c.leader()
	c.stop(old)
	next := raft.MemberID(1)
	if old == next {
		next = 2
	}
	c.leader() // what is forwarded to the old one may end as unknown
	if got := c.propose(next, 7); got != 12 {
		t.Fatalf("got %d, want 12", got)
	}
	c.start(old, raft.Configuration{})
	c.converge()
}

func TestAMemberThatWasAwayForLongGetsASnapshot(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) {
		replaceable(o) // A piece of the snapshot that comes before the group has started again is sent again after an election timeout.
		o.CompactBytes, o.KeepEntries = 4<<10, 10
	})
	c.propose(1, 1)
	away := c.leader()%3 + 1
	c.stop(away)
	at := away%3 + 1
	for i := range uint64(2000) {
		c.propose(at, i)
	}
	c.start(away, raft.Configuration{})
	c.converge()
}

func TestMembersJoinAndLeave(t *testing.T) {
	c := newCluster(t, 1, patient)
	ctx := context.Background()
	for id := raft.MemberID(2); id <= 4; id++ {
		c.start(id, raft.Configuration{})
		for {
			err := c.groups[1].ChangeMembers(ctx, raft.Change{Set: []raft.Member{{ID: id, Address: addressOf(id), Learner: true, AutoPromote: true}}})
			if err == nil {
				break
			}
			if !errors.Is(err, raft.ErrChangePending) && !errors.Is(err, raft.ErrNotReady) {
				t.Fatal(err)
			}
		}
		c.propose(1, uint64(id))
	}
	c.propose(4, 1)
	c.converge()
}

func TestLeadershipMovesOnRequest(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.propose(1, 1)
	to := c.leader()%3 + 1
	if err := c.groups[to%3+1].TransferLeadership(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	c.propose(to, 1)
}

func TestAMinorityLeaderAnswersUnknown(t *testing.T) {
	c := newCluster(t, 3, replaceable)
	c.propose(1, 1)
	old := c.leader()
	c.mesh.set(addressOf(old), nil, true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := c.groups[old].Propose(ctx, number(9))
		done <- err
	}()
	other := c.groups[old%3+1]
	for {
		id, _, changed := other.LeaderChange()
		if id != old && id != raft.NoMember {
			break
		}
		<-changed
	}
	c.propose(old%3+1, 2)
	cancel()
	if err := <-done; !errors.Is(err, ErrIndeterminate) && !errors.Is(err, ErrNoLeader) {
		t.Errorf("a leader without a majority answered %v", err)
	}
	c.mesh.set(addressOf(old), c.hosts[old], false)
	c.converge()
}
