package raft

// What simulators and tests look at to follow a member's log step by step.

// TermAt returns the term of the entry at index i; false if it is compacted away, or the log does not reach that far.
func (c *Core) TermAt(i Index) (Term, bool) { return c.log.term(i) }

// InMemory returns the entries from index i on, as far as they are in memory: those that are not both durable and applied always are. The
// result shares memory with the core: read it, before the next input.
func (c *Core) InMemory(i Index) []Entry {
	if i > c.log.last {
		return nil
	}
	i = max(i, c.log.first)
	return c.log.window[i-c.log.first:]
}
