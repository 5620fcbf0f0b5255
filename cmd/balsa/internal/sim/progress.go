package sim

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/sim/campaign"
)

// progress shows how far a campaign is: one line that changes on a terminal, a line now and then elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	width    func() int
	seeds    uint64
	during   time.Duration
	shrank   time.Time
}

func newProgress(out io.Writer, seeds uint64, during time.Duration) *progress {
	p := &progress{out: out, seeds: seeds, during: during, width: func() int { return 80 }}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		p.terminal = true
		p.width = func() int {
			if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
				return width
			}
			return 80
		}
	}
	return p
}

// every is how often there is something to show.
func (p *progress) every() time.Duration {
	if p.terminal {
		return 200 * time.Millisecond
	}
	return 10 * time.Second
}

func (p *progress) show(r campaign.Result) { p.line(p.text(&r)) }

// line shows a line: over the one before, on a terminal.
func (p *progress) line(text string) {
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	if width := p.width() - 1; len([]rune(text)) > width {
		text = string([]rune(text)[:max(width, 0)])
	}
	fmt.Fprintf(p.out, "\r%s\x1b[K", text)
}

// clear leaves the line to others.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func (p *progress) text(r *campaign.Result) string {
	seconds := max(r.Took.Seconds(), 1e-9)
	var faults uint64
	for i := range r.Faults {
		faults += r.Faults[i].Injected
	}
	done := 0.0
	if p.seeds > 0 {
		done = float64(r.Worlds) / float64(p.seeds)
	}
	if p.during > 0 {
		done = max(done, seconds/p.during.Seconds())
	}
	text := fmt.Sprintf("%s worlds  %.1f/s  %v simulated (%.0fx)  %s faults", thousands(r.Worlds), float64(r.Worlds)/seconds,
		r.Simulated.Round(time.Second), r.Simulated.Seconds()/seconds, thousands(faults))
	if left := time.Duration(seconds * (1 - done) / max(done, 1e-9) * float64(time.Second)); done > 0.02 && done < 1 {
		text += fmt.Sprintf("  %v left", left.Round(time.Second))
	}
	if n := len(r.Failures); n > 0 {
		text += fmt.Sprintf("  %d FAILED", n)
	}
	return bar(min(done, 1), 20) + " " + text
}

func bar(done float64, width int) string {
	full := int(done * float64(width))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// shrinking shows how small a failure has become.
func (p *progress) shrinking(s *sim.Shrinking) {
	now := time.Now()
	if now.Sub(p.shrank) < p.every()/2 {
		return
	}
	p.shrank = now
	p.line(fmt.Sprintf("%s failed in seed %d; shrinking: %s, after %d runs", s.Report.Failure.Checker, s.Seed, size(&s.Report), s.Tried))
}

// size says how large a run is.
func size(r *sim.Report) string {
	return fmt.Sprintf("%s events, %s, %s, %v", thousands(r.Events), count(r.Regime.Members, "member"), count(len(r.Strikes), "strike of a fault"), r.Time.Round(time.Millisecond))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if before, after, ok := strings.Cut(what, " of "); ok {
		return fmt.Sprintf("%d %ss of %ss", n, before, strings.TrimPrefix(after, "a "))
	}
	return fmt.Sprintf("%d %ss", n, what)
}
