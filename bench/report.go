package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report writes the tables, all single measurements, and the plots.
func (r *run) report(dir string, args []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	summaries := summarize(r.results)
	var text strings.Builder
	fmt.Fprintf(&text, "# Measurements\n\n")
	fmt.Fprintf(&text, "Made by `make bench` on %s in %s. One machine, one run: measure on yours.\n\n", r.began.UTC().Format("2006-01-02"), time.Since(r.began).Round(time.Minute))
	writeTable(&text, []string{"what", "is"}, append(describe(args), r.plan.describeVariants()...))
	fmt.Fprintf(&text, "Figures are medians over %d rounds, with the least and the greatest. All systems are measured in each round, one after the other, each in a process and a directory of its own. ", r.plan.rounds)
	fmt.Fprintf(&text, "A load runs for %v before it counts, and counts for %v. Afterwards every replica was asked for every write that was acknowledged. ", r.plan.warmup, r.plan.measure)
	fmt.Fprintf(&text, "CPU is processor time for one operation: of libraries with the load, which runs in the same process; of servers all members together, without the load. ")
	fmt.Fprintf(&text, "fsyncs are those of all replicas together, for one operation. Elections are those of all rounds together. ")
	fmt.Fprintf(&text, "Memory is the most that a process, of servers the largest of the members, had resident while it counted; own is the same without the pages of files that it maps, such as its program or etcd's database.\n")
	for _, system := range r.plan.subjects() {
		if rows := targetRows(targetsOf(system, summaries)); len(rows) > 0 {
			fmt.Fprintf(&text, "\n## What was to be reached: %s\n\nRatios of medians, of what this run has measured. A measurement of another system that failed is held against nothing.\n\n", system)
			writeTable(&text, []string{"what", "is to be", "is", "in", ""}, rows)
		}
	}
	level := ""
	for _, s := range summaries {
		if s.cell.Level != level {
			level = s.cell.Level
			fmt.Fprintf(&text, "\n## %s\n", headings[level])
			if level == levelServer {
				fmt.Fprintf(&text, "\n%s\n", aboutClients)
			}
			for _, p := range plotsOf(level, summaries) {
				if err := os.WriteFile(filepath.Join(dir, p.file), []byte(p.svg()), 0o644); err != nil {
					return err
				}
				fmt.Fprintf(&text, "\n![%s](%s)\n", p.title, p.file)
			}
		}
		if level == levelLimit {
			continue
		}
		fmt.Fprintf(&text, "\n### %s\n\n", title(s.cell))
		writeTable(&text, columns, rowsOf(s))
	}
	if rows := steadinessRows(summaries); len(rows) > 0 {
		fmt.Fprintf(&text, "\n## Steadiness\n\nOver all loads and rounds: elections while it counted, and requests that took longer than ten heartbeats, %v. ", longestSteady)
		fmt.Fprintf(&text, "Both are to be none.\n\n")
		writeTable(&text, []string{"system", "loads", "elections", "loads with a request above it", "greatest latency", "in"}, rows)
	}
	if rows := limitRows(summaries); len(rows) > 0 {
		fmt.Fprintf(&text, "\n### The machine alone\n\n")
		writeTable(&text, []string{"what", "a second", "p50", "p99"}, rows)
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "README.md"), []byte(text.String()), 0o644), r.writeRuns(filepath.Join(dir, "runs.csv")))
}

var columns = []string{"system", "operations/s", "p50", "p99", "greatest", "CPU µs", "asking µs", "fsyncs", "elections", "memory", "own"}

var headings = map[string]string{
	levelLimit: "What the machine can do", levelLibrary: "Libraries: three replicas in one process", levelServer: "Servers, asked over gRPC",
}

// aboutClients says what asks the servers, and why it is not what programs ask with.
const aboutClients = "All servers are asked by the same client. It speaks gRPC over plain HTTP/2 with as many streams on a connection as clients share it, and is made for this: one goroutine drives a connection, " +
	"requests are encoded once, what came together is answered by one write, and only what is checked is read of an answer: its status, its revision, the keys and values. " +
	"That is because load and servers share the machine. grpc-go's client and generated code, which programs would use, take more processor time for a request than a gRPC server that does nothing, " +
	"so with it the half of what is measured would be the load, alike for every system, and differences between systems would seem smaller than they are. " +
	"`bench run -client lean,grpc` measures with both. Who asks alone asks a member that does not lead, unless it says otherwise. *Asking µs* is the processor time that the load itself took for one operation."

// title names a cell without what its level says already.
func title(s Spec) string {
	parts := []string{}
	if s.Level == levelServer {
		parts = append(parts, serverLoadTitle(s.Load))
	}
	if s.Workers > 0 {
		who := "proposers"
		if s.Level == levelServer {
			who = "clients"
		}
		parts = append(parts, plural(s.Workers, who))
	}
	if s.Size > 0 {
		parts = append(parts, fmt.Sprintf("%s bytes", thousands(float64(s.Size))))
	}
	if s.Groups > 0 {
		parts = append(parts, plural(s.Groups, "groups"))
	}
	if s.Members > 0 {
		parts = append(parts, plural(s.Members, "members"))
	}
	if s.Client == clientGRPC {
		parts = append(parts, "asked through grpc-go")
	}
	if s.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%s requests a second asked for", thousands(s.Rate)))
	}
	return strings.Join(parts, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	return thousands(float64(n)) + " " + what
}

func rowsOf(s summary) [][]string {
	var rows [][]string
	for _, r := range s.rows {
		if r.failed > 0 {
			rows = append(rows, []string{r.system, fmt.Sprintf("failed in %d of %d rounds: %s", r.failed, r.rounds, firstLine(r.failure)), "", "", "", "", "", "", "", "", ""})
			continue
		}
		syncs := "-"
		if r.syncsCounted {
			syncs = fmt.Sprintf("%.2g", r.syncs.median)
		}
		asking := "-"
		if s.cell.Level == levelServer {
			asking = fmt.Sprintf("%.0f", r.clientCPU.median)
		}
		rate := fmt.Sprintf("%s (%s-%s)", thousands(r.perSecond.median), thousands(r.perSecond.low), thousands(r.perSecond.high))
		if r.lost > 0 {
			rate += fmt.Sprintf("; %s requests failed", thousands(float64(r.lost)))
		}
		rows = append(rows, []string{
			r.system, rate,
			milliseconds(r.p50.median), fmt.Sprintf("%s (%s-%s)", milliseconds(r.p99.median), milliseconds(r.p99.low), milliseconds(r.p99.high)),
			milliseconds(r.worst), fmt.Sprintf("%.0f", r.cpu.median), asking, syncs, fmt.Sprint(r.elections),
			fmt.Sprintf("%s MB", thousands(r.memory.median/1e6)), fmt.Sprintf("%s MB", thousands(r.own.median/1e6)),
		})
	}
	return rows
}

// longestSteady is ten heartbeats at the paper's timeouts.
const longestSteady = 500 * time.Millisecond

// steadinessRows has a row for each system that was under a load.
func steadinessRows(summaries []summary) [][]string {
	type total struct {
		system       string
		loads, above int
		elections    uint64
		greatest     float64
		where        string
	}
	var all []total
	for _, s := range summaries {
		if s.cell.Level == levelLimit {
			continue
		}
		for _, r := range s.rows {
			if r.rounds == r.failed {
				continue
			}
			i := slices.IndexFunc(all, func(t total) bool { return t.system == s.cell.Level+" "+r.system })
			if i < 0 {
				i = len(all)
				all = append(all, total{system: s.cell.Level + " " + r.system})
			}
			t := &all[i]
			t.loads++
			t.elections += r.elections
			if r.worst > float64(longestSteady.Microseconds()) {
				t.above++
			}
			if r.worst > t.greatest {
				t.greatest, t.where = r.worst, title(s.cell)
			}
		}
	}
	var rows [][]string
	for _, t := range all {
		rows = append(rows, []string{t.system, fmt.Sprint(t.loads), fmt.Sprint(t.elections), fmt.Sprint(t.above), milliseconds(t.greatest), t.where})
	}
	return rows
}

func limitRows(summaries []summary) [][]string {
	var rows [][]string
	for _, s := range summaries {
		if s.cell.Level != levelLimit {
			continue
		}
		what := "loopback TCP, 16 bytes there and back"
		if disk, isDisk := strings.CutPrefix(s.cell.Load, "sync "); isDisk {
			what = fmt.Sprintf("write and fdatasync of %d bytes, %s file, one thread", s.cell.Size, disk)
		}
		for _, r := range s.rows {
			rows = append(rows, []string{
				what, fmt.Sprintf("%s (%s-%s)", thousands(r.perSecond.median), thousands(r.perSecond.low), thousands(r.perSecond.high)),
				milliseconds(r.p50.median), milliseconds(r.p99.median),
			})
		}
	}
	return rows
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.ReplaceAll(line[:min(len(line), 120)], "|", "/")
}

func writeTable(w *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, r := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | "))
	}
	fmt.Fprintln(w)
}
