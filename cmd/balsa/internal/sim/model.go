package sim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/sim"
)

const modelLong = `Work out on paper what limits a cluster of real machines: how many entries a second one group
commits, how long a commit takes, and what binds. There are networks within a building and
clusters in the regions of a cloud (as for balsa sim wan), each with the leader in the best region.

Proposers ask at the leader, wait for the answer and ask again. A commit takes a round trip to
the nearest others that make a majority with the leader, an fsync, and what an fsync that is
at work still takes. The processor, the leader's way out, the disk and the window of what may
be under way unacknowledged set bounds of their own. The lowest binds, and then all wait.

The rings in the figure are the production code in the simulator, on the same settings.`

const modelExample = `  balsa sim model
  balsa sim model --fsync 2ms --size 4096 --link 125e6
  balsa sim model --round-trip 3ms --members 5
  balsa sim model --csv model.csv --svg model.svg`

// modelProposers are how many ask.
var modelProposers = []int{1, 64, 1024, 10_000}

// network is where the members are.
type network struct {
	name  string
	trips []time.Duration
}

func modelCommand() *cobra.Command {
	var e experiment
	var trip time.Duration
	members := 3
	m := sim.PaperModel{
		Fsync: 500 * time.Microsecond, DiskBytes: 500e6, LinkBytes: 1.25e9, Processor: 5 * time.Microsecond, Processors: 4, Hop: 20 * time.Microsecond, EntryBytes: 256,
	}
	cmd := &cobra.Command{
		Use: "model", Short: "What limits a cluster of real machines, on paper", Long: modelLong, Example: modelExample, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if m.Fsync < 0 || m.Hop < 0 || m.Processor < 0 || m.Processors <= 0 || m.EntryBytes < 0 || m.DiskBytes < 0 || m.LinkBytes < 0 {
				return cli.Usagef("nothing of a machine is less than nothing, and it has a processor")
			}
			if members < 1 || trip < 0 {
				return cli.Usagef("--members=%d, --round-trip=%v: a cluster has a member, and a way takes time", members, trip)
			}
			networks := modelNetworks()
			if cmd.Flags().Changed("round-trip") {
				networks = []network{{fmt.Sprintf("%d, %v apart", members, trip), repeat(trip, members-1)}}
			}
			return e.model(cmd, m, networks)
		},
	}
	e.flags(cmd)
	f := cmd.Flags()
	f.DurationVar(&trip, "round-trip", 0, "only a cluster whose members are so far apart")
	f.IntVar(&members, "members", members, "how many members that has")
	f.DurationVar(&m.Fsync, "fsync", m.Fsync, "how long an fsync takes")
	f.Float64Var(&m.DiskBytes, "disk", m.DiskBytes, "bytes a second that a disk takes (0: any number)")
	f.Float64Var(&m.LinkBytes, "link", m.LinkBytes, "bytes a second that leave a machine (0: any number)")
	f.DurationVar(&m.Processor, "cpu", m.Processor, "processor time of an entry at the leader")
	f.Float64Var(&m.Processors, "processors", m.Processors, "how many processors a machine has")
	f.DurationVar(&m.Hop, "hop", m.Hop, "how long a thread that was woken takes to run")
	f.IntVar(&m.EntryBytes, "size", m.EntryBytes, "bytes of a command")
	return cmd
}

// modelNetworks are those of the table.
func modelNetworks() []network {
	var all []network
	for _, us := range []int{100, 200, 500} {
		trip := time.Duration(us) * time.Microsecond
		for _, n := range []int{3, 5} {
			all = append(all, network{fmt.Sprintf("%d in one place, %v", n, trip), repeat(trip, n-1)})
		}
	}
	for i := range geographies {
		g := &geographies[i]
		for _, n := range []int{3, 5} {
			name := fmt.Sprintf("%d in %s", n, g.name)
			if g.name == "the world" {
				name = fmt.Sprintf("%d around %s", n, g.name)
			}
			all = append(all, network{name, bestRow(g.roundTrips(n))})
		}
	}
	return all
}

func repeat(trip time.Duration, n int) []time.Duration {
	trips := make([]time.Duration, n)
	for i := range trips {
		trips[i] = trip
	}
	return trips
}

// bestRow is the round trips of the leader who is nearest to a majority.
func bestRow(trips [][]time.Duration) []time.Duration {
	best, bound := 0, time.Duration(math.MaxInt64)
	for leader := range trips {
		if b := (sim.WideArea{RoundTrips: trips, Leader: leader}).Bound(leader); b < bound {
			best, bound = leader, b
		}
	}
	return append(append([]time.Duration{}, trips[best][:best]...), trips[best][best+1:]...)
}

// modelRing is a place where the simulator is asked too.
type modelRing struct {
	trip      time.Duration
	proposers int
	result    sim.ClosedLoopResult
}

func (e *experiment) model(cmd *cobra.Command, m sim.PaperModel, networks []network) error {
	rows := [][]string{{"network", "proposers", "bytes", "per_second", "latency_ms", "binds", "next", "next_per_second"}}
	var summary strings.Builder
	fmt.Fprintf(&summary, "%-24s", "members and round trip")
	for _, n := range modelProposers {
		fmt.Fprintf(&summary, "  %-30s", fmt.Sprintf("%d asking at once", n))
	}
	summary.WriteString("\n")
	for _, n := range networks {
		fmt.Fprintf(&summary, "%-24s", n.name)
		for _, proposers := range modelProposers {
			m := m
			m.RoundTrips, m.Proposers = n.trips, proposers
			p := m.Predict()
			row := []string{n.name, strconv.Itoa(proposers), strconv.Itoa(m.EntryBytes), fmt.Sprintf("%.0f", p.PerSecond), exactly(p.Latency), p.Limits[0].Name, "", ""}
			if len(p.Limits) > 1 {
				row[6], row[7] = p.Limits[1].Name, fmt.Sprintf("%.0f", p.Limits[1].PerSecond)
			}
			rows = append(rows, row)
			fmt.Fprintf(&summary, "  %-30s", fmt.Sprintf("%s/s, %s ms: %s", rough(p.PerSecond), threeDigits(p.Latency), p.Limits[0].Name))
		}
		summary.WriteString("\n")
	}
	fmt.Fprintf(&summary, "Commands of %d bytes, fsyncs of %v, %s to a disk, %s out of a machine, %v of %g processors an entry.\n",
		m.EntryBytes, m.Fsync, bandwidth(m.DiskBytes), bandwidth(m.LinkBytes), m.Processor, m.Processors)
	var rings []modelRing
	if e.svg != "" {
		var err error
		if rings, err = e.modelRings(m); err != nil {
			return err
		}
	}
	return e.write(cmd, rows, summary.String(), func() []byte { return modelFigure(m, rings) })
}

// modelRings asks the simulator wherever round trips bind: it has no processors and no bandwidth to run out of.
func (e *experiment) modelRings(m sim.PaperModel) ([]modelRing, error) {
	var rings []modelRing
	for _, trip := range []time.Duration{100 * time.Microsecond, 500 * time.Microsecond, 2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
		for _, proposers := range modelProposers[:3] {
			m := m
			m.RoundTrips, m.Proposers = repeat(trip, 2), proposers
			if m.Predict().Limits[0].Name == sim.LimitProposers {
				rings = append(rings, modelRing{trip: trip, proposers: proposers})
			}
		}
	}
	results, err := each(e.workers, len(rings), func(i int) (sim.ClosedLoopResult, error) {
		m := m
		m.RoundTrips, m.Proposers = repeat(rings[i].trip, 2), rings[i].proposers
		return sim.ClosedLoop{Model: m, Commits: max(300, 4*m.Proposers)}.Run(e.seed)
	})
	for i := range results {
		rings[i].result = results[i]
	}
	return rings, err
}

// rough is a number with about three digits: 830, 12.4k, 1.25M.
func rough(x float64) string {
	switch {
	case x >= 999_500:
		return strconv.FormatFloat(x/1e6, 'f', 2, 64) + "M"
	case x >= 99_950:
		return strconv.FormatFloat(x/1e3, 'f', 0, 64) + "k"
	case x >= 9_995:
		return strconv.FormatFloat(x/1e3, 'f', 1, 64) + "k"
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

func bandwidth(bytes float64) string {
	if bytes == 0 {
		return "any number of bytes"
	}
	return rough(bytes/1e6) + " MB/s"
}

func threeDigits(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 100 {
		return strconv.FormatFloat(ms, 'f', 0, 64)
	}
	return strconv.FormatFloat(ms, 'g', 3, 64)
}

// modelFigure draws throughput and latency of three members over the round trip.
func modelFigure(m sim.PaperModel, rings []modelRing) []byte {
	f := newFigure(760, 700, "What limits a cluster of three: throughput and latency by round trip")
	f.text(24, 32, "title", "What limits a cluster of three machines")
	f.text(24, 52, "note", fmt.Sprintf("Commands of %d bytes, fsyncs of %v. Where lines are flat, something of the leader is used up.", m.EntryBytes, m.Fsync))
	f.text(24, 69, "note", "Rings: the production code in the simulator, which has processors and bandwidth without end.")
	for i, n := range modelProposers {
		x := 90 + 165*float64(i)
		f.line(fmt.Sprintf("line c%d", modelColour(i)), x, 92, x+20, 92)
		f.text(x+26, 96, "name", fmt.Sprintf("%s asking at once", grouped(n)))
	}
	rate := decades{area{x: 90, y: 136, w: 640, h: 220}, 0.05, 300, 1, 1e6}
	wait := decades{area{x: 90, y: 430, w: 640, h: 206}, 0.05, 300, 0.1, 1000}
	rate.grid(f, "Commits a second", decadeName)
	wait.grid(f, "Milliseconds that a commit takes", decadeName)
	f.anchored(410, 676, "note", "middle", "round trip in milliseconds: up to 0.5 within a place, 15 between regions of Europe, 75 to 300 around the world")
	for i, n := range modelProposers {
		class := fmt.Sprintf("line c%d", modelColour(i))
		var rates, waits strings.Builder
		for k := range 121 {
			ms := 0.05 * math.Pow(300/0.05, float64(k)/120)
			m := m
			m.RoundTrips, m.Proposers = repeat(time.Duration(ms*float64(time.Millisecond)), 2), n
			p := m.Predict()
			fmt.Fprintf(&rates, "%c%s %s", "ML"[min(k, 1)], number(rate.at(ms)), number(rate.up(p.PerSecond)))
			fmt.Fprintf(&waits, "%c%s %s", "ML"[min(k, 1)], number(wait.at(ms)), number(wait.up(float64(p.Latency)/float64(time.Millisecond))))
		}
		f.path(class, rates.String())
		f.path(class, waits.String())
		for _, r := range rings {
			if r.proposers == n {
				ms := float64(r.trip) / float64(time.Millisecond)
				f.dot(fmt.Sprintf("ring c%d", modelColour(i)), rate.at(ms), rate.up(r.result.PerSecond), 4)
				f.dot(fmt.Sprintf("ring c%d", modelColour(i)), wait.at(ms), wait.up(float64(r.result.Latency)/float64(time.Millisecond)), 4)
			}
		}
	}
	return f.bytes()
}

// decadeName writes a power of ten.
func decadeName(x float64) string {
	switch {
	case x > 0.9e6:
		return strconv.FormatFloat(x/1e6, 'g', 3, 64) + "M"
	case x > 0.9e3:
		return strconv.FormatFloat(x/1e3, 'g', 3, 64) + "k"
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// modelColour picks colours that are told apart in brightness, too.
func modelColour(i int) int { return []int{0, 2, 3, 5}[i] }

func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// decades is a panel on two logarithmic scales.
type decades struct {
	area
	left, right, low, high float64
}

func (d decades) at(x float64) float64 {
	return d.area.x + d.w*math.Log(x/d.left)/math.Log(d.right/d.left)
}

func (d decades) up(y float64) float64 {
	return d.area.y + d.h*(1-math.Log(min(max(y, d.low), d.high)/d.low)/math.Log(d.high/d.low))
}

func (d decades) grid(f *figure, title string, label func(float64) string) {
	f.text(d.area.x, d.area.y-12, "panel", title)
	for y := d.low; y <= d.high*1.001; y *= 10 {
		f.line("grid", d.area.x, d.up(y), d.area.x+d.w, d.up(y))
		f.anchored(d.area.x-8, d.up(y)+4, "note", "end", label(y))
	}
	for _, x := range []float64{0.1, 0.5, 2, 10, 50, 200} {
		f.line("grid", d.at(x), d.area.y, d.at(x), d.area.y+d.h)
		f.anchored(d.at(x), d.area.y+d.h+16, "note", "middle", strconv.FormatFloat(x, 'g', 3, 64))
	}
	f.line("axis", d.area.x, d.area.y+d.h, d.area.x+d.w, d.area.y+d.h)
}
