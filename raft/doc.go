// Package raft is the Raft protocol as a deterministic state machine.
package raft
