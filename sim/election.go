package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// Election is the experiment of figure 16 of the Raft paper (extended version, §9.3; thesis §9.4): how long a cluster of five is without a leader after
// its leader crashed, for a choice of election timeouts.
type Election struct {
	// TimeoutMin and TimeoutMax bound the election timeouts; the heartbeat interval is half of the former, as in the paper.
	TimeoutMin, TimeoutMax time.Duration
	// Extensions says that pre-vote and the check of the quorum, which makes members stick to their leader, are on, as they are by default. The paper's
	// algorithm has neither.
	Extensions bool
	Timing     ElectionTiming
	// Limit ends a trial without a result.
	Limit time.Duration
}

// ElectionTiming is how fast the deployment's parts are.
type ElectionTiming struct {
	// Way is how long a message takes, a tenth more or less.
	Way time.Duration
	// Disk is the mean time of an fsync. It is distributed exponentially: most are quick, now and then one takes several times as long.
	Disk time.Duration
	// Late is the mean time by which a process wakes up after its timer.
	Late time.Duration
}

// PaperTiming is as near to the paper's cluster as is known of it: gigabit Ethernet and an SSD, which together made for a broadcast time, a round trip and
// a disk write, of about 15 ms. In an election two writes follow each other, the candidate's and the voters'.
var PaperTiming = ElectionTiming{Way: 250 * time.Microsecond, Disk: 4 * time.Millisecond, Late: 50 * time.Microsecond}

// ElectionResult is what a trial showed.
type ElectionResult struct {
	// Downtime is how long there was no leader: from the moment at which the old one crashed until all the others had heard of the new one.
	Downtime time.Duration
	// Elected is false if there was no leader within the limit; Downtime is then the limit.
	Elected bool
	// Terms is how many terms it took: 1 if the first election had a winner.
	Terms int
	// Attempts is how often the trial was begun: once, unless the leader was deposed before it was crashed.
	Attempts int
}

const (
	electionMembers  = 5
	electionAttempts = 100
)

// Run does one trial: it starts a cluster, has the logs of the followers end at different places, so that only two of the four can win, crashes the leader
// at a moment drawn uniformly from its heartbeat interval, and waits for the next. The same seed gives the same result.
func (e Election) Run(seed uint64) (ElectionResult, error) {
	for attempt := range uint64(electionAttempts) {
		result, err := e.attempt(newStream(seed, "attempt", attempt).Uint64())
		if errors.Is(err, errDeposed) {
			continue
		}
		result.Attempts = int(attempt) + 1
		return result, err
	}
	return ElectionResult{}, fmt.Errorf("sim: seed %d: in %d attempts no leader lasted until it was to be crashed: "+
		"with timeouts of %v-%v leaders cannot keep their office in this deployment", seed, electionAttempts, e.TimeoutMin, e.TimeoutMax)
}

// errDeposed ends an attempt in which the leader lost its office before it could be crashed.
var errDeposed = errors.New("sim: the leader lost its office before it could be crashed")

func (e Election) attempt(seed uint64) (ElectionResult, error) {
	core := raft.Config{
		HeartbeatInterval: e.TimeoutMin / 2, ElectionTimeoutMin: e.TimeoutMin, ElectionTimeoutMax: max(e.TimeoutMax, e.TimeoutMin+1),
		DisablePreVote: !e.Extensions, DisableCheckQuorum: !e.Extensions,
	}
	apart := e.TimeoutMax - e.TimeoutMin + 4*e.Timing.Disk
	w := newExperiment(seed, electionMembers, core, apart, e.Timing.conditions(seed))
	g := w.groups[0]
	var leader *member
	if err := w.until(time.Hour, "everybody follows a leader", func() bool { leader = g.settled(); return leader != nil }); err != nil {
		return ElectionResult{}, err
	}
	term := leader.running.Core().Term()
	dice := w.stream("trial")
	if err := unequal(w, leader, dice); err != nil {
		return ElectionResult{}, err
	}
	crash := w.now + dice.between(core.HeartbeatInterval, 2*core.HeartbeatInterval)
	w.at(crash, leader.host.kill)
	if err := w.until(time.Hour, "the leader has crashed", func() bool { return leader.running == nil || leader.role != raft.Leader }); err != nil {
		return ElectionResult{}, err
	}
	if leader.running != nil {
		return ElectionResult{}, errDeposed
	}
	w.conditions.without = nil
	err := w.until(e.Limit, "everybody follows another leader", func() bool { return g.followed(term) })
	var late *tooLate
	switch {
	case errors.As(err, &late):
		return ElectionResult{Downtime: e.Limit}, nil
	case err != nil:
		return ElectionResult{}, err
	}
	return ElectionResult{Downtime: w.now - crash, Elected: true, Terms: int(g.leader().running.Core().Term() - term)}, nil
}

// conditions draws the times from streams that follow from the seed.
func (t ElectionTiming) conditions(seed uint64) conditions {
	ways, disks, timers := newStream(seed, "ways"), newStream(seed, "disks"), newStream(seed, "timers")
	return conditions{
		way:   func(*host, *host) time.Duration { return ways.between(t.Way*9/10, t.Way*11/10) },
		fsync: func(*host) time.Duration { return disks.around(t.Disk) },
		late:  func(*host) time.Duration { return timers.around(t.Late) },
	}
}

// unequal has four entries proposed, of which one follower gets one, another two, another three and the last all, and keeps it so: the paper's worst
// case, in which two of the four cannot win. Heartbeats reach everybody.
func unequal(w *World, leader *member, dice *stream) error {
	base := leader.running.Core().LastIndex()
	limit := map[*host]raft.Index{}
	last := base
	for _, i := range dice.Perm(len(w.hosts)) {
		if h := w.hosts[i]; h != leader.host {
			last++
			limit[h] = last
		}
	}
	w.conditions.without = func(p *parcel) *parcel {
		m, ok := p.message.(*raft.AppendRequest)
		if !ok || len(m.Entries) == 0 || m.Entries[len(m.Entries)-1].Index <= limit[p.to] {
			return p
		}
		short := *m
		short.Entries = m.Entries[:max(limit[p.to], m.PrevIndex)-m.PrevIndex]
		return &parcel{from: p.from, to: p.to, group: p.group, message: &short}
	}
	for index := base + 1; index <= last; index++ {
		leader.host.guard(func() {
			leader.running.ProposeAsync(experimentCommand(uint64(index)), func(engine.Result, error) {})
		})
		err := w.until(time.Hour, "the logs are as long as they are to be", func() bool {
			for h, limit := range limit {
				if m := h.members[0]; m.running.Core().LastIndex() < min(index, limit) {
					return leader.role != raft.Leader
				}
			}
			return leader.running.Core().LastIndex() >= index || leader.role != raft.Leader
		})
		if err != nil {
			return err
		}
		if leader.role != raft.Leader {
			return errDeposed
		}
	}
	return nil
}
