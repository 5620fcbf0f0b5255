package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// failovers kills the leader again and again, and measures until the next write succeeds. In the end every write that succeeded has to be
// on every member.
func (c *cluster) failovers(ctx context.Context, trials int, tell func(i int, took time.Duration)) (*record, error) {
	r := &record{}
	start := time.Now()
	for i := range trials {
		took, err := c.failover(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("killing the leader, trial %d: %w", i+1, err)
		}
		r.latencies = append(r.latencies, took)
		tell(i, took)
	}
	r.finish(time.Since(start))
	for _, m := range c.members {
		client := dial(m.client)
		defer client.Close()
		for i := range trials {
			response, err := client.Get(ctx, failoverKey(i))
			if err != nil {
				return nil, fmt.Errorf("reading from %s: %w", m.name, err)
			}
			if len(response.Kvs) != 1 {
				return nil, fmt.Errorf("%s lost the write that was acknowledged in trial %d", m.name, i+1)
			}
		}
	}
	return r, c.compareHashes(ctx)
}

func failoverKey(i int) string { return fmt.Sprintf("bench/failover/%d", i) }

// failover kills the leader once. A client that knows all members, and has a connection to each, then writes, and tries again whatever fails, until a
// write succeeds. The killed member is started again and serves when failover returns.
func (c *cluster) failover(ctx context.Context, i int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	leader, err := c.leader(ctx)
	if err != nil {
		return 0, err
	}
	client := dial(c.endpoints()...)
	defer client.Close()
	for range 2 * len(c.members) { // it goes round: after so many it has spoken to each
		if err := put(ctx, client, "bench/warm", "up"); err != nil { // There may be an election in between, if the machine is busy.
			return 0, fmt.Errorf("writing before the leader is killed: %w", err)
		}
	}
	// Leadership may have moved meanwhile, and the end of a follower takes no election: that would be no failover.
	before, err := leader.status(ctx)
	if err != nil {
		return 0, err
	}
	if !leads(before) {
		return c.failover(ctx, i)
	}
	killed := time.Now()
	leader.kill()
	if err := put(ctx, client, failoverKey(i), leader.name); err != nil {
		return 0, err
	}
	took := time.Since(killed)
	next, err := c.leader(ctx)
	if err != nil {
		return 0, err
	}
	after, err := next.status(ctx)
	if err != nil {
		return 0, err
	}
	if next == leader || after.RaftTerm <= before.RaftTerm {
		return 0, fmt.Errorf("%s was killed as the leader of term %d, and %s leads term %d", leader.name, before.RaftTerm, next.name, after.RaftTerm)
	}
	return took, c.restart(ctx, leader)
}

// put tries until it succeeds.
func put(ctx context.Context, client *clientv3.Client, key, value string) error {
	for {
		try, end := context.WithTimeout(ctx, 10*time.Second)
		_, err := client.Put(try, key, value)
		end()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(errors.New("no write succeeded within a minute"), err)
		}
	}
}
