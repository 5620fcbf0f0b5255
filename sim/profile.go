package sim

import (
	"fmt"
	"strings"
	"time"
)

// Profile is a kind of world: what it is mostly about happens in it often, and little else does, so that rare meetings are not so rare there and work goes on
// between them. A world of the swarm is of one of these kinds, its theme, which its seed draws by their weights. A new theme is a line in the list below.
type Profile struct {
	Name, About string
	// weight is how often a world of the swarm has this theme, in proportion to the others'; none has one of weight 0.
	weight int
	// odds are the chances in a hundred that a fault strikes in a world: a fault's own, by its name, or else its kind's. All that are not named here have
	// those of others, which many worlds divide by two or four.
	odds   map[faultKind]int
	named  map[string]int
	others int
	// few, if it is not 0, says that at most so many of the faults that there are strike, whatever their kinds, instead of what the odds say.
	few int
	// shape changes what was drawn.
	shape func(r *Regime, of func(name string) *stream)
}

// The profiles that the code knows by name: the one that draws one of the others, and the one that breaks the fault budget on purpose.
const (
	swarm        = "swarm"
	beyondBudget = "beyond"
)

// Profiles lists the profiles, the one that is taken without a name first.
func Profiles() []Profile {
	return []Profile{
		{Name: swarm, About: "worlds of every kind below: each seed draws one, as its theme"},
		{Name: "mixed", About: "every fault in one run of three, every size, every limit", weight: 5, others: 33},
		{Name: "few", About: "two or three faults of any kind, and nothing else in their way", weight: 4, few: 3},
		{Name: "quick", About: "short runs of three members: a first look after a change", others: 33, shape: func(r *Regime, of func(string) *stream) {
			r.Members, r.Groups, r.Duration = 3, 1, of("quick").between(500*time.Millisecond, 1500*time.Millisecond)
		}},
		{Name: "calm", About: "no faults at all: what breaks here breaks everywhere"},
		{Name: "network", About: "messages lost, repeated, reordered, replayed; links cut in every way", weight: 3, odds: map[faultKind]int{messages: 40, partitions: 40}, others: 5,
			shape: func(r *Regime, of func(string) *stream) { r.OneCut = of("one cut").chance(2, 3) }},
		{Name: "process", About: "crashes, power losses and pauses, at every point", weight: 2, odds: map[faultKind]int{processes: 60}, others: 8},
		{Name: "disk", About: "disks that lose, tear, stall and fail, under processes that crash", weight: 3, odds: map[faultKind]int{disks: 40, processes: 30}, others: 4},
		{Name: "time", About: "clocks that drift and leap, pauses, lease reads", weight: 2, odds: map[faultKind]int{clocks: 90, processes: 25, partitions: 15}, others: 8,
			shape: func(r *Regime, of func(string) *stream) {
				r.OneCut = true
				if of("leases").chance(2, 3) { // as far as the other modes go with it
					r.Core.LeaseReads, r.Core.DisableCheckQuorum = true, false
				}
			}},
		{Name: "identity", About: "disks that are emptied, doubled and put back under an old name, members that return, logs that rot", weight: 4,
			odds: map[faultKind]int{identities: 50, partitions: 20}, named: map[string]int{wipedDisk: 80, twoDisks: 60, staleMember: 60}, others: 4,
			shape: func(r *Regime, of func(string) *stream) {
				r.OneCut = of("one cut").chance(2, 3)
				r.Members = pick(of("many disks"), 3, 3, 4, 5, 5, 6, 7)
			}},
		{Name: beyondBudget, About: "more disks lost than the groups can do without: they may halt, and never be wrong", odds: map[faultKind]int{disks: 50, identities: 80}, others: 15,
			shape: func(r *Regime, _ func(string) *stream) { r.Beyond = true }},
		{Name: "membership", About: "members come and go all the time, and leadership moves", weight: 5,
			odds: map[faultKind]int{changes: 40, partitions: 12, processes: 10}, named: map[string]int{removedMember: 30, staleMember: 30}, others: 3,
			shape: func(r *Regime, of func(string) *stream) {
				r.Changes = pick(of("often"), 30*time.Millisecond, 60*time.Millisecond, 200*time.Millisecond)
				r.Transfers = pick(of("transfers often"), 0, 300*time.Millisecond, 2*time.Second)
				r.Hasty, r.OneCut, r.Sweeping = of("hasty").chance(2, 3), of("one cut").chance(2, 3), of("sweeping").chance(2, 3)
				r.ChangePatience = pick(of("change patience"), 0, 50*time.Millisecond, 300*time.Millisecond)
				r.Members = pick(of("many members"), 1, 2, 3, 3, 4, 4, 5, 6)
				if of("short logs").chance(1, 3) {
					r.CompactEntries, r.KeepEntries = pick[uint64](of("how short"), 3, 20), 1
				}
			}},
		{Name: "snapshots", About: "logs that are compacted at once, large snapshots, few entries kept", weight: 3,
			odds: map[faultKind]int{snapshots: 50, partitions: 20, processes: 20}, named: map[string]int{stalledMachine: 50, restoredCrash: 50}, others: 5, shape: func(r *Regime, of func(string) *stream) {
				r.OneCut = of("one cut").chance(2, 3)
				r.CompactBytes, r.CompactEntries, r.KeepEntries = 2<<10, 20, pick[uint64](of("keep"), 1, 10)
				if of("large").chance(1, 2) && r.Groups <= 4 { // of dozens of groups it would be a GB on all hosts, which shows nothing that some do not
					r.Ballast = 300 << 10
				}
				if of("eager").chance(1, 3) {
					// Cut all the time, and never because it is too long: whoever is sent a snapshot has to be able to go on from it.
					r.CompactBytes, r.CompactEntries, r.KeepEntries, r.Ballast = 256<<10, 3, 1, 0
					// A snapshot is longer under way than the log is left alone, if nothing keeps it.
					r.Members, r.Clients, r.Patience, r.Padding = max(r.Members, 3), 6, max(r.Patience, time.Second), 0
					r.Delay, r.Think, r.Apply = 8*time.Millisecond, 2*time.Millisecond, min(r.Apply, time.Millisecond)
					r.Disk, r.Hop = min(r.Disk, time.Millisecond), min(r.Hop, 50*time.Microsecond)
				}
			}},
		{Name: "segments", About: "small segments that fill up, are cleaned and used again, disks that fill up, processes that end at any operation", weight: 4,
			odds: map[faultKind]int{processes: 10}, others: 3,
			named: map[string]int{crashInIO: 30, killInIO: 30, crashLoop: 50, tornWrite: 20, partialSync: 20, reorderedWrites: 30, fullDisk: 40, leaderLeft: 50},
			shape: func(r *Regime, of func(string) *stream) {
				if r.Segment = pick[int64](of("small segments"), 4<<10, 16<<10); r.Groups > 4 {
					r.Segment = 16 << 10 // Each begins with the state of all groups.
				}
				r.Think, r.Padding = min(r.Think, 20*time.Millisecond), max(r.Padding, 64)
				if uneven := of("uneven groups"); uneven.chance(2, 3) {
					// One group writes and compacts all the time, and others have a few entries in the segments that it fills: they are moved out of them.
					r.Groups, r.Uneven, r.Ballast = 2+uneven.IntN(3), pick(uneven, 10, 50), 0
					r.Apply, r.Patience = min(r.Apply, 20*time.Millisecond), max(r.Patience, time.Second)
					// It compacts before long, and the others hardly ever: what they removed from their logs is still in the oldest segment when that is cleaned.
					r.CompactBytes, r.CompactEntries, r.KeepEntries = 16<<10, pick[uint64](uneven, 0, 0, 20), pick[uint64](uneven, 1, 10)
				}
			}},
		{Name: "left behind", About: "leaders that are cut off with a long log while the others go on, and compact what it would need", weight: 3,
			odds: map[faultKind]int{partitions: 8}, named: map[string]int{leaderLeft: 90, stalledMachine: 40, crashLoop: 40, crashInIO: 20, "crash in a snapshot": 20, restoredCrash: 70}, others: 3,
			shape: func(r *Regime, of func(string) *stream) {
				r.Members, r.OneCut, r.Loyal = max(r.Members, 3), true, false
				r.CompactBytes, r.CompactEntries, r.KeepEntries = pick[uint64](of("long"), 2<<10, 256<<10), 3, 1
				r.Core.MaxCachedBytes = pick[uint64](of("cache"), 1, 4<<10)
				r.Core.MaxUncommittedBytes = 64 << 20
				// Where the others do less than was asked of the one that was cut off, what they send it ends before its own log does.
				r.Think = pick(of("meanwhile"), r.Think, 100*time.Millisecond, 300*time.Millisecond)
			}},
		{Name: "torn", About: "writes that are torn, reordered and lost at the log's end, and processes that end again before much has been written over what is left", weight: 5,
			named: map[string]int{tornWrite: 80, partialSync: 80, reorderedWrites: 60, crashLoop: 40, killInIO: 30, "slow disk": 30, "crash of a new leader": 15}, others: 2, shape: shapeTorn},
		{Name: "read back", About: "entries that are needed again long after they were written, from disks that rot", weight: 3,
			odds: map[faultKind]int{disks: 10, partitions: 10}, named: map[string]int{"rot in the log": 80, lostWrite: 30, misdirectedWrite: 30, stalledMachine: 60, "isolate": 30}, others: 3,
			shape: func(r *Regime, of func(string) *stream) {
				r.Members = max(r.Members, 3) // With fewer, no disk may lose anything.
				r.Core.MaxCachedBytes, r.KeepEntries, r.Padding = 1, 200, 2000
				if r.Apply = pick(of("behind"), 20*time.Millisecond, 300*time.Millisecond); r.Groups > 2 {
					r.Apply = time.Millisecond // They wait for each other.
				}
				r.Think, r.Patience = min(r.Think, 20*time.Millisecond), max(r.Patience, time.Second)
			}},
		{Name: "leases", About: "reads by leases and by rounds, while leaders are cut off, handed over, slowed down and paused", weight: 5,
			named: map[string]int{"one-way": 20, "isolate": 20, "lag": 40, "drift": 30, "cut in a transfer": 30, turmoil: 60, rivalry: 80, "pause": 30}, shape: shapeLeases},
		{Name: "succession", About: "leaders that come and go before they get far, and leave logs of many lengths and terms", weight: 5,
			named: map[string]int{shortReigns: 60, "cut of a new leader": 40, "crash of a new leader": 40, turmoil: 40, echo: 40, "isolate": 20}, shape: shapeSuccession},
		{Name: "idle", About: "groups with little to do, which fall silent, and whose hosts go away for long", weight: 3,
			named: map[string]int{"isolate": 50, staleMember: 50, "crash": 15, "drop": 25, "stuck disk": 15}, shape: shapeIdle},
	}
}

// theme is the profile that a world of a profile follows: another one where the profile is the swarm.
func (p *Profile) theme(drawn *stream) Profile {
	if p.Name != swarm {
		return *p
	}
	all := 0
	for _, t := range Profiles() {
		all += t.weight
	}
	at := drawn.IntN(all)
	for _, t := range Profiles() {
		if at -= t.weight; at < 0 {
			return t
		}
	}
	return *p
}

// profile finds a profile by its name.
func profile(name string) (Profile, error) {
	list := Profiles()
	if name == "" {
		return list[0], nil
	}
	var names []string
	for _, p := range list {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("there is no profile %q: choose one of %s", name, strings.Join(names, ", "))
}

// Check says what is wrong with the options, in words for whoever wrote them.
func (o *Options) Check() error {
	if _, err := profile(o.Profile); err != nil {
		return err
	}
	if o.Workload != "" && applicationNamed(o.Workload) == nil {
		return fmt.Errorf("there is no workload %q: choose one of %s", o.Workload, strings.Join(WorkloadNames(), ", "))
	}
	known := map[string]bool{}
	for _, name := range FaultNames() {
		known[name] = true
	}
	for _, name := range o.Faults {
		if !known[name] {
			return fmt.Errorf("there is no fault %q: choose from %s", name, strings.Join(FaultNames(), ", "))
		}
	}
	if o.Regime != nil {
		for _, f := range o.Regime.Faults {
			if !known[f.Name] {
				return fmt.Errorf("there is no fault %q: choose from %s", f.Name, strings.Join(FaultNames(), ", "))
			}
			if f.Every <= 0 {
				return fmt.Errorf("fault %q strikes every %v: say more than nothing", f.Name, f.Every)
			}
		}
		if r := o.Regime; r.Members < 1 || r.Members > maxMembers || r.Groups < 1 || r.Duration < 0 {
			return fmt.Errorf("a regime of %d members, %d groups and %v: say 1 to %d members and at least one group", r.Members, r.Groups, r.Duration, maxMembers)
		}
	}
	switch {
	case o.Members < 0 || o.Members > maxMembers:
		return fmt.Errorf("%d members: choose 1 to %d, or 0 to have it drawn", o.Members, maxMembers)
	case o.Groups < 0:
		return fmt.Errorf("%d groups: choose 1 or more, or 0 to have it drawn", o.Groups)
	case o.Clients < 0:
		return fmt.Errorf("%d clients: choose 1 or more, or 0 to have it drawn", o.Clients)
	case o.Duration < 0:
		return fmt.Errorf("a duration of %v: choose more than nothing, or 0 to have it drawn", o.Duration)
	}
	return nil
}

// maxMembers bounds how many members a world is founded with.
const maxMembers = 15
