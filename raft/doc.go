// Package raft is the Raft protocol as a deterministic state machine: leader election, log replication, membership
// changes, log compaction and linearizable reads, as in Ongaro and Ousterhout, "In Search of an Understandable Consensus
// Algorithm" (cited as §n) and Ongaro's dissertation (cited as thesis §n).
//
// A Core is one member of one group. Whoever drives it hands in time (Tick), local requests (Propose, ReadIndex, ...),
// messages of other members (Receive) and what the disk has done (Synced), and collects with Take what is to be
// persisted, sent and applied. The same inputs give the same outputs, byte for byte, on every platform: there is no clock,
// goroutine, lock, I/O, logging, global randomness or map iteration in here, and nothing outside the standard library.
//
// What holds at all times, and is checked by Core.Check:
//   - Term and vote never go back; one vote a term (§5.2).
//   - base <= applied <= handed out <= commit <= last index, and what is handed out to be applied is durable here.
//   - The log is never truncated at or below the commit index; a leader never truncates its log (§5.3).
//   - No message that reveals a term, a vote or an entry leaves before it is on stable storage (figure 2).
//   - The configuration in force is the latest one in the log, committed or not (thesis §4.1).
//
// Nothing that a peer says makes it panic: what cannot come from a correct member is ignored, and an event says so. What it
// does not do: it stores nothing, sends nothing, forwards no proposals, streams no snapshots, knows no sessions, and does
// not survive members that lie (Raft assumes crash faults).
//
// A Core is not safe for concurrent use.
package raft
