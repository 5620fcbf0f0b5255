package sim

import "time"

// What some themes of profile.go draw: worlds in which leaders come and go, and which are quick enough for much to happen within an election timeout.

// shapeLeases is a world that is quick, where many only read, each at a host of its own: who reads at a leader that is one no more will be there. The others write
// often, or so seldom that a member which hears nothing for an election timeout misses nothing.
func shapeLeases(r *Regime, of func(name string) *stream) {
	r.fast(of)
	r.Members, r.Clients = pick(of("readers' members"), 3, 3, 5), 8
	r.Loyal = of("readers").chance(4, 5)
	r.Think, r.Reading = pick(of("writers"), 10*time.Millisecond, 100*time.Millisecond, time.Second, 3*time.Second, 3*time.Second, 3*time.Second), 5*time.Millisecond
	if r.Core.DisableCheckQuorum = false; of("leases").chance(2, 3) {
		r.Core.LeaseReads = true
	}
	r.Transfers = pick(of("readers' transfers"), 0, 300*time.Millisecond)
}

// shapeSuccession is a world that is quick, where logs grow in small steps.
func shapeSuccession(r *Regime, of func(name string) *stream) {
	r.fast(of)
	r.Members, r.Clients = pick(of("successors"), 3, 3, 5), 6
	r.Think = pick(of("successors' think"), 5*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond)
	if of("small steps").chance(2, 3) {
		r.Core.MaxMessageBytes, r.Core.MaxInflightMessages, r.Core.MaxInflightBytes = 100, 1, 100
	}
	r.Core.DisableCheckQuorum = false
}

// shapeIdle is a world in which seldom anybody asks, and what goes wrong lasts.
func shapeIdle(r *Regime, of func(name string) *stream) {
	r.fast(of)
	r.OneCut = true
	r.Members = pick(of("idle members"), 2, 3, 3, 5)
	r.Duration = of("idle duration").between(6*time.Second, 14*time.Second)
	r.Clients, r.Think = 1+of("idle clients").IntN(3), pick(of("idle think"), 200*time.Millisecond, 500*time.Millisecond, 3*time.Second)
	r.Core.QuiesceAfter, r.Core.DisablePreVote, r.Core.DisableCheckQuorum = 300*time.Millisecond, false, false
}

// shapeTorn is a world in which every fsync brings many small writes of few sizes to the disk: where one was torn, another ends at the place where it had ended. With 128
// bytes, a command takes as much room as a vote and the first entry of a new leader, with which a lone member begins anew.
func shapeTorn(r *Regime, of func(name string) *stream) {
	// Where nothing goes on without the member that ends, little is written when it is back.
	r.Members, r.Groups = pick(of("torn members"), 1, 1, 1, 2, 3), pick(of("torn groups"), 1, 2, 3, 6)
	r.Clients, r.Think = 6, pick(of("torn think"), 2*time.Millisecond, 10*time.Millisecond)
	r.Padding, r.Ballast, r.Patience = 0, 0, max(r.Patience, time.Second)
	if of("torn in the cache").chance(3, 4) {
		r.Writes = nil // A direct write makes zeroes of what follows it in its last block, so that little is left of what was torn.
	}
	r.Even = pick(of("torn sizes"), 64, 128, 128, 128)
	r.Delay, r.Hop = min(r.Delay, time.Millisecond), min(r.Hop, 50*time.Microsecond)
	r.Disk, r.Apply = pick(of("torn disk"), time.Millisecond, 8*time.Millisecond), min(r.Apply, time.Millisecond)
}

// fast takes from a world what keeps its groups from doing much within an election timeout.
func (r *Regime) fast(of func(name string) *stream) {
	r.Groups, r.Changes, r.Transfers, r.Ballast = 1, 0, 0, 0
	r.Duration = of("fast duration").between(2*time.Second, 5*time.Second)
	r.Delay = pick(of("fast delay"), 200*time.Microsecond, time.Millisecond, 4*time.Millisecond)
	r.Hop = pick(of("fast hop"), 5*time.Microsecond, 50*time.Microsecond)
	r.Disk = pick(of("fast disk"), 100*time.Microsecond, time.Millisecond)
	r.Apply = pick(of("fast apply"), 20*time.Microsecond, time.Millisecond)
	r.Patience = 300 * time.Millisecond
	r.Padding = 0
}
