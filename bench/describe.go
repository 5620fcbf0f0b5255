package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// rivals are the modules whose versions belong to the figures.
var rivals = []string{
	"github.com/lni/dragonboat/v4", "github.com/hashicorp/raft", "github.com/hashicorp/raft-wal", "github.com/hashicorp/raft-boltdb/v2",
	"go.etcd.io/raft/v3", "go.etcd.io/etcd/server/v3",
}

// describe says what was measured where and how, in rows.
func describe(args []string) [][]string {
	rows := append([][]string{
		{"command", "`bench run " + strings.Join(args, " ") + "`"},
		{"Balsa", output("git", "describe", "--always", "--dirty")},
	}, describeMachine()...)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range rivals {
			for _, d := range info.Deps {
				if d.Path == module {
					rows = append(rows, []string{module, d.Version})
				}
			}
		}
	}
	return rows
}

// describeMachine says where something was measured.
func describeMachine() [][]string {
	return [][]string{
		{"Go", runtime.Version()},
		{"machine", fmt.Sprintf("%s, %d processors, %s", processor(), runtime.NumCPU(), memory())},
		{"system", output("uname", "-sr")},
	}
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func processor() string { return procField("/proc/cpuinfo", "model name") }

func memory() string { return procField("/proc/meminfo", "MemTotal") + " of memory" }

func procField(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
