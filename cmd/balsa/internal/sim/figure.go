package sim

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
	"time"
)

// figure is a drawing in SVG. It is read on light and on dark pages, so it brings its own background and colours for both.
type figure struct {
	b bytes.Buffer
}

// style gives the classes their looks. The colours of the lines are told apart by people who see red and green alike, too: they differ in brightness.
const style = `
  .back { fill: #fdfdfb; }
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #3a3f45; }
  .title { font-size: 16px; font-weight: 600; fill: #16191d; }
  .panel { font-size: 13px; font-weight: 600; fill: #16191d; }
  .note { fill: #6a7179; }
  .axis { stroke: #9aa1a9; stroke-width: 1; fill: none; }
  .grid { stroke: #e4e6e3; stroke-width: 1; fill: none; }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
  .ring { fill: #fdfdfb; stroke-width: 1.8; }
  .bound { fill: none; stroke: #6a7179; stroke-width: 1.4; }
  .c0 { stroke: #8c2d19; } .c1 { stroke: #d9622b; } .c2 { stroke: #c99a1c; } .c3 { stroke: #3f9b6c; } .c4 { stroke: #2a7fb8; } .c5 { stroke: #3b3a8f; }
  .d0 { fill: #d9622b; } .d1 { fill: #3f9b6c; } .d2 { fill: #3b3a8f; }
  @media (prefers-color-scheme: dark) {
    .back { fill: #15181c; }
    .ring { fill: #15181c; }
    text { fill: #c3c9d0; }
    .title, .panel { fill: #f0f2f4; }
    .note { fill: #8d959e; }
    .axis { stroke: #59616a; }
    .grid { stroke: #272c32; }
  .bound { stroke: #8d959e; }
    .c0 { stroke: #e0735a; } .c1 { stroke: #f19a5f; } .c2 { stroke: #e6c25a; } .c3 { stroke: #6cc796; } .c4 { stroke: #6fb7e6; } .c5 { stroke: #9c9bf0; }
    .d0 { fill: #f19a5f; } .d1 { fill: #6cc796; } .d2 { fill: #9c9bf0; }
  }
`

func newFigure(width, height int, description string) *figure {
	f := &figure{}
	fmt.Fprintf(&f.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&f.b, "<title>%s</title>\n<style>%s</style>\n", html.EscapeString(description), style)
	fmt.Fprintf(&f.b, `<rect class="back" width="%d" height="%d"/>`+"\n", width, height)
	return f
}

func (f *figure) bytes() []byte {
	f.b.WriteString("</svg>\n")
	return f.b.Bytes()
}

func (f *figure) text(x, y float64, class, text string) { f.anchored(x, y, class, "start", text) }

func (f *figure) anchored(x, y float64, class, anchor, text string) {
	fmt.Fprintf(&f.b, `<text x="%s" y="%s" class="%s" text-anchor="%s">%s</text>`+"\n", number(x), number(y), class, anchor, html.EscapeString(text))
}

func (f *figure) path(class, d string) { fmt.Fprintf(&f.b, `<path class="%s" d="%s"/>`+"\n", class, d) }

func (f *figure) line(class string, x1, y1, x2, y2 float64) {
	f.path(class, "M"+number(x1)+" "+number(y1)+"L"+number(x2)+" "+number(y2))
}

func (f *figure) dot(class string, x, y, r float64) {
	fmt.Fprintf(&f.b, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`+"\n", class, number(x), number(y), number(r))
}

// number prints a coordinate to a tenth of a pixel.
func number(x float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
}

// area is where a panel is drawn.
type area struct{ x, y, w, h float64 }

// curve is a line of a cumulative plot.
type curve struct {
	name   string
	sample sample
	// published is a median to compare with, in milliseconds; 0 for none.
	published float64
}

// cumulative draws how much of each sample lies below a duration, over milliseconds on a logarithmic scale.
func (f *figure) cumulative(a area, title string, low, high float64, curves []curve) {
	f.text(a.x, a.y-10, "panel", title)
	at := func(ms float64) float64 { return a.x + a.w*math.Log(ms/low)/math.Log(high/low) }
	for percent := 0; percent <= 100; percent += 20 {
		y := a.y + a.h*(1-float64(percent)/100)
		f.line("grid", a.x, y, a.x+a.w, y)
		f.anchored(a.x-8, y+4, "note", "end", fmt.Sprintf("%d%%", percent))
	}
	for decade := 1.0; decade <= high; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if ms := decade * digit; ms >= low && ms <= high {
				f.line("grid", at(ms), a.y, at(ms), a.y+a.h)
				f.anchored(at(ms), a.y+a.h+16, "note", "middle", label(ms))
			}
		}
	}
	f.line("axis", a.x, a.y+a.h, a.x+a.w, a.y+a.h)
	for i, c := range curves {
		f.path(fmt.Sprintf("line c%d", i), c.path(a, at))
		y := a.y + 12 + 20*float64(i)
		f.line(fmt.Sprintf("line c%d", i), a.x+a.w+16, y-4, a.x+a.w+36, y-4)
		f.text(a.x+a.w+42, y, "name", c.name)
		if c.published > 0 {
			f.dot(fmt.Sprintf("ring c%d", i), at(c.published), a.y+a.h/2, 5)
		}
	}
	f.anchored(a.x+a.w/2, a.y+a.h+36, "note", "middle", "time without a leader")
}

// path is the curve as steps; steps that are too near to each other to be seen are one.
func (c curve) path(a area, at func(float64) float64) string {
	const finest = 0.4 // of a pixel
	var d strings.Builder
	lastX, lastY := math.Inf(-1), a.y+a.h
	for i, v := range c.sample {
		x := min(at(float64(v)/float64(time.Millisecond)), a.x+a.w)
		y := a.y + a.h*(1-float64(i+1)/float64(len(c.sample)))
		switch {
		case i == 0:
			fmt.Fprintf(&d, "M%s %sV%s", number(x), number(a.y+a.h), number(y))
		case i < len(c.sample)-1 && x-lastX < finest && lastY-y < 2*finest:
			continue
		default:
			fmt.Fprintf(&d, "H%sV%s", number(x), number(y))
		}
		lastX, lastY = x, y
	}
	return d.String()
}

// label is a duration as it stands on an axis.
func label(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%g s", ms/1000)
	}
	return fmt.Sprintf("%g ms", ms)
}
