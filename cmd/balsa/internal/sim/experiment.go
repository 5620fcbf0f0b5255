package sim

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// experiment is what the commands that measure have in common: where their results go, and how many trials run at once.
type experiment struct {
	seed     uint64
	workers  int
	csv, svg string
}

func (e *experiment) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.Uint64Var(&e.seed, "seed", 1, "the first seed: the same one gives the same results, on any machine")
	f.IntVar(&e.workers, "workers", runtime.GOMAXPROCS(0), "how many trials run at once")
	f.StringVar(&e.csv, "csv", "", "write every result to this file; - for standard output")
	f.StringVar(&e.svg, "svg", "", "draw the results in this file")
}

// write puts the results where they are to go: the summary to standard output, or out of the way of the table of all if that goes there.
func (e *experiment) write(cmd *cobra.Command, rows [][]string, summary string, figure func() []byte) error {
	if e.svg != "" {
		if err := os.WriteFile(e.svg, figure(), 0o644); err != nil {
			return err
		}
	}
	out := cmd.OutOrStdout()
	if e.csv != "" {
		var table bytes.Buffer
		if err := csv.NewWriter(&table).WriteAll(rows); err != nil {
			return err
		}
		if e.csv == "-" {
			if _, err := table.WriteTo(out); err != nil {
				return err
			}
			out = cmd.ErrOrStderr()
		} else if err := os.WriteFile(e.csv, table.Bytes(), 0o644); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, summary)
	return err
}

// each runs n trials, as many at once as there are workers, and returns their results in order.
func each[T any](workers, n int, trial func(i int) (T, error)) ([]T, error) {
	results := make([]T, n)
	errs := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var group sync.WaitGroup
	for range max(workers, 1) {
		group.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if results[i], errs[i] = trial(i); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// sample is a set of durations, in order.
type sample []time.Duration

func newSample(all []time.Duration) sample {
	s := sample(slices.Clone(all))
	slices.Sort(s)
	return s
}

// at is the duration below which a part of the sample lies: at(0.5) is the median.
func (s sample) at(part float64) time.Duration {
	return s[min(int(part*float64(len(s))), len(s)-1)]
}

func (s sample) mean() time.Duration {
	var sum time.Duration
	for _, d := range s {
		sum += d
	}
	return sum / time.Duration(len(s))
}

func (s sample) max() time.Duration { return s[len(s)-1] }

// milliseconds prints a duration as people read it: 35.2, 287, 41,150.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 100 {
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	text := fmt.Sprintf("%.0f", ms)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// exactly prints a duration for a table that programs read: in milliseconds, down to the microsecond.
func exactly(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 3, 64)
}
