// Package balsa is Raft that you can embed: it makes a durable, replicated state machine out of any Go type.
//
// A Host is this process's part: one directory, one write-ahead log and one peer address for as many groups as you like. A Group is one replicated
// state machine. You write a StateMachine; the rest is Open, Start, Propose and ReadBarrier:
//
//	host, err := balsa.Open(balsa.Options{Dir: dir, Listen: "10.0.0.1:2380"})
//	group, err := host.Start(1, members, machine)
//	result, err := group.Propose(ctx, command) // replicated, durable on a majority, applied here
//	err = group.ReadBarrier(ctx)               // what the machine holds now is linearizable, on any member
//
// The package wires the rooms below it together: raft (the protocol), engine (turns), wal (the log) and transport (peer connections). It does not look into
// commands, and it knows nothing of key-value stores or gRPC.
package balsa

import (
	"context"
	"io"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/session"
)

// The types that a replicated state machine is written against, and what a group tells of itself. Package engine has their contracts.
type (
	// StateMachine is what a group replicates: the type that you write. See go doc github.com/balsa-raft/balsa/engine.StateMachine
	StateMachine = engine.StateMachine
	// DurableStateMachine is a StateMachine that keeps its state on stable storage itself. See go doc github.com/balsa-raft/balsa/engine.DurableStateMachine
	DurableStateMachine = engine.DurableStateMachine
	// SnapshotWriter writes a state that a machine has captured. See go doc github.com/balsa-raft/balsa/engine.SnapshotWriter
	SnapshotWriter = engine.SnapshotWriter
	// Entry is a committed command as a machine sees it. See go doc github.com/balsa-raft/balsa/engine.Entry
	Entry = engine.Entry
	// Result is what applying an entry answers to whoever proposed it. See go doc github.com/balsa-raft/balsa/engine.Result
	Result = engine.Result
	// Group is this host's member of a group: Propose, ReadBarrier, ChangeMembers, TransferLeadership, Status. See go doc github.com/balsa-raft/balsa/engine.Group
	Group = engine.Group
	// Status is a copy of what a member knows. See go doc github.com/balsa-raft/balsa/engine.Status
	Status = engine.Status
	// Session is one client's line of commands, each applied exactly once: see OpenSession, and go doc github.com/balsa-raft/balsa/session.Session
	Session = session.Session
)

// The vocabulary of the protocol, of package raft.
type (
	// GroupID names a group. See go doc github.com/balsa-raft/balsa/raft.GroupID
	GroupID = raft.GroupID
	// MemberID names a member of a group; it is not 0. See go doc github.com/balsa-raft/balsa/raft.MemberID
	MemberID = raft.MemberID
	// Index is a place in the log. See go doc github.com/balsa-raft/balsa/raft.Index
	Index = raft.Index
	// Term numbers the leaderships. See go doc github.com/balsa-raft/balsa/raft.Term
	Term = raft.Term
	// Member is one member of a configuration: its id, its address, and whether it votes. See go doc github.com/balsa-raft/balsa/raft.Member
	Member = raft.Member
	// Change says which members to add or replace, and which to remove. See go doc github.com/balsa-raft/balsa/raft.Change
	Change = raft.Change
	// Configuration is who the members are. See go doc github.com/balsa-raft/balsa/raft.Configuration
	Configuration = raft.Configuration
)

// The errors of Propose, ReadBarrier, ChangeMembers and TransferLeadership. Except after ErrIndeterminate, the request did not happen.
var (
	ErrIndeterminate  = engine.ErrIndeterminate
	ErrOverloaded     = engine.ErrOverloaded
	ErrNoLeader       = engine.ErrNoLeader
	ErrDropped        = engine.ErrDropped
	ErrTooLarge       = engine.ErrTooLarge
	ErrFull           = engine.ErrFull
	ErrClosed         = engine.ErrClosed
	ErrRemoved        = engine.ErrRemoved
	ErrStopped        = engine.ErrStopped
	ErrTransferFailed = engine.ErrTransferFailed
	ErrChangePending  = raft.ErrChangePending
	ErrNotReady       = raft.ErrNotReady
	ErrBadChange      = raft.ErrBadChange
	ErrUnknownMember  = raft.ErrUnknownMember
	ErrSessionExpired = session.ErrExpired
	ErrNoSessions     = session.ErrNone
)

// WithSessions wraps a machine so that commands proposed through a Session are applied exactly once, however often they are retried (thesis §6.3).
// All members have to wrap. Commands proposed directly on the group are not understood any more: use a Session for all. It is not for a
// DurableStateMachine, whose state the sessions could not be saved together with; such a machine keeps its own.
func WithSessions(machine StateMachine) StateMachine {
	return session.NewMachine(machine, session.Limit)
}

// OpenSession registers a session with the group, which has to have been started with a machine of WithSessions: else it is ErrNoSessions. It retries by itself until
// ctx ends: opening twice does no harm.
func OpenSession(ctx context.Context, group *Group) (*Session, error) {
	return session.Open(ctx, group)
}

// SnapshotBytes is the SnapshotWriter of a machine that is small enough to capture its state as bytes. It keeps data, which must not change any more.
func SnapshotBytes(data []byte) SnapshotWriter { return snapshotBytes(data) }

type snapshotBytes []byte

// WriteTo implements io.WriterTo.
func (s snapshotBytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s)
	return int64(n), err
}

// Close implements io.Closer.
func (s snapshotBytes) Close() error { return nil }
