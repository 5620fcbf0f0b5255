package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// ReadKind says how sure a read has to be.
type ReadKind uint8

// The kinds of reads. A linearizable one is confirmed by the leader, by a round of heartbeats or, where lease reads are on, by its lease; a lease read is
// refused where they are off. A serializable one is what the member has, perhaps of yesterday.
const (
	ReadLinearizable ReadKind = iota
	ReadSerializable
	ReadLease
)

// Request is what a client asks of a steered world, and what becomes of it.
type Request struct {
	ID     uint64
	Client int
	// Member is whom the client asked last, first whom it wants to ask; NoMember is whoever leads.
	Member             raft.MemberID
	Verb               Verb
	Read               ReadKind
	Key, Value, Expect string
	// Retry has the client go on to the next member until it has an answer; Patience is how long it waits for one: a second by default.
	Retry    bool
	Patience time.Duration

	// Call and Return bound it; Return is 0 while it goes on.
	Call, Return time.Duration
	Attempts     int
	Outcome      Outcome
	Err          string
	Reply        Reply
	// Stale says that a read missed a write that had ended before it began.
	Stale bool
	// changed counts what became of it.
	Changed uint64

	maybe   bool // an attempt may have happened, or may yet
	host    *host
	life    uint64
	pending *engine.Pending
	served  uint64 // how often a member was told of it: more often than it was tried, if messages are doubled
}

// Ended tells whether the client has its answer, or gave up.
func (r *Request) Ended() bool { return r.Return > 0 }

// maxAttempts bounds a client's stubbornness.
const maxAttempts = 50

// String is the request in words.
func (r *Request) String() string {
	c := Command{Verb: r.Verb, Key: r.Key, Value: r.Value, Expect: r.Expect}
	return c.String()
}

// Ask has a client begin a request.
func (w *World) Ask(r Request) (uint64, error) {
	s := w.steering
	switch {
	case r.Client < 1 || r.Client > 99:
		return 0, fmt.Errorf("client %d: clients are numbered from 1 to 99", r.Client)
	case r.Verb < VerbSet || r.Verb > VerbRead:
		return 0, errors.New("the client has to set, add, delete, cas or read")
	case r.Key == "" || len(r.Key)+len(r.Value)+len(r.Expect) > 1000:
		return 0, errors.New("a key is needed, and key and value may have 1,000 bytes together")
	case r.Verb == VerbRead && r.Read == ReadLease && !w.regime.Core.LeaseReads:
		return 0, errors.New("lease reads are off: switch them on first")
	}
	for i := range s.requests {
		if s.requests[i].Client == r.Client && !s.requests[i].Ended() {
			return 0, fmt.Errorf("client %d still waits for an answer: use another client", r.Client)
		}
	}
	if r.Member != raft.NoMember && w.hostOf(r.Member) == nil {
		return 0, fmt.Errorf("there is no member %d", r.Member)
	}
	r.ID, r.Call = uint64(len(s.requests)+1), w.now
	if r.Patience <= 0 {
		r.Patience = time.Second
	}
	s.requests = append(s.requests, r)
	s.attempt(r.ID)
	return r.ID, nil
}

func (s *steering) request(id uint64) *Request { return &s.requests[id-1] }

// attempt sends the request to a member.
func (s *steering) attempt(id uint64) {
	w, r := s.world, s.request(id)
	h := s.pick(r)
	r.Attempts++
	r.Changed++
	r.host, r.life, r.pending, r.Member = h, 0, nil, h.id
	attempt := r.Attempts
	w.watch.happened(&Happening{At: w.now, Kind: HappenedAsk, Host: h.id, Request: *r})
	w.story.add(&note{at: w.now, kind: noteClient, b: uint64(r.Client), c: id, text: "asks n" + fmt.Sprint(h.id) + ": " + r.String()})
	s.fly(Flight{To: h.id, Client: r.Client, Request: id}, func() { s.arrive(id, attempt, h) })
	w.after(r.Patience, func() {
		if r := s.request(id); !r.Ended() && r.Attempts == attempt {
			s.giveUp(id)
		}
	})
}

// pick finds whom to ask: who was named, at first; then the leader; then whoever runs, in turn.
func (s *steering) pick(r *Request) *host {
	w := s.world
	if r.Attempts == 0 && r.Member != raft.NoMember {
		return w.hostOf(r.Member)
	}
	if m := w.groups[0].leader(); m != nil && m.host != r.host {
		return m.host
	}
	for i := range w.hosts {
		from := 0
		if r.host != nil {
			from = int(r.host.id)
		}
		if h := w.hosts[(from+i)%len(w.hosts)]; h.engine != nil {
			return h
		}
	}
	return w.hosts[r.Attempts%len(w.hosts)]
}

// fly sends something between a client and a member.
func (s *steering) fly(f Flight, land func()) {
	w := s.world
	at := w.now + s.clients.between(s.setup.Delay.Min, s.setup.Delay.Max)
	f.Sent = w.now
	w.watch.begin(&flight{Flight: f, land: func(f *flight) {
		if f.Lost {
			w.watch.happened(&Happening{At: w.now, Kind: HappenedLoss, Flight: f.Flight, Text: "loss"})
			return
		}
		w.watch.delivered(f)
		land()
	}}, at)
}

// arrive is the request at the member's host.
func (s *steering) arrive(id uint64, attempt int, h *host) {
	if h.engine == nil {
		s.reply(id, attempt, h, Reply{}, errors.New("no process listens there"), false)
		return
	}
	r := s.request(id)
	if r.Attempts == attempt {
		r.life = h.life
	}
	h.plan(0, func() { s.serve(id, attempt, h) })
}

// serve hands the request to the member.
func (s *steering) serve(id uint64, attempt int, h *host) {
	r := s.request(id)
	m := h.members[0]
	if m.running == nil {
		s.reply(id, attempt, h, Reply{}, errors.New("the member does not run"), false)
		return
	}
	if r.Verb == VerbRead {
		if r.Read == ReadSerializable {
			s.reply(id, attempt, h, m.face.book.read(r.Key), nil, false)
			return
		}
		m.running.ReadBarrierAsync(func(err error) {
			if err != nil || m.face.book == nil {
				s.reply(id, attempt, h, Reply{}, errors.Join(err), false)
				return
			}
			s.reply(id, attempt, h, m.face.book.read(r.Key), nil, false)
		})
		return
	}
	r.served++
	c := Command{Client: uint64(r.Client), Request: id, Attempt: r.served, Verb: r.Verb, Key: r.Key, Value: r.Value, Expect: r.Expect}
	pending := m.running.ProposeAsync(c.encode(), func(result engine.Result, err error) {
		if err != nil {
			s.reply(id, attempt, h, Reply{}, err, errors.Is(err, engine.ErrIndeterminate))
			return
		}
		reply, bad := decodeReply(result.Data)
		if bad != nil {
			s.world.fail("state machine", "request %d: %v", id, bad)
		}
		s.reply(id, attempt, h, reply, nil, false)
	})
	if r := s.request(id); r.Attempts == attempt && !r.Ended() {
		r.pending = pending
	}
}

// reply sends the answer back.
func (s *steering) reply(id uint64, attempt int, h *host, reply Reply, err error, maybe bool) {
	r := s.request(id)
	s.fly(Flight{From: h.id, Client: r.Client, Request: id, Answer: true}, func() { s.answered(id, attempt, reply, err, maybe) })
}

// answered is the answer at the client.
func (s *steering) answered(id uint64, attempt int, reply Reply, err error, maybe bool) {
	r := s.request(id)
	if r.Ended() {
		return
	}
	if err == nil {
		r.Reply, r.Outcome = reply, OutcomeDone
		s.end(r, "")
		return
	}
	r.maybe = r.maybe || maybe
	if attempt == r.Attempts {
		s.failed(id, err)
	}
}

// failed ends an attempt that had no good answer.
func (s *steering) failed(id uint64, err error) {
	r := s.request(id)
	r.pending = nil
	if r.Retry && r.Attempts < maxAttempts {
		attempt := r.Attempts
		s.world.after(s.setup.Delay.Max, func() {
			if r := s.request(id); !r.Ended() && r.Attempts == attempt {
				s.attempt(id)
			}
		})
		return
	}
	r.Outcome = OutcomeRefused
	if r.maybe {
		r.Outcome = OutcomeUnknown
	}
	s.end(r, err.Error())
}

// giveUp ends the patience for one attempt.
func (s *steering) giveUp(id uint64) {
	r := s.request(id)
	r.maybe = r.maybe || r.Verb != VerbRead
	if r.pending != nil && !r.host.paused && r.host.life == r.life && r.host.engine != nil {
		pending := r.pending
		r.pending = nil
		r.host.guard(func() { pending.Cancel(errPatience) })
	}
	if r := s.request(id); !r.Ended() {
		s.failed(id, errPatience)
	}
}

// hostEnded breaks the connections of the clients that wait for a process which is gone.
func (s *steering) hostEnded(h *host) {
	if s == nil {
		return
	}
	for i := range s.requests {
		r := &s.requests[i]
		if r.Ended() || r.host != h || r.life == 0 || r.life >= h.life {
			continue
		}
		r.pending, r.life = nil, 0
		s.reply(r.ID, r.Attempts, h, Reply{}, errors.New("the connection broke"), r.Verb != VerbRead)
	}
}

// end completes a request.
func (s *steering) end(r *Request, why string) {
	w := s.world
	r.Return, r.Err, r.pending = max(w.now, 1), why, nil
	r.Changed++
	s.judge(r)
	w.story.add(&note{at: w.now, kind: noteClient, b: uint64(r.Client), c: r.ID, text: fmt.Sprintf("is answered: %s: %q %v %v", r.String(), r.Reply.Before, r.Outcome, r.Err)})
	w.watch.happened(&Happening{At: w.now, Kind: HappenedAnswer, Host: r.Member, Request: *r})
}

// judge tells whether an answer is one that a single copy of the data could have given: the log orders all writes, so that it is enough to compare what the
// client was shown with what others had been shown before it asked.
func (s *steering) judge(r *Request) {
	if r.Outcome != OutcomeDone {
		return
	}
	i := slices.IndexFunc(s.requests, func(o Request) bool {
		return o.ID != r.ID && o.Outcome == OutcomeDone && o.Ended() && o.Return <= r.Call && o.Key == r.Key && !o.Stale && o.Reply.Version > r.Reply.Version
	})
	if i < 0 {
		return
	}
	r.Stale = true
	if r.Verb != VerbRead || r.Read != ReadSerializable {
		s.world.fail("Linearizability", "client %d: %s was answered with what was there at %d, but client %d had seen what was there at %d before it asked", r.Client, r.String(),
			r.Reply.Version, s.requests[i].Client, s.requests[i].Reply.Version)
	}
}
