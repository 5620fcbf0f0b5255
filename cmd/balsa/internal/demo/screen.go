package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// display shows states as they change.
type display interface {
	// show is called several times a second and after everything that happened.
	show(s *state, now time.Time)
	// refresh draws everything again: something else has written to the screen.
	refresh()
	// close leaves the screen as it was found.
	close()
}

// terminal shows frames on a terminal. It writes only the lines that changed, so that text can be selected meanwhile.
type terminal struct {
	w     io.Writer
	view  *view
	size  func() (width, height int)
	drawn []string
	width int
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[2J"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

func newTerminal(w io.Writer, v *view, size func() (width, height int)) *terminal {
	io.WriteString(w, enterScreen)
	return &terminal{w: w, view: v, size: size}
}

func (t *terminal) refresh() { t.drawn = nil }
func (t *terminal) close()   { io.WriteString(t.w, leaveScreen) }

func (t *terminal) show(s *state, now time.Time) {
	width, height := t.size()
	lines := fold(t.view.frame(s, now, width, height), width)
	lines = lines[:min(len(lines), height)]
	var b strings.Builder
	if t.drawn == nil || width != t.width {
		b.WriteString("\x1b[2J")
		t.drawn = nil
	}
	for i, line := range lines {
		if i >= len(t.drawn) || t.drawn[i] != line {
			fmt.Fprintf(&b, "\x1b[%d;1H%s%s", i+1, line, eraseLine)
		}
	}
	if len(t.drawn) > len(lines) {
		fmt.Fprintf(&b, "\x1b[%d;1H%s", len(lines)+1, eraseBelow)
	}
	if b.Len() > 0 {
		// The cursor waits at the bottom, where what is typed does no harm.
		fmt.Fprintf(&b, "\x1b[%d;1H", height)
		io.WriteString(t.w, b.String())
	}
	t.drawn, t.width = lines, width
}

// fold breaks lines that are wider than the screen.
func fold(lines []string, width int) []string {
	var folded []string
	for _, line := range lines {
		if visible(line) <= width || width < 1 {
			folded = append(folded, line)
			continue
		}
		var b strings.Builder
		n, escaped := 0, false
		for _, r := range line {
			if !escaped && r != '\x1b' && n == width {
				folded = append(folded, b.String())
				b.Reset()
				n = 0
			}
			b.WriteRune(r)
			switch {
			case r == '\x1b':
				escaped = true
			case escaped:
				escaped = r != 'm'
			default:
				n++
			}
		}
		folded = append(folded, b.String())
	}
	return folded
}

// lineLog shows states where there is no terminal: a line for everything that happens, and how the members are whenever that has changed.
type lineLog struct {
	w      io.Writer
	view   *view
	told   int // the number of the last event that was printed
	pasted int // the process that the kill command named
	brief  string
	// measured is when it was last looked how far the cluster is: up to this commit index and revision.
	measured time.Time
	commit   uint64
	revision int64
}

// measureInterval is how often a line says how far and how fast the cluster is, if it moved.
const measureInterval = 5 * time.Second

func (l *lineLog) refresh() {}
func (l *lineLog) close()   {}

func (l *lineLog) show(s *state, now time.Time) {
	for _, e := range s.events {
		if e.number > l.told {
			fmt.Fprintf(l.w, "%s  %s\n", e.at.Format("15:04:05.000"), e.text)
		}
	}
	l.told = s.told
	if brief := l.describe(s); brief != l.brief {
		l.brief = brief
		fmt.Fprintln(l.w, brief)
	}
	if s.leader < 0 {
		return
	}
	l.measure(s, now)
	if s.members[s.leader].pid == l.pasted {
		return
	}
	if l.pasted == 0 {
		fmt.Fprintln(l.w, strings.Join(l.view.commands(s), "\n"))
	} else {
		fmt.Fprintln(l.w, l.view.kill(&s.members[s.leader]))
	}
	l.pasted = s.members[s.leader].pid
}

// measure says how far and how fast the cluster is, as an average since the last time.
func (l *lineLog) measure(s *state, now time.Time) {
	elapsed := now.Sub(l.measured)
	if elapsed < measureInterval {
		return
	}
	leader, committed := &s.members[s.leader], s.committed()
	revision := leader.status.GetHeader().GetRevision()
	if !l.measured.IsZero() && committed != l.commit {
		words := []string{fmt.Sprintf("%s  %s leads, term %d: commit %d, %.0f writes/s, lag:", now.Format("15:04:05.000"),
			leader.name, s.term, committed, max(0, float64(revision-l.revision)/elapsed.Seconds()))}
		for i := range s.members {
			words = append(words, s.members[i].name+" "+s.members[i].lag(committed))
		}
		fmt.Fprintln(l.w, strings.Join(words, "  "))
	}
	l.measured, l.commit, l.revision = now, committed, revision
}

// describe says who is what.
func (l *lineLog) describe(s *state) string {
	words := []string{"members:"}
	for i := range s.members {
		words = append(words, s.members[i].name+" "+s.members[i].role())
	}
	return strings.Join(words, "  ")
}
