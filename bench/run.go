package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// run is one run of the benchmark: every cell, every system, every round.
type run struct {
	plan     plan
	dir      string
	began    time.Time
	progress io.Writer

	environment []string
	results     []Result
}

// measure goes through the rounds. In each, a cell's systems follow each other, and another one is first.
func (r *run) measure(ctx context.Context) error {
	cells := r.plan.cells()
	if len(cells) == 0 {
		return errors.New("there is nothing to measure with these flags")
	}
	if err := r.buildServers(ctx, cells); err != nil {
		return err
	}
	all := 0
	for _, c := range cells {
		all += len(c.systems)
	}
	fmt.Fprintf(r.progress, "%d measurements in each of %d rounds\n", all, r.plan.rounds)
	for round := range r.plan.rounds {
		for i, c := range cells {
			for j := range c.systems {
				s := c.spec
				s.System = c.systems[(j+round)%len(c.systems)]
				if s.Level == levelServer {
					s.Program = r.plan.programOf(s.System)
				}
				if r.plan.profiles != "" && s.Level == levelLibrary {
					name := fmt.Sprintf("%s-%d-%db-%dg-%d.pprof", s.System, s.Workers, s.Size, s.Groups, round+1)
					s.Profile = filepath.Join(r.plan.profiles, name)
				}
				result, err := measureApart(ctx, s, filepath.Join(r.dir, fmt.Sprintf("%d-%d-%s", round, i, s.System)), r.environment)
				if err != nil || ctx.Err() != nil {
					return errors.Join(err, ctx.Err())
				}
				result.Round = round + 1
				r.results = append(r.results, result)
				r.tell(result)
			}
		}
	}
	return nil
}

func (r *run) tell(result Result) {
	if result.Failure != "" {
		fmt.Fprintf(r.progress, "round %d  %v: FAILED: %s\n", result.Round, result.Spec, result.Failure)
		return
	}
	fmt.Fprintf(r.progress, "round %d  %v: %.0f/s, p50 %s, p99 %s\n", result.Round, result.Spec, result.PerSecond, milliseconds(result.P50), milliseconds(result.P99))
}

// failures returns an error if a measurement failed.
func (r *run) failures() error {
	failed := 0
	for _, result := range r.results {
		if result.Failure != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d measurements failed", failed, len(r.results))
	}
	return nil
}

// writeRuns writes every single measurement, so that others can make their own tables of them.
func (r *run) writeRuns(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(file)
	rows := [][]string{{
		"level", "load", "system", "workers", "bytes", "groups", "members", "rate", "round", "done", "failed", "per_second",
		"p50_us", "p90_us", "p99_us", "p999_us", "max_us", "cpu_us_per_op", "fsyncs_per_op", "elections", "memory_bytes", "failure",
		"client", "client_cpu_us_per_op", "own_memory_bytes",
	}}
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	for _, x := range r.results {
		s := x.Spec
		syncs := ""
		if x.Syncs >= 0 {
			syncs = number(x.Syncs)
		}
		rows = append(rows, []string{
			s.Level, s.Load, s.System, strconv.Itoa(s.Workers), strconv.Itoa(s.Size), strconv.Itoa(s.Groups), strconv.Itoa(s.Members), number(s.Rate),
			strconv.Itoa(x.Round), strconv.FormatUint(x.Done, 10), strconv.FormatUint(x.Failed, 10), number(x.PerSecond),
			number(x.P50), number(x.P90), number(x.P99), number(x.P999), number(x.Worst), number(x.CPU), syncs, strconv.FormatUint(x.Elections, 10), strconv.FormatInt(x.Memory, 10), x.Failure,
			s.Client, number(x.ClientCPU), strconv.FormatInt(x.OwnMemory, 10),
		})
	}
	return errors.Join(w.WriteAll(rows), file.Close())
}
