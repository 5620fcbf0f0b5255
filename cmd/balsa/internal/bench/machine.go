package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

// machine is what the figures are of.
type machine struct {
	system     string // operating system and kernel
	processor  string
	cores      int
	filesystem string // empty where it is not known
	toolchain  string
	version    string // of balsa
}

func describeMachine(dir string) machine {
	return machine{
		system: strings.TrimSpace(runtime.GOOS + " " + firstLine("/proc/sys/kernel/osrelease")), processor: processor(), cores: runtime.NumCPU(),
		filesystem: filesystemOf(dir), toolchain: strings.TrimPrefix(runtime.Version(), "go"), version: cli.Version(),
	}
}

func (m machine) inMemory() bool { return m.filesystem == "tmpfs" }

// String is one line for people.
func (m machine) String() string {
	text := fmt.Sprintf("balsa %s, Go %s, %s, %s, %d cores", m.version, m.toolchain, m.system, m.processor, m.cores)
	if m.filesystem != "" {
		text += ", " + m.filesystem
	}
	return text
}

func firstLine(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// processor is its name where the system tells one, and else its architecture.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
