package sim

import (
	"bytes"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// answers judges what clients are told, at the moment they are told it, so that a run of any length takes no more memory than a short one. The log gives every
// operation its place in one order: a command its index, a query the index up to which the machine was when it was asked. What clients see is
// linearizable in that order if every answer is the oracle's at that place, and no operation stands before one that had ended when it began.
// Beyond that: what was acknowledged is in the log, where it was said to be; what was refused is not, and never will be. A stale query is held to less: its
// answer is the oracle's at its place, and one machine never goes back as long as its process lives.
type answers struct {
	group *group
	// newest is the operation that ended successfully with the highest index.
	newest ended
	// acknowledged is the highest index of a command that was.
	acknowledged raft.Index
	// begun are the commands whose clients wait, or do not know their outcome: what has to stand before each. refused are those that must never happen.
	begun   recent[ended]
	refused recent[time.Duration]
	// judged counts queries that were compared, forgotten those that were too far behind for it.
	judged, forgotten int
}

// ended is an operation that ended, for reports.
type ended struct {
	index  raft.Index
	client int
	host   raft.MemberID
	at     time.Duration
}

func newAnswers(g *group) *answers { return &answers{group: g} }

// began notes what had ended when an operation begins.
func (a *answers) began(op *Operation) {
	op.after, op.known = a.newest, raft.Index(a.group.size())
	if op.ID != 0 {
		a.begun.put(op.ID, a.newest)
	}
}

// happened: a command was applied for the first time.
func (a *answers) happened(d *deed) {
	w := a.group.world
	if at, refused := a.refused.get(d.id); refused {
		w.fail("exactly once", "g%d: command %x was refused at %v, but it happens at %d", a.group.id, d.id, at.Round(time.Microsecond), d.index)
	}
	if after, known := a.begun.get(d.id); known {
		a.begun.remove(d.id)
		if d.index <= after.index {
			w.fail("linearizability", "g%d: command %x stands at %d, but an operation of client %d on n%d that had ended at %v, before the command was made, stands at %d",
				a.group.id, d.id, d.index, after.client, after.host, after.at.Round(time.Microsecond), after.index)
		}
	}
}

// end judges an operation that has ended.
func (a *answers) end(op *Operation) {
	switch op.Outcome {
	case OutcomeRefused:
		if op.ID != 0 {
			a.refuse(op)
		}
	case OutcomeDone:
		if op.ID != 0 {
			a.command(op)
		} else {
			a.query(op)
		}
		if !op.Stale && op.Index > a.newest.index {
			a.newest = ended{index: op.Index, client: op.Client, host: op.Host, at: op.Return}
		}
	}
}

func (a *answers) refuse(op *Operation) {
	a.begun.remove(op.ID)
	if at, happened := a.group.ledger.byID[op.ID]; happened {
		a.group.world.fail("exactly once", "g%d: command %x was refused, but it happened at %d", a.group.id, op.ID, at)
		return
	}
	a.refused.put(op.ID, op.Return)
}

// command judges an acknowledged command.
func (a *answers) command(op *Operation) {
	g := a.group
	d := g.ledger.find(op.Index)
	switch {
	case d == nil && op.Index <= g.ledger.dropped:
		a.forgotten++
	case d == nil || d.id != op.ID:
		g.world.fail("durability", "g%d: command %x was acknowledged at %d, but it is not there", g.id, op.ID, op.Index)
	case !bytes.Equal(d.answer, op.Answer):
		g.world.fail("linearizability", "g%d: client %d was answered %s to its command at %d; in the order of the log the answer is %s", g.id, op.Client, describeBytes(op.Answer), op.Index,
			describeBytes(d.answer))
	default:
		a.judged++
	}
	a.acknowledged = max(a.acknowledged, op.Index)
	a.realTime(op)
}

// query judges an answered query.
func (a *answers) query(op *Operation) {
	g := a.group
	if op.Index > raft.Index(g.size()) {
		g.world.fail("linearizability", "g%d: client %d reads a state as of %d, and only %d entries are committed", g.id, op.Client, op.Index, g.size())
		return
	}
	model := g.ledger.asOf(op.Index)
	if model == nil {
		a.forgotten++
		return
	}
	if want := model.Read(op.Query); !bytes.Equal(want, op.Answer) {
		g.world.fail("linearizability", "g%d: client %d read %s at %d on n%d, where the answer is %s", g.id, op.Client, describeBytes(op.Answer), op.Index, op.Host, describeBytes(want))
		return
	}
	a.judged++
	if op.Stale {
		a.steady(op)
		return
	}
	if op.applied < op.known {
		// Thesis §6.4: a read is answered as of an index that is no earlier than what was committed when it was asked. Whatever any member knew to be
		// committed then is in the log of whoever leads, and before the first entry of its term, without which it answers no reads.
		g.world.fail("linearizability", "g%d: client %d read on n%d, where %d entries were applied; when it began to ask, at %v, %d were known to be committed", g.id, op.Client, op.Host, op.applied,
			op.Call.Round(time.Microsecond), op.known)
		return
	}
	a.realTime(op)
}

// steady: as long as a process lives, its machine never goes back.
func (a *answers) steady(op *Operation) {
	m := a.group.members[op.Host-1]
	if op.Index < m.shown {
		a.group.world.fail("serializable reads", "g%d: client %d reads a state as of %d on n%d, which has shown %d in this life of its process", a.group.id, op.Client, op.Index, op.Host, m.shown)
	}
	m.shown = max(m.shown, op.Index)
}

// realTime: whatever had ended when an operation began stands before it.
func (a *answers) realTime(op *Operation) {
	if op.Index > op.after.index || op.Index == op.after.index && op.ID == 0 {
		return
	}
	a.group.world.fail("linearizability", "g%d: an operation of client %d on n%d began at %v and stands at %d, but one of client %d on n%d that had ended at %v stands at %d",
		a.group.id, op.Client, op.Host, op.Call.Round(time.Microsecond), op.Index, op.after.client, op.after.host, op.after.at.Round(time.Microsecond), op.after.index)
}

// recent is a map that forgets what was put into it long ago.
type recent[V any] struct {
	values map[uint64]V
	order  []uint64
}

// recentSize is how many values a map of recent ones holds at least.
const recentSize = 16384

func (r *recent[V]) put(key uint64, v V) {
	if r.values == nil {
		r.values = map[uint64]V{}
	}
	if _, known := r.values[key]; !known {
		r.order = append(r.order, key)
	}
	r.values[key] = v
	if len(r.order) < 2*recentSize {
		return
	}
	for _, old := range r.order[:recentSize] {
		delete(r.values, old)
	}
	r.order = append(r.order[:0], r.order[recentSize:]...)
}

func (r *recent[V]) get(key uint64) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

// remove forgets a value; its place in the order goes with time.
func (r *recent[V]) remove(key uint64) { delete(r.values, key) }
