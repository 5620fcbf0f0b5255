package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// plot is a chart of bars, one group of them for each number of workers, on a logarithmic scale, with whiskers for the spread over the rounds.
type plot struct {
	file, title, unit string
	groups            []string
	systems           []string
	// values are by group and system; a median of 0 draws nothing.
	values [][]spread
}

// plotsOf makes the plots of a level: throughput and p99 for every kind of cell, over the number of workers.
func plotsOf(level string, summaries []summary) []plot {
	if level == levelLimit {
		return nil
	}
	var kinds []Spec
	var plots []plot
	for _, s := range summaries {
		kind := s.cell
		kind.Workers = 0
		if s.cell.Level != level || containsSpec(kinds, kind) {
			continue
		}
		kinds = append(kinds, kind)
		name := strings.NewReplacer(" ", "-", ",", "").Replace(fmt.Sprintf("%s-%s-%db-%dg-%dm", level, kind.Load, kind.Size, kind.Groups, kind.Members))
		if kind.Client == clientGRPC {
			name += "-grpc"
		}
		plots = append(plots,
			newPlot(name+"-rate.svg", "Operations a second: "+title(kind), "", kind, summaries, func(r row) spread { return r.perSecond }),
			newPlot(name+"-p99.svg", "p99 in milliseconds: "+title(kind), "", kind, summaries, func(r row) spread {
				return spread{r.p99.median / 1000, r.p99.low / 1000, r.p99.high / 1000}
			}))
	}
	return plots
}

func containsSpec(list []Spec, s Spec) bool {
	for _, each := range list {
		if each == s {
			return true
		}
	}
	return false
}

func newPlot(file, title, unit string, kind Spec, summaries []summary, value func(row) spread) plot {
	p := plot{file: file, title: title, unit: unit}
	for _, s := range summaries {
		same := s.cell
		same.Workers = 0
		if same != kind {
			continue
		}
		who := "proposers"
		if kind.Level == levelServer {
			who = "clients"
		}
		p.groups = append(p.groups, plural(s.cell.Workers, who))
		for _, r := range s.rows {
			if p.system(r.system) < 0 {
				p.systems = append(p.systems, r.system)
			}
		}
	}
	for _, s := range summaries {
		same := s.cell
		same.Workers = 0
		if same != kind {
			continue
		}
		bars := make([]spread, len(p.systems))
		for _, r := range s.rows {
			if r.failed == 0 {
				bars[p.system(r.system)] = value(r)
			}
		}
		p.values = append(p.values, bars)
	}
	return p
}

func (p *plot) system(name string) int {
	for i, s := range p.systems {
		if s == name {
			return i
		}
	}
	return -1
}

// Balsa stands out; the limit is grey, and the others have colours that are told apart by those who see few, too.
var colours = map[string]string{"balsa": "#c2410c", "limit": "#b8b8b8", "nothing": "#b8b8b8"}

var otherColours = []string{"#1f5f8b", "#56a3c9", "#3f7d4e", "#93c47d", "#7a5195", "#c9a227"}

func (p *plot) colour(system int) string {
	if c, ok := colours[p.systems[system]]; ok {
		return c
	}
	other := 0
	for i := range system {
		if _, ok := colours[p.systems[i]]; !ok {
			other++
		}
	}
	return otherColours[other%len(otherColours)]
}

// The measures of a plot in pixels.
const (
	plotWidth, plotHeight              = 860, 380
	marginLeft, marginTop, marginRight = 70, 46, 20
	marginBottom                       = 76
)

// svg draws the plot.
func (p *plot) svg() string {
	low, high := p.decades()
	y := func(v float64) float64 {
		share := (math.Log10(v) - float64(low)) / float64(high-low)
		return plotHeight - marginBottom - share*(plotHeight-marginTop-marginBottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" fill="#333">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><text x="%d" y="24" font-size="15" font-weight="600">%s</text>`+"\n", plotWidth, plotHeight, marginLeft, html.EscapeString(p.title))
	for decade := low; decade <= high; decade++ {
		at := y(math.Pow10(decade))
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#e2e2e2"/><text x="%d" y="%.1f" text-anchor="end" fill="#777">%s</text>`+"\n",
			marginLeft, plotWidth-marginRight, at, at, marginLeft-8, at+4, decadeLabel(decade))
	}
	width := float64(plotWidth-marginLeft-marginRight) / float64(len(p.groups))
	bar := math.Min(width*0.84/float64(len(p.systems)), 44)
	for g, name := range p.groups {
		left := marginLeft + float64(g)*width + (width-bar*float64(len(p.systems)))/2
		for s, v := range p.values[g] {
			if v.median <= 0 {
				continue
			}
			x, top := left+float64(s)*bar, y(v.median)
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s, %s: %s (%s-%s)</title></rect>`+"\n",
				x+1, top, bar-2, plotHeight-marginBottom-top, p.colour(s), html.EscapeString(p.systems[s]), name, short(v.median), short(v.low), short(v.high))
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#222" stroke-opacity=".55"/>`+"\n", x+bar/2, x+bar/2, y(math.Max(v.low, math.Pow10(low))), y(v.high))
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="9.5" fill="#555">%s</text>`+"\n", x+bar/2, y(v.high)-4, short(v.median))
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", marginLeft+(float64(g)+.5)*width, plotHeight-marginBottom+18, name)
	}
	x := float64(marginLeft)
	for s, name := range p.systems {
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="11" height="11" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n", x, plotHeight-28, p.colour(s), x+16, plotHeight-18, html.EscapeString(name))
		x += 30 + 7*float64(len(name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// decades are the powers of ten that the scale begins and ends with.
func (p *plot) decades() (low, high int) {
	var values []float64
	for _, bars := range p.values {
		for _, v := range bars {
			if v.median > 0 {
				values = append(values, v.low, v.high)
			}
		}
	}
	return decadesOf(values)
}

func decadeLabel(decade int) string {
	switch {
	case decade >= 6:
		return fmt.Sprintf("%gM", math.Pow10(decade-6))
	case decade >= 3:
		return fmt.Sprintf("%gk", math.Pow10(decade-3))
	}
	return fmt.Sprintf("%g", math.Pow10(decade))
}

// short writes a number with two or three digits.
func short(v float64) string {
	switch {
	case v >= 999_500:
		return fmt.Sprintf("%.1fM", v/1e6)
	case v >= 99_500:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v >= 999.5:
		return fmt.Sprintf("%.1fk", v/1e3)
	case v >= 99.5:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
