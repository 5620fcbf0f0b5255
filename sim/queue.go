package sim

import "time"

// queue orders what is to happen by time, and by the order in which it was planned where the time is the same. It is a heap of which each node has
// four children. The heap itself holds no pointers, so that moving its nodes costs the garbage collector nothing.
type queue struct {
	heap []happening
	seq  uint64
	// plans are what is to happen, where the nodes say; free are the places that hold nothing.
	plans []func()
	free  []uint32
}

// happening is something that is to happen at a point of virtual time.
type happening struct {
	at   time.Duration
	seq  uint64
	plan uint32
}

func (q *queue) push(at time.Duration, run func()) {
	q.seq++
	h := happening{at: at, seq: q.seq}
	if n := len(q.free); n > 0 {
		h.plan = q.free[n-1]
		q.free = q.free[:n-1]
		q.plans[h.plan] = run
	} else {
		h.plan = uint32(len(q.plans))
		q.plans = append(q.plans, run)
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
func (q *queue) pop() (at time.Duration, run func(), ok bool) {
	if len(q.heap) == 0 {
		return 0, nil, false
	}
	top := q.heap[0]
	run = q.plans[top.plan]
	q.plans[top.plan] = nil
	q.free = append(q.free, top.plan)
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap = q.heap[:n]
	if n > 0 {
		q.sink(last)
	}
	return top.at, run, true
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
