package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// regime is what a seed draws for its whole run: how large the deployment is, how fast its parts are, which limits it has, which faults it
// meets. That not every run has everything is on purpose: what is always there hides what happens only without it.
type regime struct {
	members, groups int
	duration        time.Duration // of the phase with faults
	calm            time.Duration // between the end of the faults and the proof of liveness

	delay     time.Duration // mean one-way delay of a message
	hop       time.Duration // mean time until a stage runs that has work
	disk      time.Duration // mean time of an fsync
	apply     time.Duration // mean time until a batch is applied
	clients   int
	think     time.Duration // mean time a client waits between two operations
	patience  time.Duration // how long a client waits for an answer
	padding   int           // largest ballast of a command, in bytes
	ballast   int           // bytes of ballast in a snapshot
	durable   bool          // the machines keep their state themselves
	changes   time.Duration // mean time between two changes of a configuration; 0 for none
	transfers time.Duration // mean time between two transfers of leadership; 0 for none

	core                                      raft.Config
	compactBytes, compactEntries, keepEntries uint64
	segment                                   int64
	faults                                    []string
}

// drawRegime draws what the options leave open.
func drawRegime(rng *rand.Rand, o *Options) regime {
	r := regime{
		members: o.Members, groups: o.Groups, duration: o.Duration, calm: 500 * time.Millisecond,
		delay:    pick(rng, 200*time.Microsecond, time.Millisecond, time.Millisecond, 8*time.Millisecond),
		hop:      pick(rng, 5*time.Microsecond, 50*time.Microsecond, 500*time.Microsecond),
		disk:     pick(rng, 100*time.Microsecond, time.Millisecond, time.Millisecond, 8*time.Millisecond),
		apply:    pick(rng, 20*time.Microsecond, time.Millisecond, 20*time.Millisecond),
		clients:  2 + rng.IntN(6),
		think:    pick(rng, 2*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond),
		patience: pick(rng, 300*time.Millisecond, time.Second, 4*time.Second),
		padding:  pick(rng, 0, 64, 2000),
		durable:  rng.IntN(3) == 0,
		segment:  pick[int64](rng, 16<<10, 64<<10),
	}
	if r.members == 0 {
		r.members = pick(rng, 1, 3, 3, 3, 4, 5, 5, 7)
	}
	if r.groups == 0 {
		r.groups = pick(rng, 1, 1, 1, 2)
	}
	if r.duration == 0 {
		r.duration = between(rng, 2*time.Second, 8*time.Second)
	}
	if rng.IntN(8) == 0 {
		r.ballast = 300<<10 + rng.IntN(400<<10)
	}
	if rng.IntN(2) == 0 {
		r.changes = pick(rng, 200*time.Millisecond, time.Second)
	}
	if rng.IntN(2) == 0 {
		r.transfers = pick(rng, 300*time.Millisecond, 2*time.Second)
	}
	r.drawLimits(rng)
	r.faults = drawFaults(rng, o)
	return r
}

// drawLimits draws the options of the engine and the core, small ones among them, so that every limit is met.
func (r *regime) drawLimits(rng *rand.Rand) {
	r.compactBytes = pick[uint64](rng, 2<<10, 16<<10, 256<<10)
	r.compactEntries = pick[uint64](rng, 0, 0, 20)
	r.keepEntries = pick[uint64](rng, 1, 10, 200)
	c := &r.core
	c.MaxMessageBytes = pick[uint64](rng, 100, 4<<10, 1<<20)
	c.MaxInflightMessages = pick(rng, 1, 4, 256)
	c.MaxInflightBytes = pick(rng, c.MaxMessageBytes, 16<<20)
	c.MaxUncommittedBytes = pick[uint64](rng, 2<<10, 64<<20)
	c.MaxCachedBytes = pick[uint64](rng, 1, 4<<10, 8<<20)
	switch rng.IntN(10) {
	case 0, 1:
		c.LeaseReads = true
	case 2:
		c.DisablePreVote = true
	case 3:
		c.DisableCheckQuorum = true
	case 4:
		c.QuiesceAfter = 300 * time.Millisecond
	}
}

// String is one line that tells what the seed has drawn.
func (r *regime) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d members, %d groups, %v of faults [%s], message %v, fsync %v, apply %v, %d clients every %v", r.members, r.groups, r.duration,
		strings.Join(r.faults, " "), r.delay, r.disk, r.apply, r.clients, r.think)
	fmt.Fprintf(&b, ", compact at %d bytes or %d entries and keep %d, messages of %d bytes, %d in flight, %d bytes uncommitted, %d cached", r.compactBytes,
		r.compactEntries, r.keepEntries, r.core.MaxMessageBytes, r.core.MaxInflightMessages, r.core.MaxUncommittedBytes, r.core.MaxCachedBytes)
	for _, has := range []struct {
		name string
		on   bool
	}{
		{"durable machines", r.durable}, {"ballast", r.ballast > 0}, {"membership changes", r.changes > 0}, {"transfers", r.transfers > 0},
		{"lease reads", r.core.LeaseReads}, {"no pre-vote", r.core.DisablePreVote}, {"no check of the quorum", r.core.DisableCheckQuorum},
		{"quiescence", r.core.QuiesceAfter > 0},
	} {
		if has.on {
			b.WriteString(", " + has.name)
		}
	}
	return b.String()
}
