package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// forward is a call that was passed to the leader and not yet accepted.
type forward struct {
	call    *call
	address string
	expires time.Duration // when to give up hope of an answer
	leader  raft.MemberID
	disk    uint64 // of the leader
	moved   bool   // another leader is known
}

// forwardPatience is how many election timeouts a leader has to answer that it has a request, which it does in the turn that finds it. A message may be lost
// without anybody being told, such as one for which a peer's queue had no room.
const forwardPatience = 10

// forwarder names who forwards: a host may carry several members of a group over its life.
type forwarder struct {
	address string
	member  raft.MemberID
}

// forwardAll passes calls on to the leader. From here on their outcome is the leader's to say.
func (g *Group) forwardAll(calls []*call) {
	leader := g.core.Leader()
	address := g.addressOf(leader)
	if address == "" {
		g.held = append(g.held, calls...)
		return
	}
	g.core.Wake() // If the group has fallen silent, nobody has looked for a while whether the leader is still there.
	for _, c := range calls {
		if !c.start() {
			continue
		}
		id := g.host.forwardID.Add(1)
		m := &ForwardRequest{Header: g.header(leader), ID: id, Sum: c.sum, Data: c.data}
		switch c.kind {
		case callPropose:
			m.Op = ForwardProposal
		case callChange:
			m.Op, m.Data = ForwardChange, c.change.Encode(nil)
			m.Sum = raft.Sum(m.Data)
		case callTransfer:
			m.Op, m.Sum = ForwardTransfer, raft.Sum(c.data)
		}
		g.forwards[id] = &forward{call: c, address: address, leader: leader, disk: g.leaderDisk, expires: g.worker.now + forwardPatience*g.host.options.Raft.ElectionTimeoutMax}
		g.worker.envelopes = append(g.worker.envelopes, Envelope{Group: g.id, To: address, Message: m})
	}
}

func (g *Group) header(to raft.MemberID) raft.Header {
	return raft.Header{From: g.self, To: to, Term: g.core.Term(), Incarnation: g.host.options.Log.Incarnation()}
}

// receiveForward serves, at the leader, what a follower passes on. A duplicate or a straggler is never proposed, since an earlier copy may have
// been, and never said to have not happened, since then it would be tried again. What tells: the ids of a host ascend, and a request is only
// served in the term in which its sender knew this leader. Which requests an earlier life of this host has served is forgotten, but those were of
// terms up to bornTerm.
func (g *Group) receiveForward(from string, m *ForwardRequest) {
	reply := &ForwardReply{Header: g.header(m.From), ID: m.ID, Leader: g.core.Leader()}
	who := forwarder{address: from, member: m.From}
	switch {
	case !g.mayForward(who):
		reply.Code = ForwardOverloaded // It is not served, and no copy of it ever was.
	case m.ID <= g.forwarded[who] || m.Term <= g.bornTerm:
		reply.Code = ForwardIndeterminate
	case g.core.Role() != raft.Leader || m.Term != g.core.Term():
		g.forwarded[who] = m.ID
		reply.Code = ForwardNotLeader
	default:
		g.forwarded[who] = m.ID
		g.serveForward(m, reply)
	}
	// The reply leaves before the entry itself does, so that the follower knows whom to tell when it applies the entry.
	g.worker.envelopes = append(g.worker.envelopes, Envelope{Group: g.id, To: from, Message: reply})
}

// How many forwarders a group remembers that are no members of it: of one host, and of all. Whoever invents names is not served beyond that; those that are known
// are, and the members of the configuration. A host has one member of a group at a time, and a few over its life.
const (
	maxForwardersOfHost = 64
	maxForwarders       = 4096
)

// mayForward tells whether there is room to remember what somebody has forwarded. For a member there always is, however many names others have invented before.
func (g *Group) mayForward(who forwarder) bool {
	if _, known := g.forwarded[who]; known {
		return true
	}
	if address, member := g.addresses[who.member]; member && address == who.address {
		return true
	}
	ofHost := 0
	for other := range g.forwarded {
		if other.address == who.address {
			ofHost++
		}
	}
	return ofHost < maxForwardersOfHost && len(g.forwarded) < maxForwarders
}

func (g *Group) serveForward(m *ForwardRequest, reply *ForwardReply) {
	var err error
	switch m.Op {
	case ForwardProposal:
		if g.host.options.Log.Full() {
			err = ErrFull
			break
		}
		if len(m.Data) > g.host.options.MaxCommandBytes {
			err = ErrTooLarge
			break
		}
		reply.Index, reply.Term, err = g.core.Propose([]raft.Proposal{{Kind: raft.EntryCommand, Sum: m.Sum, Data: m.Data}})
	case ForwardChange:
		var change raft.Change
		if change, err = raft.DecodeChange(m.Data); err == nil {
			reply.Index, reply.Term, err = g.core.ChangeMembers(change)
		}
	case ForwardTransfer:
		var to raft.MemberID
		if to, err = decodeMember(m.Data); err == nil {
			err = g.core.TransferLeadership(to)
		}
	default:
		err = fmt.Errorf("balsa: unknown forwarded operation %d", m.Op)
	}
	switch {
	case err == nil:
		reply.Code = ForwardAccepted
		g.core.Await(m.From, reply.Index)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrTransferring) && m.Op == ForwardProposal:
		reply.Code = ForwardNotLeader
	case errors.Is(err, raft.ErrOverloaded):
		reply.Code = ForwardOverloaded
	default:
		reply.Code, reply.Data = ForwardRefused, encodeRefusal(err)
	}
}

// receiveForwardReply learns what became of a forwarded call.
func (g *Group) receiveForwardReply(m *ForwardReply) {
	f := g.forwards[m.ID]
	if f == nil {
		return
	}
	delete(g.forwards, m.ID)
	c := f.call
	if m.Code != ForwardAccepted && m.Incarnation != f.disk {
		// Another disk under the leader's identity was asked. That it did nothing says nothing of the leader, which a copy of the request may reach.
		c.finish(outcome{err: ErrIndeterminate})
		return
	}
	switch m.Code {
	case ForwardAccepted:
		switch {
		case c.kind == callTransfer:
			c.finish(outcome{})
		case g.removed && m.Index > g.apply.handed: // the entry does not come here any more
			c.finish(outcome{err: fmt.Errorf("%w: %w", ErrIndeterminate, ErrRemoved)})
		case m.Index <= g.apply.handed: // the entry overtook this reply: its result went by unclaimed
			if c.kind == callChange {
				c.finish(outcome{index: m.Index})
				return
			}
			c.finish(outcome{err: ErrIndeterminate})
		default:
			g.waiting.add(m.Index, m.Term, []*call{c})
		}
	case ForwardNotLeader:
		c.mayHaveHappened.Store(false)
		g.held = append(g.held, c)
	case ForwardOverloaded:
		c.finish(outcome{err: ErrOverloaded})
	case ForwardRefused:
		c.finish(outcome{err: decodeRefusal(m.Data)})
	default:
		c.finish(outcome{err: ErrIndeterminate})
	}
}

// failForwards gives up on the forwarded calls that match: whether the leader got them is unknown.
func (g *Group) failForwards(match func(*forward) bool) {
	var lost []uint64
	for id, f := range g.forwards {
		if match(f) {
			lost = append(lost, id)
		}
	}
	slices.Sort(lost) // in the order they came, so that a simulation repeats itself
	for _, id := range lost {
		f := g.forwards[id]
		delete(g.forwards, id)
		f.call.finish(outcome{err: ErrIndeterminate})
	}
}

// expireForwards gives up on what the leader does not answer, and forgets what nobody waits for any more. An old leader has one election timeout
// after another one is known: after a transfer it still answers.
func (g *Group) expireForwards() {
	if len(g.forwards) == 0 {
		return
	}
	now, leader := g.worker.now, g.core.Leader()
	g.failForwards(func(f *forward) bool {
		if f.leader != leader && !f.moved {
			f.moved = true
			f.expires = min(f.expires, now+g.host.options.Raft.ElectionTimeoutMax)
		}
		return f.expires <= now || f.call.state.Load() == callAbandoned
	})
}

func encodeMember(id raft.MemberID) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(id))
}

func decodeMember(data []byte) (raft.MemberID, error) {
	if len(data) != 8 {
		return 0, errors.New("balsa: a member id has 8 bytes")
	}
	return raft.MemberID(binary.LittleEndian.Uint64(data)), nil
}
