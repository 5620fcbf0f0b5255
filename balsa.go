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

// The types that a replicated state machine is written against, and what a group tells of itself. See package engine for their contracts.
type (
	StateMachine        = engine.StateMachine
	DurableStateMachine = engine.DurableStateMachine
	SnapshotWriter      = engine.SnapshotWriter
	Entry               = engine.Entry
	Result              = engine.Result
	Group               = engine.Group
	Status              = engine.Status
	// Session is one client's line of commands, each applied exactly once. See OpenSession.
	Session = session.Session
)

// The vocabulary of the protocol. See package raft.
type (
	GroupID       = raft.GroupID
	MemberID      = raft.MemberID
	Index         = raft.Index
	Term          = raft.Term
	Member        = raft.Member
	Change        = raft.Change
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

// OpenSession registers a session with the group, which has to have been started with a machine of WithSessions: else it is ErrNoSessions. It retries by itself until ctx ends: opening twice does no harm.
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
