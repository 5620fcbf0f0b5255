package main

import (
	"fmt"
	"slices"
	"strings"
)

// target is something that was to be reached, in all cells that it is about. What counts is the cell in which it is furthest from that.
type target struct {
	what, wanted string
	bound        float64
	atMost       bool // rather than at least
	format       func(float64) string

	cells int
	worst float64
	where string
}

// targets are all of one system, in the order in which they are first met.
type targets []*target

// meet holds a figure against a target.
func (all *targets) meet(t target, is float64, where Spec) {
	i := slices.IndexFunc(*all, func(other *target) bool { return other.what == t.what && other.wanted == t.wanted })
	if i < 0 {
		i = len(*all)
		*all = append(*all, &t)
	}
	met := (*all)[i]
	if met.cells++; met.cells == 1 || met.atMost == (is > met.worst) {
		met.worst, met.where = is, title(where)
	}
}

func (t *target) reached() bool {
	return t.atMost && t.worst <= t.bound || !t.atMost && t.worst >= t.bound
}

func times(x float64) string   { return fmt.Sprintf("%.2fx", x) }
func percent(x float64) string { return fmt.Sprintf("%.0f%%", x*100) }

// atLeast and atMost are targets of so many times what another system has.
func atLeast(what string, bound float64, of string) target {
	return target{what: what, wanted: fmt.Sprintf("at least %gx %s", bound, of), bound: bound, format: times}
}

func atMost(what string, bound float64, of string) target {
	return target{what: what, wanted: fmt.Sprintf("at most %gx %s", bound, of), bound: bound, atMost: true, format: times}
}

func share(what string, bound float64, of string) target {
	return target{what: what, wanted: fmt.Sprintf("at least %s of %s", percent(bound), of), bound: bound, format: percent}
}

// batteries are the libraries that bring log, transport and all along, as Balsa does.
var batteries = []string{"dragonboat-pebble", "dragonboat-tan", "hashicorp-wal", "hashicorp-boltdb"}

// rate1000 is how many times etcd's throughput is to be reached with a thousand clients.
var rate1000 = map[string]float64{"put": 2.5, "put to the leader": 2.5, "linearizable range": 1.6, "serializable range": 1.3, "transaction": 2.5}

// targetsOf holds a system against everything that was measured with it.
func targetsOf(system string, summaries []summary) targets {
	var all targets
	for _, s := range summaries {
		i := slices.IndexFunc(s.rows, func(r row) bool { return r.system == system })
		if i < 0 || s.cell.Rate > 0 {
			continue
		}
		b := &s.rows[i]
		all.meet(target{what: "measurements that failed", wanted: "none", atMost: true, format: thousands}, float64(b.failed), s.cell)
		if b.failed > 0 {
			continue
		}
		switch s.cell.Level {
		case levelServer:
			all.meetServer(b, s)
		case levelLibrary:
			all.meetLibrary(b, s, summaries)
		}
	}
	return all
}

// row is what a system did in the cell, or nil if that does not count.
func (s summary) row(system string) *row {
	for i := range s.rows {
		if s.rows[i].system == system && s.rows[i].failed == 0 {
			return &s.rows[i]
		}
	}
	return nil
}

func (all *targets) meetServer(b *row, s summary) {
	load := s.cell.Load
	if etcd := s.row("etcd"); etcd != nil {
		if bound, ok := rate1000[load]; ok && s.cell.Workers == 1000 {
			all.meet(atLeast(load+", 1,000 clients: throughput", bound, "etcd's"), b.perSecond.median/etcd.perSecond.median, s.cell)
			if strings.HasPrefix(load, "put") {
				all.meet(atMost(load+", 1,000 clients: p99", 0.5, "etcd's"), b.p99.median/etcd.p99.median, s.cell)
			}
		}
		if load == "put" && s.cell.Workers == 1 {
			all.meet(atMost("put, 1 client: p50", 0.5, "etcd's"), b.p50.median/etcd.p50.median, s.cell)
		}
		all.meet(atMost("memory of servers", 1, "etcd's"), b.memory.median/etcd.memory.median, s.cell)
		all.meet(atMost("memory of servers without mapped files", 1, "etcd's"), b.own.median/etcd.own.median, s.cell)
	}
	if nothing := s.row("nothing"); nothing != nil && s.cell.Workers == 1000 {
		all.meet(share(load+", 1,000 clients: throughput", 0.7, "a server that does nothing"), b.perSecond.median/nothing.perSecond.median, s.cell)
	}
	all.meetSteady("servers", b, s)
}

func (all *targets) meetLibrary(b *row, s summary, summaries []summary) {
	var rate, p50, p99 float64 // the best of the batteries-included
	for _, name := range batteries {
		if peer := s.row(name); peer != nil {
			if rate = max(rate, peer.perSecond.median); p50 == 0 {
				p50, p99 = peer.p50.median, peer.p99.median
			}
			p50, p99 = min(p50, peer.p50.median), min(p99, peer.p99.median)
		}
	}
	proposers := plural(s.cell.Workers, "proposers")
	const peers = "the best of dragonboat and hashicorp/raft"
	if bound, ok := map[int]float64{64: 1.5, 1024: 1.3, 10_000: 1.8}[s.cell.Workers]; ok && rate > 0 {
		all.meet(atLeast("library, "+proposers+": throughput", bound, peers), b.perSecond.median/rate, s.cell)
		all.meet(atMost("library, "+proposers+": p50", 1, peers), b.p50.median/p50, s.cell)
		all.meet(atMost("library, "+proposers+": p99", 1, peers), b.p99.median/p99, s.cell)
	}
	if s.cell.Workers == 1 && p50 > 0 {
		all.meet(atMost("library, "+proposers+": p50", 0.7, peers), b.p50.median/p50, s.cell)
	}
	if etcd := s.row("etcd-raft"); etcd != nil {
		all.meet(atLeast("library, all: throughput", 1.1, "etcd/raft with etcd's log"), b.perSecond.median/etcd.perSecond.median, s.cell)
	}
	if limit := s.row("limit"); limit != nil && s.cell.Workers >= 1024 {
		all.meet(share("library, "+proposers+": throughput", 0.65, "the limit"), b.perSecond.median/limit.perSecond.median, s.cell)
	}
	if s.cell.Groups > 1 {
		one := s.cell
		one.Groups = 1
		if i := slices.IndexFunc(summaries, func(s summary) bool { return s.cell == one }); i >= 0 {
			if alone := summaries[i].row(b.system); alone != nil {
				all.meet(share(fmt.Sprintf("library, %d groups: throughput", s.cell.Groups), 0.85, "one group's"), b.perSecond.median/alone.perSecond.median, s.cell)
			}
		}
	}
	all.meetSteady("library", b, s)
}

func (all *targets) meetSteady(level string, b *row, s summary) {
	all.meet(target{what: level + ": elections", wanted: "none", atMost: true, format: thousands}, float64(b.elections), s.cell)
	all.meet(target{
		what: level + ": greatest latency", wanted: fmt.Sprintf("at most ten heartbeats, %v", longestSteady),
		bound: float64(longestSteady.Microseconds()), atMost: true, format: milliseconds,
	}, b.worst, s.cell)
}

// targetRows has a row for each target of a system that this run has measured.
func targetRows(all targets) [][]string {
	var rows [][]string
	for _, t := range all {
		verdict := "**missed**"
		if t.reached() {
			verdict = "reached"
		}
		where := t.where
		if t.cells > 1 {
			where = fmt.Sprintf("the worst of %d: %s", t.cells, where)
		}
		rows = append(rows, []string{t.what, t.wanted, t.format(t.worst), where, verdict})
	}
	return rows
}
