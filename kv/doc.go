// Package kv is the state machine that gives etcd's v3 semantics: keys with revisions, history, transactions and compaction, kept in Pebble.
//
// It knows nothing of Raft's protocol and nothing of gRPC. It is given committed commands in log order (Store.Apply), and requests to read what
// they made of the state (Store.Range and others).
//
// Invariants:
//   - The same commands give the same state, byte for byte, on every member: no clock, no randomness, no map order; how commands were grouped
//     in batches, when Pebble flushed, and how far the removal of compacted history has come make no difference that can be observed.
//   - Pebble runs without a log of its own: the Raft log is the only one. What a batch changes and the index of its last command are in one atomic
//     write, so after a crash the store is as it was after some command, at or after DurableIndex, and takes up the replay from there.
//     Commands that it has already applied are passed over.
//   - What was applied may wait to be written to Pebble until somebody reads, up to a bound. Whoever reads sees everything that was applied before: the first one
//     to read after many writes writes what waits, and where reads and writes mix nothing waits.
//   - A read sees the state of one revision, even while commands are applied, and once it has begun neither waits for the other.
//   - What is wrong with a command is decided by the command and the state alone, and is an error in its result.
//
// It does not check requests for what etcd's server refuses before it replicates them (sizes, numbers of operations, duplicate keys in
// a transaction): that is done where requests come in. It knows no leases, so a put that names one fails with ErrLeaseNotFound.
package kv
