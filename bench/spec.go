package main

import (
	"fmt"
	"time"

	"github.com/balsa-raft/balsa/bench/load"
)

// The levels that are measured.
const (
	levelLibrary = "library" // three replicas in one process
	levelServer  = "server"  // processes that are asked over gRPC
	levelLimit   = "limit"   // the machine alone
)

// Spec says what one process measures.
type Spec struct {
	Level, System string
	// Load is what is asked: of a library always the same, of a server one of its loads, of the machine one of its limits.
	Load string
	// Workers ask at the same time; Size is the bytes of a command or value; Groups is for libraries; Members is how many replicas or servers there are.
	Workers, Size, Groups, Members int
	// Connections carry the workers of a server; 0 means as many as there are workers, and at most a hundred.
	Connections int
	// Client is what asks servers.
	Client string
	// Quiesce lets a library's groups fall silent when they had nothing to do for so long; 0 keeps them awake. Only Balsa knows it.
	Quiesce time.Duration
	// Rate makes an open loop of so many requests a second.
	Rate            float64
	Warmup, Measure time.Duration
	// Profile is the file for a CPU profile of what counts, of libraries only; none by default. It costs a little, so figures with it are not for comparing.
	Profile string
	// Program is the binary of a server that was named beside the system; by default the one that this run has built.
	Program string
}

// Cell is what systems are compared in: a Spec without the system.
func (s Spec) Cell() Spec {
	s.System, s.Profile, s.Program = "", "", ""
	return s
}

func (s Spec) String() string {
	text := fmt.Sprintf("%s %s: %s", s.Level, s.System, s.Load)
	if s.Workers > 0 {
		text += fmt.Sprintf(", %d at once", s.Workers)
	}
	if s.Size > 0 {
		text += fmt.Sprintf(", %d bytes", s.Size)
	}
	if s.Groups > 0 {
		text += fmt.Sprintf(", %d groups", s.Groups)
	}
	if s.Members > 0 {
		text += fmt.Sprintf(", %d members", s.Members)
	}
	if s.Client == clientGRPC {
		text += ", through grpc-go"
	}
	if s.Rate > 0 {
		text += fmt.Sprintf(", %g/s", s.Rate)
	}
	return text
}

func (s Spec) load() load.Load {
	return load.Load{Workers: s.Workers, Rate: s.Rate, Warmup: s.Warmup, Measure: s.Measure}
}

// Result is what one process measured. Times are in microseconds.
type Result struct {
	Spec  Spec
	Round int

	Done, Failed               uint64
	PerSecond                  float64
	P50, P90, P99, P999, Worst float64
	// CPU is processor time for one operation: of servers without who asks them, of libraries with it, since it is one process.
	CPU float64
	// ClientCPU is processor time of who asks servers, for one operation.
	ClientCPU float64
	// Syncs are calls of fsync and fdatasync for one operation, in all replicas together; -1 if they could not be counted.
	Syncs float64
	// Elections is how many terms began while it counted, in all groups.
	Elections uint64
	// Memory is the most bytes that were resident while it counted: in a library's process, in the largest server. OwnMemory is the same without mapped files.
	Memory, OwnMemory int64
	// Failure says why the measurement does not count.
	Failure string
}

// fill takes over what the load found.
func (r *Result) fill(out load.Outcome) {
	r.Done, r.Failed = out.Done, out.Failed
	r.PerSecond = float64(out.Done) / out.Elapsed.Seconds()
	at := func(quantile float64) float64 { return float64(out.Latency.ValueAtQuantile(quantile)) }
	r.P50, r.P90, r.P99, r.P999, r.Worst = at(50), at(90), at(99), at(99.9), float64(out.Latency.Max())
	if out.Done == 0 {
		r.Failure = fmt.Sprintf("nothing was done; %d failed: %v", out.Failed, out.Error)
	}
}
