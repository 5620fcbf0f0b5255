package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/balsa-raft/balsa"
	"github.com/balsa-raft/balsa/lab"
	"github.com/balsa-raft/balsa/raft"
)

// machine counts.
type machine struct {
	mu sync.Mutex
	n  int
}

func (m *machine) Apply(entries []balsa.Entry) []balsa.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += len(entries)
	return make([]balsa.Result, len(entries))
}

func (m *machine) Snapshot() (balsa.SnapshotWriter, error) { return balsa.SnapshotBytes(nil), nil }
func (m *machine) Restore(io.Reader) error                 { return nil }

// cluster is three members in this process, each with what a console asks.
type cluster struct {
	hosts   []*balsa.Host
	groups  []*balsa.Group
	cutters []*Cutter
	web     []*httptest.Server
	peers   []string
}

func start(t testing.TB) *cluster { return startWith(t, true, true) }

// startWith starts a cluster whose events are recorded, or not, and whose links can be cut, or not.
func startWith(t testing.TB, recorded, cuttable bool) *cluster {
	t.Helper()
	c := &cluster{}
	var members []balsa.Member
	var listeners []net.Listener
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		c.peers = append(c.peers, l.Addr().String())
		members = append(members, balsa.Member{ID: 0xf00000000000000a + balsa.MemberID(i), Address: l.Addr().String()})
	}
	dir := t.TempDir()
	for i := range members {
		recorder, cutter := NewRecorder(1), NewCutter(nil)
		o := balsa.Options{Dir: filepath.Join(dir, fmt.Sprint(i)), Listener: listeners[i], SegmentBytes: 1 << 20}
		if recorded {
			o.Observe = recorder.Observe
		}
		if cuttable {
			o.Dial = cutter.Dial
		}
		h, err := balsa.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		g, err := h.Start(1, members, &machine{})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.Handle(Path, &Member{Name: fmt.Sprintf("m%d", i+1), Group: g, Recorder: recorder})
		mux.Handle(CutPath, cutter)
		web := httptest.NewServer(mux)
		t.Cleanup(web.Close)
		c.hosts, c.groups, c.cutters, c.web = append(c.hosts, h), append(c.groups, g), append(c.cutters, cutter), append(c.web, web)
	}
	return c
}

func (c *cluster) targets() []Target {
	var list []Target
	for i, web := range c.web {
		list = append(list, Target{Name: fmt.Sprintf("m%d", i+1), URL: web.URL})
	}
	return list
}

// watcher is a page that looks at a console.
type watcher struct {
	t      *testing.T
	socket *websocket.Conn
	last   lab.Answer
	events []lab.Event
}

func look(t *testing.T, o Options) *watcher {
	t.Helper()
	web := httptest.NewServer(New(o))
	t.Cleanup(web.Close)
	socket, _, err := websocket.Dial(context.Background(), web.URL+"/engine", nil)
	if err != nil {
		t.Fatal(err)
	}
	socket.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = socket.CloseNow() })
	return &watcher{t: t, socket: socket}
}

func (p *watcher) read() lab.Answer {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, b, err := p.socket.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var a lab.Answer
	if err := json.Unmarshal(b, &a); err != nil {
		p.t.Fatal(err)
	}
	if a.State != nil {
		p.last = a
		p.events = append(p.events, a.Events...)
	}
	return a
}

// until reads what is told until something holds of it.
func (p *watcher) until(what string, holds func(s *lab.State) bool) {
	p.t.Helper()
	for range 600 {
		if a := p.read(); a.State != nil && holds(a.State) {
			return
		}
	}
	p.t.Fatalf("never: %s; last %+v", what, p.last.State)
}

func (p *watcher) ask(r lab.Request) lab.Answer {
	p.t.Helper()
	r.ID = 77
	b, err := json.Marshal(&r)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.socket.Write(context.Background(), websocket.MessageText, b); err != nil {
		p.t.Fatal(err)
	}
	for {
		if a := p.read(); a.ID == r.ID {
			return a
		}
	}
}

func leaders(s *lab.State) (list []uint64) {
	for _, m := range s.Members {
		if m.Process == "running" && m.Role == "leader" {
			list = append(list, m.ID)
		}
	}
	return list
}

// TestARunningClusterIsShown: a leader, the writes, a member that is gone, another leader.
func TestARunningClusterIsShown(t *testing.T) {
	c := start(t)
	p := look(t, Options{Targets: c.targets})
	p.until("a leader that all know", func(s *lab.State) bool {
		l := leaders(s)
		if len(l) != 1 || len(s.Members) != 3 {
			return false
		}
		for _, m := range s.Members {
			if m.Leader != l[0] || m.In != "voter" || len(m.Configuration.Voters) != 3 {
				return false
			}
		}
		return true
	})
	leader := leaders(p.last.State)[0]
	if n := len(p.last.State.Members[leader-1].Peers); n != 2 {
		t.Errorf("the leader has %d peers", n)
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				_, _ = c.groups[leader%3].Propose(ctx, []byte("x")) // Not all have to succeed.
				cancel()
			}
		}
	})
	p.until("writes at all members", func(s *lab.State) bool {
		for _, m := range s.Members {
			if m.Rate < 1 || m.Applied < 5 {
				return false
			}
		}
		return true
	})
	close(stop)
	writing.Wait()
	if err := c.hosts[leader-1].Close(); err != nil {
		t.Fatal(err)
	}
	p.until("another leader, and one that does not answer", func(s *lab.State) bool {
		l := leaders(s)
		return len(l) == 1 && l[0] != leader && s.Members[leader-1].Process == "crashed"
	})
	kinds := map[string]int{}
	for i, e := range p.events {
		kinds[e.Kind]++
		if i > 0 && e.ID <= p.events[i-1].ID {
			t.Fatalf("event %d comes after %d", e.ID, p.events[i-1].ID)
		}
		if e.Member > 3 || e.Peer > 3 {
			t.Fatalf("%+v", e)
		}
	}
	if kinds["leader"] < 2 || kinds["candidate"] < 2 || kinds["committed"] == 0 {
		t.Errorf("the events are %v", kinds)
	}
	if p.last.State.Safety[0].Violated {
		t.Errorf("%+v", p.last.State.Safety)
	}
}

// TestNobodyIsAskedWhileNobodyLooks, and a console without controls changes nothing.
func TestNobodyIsAskedWhileNobodyLooks(t *testing.T) {
	c := start(t)
	asked := make(chan struct{}, 1)
	console := New(Options{Targets: func() []Target {
		select {
		case asked <- struct{}{}:
		default:
		}
		return c.targets()
	}})
	if console.stop != nil || len(asked) != 0 {
		t.Error("it asks though nobody looks")
	}
	web := httptest.NewServer(console)
	defer web.Close()
	socket, _, err := websocket.Dial(context.Background(), web.URL+"/engine", nil)
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	p := &watcher{t: t, socket: socket}
	if hello := p.ask(lab.Request{Do: lab.DoHello}).Hello; hello == nil || hello.Host != "live" || hello.Controls == nil || len(hello.Controls) != 0 {
		t.Errorf("%+v", hello)
	}
	for _, r := range []lab.Request{{Do: lab.DoInput, Input: &lab.Input{Do: lab.InputCrash, Member: 1}}, {Do: lab.DoLoad, Run: &lab.Run{Version: 1}}, {Do: lab.DoAdvance}} {
		if a := p.ask(r); a.Error == "" {
			t.Errorf("%s is done", r.Do)
		}
	}
	_ = socket.CloseNow()
	for gathering := true; gathering; { // until the handler has noticed
		console.mu.Lock()
		gathering = console.viewers > 0
		console.mu.Unlock()
	}
}

// TestLinksAreCutForReal cuts all links of the leader: another one leads; and mends them.
func TestLinksAreCutForReal(t *testing.T) {
	c := start(t)
	p := look(t, Options{Targets: c.targets})
	p.until("a leader", func(s *lab.State) bool { return len(leaders(s)) == 1 })
	old := leaders(p.last.State)[0]
	order := func(member int, to, mend string) int {
		r, err := http.NewRequest(http.MethodPost, c.web[member].URL+CutPath+"?to="+to+"&mend="+mend, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(Header, "1")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	all := func(mend string) {
		for i := range c.web {
			if i != int(old-1) {
				for _, way := range [][2]int{{i, int(old - 1)}, {int(old - 1), i}} {
					if code := order(way[0], c.peers[way[1]], mend); code != http.StatusNoContent {
						t.Fatal(code)
					}
				}
			}
		}
	}
	all("")
	p.until("another leader", func(s *lab.State) bool { l := leaders(s); return len(l) == 1 && l[0] != old })
	all("true")
	p.until("all follow one leader", func(s *lab.State) bool {
		l := leaders(s)
		return len(l) == 1 && s.Members[old-1].Leader == l[0]
	})
	r, err := http.Post(c.web[0].URL+CutPath+"?to=x", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusForbidden {
		t.Errorf("any page may cut links: %s", r.Status)
	}
}

// TestTheRecorderIsBounded however much happens, and keeps elections though writes come by the thousand.
func TestTheRecorderIsBounded(t *testing.T) {
	r := NewRecorder(1)
	r.Observe(2, 1, []raft.Event{{Kind: raft.EventBecameLeader}})
	r.Observe(1, 1, []raft.Event{{Kind: raft.EventBecameLeader, Term: 7}})
	for range 100_000 {
		r.Observe(1, 1, []raft.Event{{Kind: raft.EventCommitted, Index: 5}, {Kind: raft.EventProposed}})
	}
	events, last := r.since(0, 1)
	if len(events) != 3 || events[0].Term != 7 || events[0].Kind != "leader" || last != 200_001 {
		t.Fatalf("%d events, the last is %d: %+v", len(events), last, events)
	}
	for range 10_000 {
		r.Observe(1, 1, []raft.Event{{Kind: raft.EventBecameLeader}})
	}
	if events, _ = r.since(0, 1); len(events) != kept+2 {
		t.Errorf("%d events are kept", len(events))
	}
	if events, _ = r.since(last, 1); len(events) != kept {
		t.Errorf("%d events are new", len(events))
	}
}

func BenchmarkObserve(b *testing.B) {
	r := NewRecorder(1)
	events := []raft.Event{{Kind: raft.EventProposed, Index: 1, Count: 3}, {Kind: raft.EventCommitted, Index: 3}}
	for b.Loop() {
		r.Observe(1, 1, events)
	}
}

// TestAMemberThatTellsNothingIsNotGone: one that runs without a console is shown by what the others say of it.
func TestAMemberThatTellsNothingIsNotGone(t *testing.T) {
	c := start(t)
	mute := httptest.NewServer(http.NotFoundHandler())
	defer mute.Close()
	p := look(t, Options{Targets: func() []Target {
		list := c.targets()
		for i := range list {
			list[i].ID = uint64(c.groups[i].Self())
		}
		list[2].URL = mute.URL
		return list
	}})
	p.until("it runs, follows or leads, and has the log", func(s *lab.State) bool {
		if len(s.Members) != 3 {
			return false
		}
		m := s.Members[2]
		return m.Process == "running" && m.In == "voter" && m.Term > 0 && m.Leader > 0 && m.Last > 0 && (m.Role == "leader") == (m.Leader == 3)
	})
}
