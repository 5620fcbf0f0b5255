// Package lean asks gRPC servers at little cost: many clients on one connection, whose requests are unary and known beforehand.
//
// A benchmark that shares its machine with what it measures takes from it what its own requests cost. The client of grpc-go is made for programs, and takes as
// much for a request as a server does; what a server can do is hidden behind it. Here a connection is driven by one goroutine, which is all of its clients in
// turn: it reads what has come, hands each answer to its client, lets those who were answered ask again, and writes all of that at once. So a client is never
// woken, nothing is locked, and a system call serves as many requests as came together.
//
// On the wire it is what gRPC prescribes: HTTP/2 with prior knowledge, HPACK, flow control in both directions, the trailers' status. What it does not do: TLS,
// streams of messages, compression, metadata, keepalive pings, and asking again what the server said it has not looked at.
package lean

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Client asks one request after the other. It is called by the goroutine that drives its connection.
type Client interface {
	// Ask appends the message of the next request, and says which method it is for, such as /etcdserverpb.KV/Put.
	Ask(message []byte) (method string, request []byte)
	// Answer takes the message that was answered, which is the client's until Answer returns, or the error, which is of package status; and how long it took
	// since the request was due. It returns an error if the client is to rest for a moment.
	Answer(message []byte, took time.Duration, err error) error
}

// Pace says when clients ask.
type Pace interface {
	// Due is when the next request is due: now, or a time that was fixed beforehand. Times do not go back.
	Due(now time.Time) time.Time
	// Ended says that nobody is to ask any more.
	Ended() bool
}

const (
	// rest is how long a client waits that was refused, rather than to ask at once and for nothing.
	rest = time.Millisecond
	// sweepEvery is how often it is looked for requests that took too long.
	sweepEvery = time.Second
)

// Conn is a connection to a server, which is opened again when it is lost. It is for one goroutine at a time.
type Conn struct {
	address string
	limit   time.Duration
	link    *link
	pace    Pace

	resting   queue // until when, in order
	scheduled queue // until they are due, in order
	swept     time.Time
}

// call is a client, and the request that it has asked.
type call struct {
	client Client
	until  time.Time // rests so long
	due    time.Time
	asked  time.Time

	id         uint32 // of the stream
	request    []byte // with gRPC's prefix
	unsent     []byte // what flow control keeps back
	sendWindow int64
	recvWindow int64

	answer answer
}

// Dial opens a connection. A request that takes longer than the limit fails, at the latest a second later.
func Dial(address string, limit time.Duration) (*Conn, error) {
	c := &Conn{address: address, limit: limit}
	var err error
	c.link, err = open(address, limit, c.finish)
	return c, err
}

// Close closes the connection.
func (c *Conn) Close() error {
	if c.link == nil {
		return nil
	}
	return c.link.tcp.Close()
}

// Drive lets the clients ask until the pace has ended, and returns when all have been answered.
func (c *Conn) Drive(pace Pace, clients []Client) {
	c.pace, c.resting, c.scheduled = pace, queue{}, queue{}
	calls := make([]call, len(clients))
	now := time.Now()
	for i := range calls {
		calls[i].client = clients[i]
		c.schedule(&calls[i], now)
	}
	for {
		now = time.Now()
		ended := pace.Ended()
		if !ended {
			c.start(now)
		}
		if ended && (c.link == nil || len(c.link.live) == 0) {
			return
		}
		if c.link == nil {
			c.reopen()
			continue
		}
		if err := c.turn(now); err != nil {
			c.lose(err)
		}
	}
}

// turn writes what there is to write, waits until something came or is due, and handles it.
func (c *Conn) turn(now time.Time) error {
	if now.Sub(c.swept) >= sweepEvery {
		c.swept = now
		c.link.sweep(now)
		if err := c.link.tcp.SetWriteDeadline(now.Add(c.limit)); err != nil {
			return err
		}
	}
	if err := c.link.flush(); err != nil {
		return err
	}
	wake := c.swept.Add(sweepEvery)
	if first := c.resting.first(); first != nil {
		wake = earlier(wake, first.until)
	}
	// Whoever is due and was not let ask waits for room, which comes with an answer.
	if first := c.scheduled.first(); first != nil && first.until.After(now) {
		wake = earlier(wake, first.until)
	}
	if err := c.link.receive(wake); err != nil {
		return err
	}
	if c.link.leaving != nil && len(c.link.live) == 0 {
		return c.link.leaving
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// schedule makes a client wait until its next request is due.
func (c *Conn) schedule(one *call, now time.Time) {
	one.due = c.pace.Due(now)
	one.until = one.due
	c.scheduled.push(one)
}

// start lets all ask whose request is due.
func (c *Conn) start(now time.Time) {
	for first := c.resting.first(); first != nil && !first.until.After(now); first = c.resting.first() {
		c.schedule(c.resting.pop(), now)
	}
	if c.link == nil {
		return
	}
	for first := c.scheduled.first(); first != nil && !first.until.After(now) && c.link.hasRoom(); first = c.scheduled.first() {
		one := c.scheduled.pop()
		one.asked = now
		c.link.ask(one)
	}
}

// finish gives a client its answer.
func (c *Conn) finish(one *call, message []byte, err error) {
	now := time.Now()
	if one.client.Answer(message, now.Sub(one.due), err) == nil {
		c.schedule(one, now)
		return
	}
	one.until = now.Add(rest)
	c.resting.push(one)
}

// lose gives up the connection, and with it all that was asked on it.
func (c *Conn) lose(err error) {
	link := c.link
	c.link = nil
	link.close(err)
	for _, one := range link.live {
		c.finish(one, nil, status.Errorf(codes.Unavailable, "the connection to %s is lost: %v", c.address, err))
	}
}

// reopen opens the connection again. While that does not succeed, whoever's request is due is refused.
func (c *Conn) reopen() {
	link, err := open(c.address, c.limit, c.finish)
	if err == nil {
		c.link, c.swept = link, time.Time{}
		return
	}
	now := time.Now()
	for first := c.scheduled.first(); first != nil && !first.until.After(now); first = c.scheduled.first() {
		c.finish(c.scheduled.pop(), nil, status.Errorf(codes.Unavailable, "there is no connection to %s: %v", c.address, err))
	}
	time.Sleep(10 * rest)
}

// queue keeps calls in order.
type queue struct {
	calls []*call
	head  int
}

func (q *queue) push(one *call) { q.calls = append(q.calls, one) }

func (q *queue) first() *call {
	if q.head == len(q.calls) {
		return nil
	}
	return q.calls[q.head]
}

func (q *queue) pop() *call {
	one := q.calls[q.head]
	q.head++
	if q.head > len(q.calls)/2 { // so that each is moved at most once for every one that left
		q.calls, q.head = q.calls[:copy(q.calls, q.calls[q.head:])], 0
	}
	return one
}
