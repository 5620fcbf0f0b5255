package sim

import "time"

// clock is a host's monotonic clock. It may run a little faster or slower than the world's, and leap ahead, but never goes back.
type clock struct {
	rate   float64 // local time that passes per unit of the world's
	offset time.Duration
}

// local is what the host reads at a moment of the world.
func (c *clock) local(world time.Duration) time.Duration {
	return c.offset + time.Duration(float64(world)*c.rate)
}

// world is the first moment at which the host reads at least local.
func (c *clock) world(local time.Duration) time.Duration {
	at := time.Duration(float64(local-c.offset) / c.rate)
	for c.local(at) < local {
		at++
	}
	return at
}
