package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/balsa-raft/balsa/lab"
)

const (
	interval  = 100 * time.Millisecond // between two rounds of reports
	patience  = 400 * time.Millisecond // for one report
	memory    = 4096                   // events that are kept for pages
	maxReport = 8 << 20
)

// Target is a member to ask.
type Target struct {
	// ID is the core's, 0 if it is not known before the member answers. Name is what people call it, URL where its client port is.
	ID   uint64
	Name string
	URL  string
}

// seat is a member as a console sees it, under a number of its own from 1 on: the core's ids are too long for a page, and for people.
type seat struct {
	target Target
	id     uint64
	born   int64
	since  uint64
	report *Report
	failed bool
	// mute says that it answers, but tells consoles nothing.
	mute bool
	// rate is of applied entries, from at to the report before.
	rate    float64
	applied uint64
	at      time.Time
}

// gatherer asks the members, and keeps what they say.
type gatherer struct {
	targets func() []Target
	process func(name string) string
	client  http.Client
	born    time.Time

	mu      sync.Mutex
	seats   []*seat
	events  []lab.Event
	last    uint64 // of events
	rounds  uint64
	leaders map[uint64]uint64 // by term, as far as events told
	broken  *lab.Property
	changed chan struct{} // closed and made anew after each round
}

func newGatherer(targets func() []Target, process func(string) string) *gatherer {
	return &gatherer{
		targets: targets, process: process, born: time.Now(), leaders: map[uint64]uint64{}, changed: make(chan struct{}),
		client: http.Client{Timeout: patience},
	}
}

// run gathers until ctx ends.
func (g *gatherer) run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		g.round(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			g.client.CloseIdleConnections()
			return
		}
	}
}

// round asks everybody once.
func (g *gatherer) round(ctx context.Context) {
	g.mu.Lock()
	for _, t := range g.targets() {
		i := slices.IndexFunc(g.seats, func(s *seat) bool { return s.target.Name == t.Name })
		if i < 0 {
			g.seats = append(g.seats, &seat{target: t, id: t.ID})
		} else {
			g.seats[i].target = t
		}
	}
	seats := slices.Clone(g.seats)
	asks := make([]string, len(seats))
	for i, s := range seats {
		asks[i] = fmt.Sprintf("%s%s?since=%d", s.target.URL, Path, s.since)
	}
	g.mu.Unlock()

	reports, errs := make([]*Report, len(seats)), make([]error, len(seats))
	var all sync.WaitGroup
	for i := range seats {
		all.Go(func() { reports[i], errs[i] = g.ask(ctx, asks[i]) }) // Who does not answer is shown so.
	}
	all.Wait()
	if ctx.Err() != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for i, s := range seats {
		s.take(reports[i], now)
		s.mute = errors.Is(errs[i], errMute)
	}
	g.collect(reports)
	g.rounds++
	close(g.changed)
	g.changed = make(chan struct{})
}

// errMute says that a member runs without telling consoles anything.
var errMute = errors.New("the member tells consoles nothing")

func (g *gatherer) ask(ctx context.Context, url string) (*Report, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := g.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, errMute
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	var report Report
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxReport)).Decode(&report); err != nil {
		return nil, err
	}
	if report.Version != reportVersion {
		return nil, fmt.Errorf("a report of version %d", report.Version)
	}
	return &report, nil
}

// take takes in a report, or that there was none.
func (s *seat) take(r *Report, now time.Time) {
	s.failed = r == nil
	if r == nil {
		s.rate = 0
		return
	}
	if s.born != r.Born && s.born != 0 {
		// Another process, which was asked for what came after an event of the one before: the next round asks for all it has.
		r.Events, r.Last, s.at = nil, 0, time.Time{}
	}
	s.born = r.Born
	if since := now.Sub(s.at).Seconds(); !s.at.IsZero() && since > 0 && r.Member.Applied >= s.applied {
		rate := float64(r.Member.Applied-s.applied) / since
		s.rate += (rate - s.rate) / 5 // over about half a second
		if s.rate < 0.5 && rate == 0 {
			s.rate = 0
		}
	}
	s.id, s.report, s.since, s.applied, s.at = r.Member.ID, r, r.Last, r.Member.Applied, now
}

// collect puts the events of a round among those before, by their times.
func (g *gatherer) collect(reports []*Report) {
	var fresh []lab.Event
	for _, r := range reports {
		if r != nil {
			fresh = append(fresh, r.Events...)
		}
	}
	slices.SortStableFunc(fresh, func(a, b lab.Event) int {
		switch {
		case a.T < b.T:
			return -1
		case a.T > b.T:
			return 1
		}
		return 0
	})
	for _, e := range fresh {
		e.T = max(e.T-g.born.UnixNano(), 0)
		e.Member, e.Peer = g.number(e.Member), g.number(e.Peer)
		g.tell(e)
	}
}

// tell adds an event.
func (g *gatherer) tell(e lab.Event) {
	g.last++
	e.ID = g.last
	if len(g.events) >= memory {
		g.events = append(g.events[:0], g.events[memory/4:]...)
	}
	g.events = append(g.events, e)
	if e.Kind != "leader" {
		return
	}
	if other, led := g.leaders[e.Term]; led && other != e.Member && g.broken == nil {
		g.broken = &lab.Property{Name: electionSafety, Violated: true, At: e.T, Text: fmt.Sprintf("members %d and %d both became leader of term %d", other, e.Member, e.Term)}
	}
	if len(g.leaders) > memory {
		clear(g.leaders)
	}
	g.leaders[e.Term] = e.Member
}

const electionSafety = "Election Safety"

// number is the console's number for a member, 0 for nobody and for who is not known.
func (g *gatherer) number(id uint64) uint64 {
	for i, s := range g.seats {
		if id != 0 && s.id == id {
			return uint64(i + 1)
		}
	}
	return 0
}

// state is what the pages are shown, and the events after one; and the channel that is closed when there is more.
func (g *gatherer) state(since uint64) (*lab.State, []lab.Event, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &lab.State{T: int64(time.Since(g.born)), N: g.rounds, Messages: []lab.Message{}, Members: []lab.Member{}}
	s.Safety = []lab.Property{{Name: electionSafety}}
	if g.broken != nil {
		s.Safety[0] = *g.broken
	}
	var newest *lab.Configuration
	for _, seat := range g.seats {
		if seat.report == nil {
			continue
		}
		m := &seat.report.Member
		s.Committed = max(s.Committed, m.Commit)
		if newest == nil || m.Configuration.Index > newest.Index {
			newest = &m.Configuration
		}
	}
	for i := range g.seats {
		s.Members = append(s.Members, g.member(i, s.Committed, newest))
	}
	first, _ := slices.BinarySearchFunc(g.events, since+1, func(e lab.Event, id uint64) int {
		if e.ID < id {
			return -1
		}
		return 1
	})
	return s, slices.Clone(g.events[first:]), g.changed
}

// member is one member, with the console's numbers.
func (g *gatherer) member(i int, committed uint64, newest *lab.Configuration) lab.Member {
	seat := g.seats[i]
	m := lab.Member{Log: []lab.Entry{}, Machine: []lab.Pair{}, Role: "follower", Configuration: lab.Configuration{Voters: []uint64{}}}
	switch {
	case seat.mute:
		g.hearsay(seat, &m)
	case seat.report != nil:
		m = seat.report.Member
		m.Log, m.Machine = []lab.Entry{}, []lab.Pair{}
		m.Lag = committed - min(committed, m.Applied)
	}
	switch {
	case newest == nil:
	case slices.Contains(newest.Voters, seat.id):
		m.In = "voter"
	case slices.Contains(newest.Learners, seat.id):
		m.In = "learner"
	}
	m.ID, m.Name, m.Address, m.Rate = uint64(i+1), seat.target.Name, seat.target.URL, seat.rate
	m.Vote, m.Leader, m.Transfer = g.number(m.Vote), g.number(m.Leader), g.number(m.Transfer)
	m.Configuration.Voters, m.Configuration.Learners = g.numbers(m.Configuration.Voters), g.numbers(m.Configuration.Learners)
	m.Configuration.Outgoing = g.numbers(m.Configuration.Outgoing)
	m.Disk = lab.HardState{Term: m.Term, Vote: m.Vote} // What a member says is durable.
	m.Prefix = lab.EntryID{Index: m.Last}              // No entries are shown.
	peers := make([]lab.Peer, len(m.Peers))
	for k, p := range m.Peers {
		p.ID = g.number(p.ID)
		peers[k] = p
	}
	m.Peers = peers
	m.Process = "running"
	if seat.failed && !seat.mute {
		m.Process, m.Role, m.Peers, m.Timer = "crashed", "follower", nil, nil
	}
	if g.process != nil {
		if p := g.process(seat.target.Name); p != "" {
			m.Process = p
		}
	}
	return m
}

// hearsay fills in what others say of a member that says nothing itself.
func (g *gatherer) hearsay(seat *seat, m *lab.Member) {
	for _, other := range g.seats {
		if other.failed || other.report == nil || other.report.Member.Term < m.Term {
			continue
		}
		r := &other.report.Member
		m.Term, m.Leader, m.Configuration = r.Term, r.Leader, r.Configuration
		if r.Leader == seat.id {
			m.Role = "leader"
			m.Last, m.Durable, m.Commit, m.Applied = r.Commit, r.Commit, r.Commit, r.Commit
		}
		for _, p := range r.Peers {
			if p.ID == seat.id {
				m.Last, m.Durable, m.Commit, m.Applied = p.Match, p.Match, min(p.Match, r.Commit), min(p.Match, r.Commit)
			}
		}
	}
}

func (g *gatherer) numbers(ids []uint64) []uint64 {
	out := make([]uint64, 0, len(ids))
	for _, id := range ids {
		out = append(out, g.number(id))
	}
	return out
}
