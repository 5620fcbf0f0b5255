package sim

import (
	"slices"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// HappeningKind says what a Happening is about.
type HappeningKind uint8

// What can happen, as far as somebody who watches a world wants to know.
const (
	HappenedEvent     HappeningKind = iota + 1 // the core of Host says Event
	HappenedSend                               // Flight begins
	HappenedDeliver                            // Flight has arrived
	HappenedLoss                               // Flight is lost; Text says why
	HappenedSync                               // an fsync of Host is done
	HappenedApply                              // the machine of Host has applied Event.Index
	HappenedBoot                               // the process of Host starts; Text says which
	HappenedCrash                              // it ends at once; Text says why
	HappenedStop                               // it ends in order
	HappenedPause                              // it stands still
	HappenedResume                             // it goes on
	HappenedFault                              // Text: what a fault does
	HappenedPhase                              // Text: what the run comes to
	HappenedAsk                                // a client asks: Request
	HappenedAnswer                             // a client has its answer, or gives up: Request
	HappenedChange                             // an operator's request has ended; Text says how
	HappenedViolation                          // Text: which property, and how
)

// Happening is one thing that happened.
type Happening struct {
	At    time.Duration
	Kind  HappeningKind
	Host  raft.MemberID // NoMember for the network and for clients
	Event raft.Event
	// Flight and Request are copies.
	Flight  Flight
	Request Request
	Text    string
}

// Flight is a message on its way: between members, or between a client and a member.
type Flight struct {
	ID uint64
	// From and To are NoMember for the client.
	From, To raft.MemberID
	Client   int
	// Message is nil for a client's request and its answer; Answer tells which, Request is its number.
	Message raft.Message
	Answer  bool
	Request uint64
	// Sent and Arrives bound it in time. Lost says that it will never arrive.
	Sent, Arrives time.Duration
	Lost          bool
	// Of is the flight that this one is a duplicate of.
	Of uint64
}

// flight is a Flight, and what is to be done at its end.
type flight struct {
	Flight
	land func(f *flight)
	// plan numbers the plans to land: only the last one counts.
	plan uint64
	over bool
}

// watch follows a world for whoever shows it. Its methods do nothing on nil, so that worlds nobody watches need not ask.
type watch struct {
	world  *World
	tell   func(*Happening)
	flying []*flight // by id
	last   uint64
}

func newWatch(w *World, tell func(*Happening)) *watch {
	v := &watch{world: w, tell: tell}
	w.story.watch = v.noted
	return v
}

func (v *watch) happened(h *Happening) {
	if v != nil {
		v.tell(h)
	}
}

// noted passes on what the story is told, as far as it is not told here in more detail.
func (v *watch) noted(n *note) {
	h := &Happening{At: n.at, Host: n.host, Event: n.event, Text: n.text}
	switch n.kind {
	case noteEvent:
		h.Kind = HappenedEvent
	case noteSync:
		h.Kind = HappenedSync
	case noteBoot:
		h.Kind = HappenedBoot
	case noteCrash:
		h.Kind = HappenedCrash
	case notePause:
		h.Kind = HappenedPause
	case noteResume:
		h.Kind = HappenedResume
	case noteFault:
		h.Kind = HappenedFault
	case notePhase:
		h.Kind = HappenedPhase
	case noteStop:
		h.Kind = HappenedStop
	default:
		return
	}
	v.tell(h)
}

// launch puts a message on its way, to arrive at a moment.
func (w *World) launch(p *parcel, at time.Duration) {
	if w.watch == nil {
		w.queue.push(max(at, w.now), plan{kind: planArrival, parcel: p})
		return
	}
	w.watch.launch(p, at, false)
}

// launch begins the flight of a parcel. What is doomed does not arrive.
func (v *watch) launch(p *parcel, at time.Duration, doomed bool) *flight {
	copied := *p // a duplicate is a parcel of its own
	f := &flight{Flight: Flight{From: p.from.id, To: p.to.id, Message: p.message, Sent: v.world.now, Lost: doomed}}
	copied.flight = f
	f.land = func(*flight) {
		if f.Lost {
			v.world.network.lose(&copied, "", "loss")
			return
		}
		v.world.network.arrive(&copied)
	}
	v.begin(f, at)
	return f
}

// begin gives a flight its number and its time.
func (v *watch) begin(f *flight, at time.Duration) {
	v.last++
	f.ID = v.last
	v.flying = append(v.flying, f)
	v.aim(f, at)
	v.tell(&Happening{At: v.world.now, Kind: HappenedSend, Flight: f.Flight})
}

// aim plans the landing, instead of what was planned before.
func (v *watch) aim(f *flight, at time.Duration) {
	f.Arrives = max(at, v.world.now)
	f.plan++
	plan := f.plan
	v.world.at(at, func() {
		if f.plan == plan && !f.over {
			v.end(f)
			f.land(f)
		}
	})
}

// end takes a flight out of the air.
func (v *watch) end(f *flight) {
	f.over = true
	if i, ok := slices.BinarySearchFunc(v.flying, f.ID, func(f *flight, id uint64) int {
		switch {
		case f.ID < id:
			return -1
		case f.ID > id:
			return 1
		}
		return 0
	}); ok {
		v.flying = slices.Delete(v.flying, i, i+1)
	}
}

func (v *watch) find(id uint64) *flight {
	for _, f := range v.flying {
		if f.ID == id {
			return f
		}
	}
	return nil
}

func (v *watch) delivered(f *flight) {
	if v != nil && f != nil {
		v.tell(&Happening{At: v.world.now, Kind: HappenedDeliver, Flight: f.Flight})
	}
}

// lost tells of a parcel that does not arrive; one that a fault took at once never had a flight.
func (v *watch) lost(p *parcel, why string) {
	if v == nil {
		return
	}
	if p.flight == nil {
		f := v.launch(p, v.world.now, true)
		v.end(f)
		p.flight = f
	}
	p.flight.Lost = true
	v.tell(&Happening{At: v.world.now, Kind: HappenedLoss, Flight: p.flight.Flight, Text: why})
}
