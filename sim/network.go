package sim

import (
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// network carries messages between hosts. It promises nothing but that what arrives was sent.
type network struct {
	world *World
	links [][]link // by sender and receiver
	// envelope is what a process is handed.
	envelope [1]engine.Envelope
	// What strikes every message, in parts of a thousand; faults set them.
	drop, duplicate, reorder int
	// extra is added to the mean delay.
	extra time.Duration
}

// link is one direction between two hosts.
type link struct {
	cuts []string // the faults that cut it: while there is any, nothing gets through
	// changes counts how often it was cut and mended.
	changes uint64
	last    time.Duration
	// lag is how much longer messages take on it than the network's mean: see the fault of that name.
	lag time.Duration
	old []*parcel // some of what was sent, for replay
	// sent counts the messages, and newest has the last of them, for echoes.
	sent   int
	newest [8]*parcel
	// delay is how long messages take, harm what the network does to them, memory what is kept for replay, breaks how soon the ends notice.
	delay, harm, memory, breaks *stream
	// spoil is what is done to the next message, and severed when the connection was dropped: what was on its way then is lost.
	spoil   *spoiling
	severed time.Duration
	told    bool // the sender knows that the connection broke; it is told once, until something gets through again
}

// parcel is a message on its way.
type parcel struct {
	from, to *host
	group    raft.GroupID
	message  raft.Message
	bytes    []byte // instead of message, if there is a codec
	flight   *flight
	// spoiled is the frame that arrives instead, spoiling what was done to it.
	spoiled  []byte
	spoiling *spoiling
	sent     time.Duration
}

// memory is how many old messages a link keeps for replay.
const memory = 16

func newNetwork(w *World) *network { return &network{world: w} }

// grow makes room for n hosts.
func (n *network) grow(hosts int) {
	for len(n.links) < hosts {
		n.links = append(n.links, nil)
	}
	for i := range n.links {
		for j := len(n.links[i]); j < hosts; j++ {
			of := func(name string) *stream { return n.world.stream(name, uint64(i+1), uint64(j+1)) }
			n.links[i] = append(n.links[i], link{delay: of("delay"), harm: of("harm"), memory: of("memory"), breaks: of("breaks")})
		}
	}
}

func (n *network) link(from, to *host) *link { return &n.links[from.id-1][to.id-1] }

// sender is a host's end of the network.
type sender struct{ host *host }

// Send implements engine.Network.
func (s sender) Send(envelopes []engine.Envelope) {
	for i := range envelopes {
		s.host.world.network.send(s.host, &envelopes[i])
	}
}

// send decides what becomes of a message.
func (n *network) send(from *host, e *engine.Envelope) {
	w := n.world
	from.members[e.Group-1].said(e.Message)
	from.heardTwin(e.Message)
	to := w.addresses[e.To]
	if to == nil {
		w.fail("network", "n%d sends to %q, which is no host", from.id, e.To)
		return
	}
	p := &parcel{from: from, to: to, group: e.Group, message: e.Message}
	if w.options.Codec != nil {
		var err error
		if p.bytes, err = w.options.Codec.Encode(e.Group, e.Message); err != nil {
			w.fail("network", "n%d cannot encode %s: %v", from.id, describe(e.Message), err)
			return
		}
		w.story.mix(uint64(raft.Sum(p.bytes)))
	}
	w.story.add(&note{at: w.now, kind: noteSend, host: from.id, a: uint64(e.Group), b: uint64(to.id), c: uint64(e.Message.Head().Term), message: e.Message})
	l := n.link(from, to)
	if len(l.old) < memory {
		l.old = append(l.old, p)
	} else if l.memory.chance(1, 16) {
		l.old[l.memory.IntN(memory)] = p
	}
	l.newest[l.sent%len(l.newest)] = p
	l.sent++
	if w.steering != nil {
		w.steering.post(p)
		return
	}
	if n.drop > 0 && l.harm.chance(n.drop, 1000) {
		w.counts.injected("drop")
		n.lose(p, "drop", "dropped")
		return
	}
	n.spoilNext(p, l)
	n.post(p)
	if n.duplicate > 0 && l.harm.chance(n.duplicate, 1000) {
		w.counts.injected("duplicate")
		w.counts.effective("duplicate")
		n.post(p)
	}
}

// recent are the last messages that were sent, the oldest first.
func (l *link) recent() []*parcel {
	var list []*parcel
	for k := range l.newest {
		if p := l.newest[(l.sent+k)%len(l.newest)]; p != nil {
			list = append(list, p)
		}
	}
	return list
}

// post puts a message on its way: behind those before it, or past them.
func (n *network) post(p *parcel) {
	w := n.world
	l := n.link(p.from, p.to)
	p.sent = w.now
	took := w.regime.Delay/2 + l.delay.around(w.regime.Delay/2+n.extra) + l.lag
	if way := w.conditions.way; way != nil {
		took = way(p.from, p.to)
	}
	at := w.now + took
	if n.reorder > 0 && l.harm.chance(n.reorder, 1000) {
		w.counts.injected("reorder")
		at += l.harm.around(4 * w.regime.Delay)
		if at < l.last {
			w.counts.effective("reorder")
		}
	} else {
		at = max(at, l.last)
		l.last = at
	}
	w.launch(p, at)
}

// arrive delivers a message to whoever has the address.
func (n *network) arrive(p *parcel) {
	l := n.link(p.from, p.to)
	to, both := p.to.reached()
	if both {
		n.hand(p, l)
	}
	if to != p.to {
		diverted := *p
		diverted.to = to
		p = &diverted
	}
	n.hand(p, l)
}

// hand delivers a message, if there is still a way and somebody at its end.
func (n *network) hand(p *parcel, l *link) {
	switch {
	case len(l.cuts) > 0:
		for _, cut := range l.cuts {
			n.world.counts.effective(cut)
		}
		n.lose(p, "", "the link is cut")
		n.breakLink(p.from, p.to)
	case p.to.engine == nil:
		n.lose(p, "", "no process")
		n.breakLink(p.from, p.to)
	case l.severed > 0 && p.sent <= l.severed:
		n.lose(p, "", "the connection was dropped")
	default:
		l.told = false
		n.world.watch.delivered(p.flight)
		p.to.live(&plan{kind: planDelivery, host: p.to, life: p.to.life, parcel: p})
	}
}

func (n *network) deliver(p *parcel) {
	w := n.world
	if p.spoiled != nil {
		n.refuse(p)
		return
	}
	if p.bytes != nil {
		group, m, err := w.options.Codec.Decode(p.bytes)
		if err != nil || group != p.group {
			w.fail("network", "cannot decode what n%d sent, %s, for group %d: group %d, %v", p.from.id, describe(p.message), p.group, group, err)
			return
		}
		p = &parcel{from: p.from, to: p.to, message: m, group: group}
	}
	if without := w.conditions.without; without != nil {
		p = without(p)
	}
	w.story.add(&note{at: w.now, kind: noteDeliver, host: p.to.id, a: uint64(p.group), b: uint64(p.from.id), message: p.message})
	n.envelope[0] = engine.Envelope{Group: p.group, From: p.from.address, To: p.to.address, Message: p.message}
	p.to.engine.Deliver(n.envelope[:])
}

// lose notes that a message does not arrive, because of a fault, if it is named.
func (n *network) lose(p *parcel, fault, why string) {
	if fault != "" {
		n.world.counts.effective(fault)
	}
	n.world.watch.lost(p, why)
	n.world.story.add(&note{at: n.world.now, kind: noteLost, host: p.from.id, a: uint64(p.group), b: uint64(p.to.id), text: why, message: p.message})
}

// breakLink tells the sender that its connection broke; not always, since it may take long to notice.
func (n *network) breakLink(from, to *host) {
	l := n.link(from, to)
	if l.told || n.world.regime.Unnoticed || l.breaks.chance(1, 3) {
		return
	}
	l.told = true
	n.tell(from, to)
}

// tell tells a host that its connection to another broke.
func (n *network) tell(h, lost *host) {
	if h.engine != nil {
		h.plan(n.link(h, lost).breaks.around(5*time.Millisecond), func() { h.engine.Disconnected(lost.address) })
	}
}

// disconnect breaks the connections of a host whose process ended: most of its peers notice at once.
func (n *network) disconnect(h *host) {
	for _, other := range n.world.hosts {
		if other != h && !n.world.regime.Unnoticed && n.link(other, h).breaks.chance(3, 4) {
			n.tell(other, h)
		}
	}
}

// cut keeps everything from going from one host to another, in the name of a fault.
func (n *network) cut(fault string, from, to *host) {
	l := n.link(from, to)
	l.changes++
	l.cuts = append(l.cuts, fault)
}

// mend ends one cut.
func (n *network) mend(fault string, from, to *host) {
	l := n.link(from, to)
	for i := range l.cuts {
		if l.cuts[i] == fault {
			l.changes++
			l.cuts = append(l.cuts[:i], l.cuts[i+1:]...)
			return
		}
	}
}

// whole tells whether no link is cut.
func (n *network) whole() bool {
	for _, row := range n.links {
		for i := range row {
			if len(row[i].cuts) > 0 {
				return false
			}
		}
	}
	return true
}

// lags tells whether messages take longer on some link than they should.
func (n *network) lags() bool {
	for _, row := range n.links {
		for i := range row {
			if row[i].lag > 0 {
				return true
			}
		}
	}
	return false
}

// heal makes the network good, and forgets what it could replay.
func (n *network) heal() {
	n.drop, n.duplicate, n.reorder, n.extra = 0, 0, 0, 0
	for i := range n.links {
		for j := range n.links[i] {
			n.links[i][j].cuts, n.links[i][j].lag = nil, 0
		}
	}
}
