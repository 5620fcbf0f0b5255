package etcdapi

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/kv"
	"github.com/balsa-raft/balsa/raft"
)

// requestTimeout is what a request has: time to queue, compute and wait for disks, and for an election in the middle of it.
func (o *Options) requestTimeout() time.Duration { return 5*time.Second + 2*o.ElectionTimeout }

// limit bounds a request's time, for requests that are rare: see patience for the others. It costs nothing when the client's own deadline is nearer.
func (a *API) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := a.requestTimeout()
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= timeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// writeError says in etcd's words why a write was not answered. leader is the one that was known when it began.
//
// What certainly did not happen, and what may have happened, both have to be Unavailable for clients to go on with another member. The
// text tells them apart: "timed out" always means that the outcome is open.
func (a *API) writeError(ctx context.Context, leader raft.MemberID, err error) error {
	if cause := ctx.Err(); cause != nil {
		return status.FromContextError(cause).Err()
	}
	switch {
	case errors.Is(err, engine.ErrIndeterminate):
		// It wraps what ended the wait, which says nothing about the outcome, so it has to be looked for first.
		return a.timedOut(leader, err)
	case errors.Is(err, engine.ErrNoLeader):
		return rpctypes.ErrGRPCNoLeader
	case errors.Is(err, engine.ErrDropped):
		return rpctypes.ErrGRPCLeaderChanged
	}
	if refusal := groupError(err); refusal != nil {
		return refusal
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return a.timedOut(leader, err)
	}
	return a.unknown("write failed", err)
}

// timedOut is for a request that may have happened: it says whether that is for a change of leader, or, where nothing took long, for the connection to
// the leader.
func (a *API) timedOut(leader raft.MemberID, err error) error {
	if now, _ := a.group.Leader(); now == raft.NoMember || now != leader {
		return rpctypes.ErrGRPCTimeoutDueToLeaderFail
	}
	if errors.Is(err, engine.ErrIndeterminate) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, engine.ErrClosed) {
		return rpctypes.ErrGRPCTimeoutDueToConnectionLost
	}
	return rpctypes.ErrGRPCTimeout
}

// readError says why a read barrier was not reached. A read that fails can always be asked again.
func (a *API) readError(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return status.FromContextError(cause).Err()
	}
	if refusal := groupError(err); refusal != nil {
		return refusal
	}
	switch {
	case errors.Is(err, engine.ErrNoLeader):
		return rpctypes.ErrGRPCNoLeader
	case errors.Is(err, engine.ErrIndeterminate), errors.Is(err, engine.ErrDropped):
		return rpctypes.ErrGRPCLeaderChanged
	case errors.Is(err, context.DeadlineExceeded):
		return rpctypes.ErrGRPCTimeout
	}
	return a.unknown("read barrier failed", err)
}

// groupError translates what means the same for every request, or returns nil.
func groupError(err error) error {
	switch {
	case errors.Is(err, engine.ErrOverloaded):
		return rpctypes.ErrGRPCRequestTooManyRequests
	case errors.Is(err, engine.ErrTooLarge):
		return rpctypes.ErrGRPCRequestTooLarge
	case errors.Is(err, engine.ErrFull):
		return rpctypes.ErrGRPCNoSpace
	case errors.Is(err, engine.ErrClosed), errors.Is(err, engine.ErrStopped), errors.Is(err, engine.ErrRemoved):
		return rpctypes.ErrGRPCStopped
	}
	return nil
}

// unknown is for an error that nobody foresaw: the client gets its text, the operator a line in the log.
func (a *API) unknown(what string, err error) error {
	a.Logger.Warn(what, "error", err)
	return status.Error(codes.Unknown, "etcdserver: "+err.Error())
}

// storeErrors pairs the errors of package kv with what etcd answers for them.
var storeErrors = []struct{ cause, answer error }{
	{kv.ErrCompacted, rpctypes.ErrGRPCCompacted},
	{kv.ErrFutureRev, rpctypes.ErrGRPCFutureRev},
	{kv.ErrKeyNotFound, rpctypes.ErrGRPCKeyNotFound},
	{kv.ErrLeaseNotFound, rpctypes.ErrGRPCLeaseNotFound},
	{kv.ErrNoSpace, rpctypes.ErrGRPCNoSpace},
	{kv.ErrCorrupt, rpctypes.ErrGRPCCorrupt},
}

// storeError translates an error of the store; nil stays nil.
func storeError(err error) error {
	if err == nil {
		return nil
	}
	for _, pair := range storeErrors {
		if errors.Is(err, pair.cause) {
			return pair.answer
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	if _, isStatus := status.FromError(err); isStatus {
		return err
	}
	return status.Error(codes.Unknown, "etcdserver: "+err.Error())
}
