package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// Regime is what a seed draws for its whole run: how large the deployment is, how fast its parts are, which limits it has, which faults it
// meets. That not every run has everything is on purpose: what is always there hides what happens only without it. Draw makes one; whoever wants
// a run that no seed draws changes one and hands it in as Options.Regime.
type Regime struct {
	Theme    string        `json:"theme,omitempty"` // which profile it was drawn by
	Members  int           `json:"members"`
	Groups   int           `json:"groups"`
	Duration time.Duration `json:"duration_ns"` // of the phase with faults
	Calm     time.Duration `json:"calm_ns"`     // between the end of the faults and the proof of liveness

	Delay     time.Duration `json:"delay_ns"`             // mean one-way delay of a message
	Hop       time.Duration `json:"hop_ns"`               // mean time until a stage runs that has work
	Disk      time.Duration `json:"disk_ns"`              // mean time of an fsync
	Apply     time.Duration `json:"apply_ns"`             // mean time until a batch is applied
	Workload  string        `json:"workload"`             // which application
	Clients   int           `json:"clients"`              // of each group
	Think     time.Duration `json:"think_ns"`             // mean time a client waits between two operations
	Uneven    int           `json:"uneven"`               // how many times longer clients of all groups but the first wait; 0 for as long
	Loyal     bool          `json:"loyal"`                // each client stays with one host, as long as it runs
	Reading   time.Duration `json:"reading_ns,omitempty"` // the same for those loyal ones that only read; 0 for as long
	Patience  time.Duration `json:"patience_ns"`          // how long a client waits for an answer
	Padding   int           `json:"padding"`              // largest ballast of a command, in bytes
	Even      int           `json:"even,omitempty"`       // if it is not 0, commands have ballast up to a multiple of it, instead
	Ballast   int           `json:"ballast"`              // bytes of ballast in a snapshot
	Durable   bool          `json:"durable"`              // the machines keep their state themselves
	Changes   time.Duration `json:"changes_ns"`           // mean time between two changes of a configuration; 0 for none
	Transfers time.Duration `json:"transfers_ns"`         // mean time between two transfers of leadership; 0 for none
	Hasty     bool          `json:"hasty"`                // new leaders are asked for changes at once
	Unnoticed bool          `json:"unnoticed"`            // nobody notices that a connection broke

	// Sweeping says that many changes are of several voters at once, ChangePatience how long an operator waits for a change before the next: as long as a client, if it is 0.
	Sweeping       bool          `json:"sweeping,omitempty"`
	ChangePatience time.Duration `json:"change_patience_ns,omitempty"`

	Core           raft.Config `json:"core"`
	CompactBytes   uint64      `json:"compact_bytes"`
	CompactEntries uint64      `json:"compact_entries"`
	KeepEntries    uint64      `json:"keep_entries"`
	Segment        int64       `json:"segment_bytes"`
	Writes         []string    `json:"writes,omitempty"` // how disks take direct writes, in the order of the hosts, over and over: see direct.go

	Faults []FaultRate `json:"faults"`
	// OneCut says that no link is cut by a fault while others are, so that what a partition leads to has time to come.
	OneCut bool `json:"one_cut,omitempty"`
	// Beyond says that more disks may be damaged than the groups can do without: see budget.go.
	Beyond bool `json:"beyond_budget,omitempty"`
}

// FaultRate is a fault that strikes in a run, and the mean time between two of its strikes.
type FaultRate struct {
	Name  string        `json:"name"`
	Every time.Duration `json:"every_ns"`
}

// Draw draws what the options leave open. Each option has a stream of its own: fixing one changes none of the others.
func Draw(seed uint64, o Options) Regime {
	if o.Regime != nil {
		return *o.Regime
	}
	of := func(name string) *stream { return newStream(seed, "regime "+name) }
	r := Regime{
		Members:  pick(of("members"), 1, 2, 3, 3, 3, 4, 5, 5, 7),
		Groups:   pick(of("groups"), 1, 1, 1, 2),
		Duration: of("duration").between(2*time.Second, 8*time.Second), Calm: 500 * time.Millisecond,
		Clients:  2 + of("clients").IntN(6),
		Delay:    pick(of("delay"), 200*time.Microsecond, time.Millisecond, time.Millisecond, 8*time.Millisecond),
		Hop:      pick(of("hop"), 5*time.Microsecond, 50*time.Microsecond, 500*time.Microsecond),
		Disk:     pick(of("disk"), 100*time.Microsecond, time.Millisecond, time.Millisecond, 8*time.Millisecond),
		Apply:    pick(of("apply"), 20*time.Microsecond, time.Millisecond, time.Millisecond, 20*time.Millisecond, 20*time.Millisecond, 300*time.Millisecond),
		Think:    pick(of("think"), 2*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond),
		Patience: pick(of("patience"), 300*time.Millisecond, time.Second, 4*time.Second),
		Padding:  pick(of("padding"), 0, 64, 2000),
		Durable:  of("durable").chance(1, 3),
		Segment:  pick[int64](of("segment"), 4<<10, 16<<10, 64<<10),
		Writes:   drawWrites(of("writes")),
	}
	r.Workload = o.Workload
	switch {
	case o.Application != nil:
		r.Workload = o.Application.Name()
	case r.Workload == "":
		r.Workload = pick(of("workload"), WorkloadNames()...)
	}
	if ballast := of("ballast"); ballast.chance(1, 8) {
		r.Ballast = 300<<10 + ballast.IntN(400<<10)
	}
	if changes := of("changes"); changes.chance(1, 2) {
		r.Changes = pick(changes, 200*time.Millisecond, time.Second)
		r.Hasty = of("hasty").chance(1, 2)
		r.Sweeping = of("sweeping").chance(1, 3)
	}
	r.Loyal = of("loyal").chance(1, 3)
	r.Unnoticed = of("unnoticed").chance(1, 5)
	if transfers := of("transfers"); transfers.chance(1, 2) {
		r.Transfers = pick(transfers, 300*time.Millisecond, 2*time.Second)
	}
	if many := of("many groups"); many.chance(1, 24) {
		// Dozens of groups on each host, each with little to do. They wait for each other, so that what serves them has to be fast.
		r.Groups, r.Clients, r.Think, r.Ballast = 8+many.IntN(33), 1, max(r.Think, 100*time.Millisecond), 0
		r.Duration, r.Patience = min(r.Duration, 3*time.Second), 4*time.Second
		r.Hop, r.Apply, r.Disk = min(r.Hop, 50*time.Microsecond), min(r.Apply, time.Millisecond), min(r.Disk, time.Millisecond)
		r.Segment = max(r.Segment, 16<<10) // Each begins with the state of all groups.
	}
	r.drawLimits(of)
	p, _ := profile(o.Profile)
	p = p.theme(of("theme"))
	r.Theme = p.Name
	if p.shape != nil {
		p.shape(&r, of)
	}
	if r.CompactEntries == 3 {
		r.Calm = 2 * time.Second // Long enough to see whether a member that is sent a snapshot can go on from it.
	}
	r.fix(&o)
	r.Faults = drawFaults(seed, &o, &p)
	return r
}

// fix takes from the options what they say, instead of what was drawn.
func (r *Regime) fix(o *Options) {
	if o.Members != 0 {
		r.Members = o.Members
	}
	if o.Groups != 0 {
		r.Groups = o.Groups
	}
	if o.Clients != 0 {
		r.Clients = o.Clients
	}
	if o.Duration != 0 {
		r.Duration = o.Duration
	}
}

// drawLimits draws the options of the engine and the core, small ones among them, so that every limit is met.
func (r *Regime) drawLimits(of func(name string) *stream) {
	r.CompactBytes = pick[uint64](of("compact bytes"), 2<<10, 16<<10, 256<<10)
	r.CompactEntries = pick[uint64](of("compact entries"), 0, 0, 0, 3, 20)
	r.KeepEntries = pick[uint64](of("keep entries"), 1, 10, 200)
	c := &r.Core
	c.MaxMessageBytes = pick[uint64](of("message bytes"), 100, 4<<10, 1<<20)
	c.MaxInflightMessages = pick(of("inflight messages"), 1, 4, 256)
	c.MaxInflightBytes = pick(of("inflight bytes"), c.MaxMessageBytes, 16<<20)
	c.MaxUncommittedBytes = pick[uint64](of("uncommitted bytes"), 2<<10, 64<<20)
	c.MaxCachedBytes = pick[uint64](of("cached bytes"), 1, 4<<10, 8<<20)
	c.CommitDelay = pick(of("commit delay"), 0, 0, 2*time.Millisecond, 20*time.Millisecond)
	switch of("mode").IntN(10) {
	case 0, 1, 2:
		c.LeaseReads = true
	case 3:
		c.DisablePreVote = true
	case 4:
		c.DisableCheckQuorum = true
	case 5, 6:
		c.QuiesceAfter = 300 * time.Millisecond
	}
}

// String is one line that tells what the seed has drawn.
func (r Regime) String() string {
	var names []string
	for _, f := range r.Faults {
		names = append(names, f.Name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, members: %d, groups: %d, %v of faults [%s], message %v, fsync %v, apply %v, %d clients of %s every %v", r.Theme, r.Members, r.Groups, r.Duration,
		strings.Join(names, ", "), r.Delay, r.Disk, r.Apply, r.Clients, r.Workload, r.Think)
	fmt.Fprintf(&b, ", segments of %d bytes, compact at %d bytes or %d entries and keep %d, messages of %d bytes, %d in flight, %d bytes uncommitted, %d cached", r.Segment, r.CompactBytes,
		r.CompactEntries, r.KeepEntries, r.Core.MaxMessageBytes, r.Core.MaxInflightMessages, r.Core.MaxUncommittedBytes, r.Core.MaxCachedBytes)
	if len(r.Writes) > 0 {
		fmt.Fprintf(&b, ", disks that take direct writes: %s", strings.Join(r.Writes, ", "))
	}
	for _, has := range []struct {
		name string
		on   bool
	}{
		{"durable machines", r.Durable}, {"ballast", r.Ballast > 0}, {"membership changes", r.Changes > 0}, {"transfers", r.Transfers > 0}, {"hasty changes", r.Hasty}, {"several at once", r.Sweeping}, {"impatient operators", r.ChangePatience > 0}, {"breaks unnoticed", r.Unnoticed}, {"loyal clients", r.Loyal},
		{"lease reads", r.Core.LeaseReads}, {"one cut at a time", r.OneCut}, {"no pre-vote", r.Core.DisablePreVote}, {"no check of the quorum", r.Core.DisableCheckQuorum},
		{"quiescence", r.Core.QuiesceAfter > 0}, {"commits told late", r.Core.CommitDelay > 0}, {"beyond the fault budget", r.Beyond},
	} {
		if has.on {
			b.WriteString(", " + has.name)
		}
	}
	return b.String()
}
