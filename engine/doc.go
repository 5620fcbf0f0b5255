// Package engine drives many Raft groups of one host: it feeds each group's core with what comes from peers, clients and the clock, and
// carries out what the core wants done. It has four stages, each a plain synchronous method, so that a simulator can call
// them one by one and production can give each its goroutine (goroutines.go, the only file that starts any):
//
//   - Turn: drain the inboxes, feed the cores, Take, hand out. Never waits for a disk, a socket or a state machine.
//   - Sync: write what all groups have queued to the write-ahead log with one fsync, then release the messages that waited for it.
//   - Apply: hand one group's committed entries to its state machine and answer those who wait.
//   - Background: everything slow that nobody waits for on the spot: reading old entries, writing and staging snapshots, flushing machines.
//
// Invariants: a core is touched only within a Turn of the worker that owns it. A message that reveals durable state leaves only after
// the Sync that made it so. Entries reach a machine once, in log order, and only when they are durable here, so a restart never finds a machine
// ahead of its log. A proposal is answered exactly once, and "unknown" is said whenever it may have happened.
//
// The package knows no socket, no clock and no operating system: network, time, files and seed are handed in. It does not do sessions,
// addresses of clients, or configuration files: see package balsa.
package engine
