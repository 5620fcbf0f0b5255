package sim

import (
	"math"
	"slices"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// PaperModel is a cluster on paper: what limits how fast one group commits, of what machines, disks and ways can do. It is meant to be checked with a pencil, so it
// knows averages only, and of those only the ones that matter.
//
// A commit is a race. The leader writes an entry to its own disk and, at the same time, sends it to every follower, who writes it and acknowledges it. It is done
// when it is on the leader's disk and on those of as many followers as make a majority with it. On top of that come the times until each thread that it passes
// through gets to run.
//
// A disk writes everything that has come since it began its last fsync with one more (group commit). Whoever finds it at work waits for what is left of that fsync,
// and then for one of his own. So a disk is never what limits the number of entries, but it makes a commit take up to twice as long.
//
// Proposers ask, wait for the answer and ask again. As long as nothing is used up, their number divided by the time that a commit takes is the throughput. The
// processor, the way out of the leader, the disk's bandwidth and the window of what may be under way unacknowledged each set a bound of their own, and the lowest of all
// is what binds. Then a commit takes as long as it takes for all who wait to be served (Little's law).
type PaperModel struct {
	// RoundTrips are those from the leader to each other member.
	RoundTrips []time.Duration
	// Fsync is how long one takes, always the same.
	Fsync time.Duration
	// DiskBytes are how many bytes a second a disk takes, LinkBytes how many leave the leader's machine; 0 means no limit.
	DiskBytes, LinkBytes float64
	// Processor is the time that an entry costs on the busiest machine, which has so many Processors; 0 means none.
	Processor  time.Duration
	Processors float64
	// Hop is how long a thread that was woken takes to run: see hops.
	Hop time.Duration
	// EntryBytes is the size of a command; Proposers ask at the same time.
	EntryBytes, Proposers int
	// InflightBytes are how many bytes may be on their way to a follower unacknowledged; 0 means as many as by default.
	InflightBytes uint64
}

// A commit passes through so many threads one after the other: the leader's turn, a follower's turn and disk, the leader's turn again, and the machine.
const hops = 5

// Limit is one thing that bounds the throughput.
type Limit struct {
	Name      string
	PerSecond float64
}

// Prediction is what a model says.
type Prediction struct {
	PerSecond float64
	// Latency is the mean time from a proposal to its answer.
	Latency time.Duration
	// Limits are all bounds, the lowest first: that is the one that binds.
	Limits []Limit
}

// The names of limits.
const (
	LimitProposers = "round trips"
	LimitProcessor = "processor"
	LimitLink      = "leader's network"
	LimitDisk      = "disk bandwidth"
	LimitWindow    = "bytes in flight"
)

// Predict works the model out.
func (m PaperModel) Predict() Prediction {
	size := float64(m.EntryBytes) + raft.EntryOverhead
	// How busy the disks are depends on the throughput, and that on how long a commit takes: a few rounds settle it. Half of each step keeps it from swinging.
	rate := float64(m.Proposers) / m.commit(0).Seconds()
	for range 100 {
		rate = (rate + m.bound(rate, size)) / 2
	}
	p := Prediction{Limits: m.limits(rate, size)}
	slices.SortStableFunc(p.Limits, func(a, b Limit) int {
		switch {
		case a.PerSecond < b.PerSecond:
			return -1
		case a.PerSecond > b.PerSecond:
			return 1
		}
		return 0
	})
	p.PerSecond = p.Limits[0].PerSecond
	p.Latency = time.Duration(float64(m.Proposers) / p.PerSecond * float64(time.Second))
	return p
}

func (m PaperModel) bound(rate, size float64) float64 {
	bound := math.Inf(1)
	for _, l := range m.limits(rate, size) {
		bound = math.Min(bound, l.PerSecond)
	}
	return bound
}

// limits are all bounds, at so many entries a second.
func (m PaperModel) limits(rate, size float64) []Limit {
	others := rate * float64(m.Proposers-1) / float64(m.Proposers)
	commit := m.commit(others)
	limits := []Limit{{LimitProposers, float64(m.Proposers) / commit.Seconds()}}
	if m.Processor > 0 {
		limits = append(limits, Limit{LimitProcessor, m.Processors / m.Processor.Seconds()})
	}
	if followers := len(m.RoundTrips); m.LinkBytes > 0 && followers > 0 {
		limits = append(limits, Limit{LimitLink, m.LinkBytes / size / float64(followers)})
	}
	if m.DiskBytes > 0 {
		limits = append(limits, Limit{LimitDisk, m.DiskBytes / size})
	}
	if n := len(m.RoundTrips); n > 0 {
		window := float64(m.InflightBytes)
		if window == 0 {
			core := raft.Config{}.Default()
			window = float64(min(core.MaxInflightBytes, uint64(core.MaxInflightMessages)*core.MaxMessageBytes))
		}
		// The window of the last follower whom a majority needs is what counts. It is open again when what is in it is acknowledged.
		trips := slices.Sorted(slices.Values(m.RoundTrips))
		needed := trips[(n+1)/2-1]
		limits = append(limits, Limit{LimitWindow, max(1, math.Floor(window/size)) / (needed + m.disk(others) + 3*m.Hop).Seconds()})
	}
	return limits
}

// busy is the part of the time that a disk is at work when entries come at random, so many a second. After an fsync the next one begins if any has come
// meanwhile, with probability 1-e^(-rate*fsync); so a disk that has begun goes on for e^(rate*fsync) of them, and then waits 1/rate for the next.
func (m PaperModel) busy(rate float64) float64 {
	load := rate * m.Fsync.Seconds()
	if load > 50 {
		return 1
	}
	work := load * math.Exp(load)
	return work / (1 + work)
}

// disk is the mean time that a disk takes for an entry.
func (m PaperModel) disk(rate float64) time.Duration {
	return time.Duration(float64(m.Fsync) * (1 + m.busy(rate)/2))
}

// written is the probability that a disk has an entry after t, if it is at work for such a part of the time: then the entry waits for what is left of an fsync,
// which may be anything up to a whole one.
func (m PaperModel) written(t time.Duration, busy float64) float64 {
	x := float64(t) / float64(m.Fsync)
	switch {
	case t < 0:
		return 0
	case m.Fsync == 0:
		return 1
	case x < 1:
		return 0
	}
	return (1 - busy) + busy*math.Min(x-1, 1)
}

// commit is the mean time of a commit when others come at such a rate: the integral of the probability that it is not done yet.
func (m PaperModel) commit(rate float64) time.Duration {
	n := len(m.RoundTrips)
	busy := m.busy(rate)
	longest := 2 * m.Fsync
	if n > 0 {
		longest += slices.Max(m.RoundTrips)
	}
	const steps = 4000
	step := max(longest/steps, 1)
	var mean float64
	on := make([]float64, n+1) // the probability that so many followers have it
	for t := step / 2; t < longest; t += step {
		clear(on)
		on[0] = 1
		for i, trip := range m.RoundTrips {
			p := m.written(t-trip, busy)
			for k := i + 1; k > 0; k-- {
				on[k] = on[k]*(1-p) + on[k-1]*p
			}
			on[0] *= 1 - p
		}
		var majority float64
		for k := (n + 1) / 2; k <= n; k++ {
			majority += on[k]
		}
		mean += (1 - m.written(t, busy)*majority) * float64(step)
	}
	total := time.Duration(mean) + m.transmission()
	if n == 0 {
		return total + 3*m.Hop // the turn, the disk, the machine
	}
	return total + hops*m.Hop
}

// transmission is how long one entry takes by itself on the leader's way out, behind its copies for the others, and on a disk.
func (m PaperModel) transmission() time.Duration {
	size, seconds := float64(m.EntryBytes)+raft.EntryOverhead, 0.0
	if m.LinkBytes > 0 {
		seconds += size * float64((len(m.RoundTrips)+1)/2) / m.LinkBytes
	}
	if m.DiskBytes > 0 {
		seconds += size / m.DiskBytes
	}
	return time.Duration(seconds * float64(time.Second))
}
