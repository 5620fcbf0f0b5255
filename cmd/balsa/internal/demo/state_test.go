package demo

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

var update = flag.Bool("update", false, "write the golden files anew")

// story plays events at times of its own and keeps the screens.
type story struct {
	state *state
	view  *view
	now   time.Time
	out   strings.Builder
}

func newStory(members int) *story {
	l := &layout{Members: members, ClientPort: 2379, PeerPort: 2479, dir: "/demo"}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	return &story{state: newState(l, now), view: &view{layout: l, balsa: "/demo/balsa", restarts: true, temporary: true}, now: now}
}

func (s *story) pass(d time.Duration) { s.now = s.now.Add(d) }

// says is the answer of the i-th member, whose id is i+1, to a poll.
func (s *story) says(i int, leader, term, index uint64) {
	s.state.polled(poll{member: i, at: s.now, status: &pb.StatusResponse{
		Header: &pb.ResponseHeader{MemberId: uint64(i + 1), Revision: int64(index)},
		Leader: leader, RaftTerm: term, RaftIndex: index, RaftAppliedIndex: index,
	}})
}

func (s *story) draw(title string) {
	fmt.Fprintf(&s.out, "--- %s\n%s\n", title, strings.Join(s.view.frame(s.state, s.now, 120, 40), "\n"))
}

// TestKillingTheLeaderOnTheScreen is what the demo is for: three members start, one leads, it is killed, another is elected, the killed one comes back.
func TestKillingTheLeaderOnTheScreen(t *testing.T) {
	s := newStory(3)
	for i := range 3 {
		s.state.started(i, 1000+i, s.now)
	}
	s.draw("the processes run")
	s.pass(200 * time.Millisecond)
	for i := range 3 {
		s.says(i, 0, 1, 0)
	}
	s.draw("nobody leads yet")
	s.pass(100 * time.Millisecond)
	s.says(0, 1, 2, 5)
	s.says(1, 1, 2, 5)
	s.says(2, 1, 2, 4)
	s.draw("m1 leads, m3 lags")
	s.pass(time.Second)
	s.says(0, 1, 2, 1005)
	s.draw("m1 writes")
	s.pass(time.Millisecond)
	s.state.ended(0, "was killed", s.now, s.now.Add(5*time.Second))
	s.draw("m1 is killed")
	s.pass(210 * time.Millisecond)
	s.says(1, 0, 3, 1005)
	s.pass(5 * time.Millisecond)
	s.says(1, 2, 3, 1006)
	s.says(2, 2, 3, 1006)
	s.draw("m2 leads")
	s.pass(5 * time.Second)
	s.state.started(0, 2000, s.now)
	s.pass(150 * time.Millisecond)
	s.says(0, 2, 3, 1006)
	s.draw("m1 is back")

	golden(t, "killing_the_leader.txt", s.out.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the screens differ from %s (go test -update writes it anew); got:\n%s", path, got)
	}
}

func (s *story) lastEvent() string { return s.state.events[len(s.state.events)-1].text }

func (s *story) expect(t *testing.T, text string) {
	t.Helper()
	if !strings.Contains(s.lastEvent(), text) {
		t.Errorf("the last event is %q, want %q in it", s.lastEvent(), text)
	}
}

func TestATransferIsNoElection(t *testing.T) {
	s := newStory(2)
	s.state.started(0, 1, s.now)
	s.state.started(1, 2, s.now)
	s.pass(time.Second)
	s.says(0, 1, 2, 5)
	s.pass(time.Second)
	s.says(1, 2, 3, 6)
	s.expect(t, "m2 leads, term 3: it took over from m1")
	s.says(0, 1, 2, 6) // an answer from before that
	if s.state.leader != 1 {
		t.Errorf("an old term made %d the leader again", s.state.leader)
	}
}

func TestALeaderThatStepsDownIsNotShownAsLeading(t *testing.T) {
	s := newStory(1)
	s.state.started(0, 1, s.now)
	s.pass(time.Second)
	s.says(0, 1, 2, 5)
	s.pass(time.Second)
	s.says(0, 0, 2, 5)
	s.expect(t, "m1 stopped leading")
	if s.state.leader != -1 || s.state.pace() != keenInterval {
		t.Errorf("leader %d, pace %v", s.state.leader, s.state.pace())
	}
	s.pass(70 * time.Millisecond)
	s.says(0, 1, 2, 5)
	s.expect(t, "m1 leads on, term 2")
}

func TestAnswersFromBeforeARestartDoNotCount(t *testing.T) {
	s := newStory(1)
	s.state.started(0, 1, s.now)
	s.pass(time.Second)
	old := s.now
	s.pass(time.Second)
	s.state.ended(0, "was killed", s.now, time.Time{})
	s.state.polled(poll{member: 0, at: old, status: &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: 1}, Leader: 1, RaftTerm: 9}})
	s.pass(time.Second)
	s.state.started(0, 2, s.now)
	s.state.polled(poll{member: 0, at: old, status: &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: 1}, Leader: 1, RaftTerm: 9}})
	if s.state.leader != -1 || s.state.members[0].status != nil {
		t.Error("an answer from before the restart was believed")
	}
}

func TestAMemberThatStopsAnsweringIsTold(t *testing.T) {
	s := newStory(1)
	s.state.started(0, 1, s.now)
	s.pass(300 * time.Millisecond)
	s.says(0, 0, 1, 0)
	s.expect(t, "m1 answers, 300ms after its start")
	s.pass(time.Second)
	s.state.polled(poll{member: 0, at: s.now, err: errors.New("deadline exceeded")})
	s.expect(t, "m1 does not answer")
	if role := s.state.members[0].role(); role != "silent" {
		t.Errorf("its role is %q", role)
	}
	s.says(0, 0, 1, 0)
	s.expect(t, "m1 answers again")
}

func TestRateIsThatOfTheLastSecond(t *testing.T) {
	var r rate
	at := time.Unix(0, 0)
	if r.add(at, 1000); r.perSecond() != 0 {
		t.Error("one sample has a rate")
	}
	for range 50 { // ten seconds of 200 a second
		at = at.Add(200 * time.Millisecond)
		r.add(at, 1000+at.UnixMilli()/5)
	}
	if got := r.perSecond(); got != 200 {
		t.Errorf("steady growth by 200 a second has the rate %v", got)
	}
	if len(r.samples) > 10 {
		t.Errorf("%d samples are kept", len(r.samples))
	}
	at = at.Add(200 * time.Millisecond)
	r.add(at, 0) // the member lost its store
	if got := r.perSecond(); got != 0 {
		t.Errorf("a counter that fell has the rate %v", got)
	}
}
