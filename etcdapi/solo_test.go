package etcdapi

import (
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/kv"
	"github.com/balsa-raft/balsa/raft"
)

// soloGroup is a group of one member without a log: what is proposed is applied at once. Its fields may be set between requests to make it answer
// as a group in trouble would.
type soloGroup struct {
	mu      sync.Mutex
	machine engine.StateMachine
	state   engine.Status
	// proposeErr, barrierErr, changeErr and transferErr are returned instead of doing what was asked; hold makes proposals wait for their context.
	proposeErr, barrierErr, changeErr, transferErr error
	hold                                           bool
	// entered, if set, is closed when a proposal has come in; it waits for release then.
	entered, release chan struct{}
	transferred      raft.MemberID
	barriers         int
}

const testCluster = 0xc1

// newSoloGroup makes the group of member 1, who leads term 7.
func newSoloGroup(machine engine.StateMachine) *soloGroup {
	g := &soloGroup{machine: machine}
	g.state.ID, g.state.Role, g.state.Leader, g.state.Term = 1, raft.Leader, 1, 7
	g.state.Configuration.Members = []raft.Member{{
		ID: 1, Address: "n1:2380",
		Meta: EncodeMeta(MemberInfo{Name: "n1", PeerURLs: []string{"http://n1:2380"}, ClientURLs: []string{"http://n1:2379"}}),
	}}
	g.setPeers()
	return g
}

// with runs f while nothing else happens to the group.
func (g *soloGroup) with(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *soloGroup) setPeers() {
	g.state.Peers = nil
	for _, m := range g.state.Configuration.Members {
		g.state.Peers = append(g.state.Peers, raft.Progress{ID: m.ID, Match: g.state.Last, RecentActive: true})
	}
}

func (g *soloGroup) Self() raft.MemberID { return 1 }

func (g *soloGroup) Leader() (raft.MemberID, raft.Term) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.Leader, g.state.Term
}

func (g *soloGroup) CommitIndex() raft.Index {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.Commit
}

func (g *soloGroup) AppliedIndex() raft.Index {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.Applied
}

func (g *soloGroup) Status() (engine.Status, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, nil
}

func (g *soloGroup) ProposeUntil(ctx context.Context, until <-chan struct{}, command []byte) (engine.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold {
		select {
		case <-ctx.Done():
			return engine.Result{}, ctx.Err()
		case <-until:
			return engine.Result{}, context.DeadlineExceeded
		}
	}
	if g.entered != nil {
		close(g.entered)
		g.mu.Unlock()
		<-g.release
		g.mu.Lock()
	}
	if g.proposeErr != nil {
		return engine.Result{}, g.proposeErr
	}
	g.advance()
	return g.machine.Apply([]engine.Entry{{Index: g.state.Last, Term: g.state.Term, Data: command, Local: true}})[0], nil
}

func (g *soloGroup) ProposeThen(command []byte, done func(engine.Result, error)) func(error) {
	ctx, giveUp := context.WithCancelCause(context.Background())
	go func() {
		result, err := g.ProposeUntil(ctx, nil, command)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		done(result, err)
		giveUp(nil)
	}()
	return giveUp
}

func (g *soloGroup) ReadBarrierThen(done func(error)) func(error) {
	done(g.ReadBarrier(context.Background()))
	return func(error) {}
}

func (g *soloGroup) advance() {
	g.state.Last++
	g.state.Commit, g.state.Applied = g.state.Last, g.state.Last
}

func (g *soloGroup) ReadBarrierUntil(ctx context.Context, _ <-chan struct{}) error {
	return g.ReadBarrier(ctx)
}

func (g *soloGroup) ReadBarrier(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.barriers++
	return g.barrierErr
}

func (g *soloGroup) ChangeMembers(_ context.Context, change raft.Change) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.changeErr; err != nil {
		g.changeErr = nil
		return err
	}
	var members []raft.Member
	changed := func(id raft.MemberID) bool {
		_, isSet := find(raft.Configuration{Members: change.Set}, id)
		for _, removed := range change.Remove {
			isSet = isSet || removed == id
		}
		return isSet
	}
	for _, m := range g.state.Configuration.Members {
		if !changed(m.ID) {
			members = append(members, m)
		}
	}
	g.state.Configuration = raft.Configuration{Members: append(members, change.Set...)}
	g.advance()
	g.setPeers()
	return nil
}

func (g *soloGroup) TransferLeadership(_ context.Context, to raft.MemberID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.transferErr == nil {
		g.transferred = to
	}
	return g.transferErr
}

// newTestAPI makes the API of a solo group over a store in a directory of its own. change may alter the options.
func newTestAPI(t testing.TB, change func(*Options)) *API {
	t.Helper()
	store, err := kv.Open(t.TempDir(), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	options := Options{Group: newSoloGroup(store), Store: store, ClusterID: testCluster, MaxUnapplied: 100}
	if change != nil {
		change(&options)
	}
	a, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *API) solo() *soloGroup { return a.Group.(*soloGroup) }

// serve serves the API on a loopback port and returns its address.
func serve(t testing.TB, a *API) string {
	t.Helper()
	l := listen(t)
	s := NewServer(a, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing runs any more: do not wait
		s.Stop(ctx)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// newClient connects etcd's own client to an address.
func newClient(t testing.TB, address string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{address},
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
