package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/balsa-raft/balsa/bench/lean"
	"github.com/balsa-raft/balsa/bench/load"
)

// What can ask servers.
const (
	clientLean = "lean" // costs little: see package lean
	clientGRPC = "grpc" // grpc-go's, which programs use
)

var clientKinds = []string{clientLean, clientGRPC}

// connectClients opens a connection to each address and spreads the clients over them. What it returns lets them ask, and closes the connections.
func connectClients(kind string, addresses []string, clients []client) (func(*load.Recorder), error) {
	switch kind {
	case clientLean, "":
		return connectLean(addresses, clients)
	case clientGRPC:
		return connectGRPC(addresses, clients)
	}
	return nil, fmt.Errorf("there is no client %q; there are %q", kind, clientKinds)
}

func connectGRPC(addresses []string, clients []client) (func(*load.Recorder), error) {
	conns, err := dialAll(addresses)
	if err != nil {
		return nil, err
	}
	kvs := make([]pb.KVClient, len(clients))
	for i := range clients {
		kvs[i] = pb.NewKVClient(conns[i%len(conns)])
	}
	return func(r *load.Recorder) {
		defer closeAll(conns)
		r.Ask(len(clients), func(worker int) error {
			ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
			defer cancel()
			return clients[worker].askGRPC(ctx, kvs[worker])
		})
	}, nil
}

func dialAll(addresses []string) ([]*grpc.ClientConn, error) {
	var conns []*grpc.ClientConn
	for _, address := range addresses {
		conn, err := dialMember(address)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll(conns []*grpc.ClientConn) {
	for _, conn := range conns {
		conn.Close()
	}
}

func connectLean(addresses []string, clients []client) (func(*load.Recorder), error) {
	conns := make([]*lean.Conn, len(addresses))
	for i, address := range addresses {
		conn, err := lean.Dial(address, requestLimit)
		if err != nil {
			return nil, errors.Join(err, closeLean(conns[:i]))
		}
		conns[i] = conn
	}
	return func(r *load.Recorder) {
		asking := make([][]lean.Client, len(conns))
		for i := range clients {
			asking[i%len(conns)] = append(asking[i%len(conns)], &leanClient{client: &clients[i], recorder: r})
		}
		var wait sync.WaitGroup
		for i, conn := range conns {
			wait.Go(func() { conn.Drive(r, asking[i]) })
		}
		wait.Wait()
		_ = closeLean(conns) // they have served
	}, nil
}

func closeLean(conns []*lean.Conn) error {
	var errs []error
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// leanClient is a client as package lean drives it.
type leanClient struct {
	*client
	recorder *load.Recorder
	asking   question
	encoded  [questions][]byte
}

var methods = [questions]string{
	questionPut: pb.KV_Put_FullMethodName, questionTxn: pb.KV_Txn_FullMethodName,
	questionFresh: pb.KV_Range_FullMethodName, questionStale: pb.KV_Range_FullMethodName, questionAll: pb.KV_Range_FullMethodName,
}

// Ask implements lean.Client.
func (c *leanClient) Ask(message []byte) (string, []byte) {
	c.asking = c.begin()
	if c.encoded[c.asking] == nil {
		c.encoded[c.asking] = c.encode(c.asking)
	}
	message = append(message, c.encoded[c.asking]...)
	if c.asking.writes() {
		// The value is what a put ends with, and all that changes from one to the next.
		copy(message[len(message)-len(c.value):], c.value)
	}
	return methods[c.asking], message
}

// Answer implements lean.Client.
func (c *leanClient) Answer(message []byte, took time.Duration, err error) error {
	if err == nil {
		var t told
		if t, err = understand(c.asking, message); err == nil {
			err = c.judge(c.asking, t)
		} else {
			c.wrong = err
		}
	}
	c.recorder.Record(c.number, took, err)
	return err
}
