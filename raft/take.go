package raft

// HasOutput tells whether Take may have something to give. It is cheap; at worst Take returns nothing.
func (c *Core) HasOutput() bool { return c.dirty }

// Take returns what the core wants done since the last Take. What was proposed, received and read between two Takes is
// batched: a follower gets one AppendRequest with all new entries, a leader one reply to all it sent.
func (c *Core) Take() (out Output) {
	if c.role == Leader {
		c.replicate()
	}
	c.acknowledge()
	c.forwardReads()
	c.persist()
	c.askToInstall()
	more := c.handOut()
	c.out.Seq = c.disk.seq
	out = c.out
	c.lent.recycle(&c.out)
	c.lent.events, c.lent.messages, c.lent.afterSync = out.Events, out.Messages, out.AfterSync
	c.dirty = more
	return out
}

// lent are the slices of the last Output. They are the caller's until the next Take, and then take what happens up to the one after it: a group with little to do
// for each Take would otherwise leave mostly garbage behind.
type lent struct {
	events              []Event
	messages, afterSync []Message
}

// keptSlice bounds the capacity of what is kept.
const keptSlice = 64

// recycle makes an Output empty, with room in what was lent.
func (l *lent) recycle(out *Output) {
	*out = Output{}
	if cap(l.events) <= keptSlice {
		out.Events = l.events[:0]
	}
	clear(l.messages)
	clear(l.afterSync)
	if cap(l.messages) <= keptSlice {
		out.Messages = l.messages[:0]
	}
	if cap(l.afterSync) <= keptSlice {
		out.AfterSync = l.afterSync[:0]
	}
}

// persist hands out what has to be written.
func (c *Core) persist() {
	hard := HardState{Term: c.term, Vote: c.vote}
	last := c.persistable()
	if hard == c.disk.emitted && last < c.disk.next {
		return
	}
	if hard != c.disk.emitted {
		changed := hard // else each call would allocate it
		c.disk.emitted, c.out.HardState = hard, &changed
	}
	if last >= c.disk.next {
		c.out.Entries = c.log.slice(c.disk.next, last)
		c.disk.next = last + 1
	}
	c.disk.begin(c.disk.next - 1)
}

// persistable returns the last index that may be handed out to be written.
func (c *Core) persistable() Index {
	switch {
	case c.installing != nil:
		return c.disk.next - 1 // The log is being replaced: what it has in memory may not land behind the snapshot.
	case c.repair != nil:
		return c.disk.next - 1 // See repair.go.
	}
	return c.log.last
}

// handOut gives what is committed to the state machine, once it is durable here: a restart never finds the machine ahead of its log.
// It tells whether there is more for the next Take.
func (c *Core) handOut() (more bool) {
	to := min(c.commit, c.disk.durable)
	if c.handed >= to || c.installing != nil {
		return false
	}
	from := c.handed + 1
	if from >= c.log.first {
		c.out.Committed = c.log.slice(from, to)
	} else {
		to = min(to, c.log.first-1)
		c.out.CommittedFrom, c.out.CommittedTo = from, to
		more = true // What is in memory follows with the next Take.
	}
	c.handed = to
	return more
}

// send queues a message. Figure 2: state is on stable storage before any message that reveals it.
func (c *Core) send(to MemberID, m Message) {
	c.address(to, m)
	if c.hardDurable() {
		c.out.Messages = append(c.out.Messages, m)
	} else {
		c.out.AfterSync = append(c.out.AfterSync, m)
	}
}

// sendAfterSync queues a message that reveals entries which are not durable yet.
func (c *Core) sendAfterSync(to MemberID, m Message) {
	c.address(to, m)
	c.out.AfterSync = append(c.out.AfterSync, m)
}

func (c *Core) address(to MemberID, m Message) {
	h := m.Head()
	h.From, h.To, h.Incarnation = c.cfg.ID, to, c.cfg.Incarnation
	if h.Term == 0 {
		h.Term = c.term
	}
	c.dirty = true
}

// advanceCommit moves the commit index.
func (c *Core) advanceCommit(to Index, rule string) {
	c.commit = to
	c.event(Event{Kind: EventCommitted, Index: to, Rule: rule})
}
