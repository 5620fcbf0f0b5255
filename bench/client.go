package main

import (
	"context"
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// question is what a client asks.
type question int

const (
	questionPut   question = iota // its own key
	questionTxn                   // the same in a transaction
	questionFresh                 // a key that was put before
	questionStale                 // the same, and it may be stale
	questionAll                   // many keys
	questions                     // how many there are
)

// writes tells whether it puts the client's key.
func (q question) writes() bool { return q == questionPut || q == questionTxn }

// oneKey is what reads read.
var oneKey = []byte("one")

// client is one of those that ask. Its puts go to a key of its own, and each value says as which put it came.
type client struct {
	number   int
	next     func(asked uint64) question
	key      []byte
	value    []byte
	asked    uint64
	tried    uint64 // puts, whatever became of them
	acked    uint64 // puts that were acknowledged
	lastAck  uint64 // the number of the last one
	revision int64  // the last that it was told
	wrong    error  // an answer that cannot be right
	_        [64]byte
}

func newClient(number, size int, next func(uint64) question) client {
	return client{number: number, next: next, key: fmt.Appendf(nil, "client/%06d", number), value: make([]byte, max(size, 8))}
}

// begin chooses the next question. If that is to put, the value is the one to put.
func (c *client) begin() question {
	q := c.next(c.asked)
	c.asked++
	if q.writes() {
		c.tried++
		binary.BigEndian.PutUint64(c.value, c.tried)
	}
	return q
}

// request is the question as etcd's API has it.
func (c *client) request(q question) proto.Message {
	put := &pb.PutRequest{Key: c.key, Value: c.value}
	switch q {
	case questionPut:
		return put
	case questionTxn:
		return &pb.TxnRequest{
			Compare: []*pb.Compare{{Target: pb.Compare_VERSION, Result: pb.Compare_GREATER, Key: c.key, TargetUnion: &pb.Compare_Version{Version: -1}}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
		}
	case questionAll:
		return &pb.RangeRequest{Key: []byte("many/"), RangeEnd: []byte("many0")}
	}
	return &pb.RangeRequest{Key: oneKey, Serializable: q == questionStale}
}

// told is what matters of an answer.
type told struct {
	revision   int64
	succeeded  bool // of a transaction
	operations int  // of a transaction
	pairs      int
	key, value []byte // of the first pair
}

// askGRPC asks the next question through grpc-go.
func (c *client) askGRPC(ctx context.Context, kv pb.KVClient) error {
	q := c.begin()
	var t told
	var err error
	switch r := c.request(q).(type) {
	case *pb.PutRequest:
		var response *pb.PutResponse
		if response, err = kv.Put(ctx, r); err == nil {
			t.revision = response.GetHeader().GetRevision()
		}
	case *pb.TxnRequest:
		var response *pb.TxnResponse
		if response, err = kv.Txn(ctx, r); err == nil {
			t = told{revision: response.GetHeader().GetRevision(), succeeded: response.Succeeded, operations: len(response.Responses)}
		}
	case *pb.RangeRequest:
		var response *pb.RangeResponse
		if response, err = kv.Range(ctx, r); err == nil {
			t = told{revision: response.GetHeader().GetRevision(), pairs: len(response.Kvs)}
			if t.pairs > 0 {
				t.key, t.value = response.Kvs[0].Key, response.Kvs[0].Value
			}
		}
	}
	if err != nil {
		return err
	}
	return c.judge(q, t)
}

// judge notes an answer, and returns an error if it cannot be right.
func (c *client) judge(q question, t told) error {
	err := c.mistake(q, t)
	if err != nil {
		c.wrong = err
		return err
	}
	c.revision = t.revision
	if q.writes() {
		c.acked++
		c.lastAck = c.tried
	}
	return nil
}

func (c *client) mistake(q question, t told) error {
	// A client asks the same member one thing after the other, so the revision it is told never goes back.
	if t.revision < max(c.revision, 1) {
		return fmt.Errorf("the answer's revision is %d after %d", t.revision, c.revision)
	}
	switch q {
	case questionTxn:
		if !t.succeeded || t.operations != 1 {
			return fmt.Errorf("a version is not greater than -1, or %d operations are not the one that was asked for", t.operations)
		}
	case questionFresh, questionStale:
		if t.pairs != 1 || string(t.key) != string(oneKey) || len(t.value) != valueSize {
			return fmt.Errorf("the key that was put before is not there: %d keys, the first is %q with %d bytes", t.pairs, t.key, len(t.value))
		}
	case questionAll:
		if t.pairs != manyKeys {
			return fmt.Errorf("%d of %d keys", t.pairs, manyKeys)
		}
	}
	return nil
}

func (c *client) check(r *pb.RangeResponse) error {
	var versions, last uint64
	if len(r.Kvs) > 0 {
		versions, last = uint64(r.Kvs[0].Version), binary.BigEndian.Uint64(r.Kvs[0].Value)
	}
	if versions < c.acked || versions > c.tried || last < c.lastAck || last > c.tried {
		return fmt.Errorf("%s was put %d times and acknowledged %d times, at last as number %d, and has %d versions, the last of which is number %d",
			c.key, c.tried, c.acked, c.lastAck, versions, last)
	}
	return nil
}
