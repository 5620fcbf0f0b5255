package sim

import (
	"time"

	"github.com/balsa-raft/balsa/engine"
)

// queue orders what is to happen by time, and by the order in which it was planned where the time is the same. It is a heap of which each node has
// four children. The heap itself holds no pointers, so that moving its nodes costs the garbage collector nothing.
type queue struct {
	heap []happening
	seq  uint64
	// plans are what is to happen, where the nodes say; free are the places that hold nothing.
	plans []plan
	free  []uint32
}

// plan says what is to happen. Most of what happens is of few kinds, which need no closure of their own.
type plan struct {
	kind planKind
	// stage is what a process runs, timer which of its timers rings, parcel what arrives, run anything else.
	stage  engine.Stage
	host   *host
	life   uint64 // of the process it is for
	timer  uint64
	parcel *parcel
	run    func()
}

type planKind uint8

const (
	planRun      planKind = iota // something of the world
	planProcess                  // something of a process
	planStage                    // a process runs a stage
	planTimer                    // a process's timer rings
	planDelivery                 // a process is handed a parcel
	planArrival                  // a parcel arrives at a host
)

// happen lets happen what was planned.
func (p *plan) happen(w *World) {
	switch p.kind {
	case planRun:
		p.run()
	case planArrival:
		w.network.arrive(p.parcel)
	default:
		p.host.live(p)
	}
}

// happening is something that is to happen at a point of virtual time.
type happening struct {
	at   time.Duration
	seq  uint64
	plan uint32
}

func (q *queue) push(at time.Duration, p plan) {
	q.seq++
	h := happening{at: at, seq: q.seq}
	if n := len(q.free); n > 0 {
		h.plan = q.free[n-1]
		q.free = q.free[:n-1]
		q.plans[h.plan] = p
	} else {
		h.plan = uint32(len(q.plans))
		q.plans = append(q.plans, p)
	}
	q.heap = append(q.heap, h)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !h.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = h
}

// pop takes out the next thing that is to happen; false if there is none.
func (q *queue) pop() (at time.Duration, p plan, ok bool) {
	if len(q.heap) == 0 {
		return 0, plan{}, false
	}
	top := q.heap[0]
	p = q.plans[top.plan]
	q.plans[top.plan] = plan{}
	q.free = append(q.free, top.plan)
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap = q.heap[:n]
	if n > 0 {
		q.sink(last)
	}
	return top.at, p, true
}

// sink puts a node into the hole at the top, and moves the hole down to where the node belongs.
func (q *queue) sink(h happening) {
	n, i := len(q.heap), 0
	for {
		least := 4*i + 1
		if least >= n {
			break
		}
		for child := least + 1; child < min(4*i+5, n); child++ {
			if q.heap[child].before(&q.heap[least]) {
				least = child
			}
		}
		if !q.heap[least].before(&h) {
			break
		}
		q.heap[i] = q.heap[least]
		i = least
	}
	q.heap[i] = h
}

// next is when the next thing is to happen.
func (q *queue) next() (time.Duration, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}

func (h *happening) before(o *happening) bool {
	return h.at < o.at || h.at == o.at && h.seq < o.seq
}
