package compat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

// What etcd's Go client has on top of the plain calls, as far as it needs no watch and no lease.

func TestANamespaceHidesTheRest(t *testing.T) {
	client := newClient(t, newCluster(t, 1).endpoints()...)
	ctx := t.Context()
	if _, err := client.Put(ctx, "outside", "x"); err != nil {
		t.Fatal(err)
	}
	kv := namespace.NewKV(client.KV, "inside/")
	r, err := kv.Txn(ctx).If(clientv3util.KeyMissing("a")).Then(clientv3.OpPut("a", "1"), clientv3.OpPut("b", "2")).Commit()
	if err != nil || !r.Succeeded {
		t.Fatalf("%v, %v", r, err)
	}
	all, err := kv.Get(ctx, "", clientv3.WithPrefix())
	if err != nil || all.Count != 2 || string(all.Kvs[0].Key) != "a" {
		t.Errorf("inside there is %v, %v", all, err)
	}
	if r, err := kv.Delete(ctx, "", clientv3.WithFromKey()); err != nil || r.Deleted != 2 {
		t.Errorf("deleted %v, %v", r, err)
	}
	if left, err := client.Get(ctx, "", clientv3.WithPrefix()); err != nil || left.Count != 1 || string(left.Kvs[0].Key) != "outside" {
		t.Errorf("what is left is %v, %v", left, err)
	}
}

// TestOrderedReadsNeverGoBack reads from all members in turn, serializably, with a client that notices when one of them is behind what was read before.
func TestOrderedReadsNeverGoBack(t *testing.T) {
	client := newClient(t, newCluster(t, 3, steady...).endpoints()...)
	ctx := t.Context()
	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
	for i := range 100 {
		want := strconv.Itoa(i)
		put, err := kv.Put(ctx, "key", want)
		if err != nil {
			t.Fatal(err)
		}
		// A put is not ordered by the wrapper, a read is: the fresh one tells it how far the cluster is.
		if _, err := kv.Get(ctx, "key"); err != nil {
			t.Fatal(err)
		}
		got, err := kv.Get(ctx, "key", clientv3.WithSerializable())
		for errors.Is(err, ordering.ErrNoGreaterRev) {
			got, err = kv.Get(ctx, "key", clientv3.WithSerializable())
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Kvs[0].Value) != want || got.Header.Revision < put.Header.Revision {
			t.Fatalf("read %v after %d was written at %d", got, i, put.Header.Revision)
		}
	}
}

// TestAMirrorGetsOneRevision writes while a mirror reads all keys page by page: what it gets is the state of one revision.
func TestAMirrorGetsOneRevision(t *testing.T) {
	client := newClient(t, newCluster(t, 1).endpoints()...)
	ctx := t.Context()
	const keys, batch = 2500, 100
	for first := 0; first < keys; first += batch {
		var puts []clientv3.Op
		for i := range batch {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("k%05d", first+i), "before"))
		}
		if _, err := client.Txn(ctx).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	at, err := client.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	syncer := mirror.NewSyncer(client, "k", at.Header.Revision)
	pages, errs := syncer.SyncBase(ctx)
	found := 0
	for page := range pages {
		for _, kv := range page.Kvs {
			if string(kv.Value) != "before" {
				t.Fatalf("%s was changed after revision %d", kv.Key, at.Header.Revision)
			}
			found++
		}
		if _, err := client.Put(ctx, "k02499", "after"); err != nil {
			t.Fatal(err)
		}
	}
	for err := range errs {
		t.Fatal(err)
	}
	if found != keys {
		t.Errorf("found %d keys of %d", found, keys)
	}
}

// TestSoftwareTransactionsAreIsolated moves money between accounts from many goroutines, with the client's software transactions at each level of isolation that
// detects conflicts: nothing is lost, nothing is made. Each goroutine asks one member: such a transaction reads at the revision of its first read, serializably, and
// would be told by a member that is behind that this revision is in the future.
func TestSoftwareTransactionsAreIsolated(t *testing.T) {
	endpoints := newCluster(t, 3, steady...).endpoints()
	client := newClient(t, endpoints[0])
	ctx := t.Context()
	const accounts, money, workers, moves = 4, 100, 4, 15
	for i := range accounts {
		if _, err := client.Put(ctx, fmt.Sprintf("account/%d", i), strconv.Itoa(money)); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for worker := range workers {
		isolation := []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable}[worker%2]
		client := newClient(t, endpoints[worker%len(endpoints)])
		wait.Go(func() {
			for i := range moves {
				from, to := fmt.Sprintf("account/%d", (worker+i)%accounts), fmt.Sprintf("account/%d", (worker+2*i+1)%accounts)
				if from == to {
					continue
				}
				_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
					a, err := strconv.Atoi(stm.Get(from))
					if err != nil {
						return err
					}
					b, err := strconv.Atoi(stm.Get(to))
					if err != nil {
						return err
					}
					stm.Put(from, strconv.Itoa(a-1))
					stm.Put(to, strconv.Itoa(b+1))
					return nil
				}, concurrency.WithIsolation(isolation), concurrency.WithAbortContext(ctx))
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	all, err := client.Get(ctx, "account/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	sum, versions := 0, int64(0)
	for _, kv := range all.Kvs {
		n, err := strconv.Atoi(string(kv.Value))
		if err != nil {
			t.Fatal(err)
		}
		sum, versions = sum+n, versions+kv.Version-1
	}
	if sum != accounts*money || versions == 0 || versions%2 != 0 {
		t.Errorf("there is %d instead of %d, after %d changes of accounts", sum, accounts*money, versions)
	}
}

// TestTheClientGoesOnWithoutTheLeader kills the leader under a client that knows all members: what it then reads and writes goes through, because what the other
// members answer meanwhile are errors that it tries again after. A write that may have happened is not repeated by the client, but told.
func TestTheClientGoesOnWithoutTheLeader(t *testing.T) {
	c := newCluster(t, 3, steady...)
	client := newClient(t, c.endpoints()...)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := client.Put(ctx, "a", "1"); err != nil {
		t.Fatal(err)
	}
	leader, err := c.leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	leader.kill()
	got, err := client.Get(ctx, "a")
	if err != nil || string(got.Kvs[0].Value) != "1" {
		t.Fatalf("read %v, %v", got, err)
	}
	for {
		_, err := client.Put(ctx, "a", "2")
		if err == nil {
			break
		}
		var known rpctypes.EtcdError
		if !errors.As(err, &known) && clientv3.IsConnCanceled(err) {
			t.Fatalf("the client gave up: %v", err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no write goes through: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if got, err := client.Get(ctx, "a"); err != nil || string(got.Kvs[0].Value) != "2" {
		t.Errorf("read %v, %v", got, err)
	}
}

// TestARequiredLeaderIsRequired asks a member that has lost its cluster.
func TestARequiredLeaderIsRequired(t *testing.T) {
	c := newCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c.members[1].kill()
	c.members[2].kill()
	client := newClient(t, c.endpoints()[0])
	for {
		// The read that may be stale is answered as long as the client does not insist on a leader. Once the member has noticed that it is alone, one that does is not.
		if _, err := client.Get(ctx, "a", clientv3.WithSerializable()); err != nil {
			t.Fatal(err)
		}
		once, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), time.Second)
		_, err := client.Get(once, "a", clientv3.WithSerializable())
		cancel()
		switch {
		case errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, context.DeadlineExceeded):
			return
		case err != nil:
			t.Fatal(err)
		case ctx.Err() != nil:
			t.Fatal("a member without a leader answers who insists on one")
		}
	}
}
