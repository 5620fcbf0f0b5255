package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// chart is a chart of lines over a quantity, both scales logarithmic, with whiskers for the spread over the rounds. It follows whoever looks at it into the dark.
type chart struct {
	file, title, axis, note string
	label                   func(x float64) string
	// series are all that have a colour, those too that have no line here.
	series []string
	lines  []chartLine
}

type chartLine struct {
	name   string
	dashed bool
	xs     []float64
	ys     []spread
}

// add puts a point at the end of a line. The name's place among the series says its colour.
func (c *chart) add(name string, dashed bool, x float64, y spread) {
	i := slices.IndexFunc(c.lines, func(l chartLine) bool { return l.name == name && l.dashed == dashed })
	if i < 0 {
		i = len(c.lines)
		c.lines = append(c.lines, chartLine{name: name, dashed: dashed})
	}
	c.lines[i].xs, c.lines[i].ys = append(c.lines[i].xs, x), append(c.lines[i].ys, y)
}

// colour is the number of a name's colour.
func (c *chart) colour(name string) int { return max(slices.Index(c.series, name), 0) % 4 }

const chartStyle = `<style>
  .back { fill: #fdfdfb; } text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #3a3f45; }
  .title { font-size: 15px; font-weight: 600; fill: #16191d; } .note { fill: #6a7179; } .value { font-size: 10px; }
  .grid { stroke: #e4e6e3; } .whisker { stroke-opacity: .5; } .line { fill: none; stroke-width: 2; stroke-linejoin: round; } .dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }
  .c0 { stroke: #c2410c; } .c1 { stroke: #1f6f9f; } .c2 { stroke: #3f7d4e; } .c3 { stroke: #7a5195; }
  .d0 { fill: #c2410c; } .d1 { fill: #1f6f9f; } .d2 { fill: #3f7d4e; } .d3 { fill: #7a5195; }
  @media (prefers-color-scheme: dark) {
    .back { fill: #15181c; } text { fill: #c3c9d0; } .title { fill: #f0f2f4; } .note { fill: #8d959e; } .grid { stroke: #272c32; }
    .c0 { stroke: #f19a5f; } .c1 { stroke: #6fb7e6; } .c2 { stroke: #6cc796; } .c3 { stroke: #c69be0; }
    .d0 { fill: #f19a5f; } .d1 { fill: #6fb7e6; } .d2 { fill: #6cc796; } .d3 { fill: #c69be0; }
  }
</style>
`

// svg draws the chart.
func (c *chart) svg() string {
	xs, values := c.places()
	low, high := decadesOf(values)
	left, right := math.Log(xs[0]), math.Log(xs[len(xs)-1])
	if left == right {
		right++
	}
	const width, bottom, inset = plotWidth - marginLeft - marginRight, plotHeight - marginBottom, 24
	x := func(v float64) float64 {
		return marginLeft + inset + (math.Log(v)-left)/(right-left)*(width-2*inset)
	}
	y := func(v float64) float64 {
		share := (math.Log10(math.Max(v, math.Pow10(low))) - float64(low)) / float64(high-low)
		return bottom - share*(bottom-marginTop)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">`+"\n<title>%s</title>\n", plotWidth, plotHeight, html.EscapeString(c.title))
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<rect class="back" width="%d" height="%d"/><text class="title" x="%d" y="24">%s</text>`+"\n", plotWidth, plotHeight, marginLeft, html.EscapeString(c.title))
	if c.note != "" {
		fmt.Fprintf(&b, `<text class="note" x="%d" y="24" text-anchor="end">%s</text>`+"\n", plotWidth-marginRight, html.EscapeString(c.note))
	}
	for decade := low; decade <= high; decade++ {
		at := y(math.Pow10(decade))
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="note" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			marginLeft, plotWidth-marginRight, at, at, marginLeft-8, at+4, decadeLabel(decade))
	}
	for _, v := range xs {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(v), x(v), marginTop, bottom, x(v), bottom+18, html.EscapeString(c.label(v)))
	}
	for _, l := range c.lines {
		colour := c.colour(l.name)
		class, path := fmt.Sprintf("line c%d", colour), ""
		if l.dashed {
			class += " dashed"
		}
		for i, v := range l.xs {
			path += fmt.Sprintf("%c%.1f %.1f", "ML"[min(i, 1)], x(v), y(l.ys[i].median))
		}
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`+"\n", class, path)
		for i, v := range l.xs {
			s := l.ys[i]
			if s.low < s.high {
				fmt.Fprintf(&b, `<line class="whisker c%d" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", colour, x(v), x(v), y(s.low), y(s.high))
			}
			fmt.Fprintf(&b, `<circle class="d%d" cx="%.1f" cy="%.1f" r="3"><title>%s at %s: %s (%s-%s)</title></circle>`+"\n",
				colour, x(v), y(s.median), html.EscapeString(l.name), html.EscapeString(c.label(v)), short(s.median), short(s.low), short(s.high))
			if !l.dashed {
				fmt.Fprintf(&b, `<text class="value" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x(v), y(s.high)-7, short(s.median))
			}
		}
	}
	fmt.Fprintf(&b, `<text class="note" x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotWidth-marginRight, plotHeight-14, html.EscapeString(c.axis))
	at := float64(marginLeft)
	for _, name := range c.series {
		if !slices.ContainsFunc(c.lines, func(l chartLine) bool { return l.name == name }) {
			continue
		}
		fmt.Fprintf(&b, `<rect class="d%d" x="%.1f" y="%d" width="11" height="11"/><text x="%.1f" y="%d">%s</text>`+"\n", c.colour(name), at, plotHeight-24, at+16, plotHeight-14, html.EscapeString(name))
		at += 34 + 7*float64(len(name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// places returns where on the axis there are points, in order, and all values that have to fit.
func (c *chart) places() (xs, values []float64) {
	for _, l := range c.lines {
		for i, x := range l.xs {
			if !slices.Contains(xs, x) {
				xs = append(xs, x)
			}
			values = append(values, l.ys[i].low, l.ys[i].high)
		}
	}
	slices.Sort(xs)
	if len(xs) == 0 {
		xs = []float64{1}
	}
	return xs, values
}

// decadesOf are the powers of ten that a scale for the values begins and ends with.
func decadesOf(values []float64) (low, high int) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 {
			least, most = math.Min(least, v), math.Max(most, v)
		}
	}
	if math.IsInf(least, 1) {
		return 0, 1
	}
	low, high = int(math.Floor(math.Log10(math.Max(least, 1e-3)))), int(math.Ceil(math.Log10(most)))
	return low, max(high, low+1)
}
