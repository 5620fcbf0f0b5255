package etcdapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

func TestStatusThroughEtcdsClient(t *testing.T) {
	a := newTestAPI(t, nil)
	client := newClient(t, serve(t, a))
	endpoint := client.Endpoints()[0]
	for i := range 3 {
		if _, err := client.Put(t.Context(), "a", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := client.Status(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if s.Version != "3.7.3" || s.StorageVersion != "3.7.0" || s.Leader != 1 || s.RaftTerm != 7 || s.RaftIndex != 3 || s.RaftAppliedIndex != 3 ||
		s.IsLearner || len(s.Errors) != 0 || s.Header.Revision != 4 || s.DbSize < s.DbSizeInUse {
		t.Errorf("got %v", s)
	}
	a.solo().with(func() { a.solo().state.Leader, a.solo().state.Faulty = 0, true })
	s, err = client.Status(t.Context(), endpoint)
	if err != nil || len(s.Errors) != 2 || s.Errors[0] != "etcdserver: no leader" {
		t.Errorf("without a leader and with a damaged log: %v, %v", s, err)
	}
}

func TestHashesChangeWithTheKeys(t *testing.T) {
	a := newTestAPI(t, nil)
	client := newClient(t, serve(t, a))
	endpoint, ctx := client.Endpoints()[0], t.Context()
	seen := map[uint32]bool{}
	for i := range 3 {
		if _, err := client.Put(ctx, "a", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		h, err := client.HashKV(ctx, endpoint, 0)
		if err != nil || h.HashRevision != int64(i+2) || h.Header.Revision != int64(i+2) || seen[h.Hash] {
			t.Errorf("after put %d: %v, %v", i, h, err)
		}
		seen[h.Hash] = true
	}
	if h, err := client.HashKV(ctx, endpoint, 2); err != nil || !seen[h.Hash] || h.HashRevision != 2 {
		t.Errorf("of an old revision: %v, %v", h, err)
	}
	if _, err := client.HashKV(ctx, endpoint, 9); err != rpctypes.ErrFutureRev {
		t.Errorf("of the future: %v", err)
	}
	h, err := pb.NewMaintenanceClient(client.ActiveConnection()).Hash(ctx, &pb.HashRequest{})
	if err != nil || h.Header.Revision != 4 {
		t.Errorf("Hash: %v, %v", h, err)
	}
}

func TestMoveLeader(t *testing.T) {
	a := newTestAPI(t, nil)
	g := a.solo()
	g.state.Configuration.Members = append(g.state.Configuration.Members, raft.Member{ID: 2}, raft.Member{ID: 3, Learner: true})
	client := newClient(t, serve(t, a))
	for _, test := range []struct {
		to          uint64
		leader      raft.MemberID
		transferErr error
		want        error
		transferred raft.MemberID
	}{
		{to: 2, leader: 1, transferred: 2},
		{to: 1, leader: 1},
		{to: 3, leader: 1, want: rpctypes.ErrBadLeaderTransferee},
		{to: 9, leader: 1, want: rpctypes.ErrBadLeaderTransferee},
		{to: 2, leader: 2, want: rpctypes.ErrNotLeader},
		{to: 2, leader: 0, want: rpctypes.ErrNotLeader},
		{to: 2, leader: 1, transferErr: raft.ErrNotLeader, want: rpctypes.ErrNotLeader},
		{to: 2, leader: 1, transferErr: raft.ErrNotVoter, want: rpctypes.ErrBadLeaderTransferee},
		{to: 2, leader: 1, transferErr: engine.ErrClosed, want: rpctypes.ErrStopped},
	} {
		g.with(func() { g.state.Leader, g.transferErr, g.transferred = test.leader, test.transferErr, 0 })
		_, err := client.MoveLeader(t.Context(), test.to)
		if err != test.want || g.transferred != test.transferred {
			t.Errorf("%+v: got %v and moved it to %d", test, err, g.transferred)
		}
	}
	g.with(func() { g.state.Leader, g.transferErr = 1, fmt.Errorf("%w: odd", engine.ErrTransferFailed) })
	_, err := (&maintenanceService{API: a}).MoveLeader(t.Context(), &pb.MoveLeaderRequest{TargetID: 2})
	wantStatus(t, err, codes.Unknown, "etcdserver: request timed out, leader transfer took too long")
}

func TestASnapshotEndsInItsHash(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 32 << 10, 32<<10 + 1, 200_000} {
		body := bytes.Repeat([]byte("snapshot"), size/8+1)[:size]
		backup := &fakeBackup{body: body}
		a := newTestAPI(t, func(o *Options) { o.Store = &backupStore{Store: o.Store, backup: backup} })
		client := newClient(t, serve(t, a))
		stream, err := client.SnapshotWithVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(stream.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		stream.Snapshot.Close()
		if stream.Version != "3.7.0" {
			t.Errorf("the version is %q", stream.Version)
		}
		if len(data)%512 != sha256.Size || len(data) < size+sha256.Size || len(data) >= size+512+sha256.Size {
			t.Fatalf("a body of %d bytes is sent as %d", size, len(data))
		}
		content, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
		if want := sha256.Sum256(content); !bytes.Equal(sum, want[:]) {
			t.Errorf("size %d: the hash is wrong", size)
		}
		if !bytes.Equal(content[:size], body) || len(bytes.Trim(content[size:], "\x00")) > 0 {
			t.Errorf("size %d: the body is not what was written, filled up with zeros", size)
		}
	}
}

func TestASnapshotIsSentInSmallChunks(t *testing.T) {
	a := newTestAPI(t, func(o *Options) {
		o.Store = &backupStore{Store: o.Store, backup: &fakeBackup{body: make([]byte, 100_000)}}
	})
	client := newClient(t, serve(t, a))
	stream, err := pb.NewMaintenanceClient(client.ActiveConnection()).Snapshot(t.Context(), &pb.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for first := true; ; first = false {
		chunk, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(chunk.Blob) == 0 || len(chunk.Blob) > 32<<10 {
			t.Errorf("a chunk has %d bytes", len(chunk.Blob))
		}
		if (chunk.Header != nil) != first {
			t.Errorf("the header of a chunk is %v", chunk.Header)
		}
	}
}

func TestASnapshotThatBreaksHasNoHash(t *testing.T) {
	backup := &fakeBackup{body: make([]byte, 1000), err: errors.New("bad disk")}
	a := newTestAPI(t, func(o *Options) { o.Store = &backupStore{Store: o.Store, backup: backup} })
	client := newClient(t, serve(t, a))
	stream, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stream); err == nil || status.Convert(err).Message() != "etcdserver: bad disk" {
		t.Errorf("got %v", err)
	}
}

// backupStore is a store with a snapshot of our making.
type backupStore struct {
	Store
	backup *fakeBackup
}

func (s *backupStore) Backup(ctx context.Context) (engine.SnapshotWriter, error) {
	return s.backup, nil
}

type fakeBackup struct {
	body []byte
	err  error
}

func (b *fakeBackup) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.body)
	return int64(n), errors.Join(err, b.err)
}

func (b *fakeBackup) Close() error { return nil }

func TestAlarmsDefragmentAndDowngrade(t *testing.T) {
	client := newClient(t, serve(t, newTestAPI(t, nil)))
	ctx := t.Context()
	if r, err := client.AlarmList(ctx); err != nil || len(r.Alarms) != 0 || r.Header.Revision != 1 {
		t.Errorf("the list of alarms: %v, %v", r, err)
	}
	if r, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil || len(r.Alarms) != 0 {
		t.Errorf("disarm: %v, %v", r, err)
	}
	maintenance := pb.NewMaintenanceClient(client.ActiveConnection())
	_, err := maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE})
	wantStatus(t, err, codes.Unimplemented, "balsa: alarms cannot be raised by hand")
	_, err = maintenance.Alarm(ctx, &pb.AlarmRequest{Action: 7})
	wantStatus(t, err, codes.InvalidArgument, "balsa: unknown alarm action 7")
	if _, err := client.Defragment(ctx, client.Endpoints()[0]); err != nil {
		t.Errorf("defragment: %v", err)
	}
	_, err = maintenance.Downgrade(ctx, &pb.DowngradeRequest{})
	wantStatus(t, err, codes.Unimplemented, "balsa: there is no older version to downgrade to")
}
