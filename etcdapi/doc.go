// Package etcdapi answers the etcd v3 API: it turns gRPC requests into commands of the key-value store, and the store's results into
// etcd's responses.
//
// A write is checked here, encoded once by package kv, proposed to the group, and answered with what applying it gave. A linearizable read waits
// for the group's read barrier and then reads the local store; a serializable read asks the local store at once. Any member takes any request: the
// group forwards proposals to its leader.
//
// Invariants: a request that fails a check never reaches the log; every error has the code and the exact text that etcd's rpctypes
// has for it, because clients compare strings; an error that leaves the outcome open is Unavailable with one of etcd's texts for a timeout, never a
// plain failure.
//
// What it does not do: it keeps no data, knows nothing of Raft beyond the Group interface, and makes no decision that has to be the same on all
// members; those are package kv's. Watch, Lease, Auth, Lock and Election answer Unimplemented.
package etcdapi
