package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
	"github.com/balsa-raft/balsa/sim"
)

const wanLong = `Measure how long it takes to commit an entry when the members of a cluster are in different
regions of a cloud: clusters of 3, 5 and 7 members, in Europe and around the world, with the
leader in each region in turn, and the proposal made in each region in turn.

The round trips between the regions are published ones (Azure, July 2026; see regions.go);
an fsync takes 1 ms on average. Each cluster is a simulated world that runs the production
core, engine and log. The bound is one round trip from the leader to the nearest others that
make a majority with it, and, where the proposal is made elsewhere, one to the leader.`

const wanExample = `  balsa sim wan --csv wan.csv --svg wan.svg
  balsa sim wan --commits 50 --csv - > wan.csv`

// wanSizes are the clusters that are measured.
var wanSizes = []int{3, 5, 7}

func wanCommand() *cobra.Command {
	var e experiment
	var commits int
	cmd := &cobra.Command{
		Use: "wan", Short: "Commit latency between cloud regions", Long: wanLong, Example: wanExample, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if commits < 1 {
				return cli.Usagef("--commits=%d: has to be at least 1", commits)
			}
			return e.wideArea(cmd, commits)
		},
	}
	e.flags(cmd)
	cmd.Flags().IntVar(&commits, "commits", 200, "how many entries are proposed in each region")
	return cmd
}

// placement is one cluster with one leader, and what was measured in it.
type placement struct {
	geography *geography
	members   int
	area      sim.WideArea
	samples   []sample // by the place of the proposal
}

// wideArea runs all placements, and writes the table, the summary and the figure.
func (e *experiment) wideArea(cmd *cobra.Command, commits int) error {
	var placements []*placement
	for i := range geographies {
		g := &geographies[i]
		for _, n := range wanSizes {
			for leader := range n {
				area := sim.WideArea{RoundTrips: g.roundTrips(n), Leader: leader, Disk: time.Millisecond, Commits: commits}
				placements = append(placements, &placement{geography: g, members: n, area: area})
			}
		}
	}
	_, err := each(e.workers, len(placements), func(i int) (struct{}, error) {
		p := placements[i]
		results, err := p.area.Run(e.seed)
		for _, all := range results {
			p.samples = append(p.samples, newSample(all))
		}
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	rows := [][]string{{"geography", "members", "leader", "asked_at", "commits", "median_ms", "p99_ms", "bound_ms"}}
	for _, p := range placements {
		for at, s := range p.samples {
			rows = append(rows, []string{
				p.geography.name, strconv.Itoa(p.members), p.geography.places[p.area.Leader], p.geography.places[at], strconv.Itoa(commits),
				exactly(s.at(0.5)), exactly(s.at(0.99)), exactly(p.area.Bound(at)),
			})
		}
	}
	return e.write(cmd, rows, wanSummary(placements), func() []byte { return wanFigure(placements) })
}

// wanSummary is a table with a line for each place of the leader.
func wanSummary(placements []*placement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s", "leader in")
	for _, n := range wanSizes {
		fmt.Fprintf(&b, "  %17s", fmt.Sprintf("%d members", n))
	}
	b.WriteString("\n")
	for i := range geographies {
		g := &geographies[i]
		for leader, place := range g.places {
			fmt.Fprintf(&b, "%-24s", place)
			for _, n := range wanSizes {
				text := ""
				if k := slices.IndexFunc(placements, func(p *placement) bool { return p.geography == g && p.members == n && p.area.Leader == leader }); k >= 0 {
					p := placements[k]
					text = fmt.Sprintf("%s (%s)", milliseconds(p.samples[leader].at(0.5)), milliseconds(p.area.Bound(leader)))
				}
				fmt.Fprintf(&b, "  %17s", text)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("Median of a commit proposed at the leader, and its bound in brackets, in milliseconds of virtual time.\n")
	return b.String()
}

// wanFigure draws a panel for each geography: a line for each place of the leader, a dot for each size of the cluster.
func wanFigure(placements []*placement) []byte {
	f := newFigure(760, 674, "Commit latency by the leader's region, for clusters of 3, 5 and 7 members")
	f.text(24, 32, "title", "Commit latency between cloud regions")
	f.text(24, 52, "note", "Median of a commit at the leader, by the leader's region. A cluster has its members in the first 3, 5 or 7 regions.")
	f.text(24, 69, "note", "Simulated, with Azure's published round trips of July 2026.")
	for i, n := range wanSizes {
		x := 180 + 110*float64(i)
		f.dot(fmt.Sprintf("d%d", i), x, 92, 5)
		f.text(x+10, 96, "name", fmt.Sprintf("%d members", n))
	}
	f.line("bound", 512, 86, 512, 98)
	f.text(520, 96, "name", "round trip to a majority")
	y := 140.0
	for i, high := range []float64{40, 300} {
		g := &geographies[i]
		f.places(area{x: 180, y: y, w: 540, h: 30 * float64(len(g.places))}, g, high, placements)
		y += 30*float64(len(g.places)) + 66
	}
	return f.bytes()
}

// places draws one panel, over milliseconds from nothing to high.
func (f *figure) places(a area, g *geography, high float64, placements []*placement) {
	f.text(24, a.y-12, "panel", strings.ToUpper(g.name[:1])+g.name[1:])
	at := func(d time.Duration) float64 {
		return a.x + a.w*min(float64(d)/float64(time.Millisecond)/high, 1)
	}
	for k := range 5 {
		ms := high / 4 * float64(k)
		x := a.x + a.w/4*float64(k)
		f.line("grid", x, a.y, x, a.y+a.h)
		f.anchored(x, a.y+a.h+16, "note", "middle", label(ms))
	}
	for row, place := range g.places {
		y := a.y + 30*(float64(row)+0.5)
		f.anchored(a.x-12, y+4, "name", "end", place)
		if row > 0 {
			f.line("grid", a.x, y-15, a.x+a.w, y-15)
		}
		for i, n := range wanSizes {
			for _, p := range placements {
				if p.geography == g && p.members == n && p.area.Leader == row {
					bound := at(p.area.Bound(row))
					y := y + 7*float64(i-1) // so that none hides another
					f.line("bound", bound, y-4, bound, y+4)
					f.dot(fmt.Sprintf("d%d", i), at(p.samples[row].at(0.5)), y, 4)
				}
			}
		}
	}
	f.line("axis", a.x, a.y+a.h, a.x+a.w, a.y+a.h)
}
