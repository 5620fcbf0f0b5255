package raft

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden scripts with what happens now")

// TestGolden runs the scripts in testdata. A script tells one story: comments begin with #, commands with >, and below each
// command stands what happens because of it. The commands are in script.run.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) { runGolden(t, file) })
	}
}

func runGolden(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	if !strings.HasPrefix(want, "# ") {
		t.Fatal("the first line has to say what the script shows")
	}
	s := &script{t: t}
	var got strings.Builder
	for _, line := range strings.Split(strings.TrimRight(want, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "> "):
			got.WriteString(line + "\n")
			s.out = nil
			s.run(strings.Fields(line[2:]))
			for _, l := range s.out {
				got.WriteString("  " + l + "\n")
			}
		case strings.HasPrefix(line, "#") || line == "":
			got.WriteString(line + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != want {
		t.Errorf("%s tells another story now; if it is right, run: go test ./raft -run Golden -update\n%s", file, firstDifference(want, got.String()))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			was := "nothing"
			if i < len(g) {
				was = g[i]
			}
			return fmt.Sprintf("line %d:\n want %s\n got  %s", i+1, w[i], was)
		}
	}
	return fmt.Sprintf("line %d: %s follows", len(w), g[len(w)])
}

// script is a cluster whose story is written down.
type script struct {
	t *testing.T
	*cluster
	out   []string
	quiet bool
	// without are words that lines which are left out begin with.
	without []string
	reads   uint64
}

func (s *script) say(format string, args ...any) { s.out = append(s.out, fmt.Sprintf(format, args...)) }

func (s *script) hear(m *member, line string) {
	if s.quiet || slices.ContainsFunc(s.without, func(w string) bool { return strings.HasPrefix(line, w) }) {
		return
	}
	term := Term(0)
	if m.core != nil {
		term = m.core.Term()
	}
	s.say("n%d@%d %s", m.id, term, line)
}

// run executes one command.
//
//	cluster 3 [noprevote|noquorum|one-entry-messages|incarnations|quiesce|lease]   three members, all up
//	logs 1,1,2 1,1,3        members with these terms in their logs, in the latest of these terms
//	waiting 4               a member that waits to be added
//	timeout 1               time passes until the election timer of n1 runs out
//	beat 1                  time passes until the leader n1 is due to send heartbeats
//	pass 100                that many milliseconds pass for all, and everything is delivered
//	deliver [1->2] [3->*]   messages on their way arrive, and those that they cause; all links, or these
//	once [1->2]             only those that are on their way now
//	drop [1->2]             messages on their way are lost
//	propose 1 set x 5       a client proposes at n1
//	read 1                  a client reads at n1
//	change 1 +4 -3 ~5 *2    n1 changes the members: adds 4, removes 3, adds 5 as a learner, promotes 2
//	transfer 1 2            n1 hands leadership to n2
//	crash 1 · restart 1 · wipe 1
//	hold · sync 1           disks become slow; the writes of n1 complete
//	cut 1 2 · isolate 1 · partition 1,2 3,4,5 · heal
//	compact 1 5             n1 drops its log up to 5
//	quiet · loud            the story is told or not
//	without applies is      lines that begin with these words are left out
//	logs? · roles? · applied? · members?
func (s *script) run(args []string) {
	if args[0] == "cluster" || args[0] == "logs" {
		s.begin(args)
		return
	}
	switch args[0] {
	case "waiting":
		s.add(s.id(args[1]), Configuration{}, nil)
	case "timeout", "beat":
		m := s.member(s.id(args[1]))
		s.now = max(s.now, m.core.Deadline())
		m.core.Tick(s.now)
		s.settle(m)
	case "pass":
		s.advance(time.Duration(s.number(args[1])) * time.Millisecond)
	case "deliver":
		s.deliverOn(args[1:], true)
	case "once":
		s.deliverOn(args[1:], false)
	case "drop":
		s.network = slices.DeleteFunc(s.network, func(f flight) bool { return s.on(f, args[1:]) })
	case "crash", "restart", "wipe", "isolate", "heal", "partition", "cut", "hold", "sync", "compact":
		s.world(args)
	case "without":
		s.without = args[1:]
	case "quiet", "loud":
		s.quiet = args[0] == "quiet"
	case "logs?", "roles?", "applied?", "members?":
		s.show(args[0])
	default:
		s.ask(args)
	}
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) id(text string) MemberID { return MemberID(s.number(text)) }

func (s *script) ids(text string) (ids []MemberID) {
	for _, part := range strings.Split(text, ",") {
		ids = append(ids, s.id(part))
	}
	return ids
}

func (s *script) begin(args []string) {
	s.cluster = &cluster{t: s.t, cut: map[[2]MemberID]bool{}, leaders: map[Term]MemberID{}, story: s.hear, sharedClock: true}
	if args[0] == "logs" {
		s.beginWithLogs(args[1:])
		return
	}
	options := args[2:]
	var ids []MemberID
	for i := range s.number(args[1]) {
		ids = append(ids, MemberID(i+1))
	}
	for _, id := range ids {
		s.add(id, voters(ids...), func(cfg *Config) { applyOptions(cfg, options) })
	}
}

func applyOptions(cfg *Config, options []string) {
	cfg.DisablePreVote = slices.Contains(options, "noprevote")
	cfg.DisableCheckQuorum = slices.Contains(options, "noquorum")
	cfg.LeaseReads = slices.Contains(options, "lease")
	if slices.Contains(options, "one-entry-messages") {
		cfg.MaxMessageBytes = 1
	}
	if slices.Contains(options, "incarnations") {
		cfg.Incarnation = 100 + uint64(cfg.ID)
	}
	if slices.Contains(options, "quiesce") {
		cfg.QuiesceAfter = 100 * time.Millisecond
	}
}

// beginWithLogs starts members whose logs have entries of the given terms.
func (s *script) beginWithLogs(logs []string) {
	var ids []MemberID
	for i := range logs {
		ids = append(ids, MemberID(i+1))
	}
	for i, log := range logs {
		m := &member{id: ids[i], cfg: Config{ID: ids[i], Seed: uint64(ids[i]) * 77, DisablePreVote: true}}
		m.stable.snap.Configuration = voters(ids...)
		for k, term := range s.ids(log) {
			data := []byte(fmt.Sprintf("e%d", k+1))
			m.stable.log = append(m.stable.log, Entry{Term: Term(term), Index: Index(k + 1), Kind: EntryCommand, Data: data, Sum: Sum(data)})
			m.stable.hard.Term = Term(term)
		}
		s.members = append(s.members, m)
		s.start(m, 0)
	}
}

// on tells whether a message goes over one of the links.
func (s *script) on(f flight, links []string) bool {
	h := f.message.Head()
	return len(links) == 0 || slices.ContainsFunc(links, func(link string) bool {
		from, to, ok := strings.Cut(link, "->")
		if !ok {
			s.t.Fatalf("%q is no link", link)
		}
		return (from == "*" || s.id(from) == h.From) && (to == "*" || s.id(to) == h.To)
	})
}

// deliverOn delivers the messages on the links; with all, those too that they cause.
func (s *script) deliverOn(links []string, all bool) {
	for n := 0; n < 10_000; n++ {
		now := slices.Clone(s.network)
		s.network = nil
		var rest []flight
		var some bool
		for _, f := range now {
			if s.on(f, links) {
				some = true
				s.handOver(f)
			} else {
				rest = append(rest, f)
			}
		}
		s.network = append(rest, s.network...)
		if !some || !all {
			return
		}
	}
	s.t.Fatal("messages without end")
}

func (s *script) world(args []string) {
	switch args[0] {
	case "crash":
		s.crash(s.member(s.id(args[1])))
	case "restart":
		s.start(s.member(s.id(args[1])), 0)
	case "wipe":
		m := s.member(s.id(args[1]))
		s.crash(m)
		m.stable, m.state = disk{}, nil
		m.cfg.Incarnation += 100
		s.start(m, 0)
	case "isolate":
		s.isolate(s.id(args[1]))
	case "heal":
		s.heal()
	case "partition":
		var groups [][]MemberID
		for _, g := range args[1:] {
			groups = append(groups, s.ids(g))
		}
		s.partition(groups...)
	case "cut":
		s.cutLink(s.id(args[1]), s.id(args[2]))
	case "hold":
		s.manualSync = true
	case "sync":
		m := s.member(s.id(args[1]))
		s.sync(m, len(m.writes))
		s.settle(m)
	case "compact":
		s.compact(s.member(s.id(args[1])), Index(s.number(args[2])))
	}
}

// ask makes a request of a client or an operator.
func (s *script) ask(args []string) {
	m := s.member(s.id(args[1]))
	var err error
	switch args[0] {
	case "propose":
		data := []byte(strings.Join(args[2:], " "))
		_, _, err = m.core.Propose([]Proposal{{Kind: EntryCommand, Data: data, Sum: Sum(data)}})
	case "read":
		s.reads++
		err = m.core.ReadIndex(s.reads)
	case "transfer":
		err = m.core.TransferLeadership(s.id(args[2]))
	case "change":
		var ch Change
		for _, a := range args[2:] {
			id := s.id(a[1:])
			switch a[0] {
			case '+', '*':
				ch.Set = append(ch.Set, Member{ID: id})
			case '~':
				ch.Set = append(ch.Set, Member{ID: id, Learner: true})
			case '-':
				ch.Remove = append(ch.Remove, id)
			}
		}
		_, _, err = m.core.ChangeMembers(ch)
	default:
		s.t.Fatalf("unknown command %q", args[0])
	}
	if err != nil {
		s.say("error: %v", err)
	}
	s.settle(m)
}

// show answers a question about all members.
func (s *script) show(what string) {
	for _, m := range s.members {
		switch {
		case m.down:
			s.say("n%d is down", m.id)
		case what == "logs?":
			view := m.view()
			entries := append([]Entry(nil), view.log...)
			for i := view.last() + 1; i <= m.core.log.last; i++ {
				entries = append(entries, *m.core.log.window.at(i))
			}
			prefix := ""
			if view.snap.Index > 0 {
				prefix = fmt.Sprintf("snapshot at %d@%d, then ", view.snap.Index, view.snap.Term)
			}
			s.say("n%d %s%s, commit %d", m.id, prefix, storyOfEntries(entries), m.core.Commit())
		case what == "roles?":
			leader := "no leader known"
			if id := m.core.Leader(); id != NoMember {
				leader = fmt.Sprintf("leader n%d", id)
			}
			s.say("n%d is %v in term %d, %s", m.id, m.core.Role(), m.core.Term(), leader)
		case what == "applied?":
			s.say("n%d has applied %s", m.id, storyOfEntries(m.state))
		case what == "members?":
			s.say("n%d has members %v, committed %v", m.id, m.core.Configuration(), m.core.CommittedConfiguration())
		}
	}
}
