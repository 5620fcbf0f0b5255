package etcdapi

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/kv"
	"github.com/balsa-raft/balsa/raft"
)

func TestErrorsOfTheGroupAreEtcds(t *testing.T) {
	var (
		canceled, cancel = context.WithCancel(context.Background())
		plain            = context.Background()
		wrap             = func(err error) error { return fmt.Errorf("wrapped: %w", err) }
		late             = context.DeadlineExceeded
	)
	cancel()
	const (
		timeout    = "etcdserver: request timed out"
		leaderFail = "etcdserver: request timed out, possibly due to previous leader failure"
		lost       = "etcdserver: request timed out, possibly due to connection lost"
		noLeader   = "etcdserver: no leader"
		changed    = "etcdserver: leader changed"
		busy       = "etcdserver: too many requests"
		large      = "etcdserver: request is too large"
		full       = "etcdserver: mvcc: database space exceeded"
		stopped    = "etcdserver: server stopped"
	)
	for name, test := range map[string]struct {
		err         error
		code        codes.Code
		write, read string
	}{
		"overloaded":                     {engine.ErrOverloaded, codes.ResourceExhausted, busy, busy},
		"too large":                      {engine.ErrTooLarge, codes.InvalidArgument, large, large},
		"disk full":                      {engine.ErrFull, codes.ResourceExhausted, full, full},
		"closed":                         {engine.ErrClosed, codes.Unavailable, stopped, stopped},
		"host stopped":                   {fmt.Errorf("%w: %w", engine.ErrStopped, errors.New("bad disk")), codes.Unavailable, stopped, stopped},
		"member removed":                 {engine.ErrRemoved, codes.Unavailable, stopped, stopped},
		"no leader in time":              {fmt.Errorf("%w: %w", engine.ErrNoLeader, late), codes.Unavailable, noLeader, noLeader},
		"outcome unknown":                {fmt.Errorf("%w: %w", engine.ErrIndeterminate, late), codes.Unavailable, timeout, changed},
		"outcome unknown as it was shut": {fmt.Errorf("%w: %w", engine.ErrIndeterminate, engine.ErrClosed), codes.Unavailable, timeout, stopped},
		"outcome unknown at once":        {engine.ErrIndeterminate, codes.Unavailable, lost, changed},
		"out of time":                    {late, codes.Unavailable, timeout, timeout},
		"another took its place":         {engine.ErrDropped, codes.Unavailable, changed, changed},
		"unforeseen":                     {errors.New("odd"), codes.Unknown, "etcdserver: wrapped: odd", "etcdserver: wrapped: odd"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newTestAPI(t, nil)
			wantStatus(t, a.writeError(plain, 1, wrap(test.err)), test.code, test.write)
			wantStatus(t, a.readError(plain, wrap(test.err)), test.code, test.read)
			wantStatus(t, a.writeError(canceled, 1, wrap(test.err)), codes.Canceled, "context canceled")
			wantStatus(t, a.readError(canceled, wrap(test.err)), codes.Canceled, "context canceled")
		})
	}
	t.Run("outcome unknown and another leader", func(t *testing.T) {
		a := newTestAPI(t, nil)
		wantStatus(t, a.writeError(plain, 2, engine.ErrIndeterminate), codes.Unavailable, leaderFail)
	})
}

func TestErrorsOfAChangeAreEtcds(t *testing.T) {
	a := newTestAPI(t, nil)
	for err, want := range map[error]struct {
		code codes.Code
		text string
	}{
		raft.ErrUnknownMember:                         {codes.NotFound, "etcdserver: member not found"},
		raft.ErrChangePending:                         {codes.Unavailable, "etcdserver: unhealthy cluster"},
		raft.ErrNotReady:                              {codes.Unavailable, "etcdserver: unhealthy cluster"},
		fmt.Errorf("%w: no voter", raft.ErrBadChange): {codes.InvalidArgument, "etcdserver: " + raft.ErrBadChange.Error() + ": no voter"},
		fmt.Errorf("x: %w", engine.ErrIndeterminate):  {codes.Unavailable, "etcdserver: request timed out, possibly due to connection lost"},
		fmt.Errorf("x: %w", context.DeadlineExceeded): {codes.Unavailable, "etcdserver: request timed out"},
	} {
		wantStatus(t, a.changeError(context.Background(), err), want.code, want.text)
	}
}

func TestErrorsOfTheStoreAreEtcds(t *testing.T) {
	for err, want := range map[error]struct {
		code codes.Code
		text string
	}{
		kv.ErrCompacted:          {codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted"},
		kv.ErrFutureRev:          {codes.OutOfRange, "etcdserver: mvcc: required revision is a future revision"},
		kv.ErrKeyNotFound:        {codes.InvalidArgument, "etcdserver: key not found"},
		kv.ErrLeaseNotFound:      {codes.NotFound, "etcdserver: requested lease not found"},
		kv.ErrNoSpace:            {codes.ResourceExhausted, "etcdserver: mvcc: database space exceeded"},
		kv.ErrCorrupt:            {codes.DataLoss, "etcdserver: corrupt cluster"},
		context.Canceled:         {codes.Canceled, "context canceled"},
		context.DeadlineExceeded: {codes.DeadlineExceeded, "context deadline exceeded"},
		errors.New("odd"):        {codes.Unknown, "etcdserver: odd"},
	} {
		wantStatus(t, storeError(err), want.code, want.text)
		if code := want.code; code != codes.Canceled && code != codes.DeadlineExceeded && code != codes.Unknown {
			wantStatus(t, storeError(fmt.Errorf("wrapped: %w", err)), want.code, want.text)
		}
	}
	if storeError(nil) != nil {
		t.Error("no error became one")
	}
}
