// Package worlds is the campaign program that mutants are built into, but for what its worlds are: it lives through them, seed after seed, until a
// property does not hold, and says in one line of JSON which one and when. It knows nothing of mutants, and all of them get the same worlds, with the
// wire's own encoding and no scenario made for any of them.
//
// It does not shrink, replay or tell stories; for that there is the simulator's own command line.
package worlds

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/sim"
	"github.com/balsa-raft/balsa/transport/wire"
)

// Verdict is what came of a campaign.
type Verdict struct {
	// Seeds is how many were run, the one that failed included.
	Seeds uint64 `json:"seeds"`
	// Property did not hold in the world of Seed, and Text says how; no property if all went well.
	Property string `json:"property,omitempty"`
	Seed     uint64 `json:"seed,omitempty"`
	Text     string `json:"text,omitempty"`
	// Millis is how long it took, in the time of one processor.
	Millis int64 `json:"millis"`
}

const (
	// seedLimit is how long one world may take, in the time of one processor. They take some hundredths of a second.
	seedLimit = 90 * time.Second
	// memoryLimit is how much a world may take. They take some megabytes.
	memoryLimit = 2 << 30
)

// codec is the wire's.
type codec struct{}

func (codec) Encode(group raft.GroupID, m raft.Message) ([]byte, error) {
	return wire.AppendMessage(nil, group, m)
}

func (codec) Decode(b []byte) (raft.GroupID, raft.Message, error) { return wire.DecodeMessage(b) }

// Main is the program. The options of a seed say what its world is to be; what they leave open is drawn from the seed.
func Main(options func(seed uint64) sim.Options) {
	first := flag.Uint64("first", 1, "the first seed")
	seeds := flag.Uint64("seeds", 10_000, "how many seeds to run")
	profile := flag.String("profile", "", "run the worlds of one profile instead of the swarm's")
	limit := flag.Duration("for", 0, "end after this long, in the time of one processor; 0 for never")
	flag.Parse()
	began := time.Now()
	var current, since atomic.Int64 // the seed under way, and when it began
	report := func(v Verdict) {
		v.Millis = cpu(began).Milliseconds()
		if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	since.Store(int64(cpu(began)))
	go func() {
		for range time.Tick(250 * time.Millisecond) {
			seed := uint64(current.Load())
			v := Verdict{Seeds: seed - *first + 1, Seed: seed}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			switch {
			case cpu(began)-time.Duration(since.Load()) > seedLimit:
				v.Property, v.Text = "bounded time", fmt.Sprintf("a world takes more than %v", seedLimit)
			case m.HeapAlloc > memoryLimit:
				v.Property, v.Text = "bounded memory", fmt.Sprintf("a world takes more than %d bytes", memoryLimit)
			default:
				continue
			}
			report(v)
		}
	}()
	n := uint64(0)
	for ; n < *seeds && (*limit == 0 || cpu(began) < *limit); n++ {
		seed := *first + n
		current.Store(int64(seed))
		since.Store(int64(cpu(began)))
		if property, text := run(seed, *profile, options(seed)); property != "" {
			report(Verdict{Seeds: n + 1, Property: property, Seed: seed, Text: text})
		}
	}
	report(Verdict{Seeds: n})
}

// run lives through one world and names the property that did not hold in it, if any.
func run(seed uint64, profile string, o sim.Options) (property, text string) {
	defer func() {
		if p := recover(); p != nil {
			property, text = judge("no panic", fmt.Sprintf("%v\n%s", p, debug.Stack()))
		}
	}()
	o.Codec, o.Story, o.Profile = codec{}, 1, profile
	if f := sim.Run(seed, o).Failure; f != nil {
		return judge(f.Checker, f.Text)
	}
	return "", ""
}

// invariant is how a panic of raft.Core.Check begins, which the engine calls after every step.
var invariant = regexp.MustCompile(`raft: member \d+, \S+ in term \d+: `)

// judge tells a panic of the core's invariants from any other.
func judge(property, text string) (string, string) {
	line, _, _ := strings.Cut(text, "\n")
	if property == "no panic" && invariant.MatchString(line) {
		property = "the core's invariants"
	}
	return property, line
}
