package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func recordOf(latencies ...time.Duration) *record {
	r := &record{latencies: latencies}
	r.finish(2 * time.Second)
	return r
}

func TestQuantilesAreOfWhatWasMeasured(t *testing.T) {
	r := &record{}
	for i := range 200 {
		r.latencies = append(r.latencies, time.Duration(200-i)*time.Millisecond)
	}
	r.finish(4 * time.Second)
	for q, want := range map[float64]time.Duration{0: 1, 0.005: 1, 0.5: 100, 0.9: 180, 0.99: 198, 1: 200} {
		if got := r.at(q); got != want*time.Millisecond {
			t.Errorf("at %v: %v, want %v ms", q, got, int(want))
		}
	}
	if r.rate() != 50 {
		t.Errorf("the rate is %v", r.rate())
	}
	if got := recordOf(time.Second).at(0.5); got != time.Second {
		t.Errorf("the median of one is %v", got)
	}
}

func TestFiguresAreWrittenForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 1234 * time.Nanosecond: "0.00 ms", 154321: "0.15 ms", 9_876_543: "9.88 ms", 12_345_678: "12.3 ms", 1_234_567_890: "1235 ms",
	} {
		if got := milliseconds(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%v is written %s, want %s", n, got, want)
		}
	}
}

// TestALostWriteIsFound is about the check that gives the figures their worth.
func TestALostWriteIsFound(t *testing.T) {
	w := newWriter(1, 2, 20)
	w.tried = 2*slots + 2
	w.acked = map[int]int{0: 2 * slots, 1: slots + 1}
	pair := func(slot string, number int) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte("bench/1/2/" + slot), Value: []byte(w.value(number))}
	}
	for name, c := range map[string]struct {
		pairs []*mvccpb.KeyValue
		lost  bool
	}{
		"everything":            {[]*mvccpb.KeyValue{pair("0", 2*slots), pair("1", slots+1)}, false},
		"a later, unknown one":  {[]*mvccpb.KeyValue{pair("0", 2*slots), pair("1", 2*slots+1)}, false},
		"a missing key":         {[]*mvccpb.KeyValue{pair("0", 2*slots)}, true},
		"an older value":        {[]*mvccpb.KeyValue{pair("0", 2*slots), pair("1", 1)}, true},
		"one nobody wrote":      {[]*mvccpb.KeyValue{pair("0", 2*slots), pair("1", 3*slots+1)}, true},
		"a value cut short":     {[]*mvccpb.KeyValue{pair("0", 2*slots), {Key: []byte("bench/1/2/1"), Value: []byte("000")}}, true},
		"a value of other text": {[]*mvccpb.KeyValue{pair("0", 2*slots), {Key: []byte("bench/1/2/1"), Value: []byte(w.value(slots+1) + "x")}}, true},
	} {
		if err := w.compare(c.pairs, "m1"); (err != nil) != c.lost {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThePageIsWrittenInEveryLanguage(t *testing.T) {
	f := &figures{
		options: options{members: 3, size: 256},
		machine: machine{system: "linux 6.1", processor: "A Processor", cores: 2, filesystem: "ext4", toolchain: "1.26", version: "v1"},
		disk:    recordOf(100*time.Microsecond, 200*time.Microsecond, 300*time.Microsecond),
		loads: []*load{
			{clients: 1, record: *recordOf(time.Millisecond)},
			{clients: 1000, failed: 4321, record: *recordOf(50*time.Millisecond, 60*time.Millisecond)},
		},
		failover: recordOf(210*time.Millisecond, 190*time.Millisecond, 400*time.Millisecond),
	}
	dir := t.TempDir()
	if err := f.writeMarkdown(dir); err != nil {
		t.Fatal(err)
	}
	for _, l := range languages {
		data, err := os.ReadFile(filepath.Join(dir, l.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"linux 6.1", "A Processor", "ext4", "make figures", "256", "| 0 | 1.00 ms | 1.00 ms |", "1,000", "| 1 | 50.0 ms | 60.0 ms |",
			"| 2 | 0.20 ms | 0.30 ms |", "210 ms", "400 ms", "4,321", "HashKV",
		} {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s has no %q:\n%s", l.file, want, data)
			}
		}
		if strings.Contains(string(data), "%!") {
			t.Errorf("%s is not filled in right:\n%s", l.file, data)
		}
	}
}
