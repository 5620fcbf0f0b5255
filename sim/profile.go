package sim

import (
	"fmt"
	"strings"
	"time"
)

// Profile is a kind of run: what a seed draws under it is drawn more often, or always.
type Profile struct {
	Name, About string
	// odds are the chances in a hundred that a fault of a kind strikes in a run; others is for the kinds that are not named.
	odds   map[faultKind]int
	others int
	// shape changes what was drawn.
	shape func(r *Regime, of func(name string) *stream)
}

// beyondBudget is the profile that breaks the fault budget on purpose.
const beyondBudget = "beyond"

// Profiles lists the profiles, the one that is taken without a name first.
func Profiles() []Profile {
	return []Profile{
		{Name: "swarm", About: "every fault in one run of three, every size, every limit", others: 33},
		{Name: "quick", About: "short runs of three members: a first look after a change", others: 33, shape: func(r *Regime, of func(string) *stream) {
			r.Members, r.Groups, r.Duration = 3, 1, of("quick").between(500*time.Millisecond, 1500*time.Millisecond)
		}},
		{Name: "calm", About: "no faults at all: what breaks here breaks everywhere"},
		{Name: "network", About: "messages lost, repeated, reordered, replayed; links cut in every way", odds: map[faultKind]int{messages: 60, partitions: 50}, others: 5},
		{Name: "process", About: "crashes, power losses and pauses, at every point", odds: map[faultKind]int{processes: 70}, others: 10},
		{Name: "disk", About: "disks that lose, tear, stall and fail, under processes that crash", odds: map[faultKind]int{disks: 60, processes: 50}, others: 5},
		{Name: "time", About: "clocks that drift and leap, pauses, lease reads", odds: map[faultKind]int{clocks: 90, processes: 25}, others: 15,
			shape: func(r *Regime, of func(string) *stream) {
				if of("leases").chance(1, 2) { // as far as the other modes go with it
					r.Core.LeaseReads, r.Core.DisableCheckQuorum = true, false
				}
			}},
		{Name: "identity", About: "disks that are emptied, doubled and put back under an old name, members that return, logs that rot", odds: map[faultKind]int{identities: 80, disks: 20, partitions: 30}, others: 10},
		{Name: beyondBudget, About: "more disks lost than the groups can do without: they may halt, and never be wrong", odds: map[faultKind]int{disks: 50, identities: 80}, others: 15,
			shape: func(r *Regime, _ func(string) *stream) { r.Beyond = true }},
		{Name: "membership", About: "members come and go all the time, and leadership moves", others: 25, shape: func(r *Regime, of func(string) *stream) {
			r.Changes = pick(of("often"), 60*time.Millisecond, 200*time.Millisecond)
			r.Transfers = pick(of("transfers often"), 300*time.Millisecond, 2*time.Second)
		}},
		{Name: "snapshots", About: "logs that are compacted at once, large snapshots, few entries kept", others: 25, shape: func(r *Regime, of func(string) *stream) {
			r.CompactBytes, r.CompactEntries, r.KeepEntries = 2<<10, 20, pick[uint64](of("keep"), 1, 10)
			if of("large").chance(1, 2) {
				r.Ballast = 300 << 10
			}
		}},
	}
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
	if o.Members < 0 || o.Members > maxMembers || o.Groups < 0 || o.Clients < 0 || o.Duration < 0 {
		return fmt.Errorf("%d members, %d groups, %d clients, %v: numbers below 0, or more than %d members", o.Members, o.Groups, o.Clients, o.Duration, maxMembers)
	}
	return nil
}

// maxMembers bounds how many members a world is founded with.
const maxMembers = 15
