package demo

import (
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// state is all that the demo knows of its cluster, and what happened to it. It has no clock and does no I/O: times come in with what happened, so that
// the same story always makes the same screen.
type state struct {
	members []memberState
	events  []event // the latest last; of those before only the number is kept, in told
	told    int
	// leader is the index of the member that leads, -1 while none does, and term its term.
	leader int
	term   uint64
	// leaderless is since when nobody leads, and cause what ended the last leadership.
	leaderless time.Time
	cause      string
}

type memberState struct {
	name, endpoint string
	pid            int
	// running says that the process lives; upSince and downSince from when on it does, or does not.
	running            bool
	upSince, downSince time.Time
	restartAt          time.Time // zero: not by itself
	// answering says that the latest poll was answered.
	answering bool
	status    *pb.StatusResponse
	rate      rate
}

// event is one line of what happened.
type event struct {
	number int // from 1
	at     time.Time
	text   string
}

const keptEvents = 200

func newState(l *layout, now time.Time) *state {
	s := &state{leader: -1, leaderless: now, cause: "the start"}
	for i := range l.Members {
		s.members = append(s.members, memberState{name: l.name(i), endpoint: l.client(i), downSince: now})
	}
	return s
}

func (s *state) tell(at time.Time, format string, args ...any) {
	s.told++
	s.events = append(s.events, event{s.told, at, fmt.Sprintf(format, args...)})
	if len(s.events) > keptEvents {
		s.events = s.events[1:]
	}
}

// started notes that a member's process runs.
func (s *state) started(i, pid int, at time.Time) {
	m := &s.members[i]
	m.running, m.pid, m.upSince, m.restartAt = true, pid, at, time.Time{}
	s.tell(at, "%s started, process %d", m.name, pid)
}

// ended notes that a member's process is gone. restartAt is when it will be started again, zero for not by itself.
func (s *state) ended(i int, reason string, at, restartAt time.Time) {
	m := &s.members[i]
	m.running, m.answering, m.status = false, false, nil
	m.downSince, m.restartAt = at, restartAt
	m.rate.reset()
	led := ""
	if s.leader == i {
		led = ", the leader,"
		s.lose(at, fmt.Sprintf("%s %s", m.name, reason))
	}
	s.tell(at, "%s%s %s", m.name, led, reason)
}

// lose notes that nobody leads any more.
func (s *state) lose(at time.Time, cause string) {
	s.leader, s.leaderless, s.cause = -1, at, cause
}

// polled takes in what a member said, or that it said nothing.
func (s *state) polled(p poll) {
	m := &s.members[p.member]
	if !m.running || p.at.Before(m.upSince) {
		return // asked before the process ended, or started
	}
	switch {
	case p.err != nil && m.answering:
		m.answering = false
		s.tell(p.at, "%s does not answer", m.name)
	case p.err == nil && !m.answering:
		if m.status == nil {
			s.tell(p.at, "%s answers, %s after its start", m.name, round(p.at.Sub(m.upSince)))
		} else {
			s.tell(p.at, "%s answers again", m.name)
		}
		m.answering = true
	}
	if p.err != nil {
		m.rate.reset()
		return
	}
	m.status = p.status
	m.rate.add(p.at, p.status.Header.GetRevision())
	s.follow(p.member, p.at)
}

// follow settles who leads, now that the i-th member spoke. A member is believed about itself, and an older term never against a newer one.
func (s *state) follow(i int, at time.Time) {
	status := s.members[i].status
	leads := status.Leader != 0 && status.Leader == status.Header.GetMemberId()
	switch {
	case leads && status.RaftTerm > s.term, leads && s.leader < 0 && status.RaftTerm == s.term:
		s.crown(i, status.RaftTerm, at)
	case s.leader == i && !leads && status.RaftTerm >= s.term:
		s.lose(at, s.members[i].name+" stopped leading")
		s.tell(at, "%s", s.cause)
	}
}

// crown notes that the i-th member leads in a new term.
func (s *state) crown(i int, term uint64, at time.Time) {
	name, again := s.members[i].name, s.term == term
	switch {
	case again:
		s.tell(at, "%s leads on, term %d", name, term)
	case s.leader >= 0 && s.leader != i:
		s.tell(at, "%s leads, term %d: it took over from %s", name, term, s.members[s.leader].name)
	case s.leader == i:
		s.tell(at, "%s leads, term %d: it was elected again", name, term)
	default:
		s.tell(at, "%s leads, term %d: elected %s after %s", name, term, round(at.Sub(s.leaderless)), s.cause)
	}
	s.leader, s.term = i, term
}

// pace is how often to ask.
func (s *state) pace() time.Duration {
	if s.leader < 0 {
		return keenInterval
	}
	return calmInterval
}

// role is the word for what a member is.
func (m *memberState) role() string {
	switch {
	case !m.running:
		return "down"
	case m.status == nil:
		return "starting"
	case !m.answering:
		return "silent"
	case m.status.IsLearner:
		return "learner"
	case m.status.Leader == 0:
		return "no leader"
	case m.status.Leader == m.status.Header.GetMemberId():
		return "leader"
	}
	return "follower"
}

// lag is how many entries that are committed somewhere this member has not applied, as far as it is known.
func (m *memberState) lag(committed uint64) string {
	if m.status == nil {
		return "-"
	}
	return fmt.Sprint(committed - min(committed, m.status.RaftAppliedIndex))
}

// committed is how far the cluster is, as far as any member knows.
func (s *state) committed() (index uint64) {
	for i := range s.members {
		if status := s.members[i].status; status != nil {
			index = max(index, status.RaftIndex)
		}
	}
	return index
}

// rate is how fast a counter grows, over the last second or so.
type rate struct {
	samples []sample
}

type sample struct {
	at    time.Time
	value int64
}

const rateWindow = time.Second

func (r *rate) reset() { r.samples = r.samples[:0] }

func (r *rate) add(at time.Time, value int64) {
	r.samples = append(r.samples, sample{at, value})
	for len(r.samples) > 2 && at.Sub(r.samples[1].at) >= rateWindow {
		r.samples = r.samples[1:]
	}
}

// perSecond is 0 until there is something to compare.
func (r *rate) perSecond() float64 {
	if len(r.samples) < 2 {
		return 0
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	elapsed := last.at.Sub(first.at).Seconds()
	if elapsed <= 0 {
		return 0
	}
	return max(0, float64(last.value-first.value)/elapsed)
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
