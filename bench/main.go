package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/balsa-raft/balsa/bench/replica"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const usageText = "usage: bench run [flags] | bench feats [flags] | bench growth [flags] | bench list; -h after run, feats or growth tells of the flags"

func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s", usageText)
	}
	switch args[0] {
	case "run":
		return runCommand(ctx, args[1:])
	case "growth":
		return growthCommand(ctx, args[1:])
	case "list":
		return listCommand()
	case "feats":
		return featsCommand(ctx, args[1:])
	case "feat": // what feats starts this program as
		if len(args) == 3 {
			return featHere(args[1], args[2])
		}
	case "measure": // what this program starts itself as
		if len(args) == 2 {
			return measureHere(args[1])
		}
	case "nothing": // and as the server that does nothing
		if len(args) == 2 {
			return serveNothing(ctx, args[1])
		}
	}
	return fmt.Errorf("%s", usageText)
}

// runCommand measures everything that the flags ask for, and writes the report.
func runCommand(ctx context.Context, args []string) error {
	p := plan{proposers: []int{1, 64, 1024, 10000}, sizes: []int{16, 1024}, groups: []int{1, 48}, clients: []int{1, 1000}, clientKinds: []string{clientLean}}
	var dir, out string
	flags := flag.NewFlagSet("bench run", flag.ExitOnError)
	flags.Var((*names)(&p.levels), "levels", "`levels` to measure: limit, library, server (default all)")
	flags.Var((*names)(&p.systems), "systems", "`systems` to measure (default all; see bench list)")
	flags.Var((*names)(&p.loads), "loads", "`loads` of servers to measure (default all; see bench list)")
	flags.Var((*numbers)(&p.proposers), "proposers", "how `many` propose to a library at the same time")
	flags.Var((*numbers)(&p.sizes), "sizes", "`bytes` of a library's command")
	flags.Var((*numbers)(&p.groups), "groups", "how `many` groups a library has")
	flags.Var((*variants)(&p.balsas), "balsa", "`name=program` of a balsa binary to measure as a server in place of the one of this tree; give it again to compare several")
	flags.Var((*numbers)(&p.clients), "clients", "how `many` clients ask a server at the same time")
	flags.Var((*names)(&p.clientKinds), "client", "`kinds` of clients that ask servers: lean, which costs little; grpc, which is grpc-go's; lean,grpc compares them")
	flags.Float64Var(&p.rate, "rate", 0, "requests a second in an open loop (default a closed loop)")
	flags.IntVar(&p.rounds, "rounds", 5, "how often each measurement is made")
	flags.DurationVar(&p.warmup, "warmup", time.Second, "how long a load runs before it counts")
	flags.DurationVar(&p.measure, "measure", 5*time.Second, "how long it counts")
	flags.StringVar(&p.profiles, "profiles", "", "`directory` for CPU profiles of the libraries (default none)")
	flags.StringVar(&dir, "dir", filepath.Join(os.TempDir(), fmt.Sprintf("balsa-bench-%d", os.Getpid())), "`directory` on the disk to be measured; it is removed at the end")
	flags.StringVar(&out, "out", filepath.Join("..", "docs", "benchmarks"), "`directory` for the report")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q? bench run takes flags only", flags.Arg(0))
	}
	if len(p.balsas) > 0 && !p.wants(p.systems, "balsa") {
		return fmt.Errorf("-balsa names programs, and balsa is not among the systems %s", (*names)(&p.systems))
	}
	for _, kind := range p.clientKinds {
		if !slices.Contains(clientKinds, kind) {
			return fmt.Errorf("there is no client %q; there are %q", kind, clientKinds)
		}
	}
	if p.rounds < 1 || p.measure <= 0 {
		return fmt.Errorf("nothing can be measured in %d rounds of %v", p.rounds, p.measure)
	}
	if p.profiles != "" {
		var err error
		if p.profiles, err = filepath.Abs(p.profiles); err != nil {
			return err
		}
		if err := os.MkdirAll(p.profiles, 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &run{plan: p, dir: dir, began: time.Now(), progress: os.Stderr}
	err := r.measure(ctx)
	if len(r.results) == 0 {
		return err
	}
	if err := r.report(out, args); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "the report is in %s\n", out)
	if err != nil {
		return err
	}
	return r.failures()
}

func listCommand() error {
	fmt.Println("libraries:")
	for _, s := range replica.Systems {
		fmt.Println("  " + s.Name)
	}
	fmt.Println("servers:")
	for _, s := range servers {
		fmt.Println("  " + s.name)
	}
	fmt.Println("feats:")
	for _, f := range feats {
		fmt.Printf("  %-24s %s\n", f.name, f.what)
	}
	fmt.Println("loads of servers:")
	for _, l := range serverLoads {
		fmt.Printf("  %-24s %s\n", l.name, l.what)
	}
	return nil
}
