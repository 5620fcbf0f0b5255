package raft

import "errors"

// What a local request can be refused for. None of them leaves a trace: nothing was done.
var (
	// ErrNotLeader says that only the leader can do this. Core.Leader names it, if it is known.
	ErrNotLeader = errors.New("raft: not the leader")
	// ErrNoLeader says that no leader is known: ask again after an election.
	ErrNoLeader = errors.New("raft: no leader is known")
	// ErrOverloaded says that the leader has as many uncommitted bytes, or waiting reads, as it may have: ask again later.
	ErrOverloaded = errors.New("raft: too much is waiting to be committed")
	// ErrTransferring says that leadership is being handed over: ask again soon, within an election timeout.
	ErrTransferring = errors.New("raft: leadership is being transferred")
	// ErrChangePending says that a change of the configuration is under way; there is one at a time (thesis §4.1).
	ErrChangePending = errors.New("raft: a membership change is under way")
	// ErrNotReady says that the leader has not yet committed an entry in its term, which it has to before it may change the
	// configuration (Ongaro, "bug in single-server membership changes", raft-dev 2015).
	ErrNotReady = errors.New("raft: the leader has not committed in its term yet")
	// ErrBadChange says that a change of the configuration makes no sense; it is wrapped with the reason.
	ErrBadChange = errors.New("raft: bad membership change")
	// ErrBadProposal says that entries of a kind were proposed which only the core itself makes.
	ErrBadProposal = errors.New("raft: no-ops and configurations cannot be proposed")
	// ErrUnknownMember says that there is no such member in the configuration.
	ErrUnknownMember = errors.New("raft: no such member")
	// ErrNotVoter says that the member is a learner, which cannot lead.
	ErrNotVoter = errors.New("raft: the member is no voter")
)
