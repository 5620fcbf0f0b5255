package bench

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// maxConnections is how many connections clients share at most.
	maxConnections = 100
	// slots is how many keys each client writes, in turn.
	slots = 1000
)

// load is a run of clients that write.
type load struct {
	clients int
	record
	failed  int
	failure error // of one that failed
	writers []*writer
}

// writer is one client. It remembers, for each of its keys, which write it was that was acknowledged last.
type writer struct {
	prefix    string
	padding   string
	tried     int
	acked     map[int]int // by slot: the number of the write
	latencies []time.Duration
	failed    int
	failure   error
}

func newWriter(run, i, size int) *writer {
	return &writer{prefix: fmt.Sprintf("bench/%d/%d/", run, i), padding: strings.Repeat("v", size-minValueSize), acked: map[int]int{}}
}

// value is what the write of that number writes.
func (w *writer) value(number int) string { return fmt.Sprintf("%016x", number) + w.padding }

// run writes one value after the other until ctx ends. What is on its way then does not count.
func (w *writer) run(ctx context.Context, client *clientv3.Client) {
	for ctx.Err() == nil {
		number := w.tried
		w.tried++
		began := time.Now()
		_, err := client.Put(ctx, w.prefix+strconv.Itoa(number%slots), w.value(number))
		switch {
		case err == nil:
			w.latencies = append(w.latencies, time.Since(began))
			w.acked[number%slots] = number
		case ctx.Err() == nil:
			w.failed++
			w.failure = err
		}
	}
}

// check reads all keys of the client from one member.
func (w *writer) check(ctx context.Context, client *clientv3.Client, member string) error {
	response, err := client.Get(ctx, w.prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("reading what was written back from %s: %w", member, err)
	}
	return w.compare(response.Kvs, member)
}

// compare compares what a member has with what was acknowledged. A later write, whose outcome the client never learned, may stand in its place.
func (w *writer) compare(pairs []*mvccpb.KeyValue, member string) error {
	found := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		found[string(pair.Key)] = string(pair.Value)
	}
	for slot, number := range w.acked {
		key := w.prefix + strconv.Itoa(slot)
		value, ok := found[key]
		have, err := strconv.ParseInt(value[:min(len(value), minValueSize)], 16, 64)
		if !ok || err != nil || int(have) < number || int(have) >= w.tried || value != w.value(int(have)) {
			return fmt.Errorf("%s lost a write: its %s is %.40q, and write %d was acknowledged", member, key, value, number)
		}
	}
	return nil
}

// puts has n clients write values for a while. The values carry the run's number in their keys, so that no run finds what another left.
func (c *cluster) puts(ctx context.Context, run, n, size int, during time.Duration) (*load, error) {
	connections := make([]*clientv3.Client, min(n, maxConnections))
	for i := range connections {
		m := c.members[i%len(c.members)]
		connections[i] = dial(m.client)
		defer connections[i].Close()
		// The connection stands, and a leader is known, before the clock runs.
		if err := within(ctx, time.Minute, func(ctx context.Context) error { return put(ctx, connections[i], "bench/warm", m.name) }); err != nil {
			return nil, fmt.Errorf("writing through %s: %w", m.name, err)
		}
	}
	l := &load{clients: n}
	for i := range n {
		l.writers = append(l.writers, newWriter(run, i, size))
	}
	limited, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	var group sync.WaitGroup
	start := time.Now()
	for i, w := range l.writers {
		group.Go(func() { w.run(limited, connections[i%len(connections)]) })
	}
	group.Wait()
	took := time.Since(start)
	for _, w := range l.writers {
		l.latencies = append(l.latencies, w.latencies...)
		l.failed += w.failed
		l.failure = cmp.Or(l.failure, w.failure)
	}
	l.finish(took)
	return l, ctx.Err()
}

// verify reads what a run wrote back from every member.
func (c *cluster) verify(ctx context.Context, l *load) error {
	for _, m := range c.members {
		client := dial(m.client)
		defer client.Close()
		for _, w := range l.writers {
			if err := within(ctx, time.Minute, func(ctx context.Context) error { return w.check(ctx, client, m.name) }); err != nil {
				return err
			}
		}
	}
	return c.compareHashes(ctx)
}
