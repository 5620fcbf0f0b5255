package demo

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// style paints text; the plain one leaves it as it is.
type style bool

func (s style) paint(code, text string) string {
	if !s {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) dim(text string) string    { return s.paint("2", text) }
func (s style) green(text string) string  { return s.paint("32;1", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }
func (s style) red(text string) string    { return s.paint("31", text) }

// view makes screens out of states. It is made once and never changes.
type view struct {
	layout    *layout
	balsa     string // how to call the binary, as it can be pasted
	style     style
	restarts  bool
	temporary bool
	page      string // where the page is; "" if there is none
}

// frame is the whole screen, one string a line, at most height of them. Lines may be longer than the screen is wide.
func (v *view) frame(s *state, now time.Time, width, height int) []string {
	head := append([]string{v.title(s, width), ""}, v.table(s, now, width)...)
	head = append(head, "", v.summary(s, now), "")
	foot := append([]string{""}, v.commands(s)...)
	rows := 0
	for _, line := range append(head, foot...) {
		rows += rowsOf(line, width)
	}
	head = append(head, v.style.bold("What happened"))
	// The room for events is as large as it may become, so that the commands below stay where they are: somebody may be copying one.
	room := min(10, max(1, height-rows-1))
	events := v.lastEvents(s, room)
	head = append(head, events...)
	head = append(head, make([]string, room-len(events))...)
	return append(head, foot...)
}

// rowsOf is how many rows of the screen a line takes.
func rowsOf(line string, width int) int {
	n := visible(line)
	return max(1, (n+width-1)/max(1, width))
}

// title names the demo; where its data is stands beside if there is room.
func (v *view) title(s *state, width int) string {
	title := v.style.bold(fmt.Sprintf("Balsa: %d members on this machine", len(s.members))) + v.style.dim("   ctrl-C stops them")
	where := "   data in " + v.layout.dir
	if v.temporary {
		where += ", removed at the end"
	}
	if visible(title)+visible(where) > width {
		return title
	}
	return title + v.style.dim(where)
}

// table has a row for each member. On a narrow screen the columns move together, and the last ones are left out.
func (v *view) table(s *state, now time.Time, width int) []string {
	rows := [][]string{{"MEMBER", "PID", "ROLE", "TERM", "COMMIT", "APPLIED", "LAG", "WRITES/S", "CLIENTS AT"}}
	committed := s.committed()
	for i := range s.members {
		rows = append(rows, s.members[i].row(committed, now))
	}
	lines := align(rows, "   ")
	if utf8.RuneCountInString(lines[len(lines)-1]) > width {
		lines = align(rows, "  ")
	}
	for len(rows[0]) > roleColumn+1 && utf8.RuneCountInString(lines[len(lines)-1]) > width {
		for r := range rows {
			rows[r] = rows[r][:len(rows[r])-1]
		}
		lines = align(rows, "  ")
	}
	for r, line := range lines {
		if r == 0 {
			lines[r] = v.style.dim(line)
		} else {
			lines[r] = v.colour(s.members[r-1].role(), line)
		}
	}
	return lines
}

// roleColumn is set to the left, like the names and addresses, and as wide as it may get, so that the table stands still when somebody
// goes down. Numbers are set to the right.
const roleColumn = 2

func align(rows [][]string, gap string) []string {
	widths := make([]int, len(rows[0]))
	widths[roleColumn] = len("back in 10 s")
	for _, row := range rows {
		for c, cell := range row {
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	var lines []string
	for _, row := range rows {
		cells := make([]string, len(row))
		for c, cell := range row {
			pad := strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell))
			if c == 0 || c == roleColumn || rows[0][c] == "CLIENTS AT" {
				cells[c] = cell + pad
			} else {
				cells[c] = pad + cell
			}
		}
		lines = append(lines, strings.TrimRight(strings.Join(cells, gap), " "))
	}
	return lines
}

// row is a member's line of the table, without colour.
func (m *memberState) row(committed uint64, now time.Time) []string {
	row := []string{m.name, "-", m.role(), "-", "-", "-", "-", "-", m.endpoint}
	if m.running {
		row[1] = fmt.Sprint(m.pid)
	} else if !m.restartAt.IsZero() {
		row[2] = fmt.Sprintf("back in %d s", max(0, int((m.restartAt.Sub(now)+time.Second-1)/time.Second)))
	}
	if m.status != nil {
		row[3] = fmt.Sprint(m.status.RaftTerm)
		row[4] = fmt.Sprint(m.status.RaftIndex)
		row[5] = fmt.Sprint(m.status.RaftAppliedIndex)
		row[6] = m.lag(committed)
		row[7] = fmt.Sprintf("%.0f", m.rate.perSecond())
	}
	return row
}

func (v *view) colour(role, line string) string {
	switch role {
	case "leader":
		return v.style.green(line)
	case "down":
		return v.style.red(line)
	case "follower", "learner":
		return line
	}
	return v.style.yellow(line)
}

// summary says in one sentence how the cluster is.
func (v *view) summary(s *state, now time.Time) string {
	up := 0
	for i := range s.members {
		if s.members[i].answering {
			up++
		}
	}
	majority := len(s.members)/2 + 1
	switch {
	case s.leader >= 0:
		return fmt.Sprintf("%s leads; %d of %d members are up, and %d are enough.", s.members[s.leader].name, up, len(s.members), majority)
	case up < majority:
		return v.style.yellow(fmt.Sprintf("%d of %d members are up: fewer than the %d that are needed, so nothing is written until one is back.", up, len(s.members), majority))
	}
	return v.style.yellow(fmt.Sprintf("Electing a leader, for %s now.", round(now.Sub(s.leaderless))))
}

func (v *view) lastEvents(s *state, n int) []string {
	var lines []string
	for _, e := range s.events[max(0, len(s.events)-n):] {
		lines = append(lines, v.style.dim(e.at.Format("15:04:05.000"))+"  "+e.text)
	}
	return lines
}

// commands are what one may paste into another terminal, just as they are.
func (v *view) commands(s *state) []string {
	lines := []string{
		v.style.bold("Try it, in another terminal"),
		"  export BALSA_ENDPOINTS=" + v.layout.endpoints(),
		"  " + v.balsa + " put greeting hello",
		"  " + v.balsa + " get greeting",
		"  " + v.balsa + " status",
		"  etcdctl --endpoints=$BALSA_ENDPOINTS put greeting hi",
	}
	if v.page != "" {
		lines = append([]string{v.style.bold("See it, and break it, in a browser: ") + v.page}, lines...)
	}
	if s.leader >= 0 {
		lines = append(lines, v.kill(&s.members[s.leader]))
	} else {
		lines = append(lines, "")
	}
	switch {
	case v.anyDown(s):
		lines = append(lines, v.style.dim("  Press Enter here to start whoever is down at once."))
	case v.restarts:
		lines = append(lines, v.style.dim("  Whoever is killed is started again after some seconds."))
	default:
		lines = append(lines, v.style.dim("  Whoever is killed stays down until you press Enter here."))
	}
	return lines
}

func (v *view) kill(leader *memberState) string {
	return fmt.Sprintf("  kill -9 %d   %s", leader.pid, v.style.dim("# "+leader.name+", the leader; a put just then may end unknown"))
}

func (v *view) anyDown(s *state) bool {
	for i := range s.members {
		if !s.members[i].running {
			return true
		}
	}
	return false
}

// visible counts the characters of a line that take room on the screen.
func visible(line string) int {
	n, escaped := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escaped = true
		case escaped:
			escaped = r != 'm'
		default:
			n++
		}
	}
	return n
}

// shellQuote makes a path one word of a shell.
func shellQuote(path string) string {
	plain := strings.IndexFunc(path, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%", r)
	}) < 0
	if plain && path != "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// isTemporaryBuild says whether the binary is one that `go run` made, under a path that nobody wants to read.
func isTemporaryBuild(executable, temporaryDir string) bool {
	relative, err := filepath.Rel(temporaryDir, executable)
	return err == nil && strings.HasPrefix(relative, "go-build")
}
