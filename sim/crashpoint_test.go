package sim

import (
	"errors"
	flags "flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

var crashPointsFlag = flags.Bool("crashpoints", false, "crash at every operation, with every subset of what was not synced: all of them, not a sample")

// bounded is a small world without faults that goes through everything that touches files: segments that fill up, roll over and are recycled, compaction,
// snapshots, one of them sent to a member that was cut off, a change of leadership, a restart in order. The disks take direct writes as writes says, in turn.
func bounded(members int, seed uint64, c conditions, writes ...string) *World {
	w := emptyWorld(seed, Options{Story: 200})
	w.conditions = c
	w.regime = Regime{
		Members: members, Groups: 1, Duration: 250 * time.Millisecond, Calm: 20 * time.Millisecond,
		Delay: 200 * time.Microsecond, Hop: 5 * time.Microsecond, Disk: 500 * time.Microsecond, Apply: 20 * time.Microsecond,
		Workload: registers{}.Name(), Clients: 3, Think: 4 * time.Millisecond, Patience: 25 * time.Millisecond, Padding: 1500, Ballast: 700,
		Core:           raft.Config{HeartbeatInterval: 5 * time.Millisecond, ElectionTimeoutMin: 15 * time.Millisecond, ElectionTimeoutMax: 30 * time.Millisecond},
		CompactEntries: 10, CompactBytes: 1 << 20, KeepEntries: 2, Segment: 8 << 10, Writes: writes,
	}
	w.application = registers{}
	w.found()
	w.startWorkload()
	g := w.groups[0]
	w.at(60*time.Millisecond, func() {
		if m := g.leader(); m != nil && members > 1 {
			to := w.hosts[int(m.host.id)%members].id
			m.host.guard(func() { m.running.TransferLeadershipAsync(to, func(error) {}) })
		}
	})
	w.at(110*time.Millisecond, func() {
		for _, cut := range w.hosts {
			if m := g.leader(); m == nil || m.host == cut {
				continue
			}
			for _, h := range w.hosts {
				w.network.cut("bounded", cut, h)
				w.network.cut("bounded", h, cut)
			}
			break
		}
	})
	w.at(190*time.Millisecond, w.network.heal)
	w.at(w.regime.Duration, w.heal)
	return w
}

// crashPoint is one operation on files in a bounded world.
type crashPoint struct {
	host raft.MemberID
	what string
	// choices are, for each host, those of sectors.choices.
	choices [][]int
}

// witness counts what a bounded world went through.
type witness struct {
	nothing
	elections, received, commits int
}

func (c *witness) elected(*member, raft.Term, raft.Index)   { c.elections++ }
func (c *witness) restored(*member, head)                   { c.received++ }
func (c *witness) committed(_ *member, from, to raft.Index) { c.commits += int(to - from + 1) }

// crashPoints lets a bounded world live undisturbed, and returns its operations.
func crashPoints(t *testing.T, members int, seed uint64, writes []string) []crashPoint {
	t.Helper()
	var points []crashPoint
	w := bounded(members, seed, conditions{operation: func(h *host, what, name string) {
		p := crashPoint{host: h.id, what: what + " " + name}
		for _, other := range h.world.hosts {
			p.choices = append(p.choices, other.disk.choices())
		}
		points = append(points, p)
	}}, writes...)
	seen := &witness{}
	w.groups[0].checkers = append(w.groups[0].checkers, seen)
	for w.Step() {
	}
	if w.failure != nil {
		t.Fatalf("undisturbed: %v\n%s", w.failure, strings.Join(w.story.lines(), "\n"))
	}
	rolled, snapshots := 0, 0
	took := map[string]int{} // how many writes took which way
	for _, p := range points {
		if strings.HasPrefix(p.what, "create "+logDir) {
			rolled++
		}
		for _, way := range []string{"write ", "write around the cache ", "write durably "} {
			if strings.HasPrefix(p.what, way+logDir) {
				took[way]++
			}
		}
		if strings.HasPrefix(p.what, "rename "+snapshotDir) {
			snapshots++
		}
	}
	t.Logf("%d members: %d operations on files, %d entries committed, %d elections, %d segments made, %d snapshots completed, %d of them received, in %v of virtual time", members,
		len(points), seen.commits, seen.elections, rolled, snapshots, seen.received, w.now)
	t.Logf("writes of the log: %v", took)
	for way, kinds := range map[string][]string{
		"write ": {writesCached, writesRefused}, "write around the cache ": {writesDirect}, "write durably ": {writesDurable},
	} {
		if has := slices.ContainsFunc(writes, func(kind string) bool { return slices.Contains(kinds, kind) }); has && took[way] < 10 {
			t.Errorf("only %d writes of the log are of the kind %q", took[way], way)
		}
	}
	if rolled <= members || snapshots < members || members > 1 && (seen.elections < 2 || seen.received == 0) {
		t.Error("the bounded world does not go through everything that it is for")
	}
	return points
}

// exhaustive is up to how many fates of a crash point are all lived through; of more, as many are drawn.
const exhaustive = 1 << 8

// fates counts what a loss of power at a point may leave of a host, and fateOf is one of them, by its number.
func fates(choices []int) (n uint64) {
	for _, c := range choices {
		n += 1 << min(c, 32)
	}
	return n
}

func fateOf(choices []int, n uint64) fate {
	for i, c := range choices {
		if all := uint64(1) << min(c, 32); n >= all {
			n -= all
			continue
		}
		f := fate{names: i}
		for bit := range c {
			f.bits = append(f.bits, n>>bit&1 == 1)
		}
		return f
	}
	panic("there is no such fate")
}

// mostAgain is up to which operation after a restart a host is crashed once more.
const mostAgain = 8

// end is how a bounded world is disturbed: a crash of one host, or of all at once, at an operation; and one more at an operation of the restart.
type end struct {
	members int
	writes  []string
	seed    uint64
	point   int // from 0 on
	all     bool
	fates   []fate // by host
	again   int    // the operation from the host's restart on at which it crashes once more, from 1 on; 0 for none
	rng     *rand.Rand
}

// live lives through a world with this end. It returns how many operations the host's restart took, whether anything was lost, and what went wrong.
func (e *end) live() (restart int, lost bool, failure error) {
	count, crashed := 0, raft.NoMember
	var life uint64
	c := conditions{fate: func(h *host) fate {
		if e.again > 0 && restart == e.again {
			choices := h.disk.choices()
			f := fateOf(choices, e.rng.Uint64N(fates(choices)))
			lost = lost || slices.Contains(f.bits, true)
			return f
		}
		f := e.fates[h.id-1]
		lost = lost || !f.process && slices.Contains(f.bits, true)
		return f
	}}
	c.operation = func(h *host, what, name string) {
		w := h.world
		up := func(h *host) { w.after(5*time.Millisecond, h.bootIfDown) }
		if crashed == h.id && (life == 0 || life == h.life) && restart < mostAgain {
			life = h.life
			if restart++; restart == e.again {
				up(h)
				panic(crashing{fault: "crash point", at: what + " " + name})
			}
		}
		if count++; count != e.point+1 || crashed != raft.NoMember {
			return
		}
		crashed = h.id
		for _, other := range w.hosts {
			if e.all && other != h && other.engine != nil {
				other.crash("power loss")
				up(other)
			}
		}
		up(h)
		panic(crashing{fault: "crash point", at: what + " " + name})
	}
	w := bounded(e.members, e.seed, c, e.writes...)
	for w.Step() {
	}
	switch {
	case w.failure != nil:
		return restart, lost, fmt.Errorf("%w\n%s", w.failure, strings.Join(w.story.lines(), "\n"))
	case crashed == raft.NoMember:
		return restart, lost, errors.New("it never came to the operation")
	}
	return restart, lost, nil
}

// bootIfDown starts a process, unless it was started before.
func (h *host) bootIfDown() {
	if h.engine == nil {
		h.boot()
	}
}

// The modes beside "one host" and "all hosts at once".
const (
	again   = "one host, and again from its restart on"
	process = "one process, and its host from its restart on"
)

// tally counts what crash points came to.
type tally struct{ worlds, sampled, losing atomic.Int64 }

// TestCrashPoints crashes a small cluster, and a single member, at every operation on files of a bounded workload, with every subset of what was not synced,
// and goes on: nothing that was acknowledged may be lost, no member may refuse to start, and the group has to be live again; all checkers look on.
// Then all hosts lose their power at once; and the host that crashed, or whose process ended alone, crashes
// again at each of the first operations from its restart on. The disks take direct writes, and make them durable by themselves, or not, or take none.
func TestCrashPoints(t *testing.T) {
	for _, c := range []struct {
		members int
		writes  []string
	}{
		{1, []string{writesCached}},
		{1, []string{writesDirect}},
		{1, []string{writesDurable}},
		{3, []string{writesDurable, writesDirect, writesRefused}},
	} {
		const seed = 1
		points := crashPoints(t, c.members, seed, c.writes)
		for _, mode := range []string{"one host", "all hosts at once", again, process} {
			if c.members == 1 && mode == "all hosts at once" {
				continue
			}
			var sum tally
			start := time.Now()
			try := func(at int) error {
				return crashAt(points, end{members: c.members, writes: c.writes, seed: seed, point: at}, mode, &sum)
			}
			step := 1
			if !*crashPointsFlag {
				step = map[string]int{again: 41, process: 43}[mode]
				step = max(step, 13)
			}
			parallel(t, len(points), step, try)
			t.Logf("%d members, writes %v, %s: %d of %d crash points, %d worlds, of which %d lost something; at %d points the fates were drawn, at the others all of them had their world (%v)",
				c.members, c.writes, mode, (len(points)+step-1)/step, len(points), sum.worlds.Load(), sum.losing.Load(), sum.sampled.Load(), time.Since(start).Round(time.Second))
			if sum.losing.Load() == 0 && mode != process {
				t.Error("nothing was ever lost")
			}
		}
	}
}

// crashAt lives through all fates of a point, or a sample of them.
func crashAt(points []crashPoint, e end, mode string, sum *tally) error {
	p := points[e.point]
	hosts := []int{int(p.host) - 1}
	if e.all = mode == "all hosts at once"; e.all {
		hosts = hosts[:0]
		for i := range e.members {
			hosts = append(hosts, i)
		}
	}
	total := uint64(1)
	for _, i := range hosts {
		total = min(total*fates(p.choices[i]), 1<<40)
	}
	e.rng = rand.New(rand.NewPCG(e.seed, uint64(e.point)))
	worlds, draw := total, total > exhaustive
	switch {
	case mode == again || mode == process:
		worlds, draw = 1, true
	case draw && !*crashPointsFlag:
		worlds = 4
	case !*crashPointsFlag:
		worlds, draw = min(total, 4), total > 4
	case draw:
		worlds = exhaustive
	}
	if draw {
		sum.sampled.Add(1)
	}
	for n := range worlds {
		if draw {
			n = e.rng.Uint64N(total)
		}
		e.fates = make([]fate, e.members)
		for _, i := range hosts {
			own := fates(p.choices[i])
			e.fates[i] = fateOf(p.choices[i], n%own)
			n /= own
			e.fates[i].process = mode == process
		}
		most := 0
		for e.again = 0; e.again <= most; e.again++ {
			restart, lost, err := e.live()
			if err != nil {
				return fmt.Errorf("%d members, writes %v, crash of %s at operation %d, %s of n%d, again at %d, fate %+v: %w", e.members, e.writes, mode, e.point, p.what, p.host, e.again, e.fates, err)
			}
			sum.worlds.Add(1)
			if lost {
				sum.losing.Add(1)
			}
			if e.again == 0 && (mode == again || mode == process) {
				most = restart
			}
		}
	}
	return nil
}

// parallel tries every step-th of n things, some at once, and reports the first few that fail.
func parallel(t *testing.T, n, step int, try func(i int) error) {
	t.Helper()
	var next, failed atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for failed.Load() < 3 {
				i := int(next.Add(1)-1) * step
				if i >= n {
					return
				}
				if err := try(i); err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
