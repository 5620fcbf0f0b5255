package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// origin is where a row comes from.
type origin struct{ commit, date, flags string }

var growthColumns = []string{
	"series", "x", "round", "done", "failed", "per_second", "p50_us", "p99_us", "max_us", "cpu_us_per_op", "fsyncs_per_op", "elections", "memory_bytes", "failure",
	"commit", "date", "flags",
}

// writeGrowth writes the rows of a sweep.
func writeGrowth(path string, rows []growthRow) error {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	records := [][]string{growthColumns}
	for _, r := range rows {
		records = append(records, []string{
			r.series, strconv.FormatFloat(r.x, 'f', -1, 64), strconv.Itoa(r.Round), strconv.FormatUint(r.Done, 10), strconv.FormatUint(r.Failed, 10), number(r.PerSecond),
			number(r.P50), number(r.P99), number(r.Worst), number(r.CPU), number(r.Syncs), strconv.FormatUint(r.Elections, 10), strconv.FormatInt(r.Memory, 10), r.Failure,
			r.from.commit, r.from.date, r.from.flags,
		})
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(csv.NewWriter(file).WriteAll(records), file.Close())
}

// readGrowth reads what writeGrowth wrote.
func readGrowth(path string) (rows []growthRow, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || !slices.Equal(records[0], growthColumns) {
		return nil, fmt.Errorf("%s has other columns than those that bench growth writes: move it away", path)
	}
	for i, record := range records[1:] {
		var failed error
		number := func(column int) float64 {
			x, err := strconv.ParseFloat(record[column], 64)
			failed = errors.Join(failed, err)
			return x
		}
		r := growthRow{point: point{series: record[0], x: number(1)}}
		r.Round, r.Done, r.Failed, r.PerSecond = int(number(2)), uint64(number(3)), uint64(number(4)), number(5)
		r.P50, r.P99, r.Worst, r.CPU, r.Syncs = number(6), number(7), number(8), number(9), number(10)
		r.Elections, r.Memory, r.Failure = uint64(number(11)), int64(number(12)), record[13]
		if failed != nil {
			return nil, fmt.Errorf("%s, row %d: %w", path, i+2, failed)
		}
		r.from = origin{record[14], record[15], record[16]}
		rows = append(rows, r)
	}
	return rows, nil
}

// growthPoint is a place in a sweep over all rounds.
type growthPoint struct {
	series                             string
	x                                  float64
	rounds                             int
	rate, p50, p99, cpu, memory, syncs spread
	elections, failed                  uint64
	failure                            string
}

// gatherGrowth brings the rounds together, in the order in which the points first came. A round that failed fails the point.
func gatherGrowth(rows []growthRow) []growthPoint {
	var all []growthPoint
	for _, first := range rows {
		if slices.ContainsFunc(all, func(p growthPoint) bool { return p.series == first.series && p.x == first.x }) {
			continue
		}
		p := growthPoint{series: first.series, x: first.x}
		var rate, p50, p99, cpu, memory, syncs []float64
		for _, r := range rows {
			if r.series != p.series || r.x != p.x {
				continue
			}
			p.rounds++
			p.elections += r.Elections
			p.failed += r.Failed
			if r.Failure != "" {
				p.failure = r.Failure
			}
			rate, p50, p99 = append(rate, r.PerSecond), append(p50, r.P50/1000), append(p99, r.P99/1000)
			cpu, memory, syncs = append(cpu, r.CPU), append(memory, float64(r.Memory)), append(syncs, r.Syncs)
		}
		p.rate, p.p50, p.p99, p.cpu, p.memory, p.syncs = spreadOf(rate), spreadOf(p50), spreadOf(p99), spreadOf(cpu), spreadOf(memory), spreadOf(syncs)
		all = append(all, p)
	}
	return all
}

// report makes the page of all sweeps that the directory has rows of, and their plots.
func (g *growth) report() error {
	var text strings.Builder
	fmt.Fprintf(&text, "# How cost grows\n\nOne thing becomes larger, everything else stays as it is. Made by `bench growth` (`make bench BENCH=growth`); flags and commits stand at each part.\n\n")
	writeTable(&text, []string{"what", "is"}, describeMachine())
	fmt.Fprintf(&text, "Points are medians over the rounds, with the least and the greatest. Every write that was acknowledged was looked for afterwards: of libraries on every replica, of servers on every member (of the database, that all keys are there on every member, and each at one member in turn). ")
	fmt.Fprintf(&text, "Latencies are those under a closed loop, so they hold the waiting of all who ask at once. CPU is processor time for one operation: of libraries with the load, which runs in the same process; of servers all members together, without the load.\n")
	for _, s := range sweeps() {
		rows, err := readGrowth(filepath.Join(g.out, "growth-"+s.name+".csv"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		points := gatherGrowth(rows)
		fmt.Fprintf(&text, "\n## %s\n\n%s Measured %s.\n", strings.ToUpper(s.title[:1])+s.title[1:], s.fixed, originsOf(rows))
		for _, chart := range growthCharts(s, points) {
			if err := os.WriteFile(filepath.Join(g.out, chart.file), []byte(chart.svg()), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&text, "\n![%s](%s)\n", chart.title, chart.file)
		}
		text.WriteString("\n")
		writeTable(&text, []string{s.axis, "asked by", "operations/s", "p50", "p99", "CPU µs", "fsyncs", "elections", "memory"}, growthTable(s, points))
	}
	return os.WriteFile(filepath.Join(g.out, "growth.md"), []byte(strings.TrimRight(text.String(), "\n")+"\n"), 0o644)
}

// originsOf says where rows come from, each origin once.
func originsOf(rows []growthRow) string {
	var texts []string
	for _, r := range rows {
		if text := fmt.Sprintf("at %s on %s with `%s`", r.from.commit, r.from.date, r.from.flags); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ", then ")
}

func growthTable(s sweep, points []growthPoint) [][]string {
	var rows [][]string
	for _, p := range points {
		if p.failure != "" {
			rows = append(rows, []string{s.label(p.x), p.series, "failed: " + firstLine(p.failure), "", "", "", "", "", ""})
			continue
		}
		between := func(v spread, write func(float64) string) string {
			if p.rounds == 1 {
				return write(v.median)
			}
			return fmt.Sprintf("%s (%s-%s)", write(v.median), write(v.low), write(v.high))
		}
		inMilliseconds := func(ms float64) string { return milliseconds(ms * 1000) }
		row := []string{
			s.label(p.x), p.series, between(p.rate, thousands), milliseconds(p.p50.median * 1000), between(p.p99, inMilliseconds), "-", "-", fmt.Sprint(p.elections),
			fmt.Sprintf("%s MB", thousands(p.memory.median/1e6)),
		}
		// What is done once has no rate, what a client does by itself no latency, and who was started anew has not told its memory.
		for column, is := range map[int]float64{2: p.rate.median, 3: p.p50.median, 4: p.p99.median, 8: p.memory.median} {
			if is == 0 {
				row[column] = "-"
			}
		}
		if p.cpu.median > 0 {
			row[5] = fmt.Sprintf("%.0f", p.cpu.median)
		}
		if p.syncs.median >= 0 {
			row[6] = fmt.Sprintf("%.2g", p.syncs.median)
		}
		rows = append(rows, row)
	}
	return rows
}

// growthCharts are the two plots of a sweep.
func growthCharts(s sweep, points []growthPoint) []chart {
	rate := chart{file: "growth-" + s.name + "-rate.svg", title: "Operations a second, by " + s.title, axis: s.axis, label: s.label}
	latency := chart{file: "growth-" + s.name + "-latency.svg", title: "Milliseconds that an operation takes, by " + s.title, axis: s.axis, label: s.label, note: "solid: p50, dashed: p99"}
	for _, p := range points {
		if !slices.Contains(rate.series, p.series) {
			rate.series = append(rate.series, p.series)
		}
	}
	latency.series = rate.series
	for _, p := range points {
		if p.failure != "" {
			continue
		}
		if p.rate.median > 0 {
			rate.add(p.series, false, p.x, p.rate)
		}
		if p.p50.median > 0 {
			latency.add(p.series, false, p.x, p.p50)
			latency.add(p.series, true, p.x, p.p99)
		}
	}
	return []chart{rate, latency}
}

func plainCount(x float64) string { return thousands(x) }

// plainBytes writes a number of bytes with the largest unit that it fills: of a thousand where it is a round number of those, else of 1024.
func plainBytes(x float64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	step := 1024.0
	if x >= 1e6 && int64(x)%1_000_000 == 0 {
		units, step = []string{"B", "kB", "MB", "GB"}, 1000
	}
	for len(units) > 1 && x >= step {
		x, units = x/step, units[1:]
	}
	return strconv.FormatFloat(x, 'g', 4, 64) + " " + units[0]
}

// byteSize is a flag for a size.
type byteSize int64

func (b *byteSize) String() string { return strings.ReplaceAll(plainBytes(float64(*b)), " ", "") }

func (b *byteSize) Set(text string) (err error) {
	size, err := parseBytes(text)
	*b = byteSize(size)
	return err
}

// parseBytes reads a size such as 500MB or 2GB, in thousands.
func parseBytes(text string) (int64, error) {
	for unit, factor := range map[string]float64{"KB": 1e3, "MB": 1e6, "GB": 1e9} {
		if number, found := strings.CutSuffix(strings.ToUpper(strings.ReplaceAll(text, " ", "")), unit); found {
			if x, err := strconv.ParseFloat(number, 64); err == nil && x > 0 {
				return int64(x * factor), nil
			}
		}
	}
	return 0, fmt.Errorf("%q is no size such as 500MB or 2GB", text)
}
