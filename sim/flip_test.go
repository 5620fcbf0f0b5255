package sim

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// flipAt is when, in the bounded world, a byte is flipped: the workload has done its part, and goes on.
const flipAt = 200 * time.Millisecond

// diskByte is a byte of a file of a host.
type diskByte struct {
	host raft.MemberID
	name string
	at   int64
}

// places lists all bytes of a host's disk in the bounded world that are known to be durable: those of segments that are closed, the active one's up to what a later
// frame proves to be synced, and complete snapshots.
func places(t *testing.T, id raft.MemberID) []diskByte {
	t.Helper()
	var list []diskByte
	w := bounded(3, 1, conditions{})
	w.at(flipAt, func() {
		d := w.hosts[id-1].disk
		segments := d.segments()
		for _, name := range append(segments, d.snapshots()...) {
			f := d.files[name]
			to := f.size
			if name == segments[len(segments)-1] {
				to = f.proven
			}
			for at := range to {
				list = append(list, diskByte{host: id, name: name, at: at})
			}
		}
	})
	for w.now <= flipAt && w.Step() {
	}
	if len(list) == 0 {
		t.Fatal("the disk has nothing to flip")
	}
	return list
}

// flipped is what came of a flip.
type flipped struct {
	refused string // what the process said when it did not start
	faulty  bool   // it started, knows what it lost, and gets it from the others
}

// flip lives through the bounded world, in which one bit of a host's disk is flipped while its process is down.
func flip(p diskByte) (what flipped, err error) {
	keep := func(h *host) fate { return fate{process: true} }
	w := bounded(3, 1, conditions{fate: keep})
	h := w.hosts[p.host-1]
	w.at(flipAt, func() {
		f := h.disk.files[p.name]
		h.crash("is stopped, so that a bit can be flipped")
		f.solid(p.at + 1)
		f.now[p.at] ^= 1 << (p.at % 8)
		h.disk.hurt("flip", f, p.at, p.at+1)
		h.boot()
		if h.engine == nil {
			what.refused = "yes"
		} else {
			what.faulty = h.members[0].running.Core().Faulty()
		}
	})
	for w.Step() {
	}
	if w.failure != nil {
		return what, fmt.Errorf("%w\n%s", w.failure, strings.Join(w.story.lines(), "\n"))
	}
	first, err := stateOf(w.groups[0].members[0])
	for _, m := range w.groups[0].members[1:] {
		other, bad := stateOf(m)
		if err = errors.Join(err, bad); err == nil && !bytes.Equal(first, other) {
			err = fmt.Errorf("the state of %v is not that of the others", m)
		}
	}
	return what, err
}

// stateOf is all that a member's machine has, as it would write it into a snapshot.
func stateOf(m *member) ([]byte, error) {
	if m.running == nil {
		return nil, fmt.Errorf("%v does not run", m)
	}
	s, err := m.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = s.WriteTo(&b)
	return b.Bytes(), errors.Join(err, s.Close())
}

// TestEveryFlipOfACluster flips one bit of every byte of the log and the snapshots of each host of a small cluster, one at a time. The member either starts and
// gets from the others what it lost, or does not need it, or refuses to start and says what to do, which is then done. All checkers look on: a silent
// loss, a vote given twice, a wrong answer, a state that is not the others' fails the run.
func TestEveryFlipOfACluster(t *testing.T) {
	step := 211
	if *crashPointsFlag {
		step = 1
	}
	for id := raft.MemberID(1); id <= 3; id++ {
		list := places(t, id)
		var mu sync.Mutex
		outcome := map[string]int{}
		start := time.Now()
		parallel(t, len(list), step, func(i int) error {
			what, err := flip(list[i])
			if err != nil {
				return fmt.Errorf("n%d, byte %d of %s: %w", id, list[i].at, list[i].name, err)
			}
			kind := map[string]string{logDir: "log", snapshotDir: "snapshot"}[path.Dir(list[i].name)]
			switch {
			case what.refused != "":
				kind += ": refused, disk replaced"
			case what.faulty:
				kind += ": repaired from the others"
			default:
				kind += ": not needed"
			}
			mu.Lock()
			outcome[kind]++
			mu.Unlock()
			return nil
		})
		t.Logf("n%d: %d of %d bytes: %v (%v)", id, (len(list)+step-1)/step, len(list), outcome, time.Since(start).Round(time.Second))
	}
}
