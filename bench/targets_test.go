package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The table says of each target what was measured where it is worst, and does not call reached what is not.
func TestTargetsAreHeldAgainstTheWorstCell(t *testing.T) {
	var results []Result
	server := func(system, load string, clients int, rate, p50, p99 float64, memory int64) {
		results = append(results, Result{
			Spec: Spec{Level: levelServer, System: system, Load: load, Workers: clients, Members: 3}, PerSecond: rate, P50: p50, P99: p99, Memory: memory, OwnMemory: memory / 2, Worst: p99,
		})
	}
	server("balsa", "put", 1000, 2500, 10, 50, 80)
	server("etcd", "put", 1000, 1000, 20, 101, 100)
	server("nothing", "put", 1000, 10_000, 5, 20, 10)
	server("balsa", "put to the leader", 1000, 2499, 10, 51, 120)
	server("etcd", "put to the leader", 1000, 1000, 20, 100, 100)
	server("balsa", "put", 1, 100, 11, 600_000, 80)
	server("etcd", "put", 1, 100, 20, 20, 100)
	server("balsa", "transaction", 1000, 9999, 1, 1, 1) // etcd has failed there
	results = append(results, Result{Spec: Spec{Level: levelServer, System: "etcd", Load: "transaction", Workers: 1000, Members: 3}, PerSecond: 1, Failure: "lost"})
	results = append(results, Result{Spec: Spec{Level: levelServer, System: "balsa", Load: "mixed", Workers: 1, Members: 3}, PerSecond: 1e9, Failure: "lost"})
	library := func(system string, proposers, groups int, rate, p50, p99 float64, elections uint64) {
		results = append(results, Result{
			Spec: Spec{Level: levelLibrary, System: system, Load: "propose", Workers: proposers, Size: 16, Groups: groups}, PerSecond: rate, P50: p50, P99: p99, Worst: p99, Elections: elections,
		})
	}
	library("balsa", 64, 1, 300, 5, 9, 0)
	library("dragonboat-tan", 64, 1, 100, 6, 10, 0)
	library("hashicorp-wal", 64, 1, 200, 4, 30, 0)
	library("etcd-raft", 64, 1, 280, 1, 1, 0)
	library("balsa", 1024, 1, 1000, 5, 9, 0)
	library("balsa", 1024, 48, 849, 5, 9, 1)
	library("limit", 1024, 48, 1306, 1, 1, 0)

	r := &run{plan: plan{rounds: 1}, results: results}
	out := t.TempDir()
	if err := r.report(out, nil); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| measurements that failed | none | 1 | the worst of 8: mixed, 1 client, 3 members | **missed** |",
		"| put, 1,000 clients: throughput | at least 2.5x etcd's | 2.50x | put, 1,000 clients, 3 members | reached |",
		"| put, 1,000 clients: p99 | at most 0.5x etcd's | 0.50x | put, 1,000 clients, 3 members | reached |",
		"| put, 1,000 clients: throughput | at least 70% of a server that does nothing | 25% | put, 1,000 clients, 3 members | **missed** |",
		"| put to the leader, 1,000 clients: throughput | at least 2.5x etcd's | 2.50x | put to the leader, 1,000 clients, 3 members | **missed** |",
		"| put to the leader, 1,000 clients: p99 | at most 0.5x etcd's | 0.51x | put to the leader, 1,000 clients, 3 members | **missed** |",
		"| put, 1 client: p50 | at most 0.5x etcd's | 0.55x | put, 1 client, 3 members | **missed** |",
		"| memory of servers | at most 1x etcd's | 1.20x | the worst of 3: put to the leader, 1,000 clients, 3 members | **missed** |",
		"| servers: elections | none | 0 | the worst of 4: put, 1,000 clients, 3 members | reached |",
		"| servers: greatest latency | at most ten heartbeats, 500ms | 600 ms | the worst of 4: put, 1 client, 3 members | **missed** |",
		"| library, 64 proposers: throughput | at least 1.5x the best of dragonboat and hashicorp/raft | 1.50x | 64 proposers, 16 bytes, 1 group | reached |",
		"| library, 64 proposers: p50 | at most 1x the best of dragonboat and hashicorp/raft | 1.25x | 64 proposers, 16 bytes, 1 group | **missed** |",
		"| library, 64 proposers: p99 | at most 1x the best of dragonboat and hashicorp/raft | 0.90x | 64 proposers, 16 bytes, 1 group | reached |",
		"| library, all: throughput | at least 1.1x etcd/raft with etcd's log | 1.07x | 64 proposers, 16 bytes, 1 group | **missed** |",
		"| library, 1,024 proposers: throughput | at least 65% of the limit | 65% | 1,024 proposers, 16 bytes, 48 groups | reached |",
		"| library, 48 groups: throughput | at least 85% of one group's | 85% | 1,024 proposers, 16 bytes, 48 groups | **missed** |",
		"| library: elections | none | 1 | the worst of 3: 1,024 proposers, 16 bytes, 48 groups | **missed** |",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(string(page), "| transaction, 1,000 clients: throughput |") {
		t.Error("a target is held against what has failed")
	}
	if t.Failed() {
		t.Logf("%s", page)
	}
}
