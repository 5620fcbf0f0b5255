package sim

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/balsa-raft/balsa/raft"
)

// program is the version of the program that a host runs, as far as versions differ: timings, limits, and what is switched on.
type program struct {
	core                                      raft.Config
	compactBytes, compactEntries, keepEntries uint64
	segment                                   int64
}

// versionFaults change the program under a running deployment.
func versionFaults() []*fault {
	return []*fault{
		{name: "upgrade", every: 700 * time.Millisecond, strike: upgrade},
		{name: "rolling upgrade", every: 4 * time.Second, strike: rollingUpgrade},
		{name: "newer segment", every: 2 * time.Second, strike: newerSegment},
	}
}

// program is what every host begins with.
func (r *Regime) program() program {
	return program{core: r.Core, compactBytes: r.CompactBytes, compactEntries: r.CompactEntries, keepEntries: r.KeepEntries, segment: r.Segment}
}

// upgrade starts one host on another version of the program, or takes it back to the one that all began with. It has an effect when it is started
// among hosts that have another one.
func upgrade(w *World, s *strike) bool {
	h := s.victim(w, s.chance(1, 3))
	if h == nil {
		return false
	}
	next := w.regime.program()
	if h.program == next || s.chance(1, 2) {
		next.vary(s.stream)
	}
	h.program = next
	h.end(fmt.Sprintf("upgrade: it is stopped, and will start with timeouts of %v to %v, heartbeats every %v, messages of %d bytes, pre-vote %v, check of the quorum %v, quiescence %v",
		next.core.ElectionTimeoutMin, next.core.ElectionTimeoutMax, next.core.HeartbeatInterval, next.core.MaxMessageBytes, !next.core.DisablePreVote,
		!next.core.DisableCheckQuorum, next.core.QuiesceAfter > 0), false, lossRandom)
	for _, other := range w.hosts {
		if other.program != next {
			w.counts.effective("upgrade")
			break
		}
	}
	return true
}

// rollingUpgrade starts one host after the other on another version, as an operator does, and in half of all cases takes all of them back in the middle of
// it or at its end. It has an effect when a host is started anew.
func rollingUpgrade(w *World, s *strike) bool {
	was, next := w.hosts[0].program, w.regime.program()
	next.vary(s.stream)
	order := s.Perm(len(w.hosts))
	plan := make([]program, 0, 2*len(order))
	for range order {
		plan = append(plan, next)
	}
	if s.chance(1, 2) {
		plan = plan[:1+s.IntN(len(order))]
		for range len(plan) {
			plan = append(plan, was)
		}
	}
	w.say(noteFault, "rolling upgrade: %d starts, %d hosts", len(plan), len(order))
	pause := s.between(50*time.Millisecond, 500*time.Millisecond)
	for i := range plan {
		host := w.hosts[order[i%len(order)]]
		if plan[i] == was {
			host = w.hosts[order[len(plan)-1-i]] // The last one first.
		}
		w.during(time.Duration(i+1)*pause, func() {
			host.program = plan[i]
			if host.engine != nil {
				w.counts.effective("rolling upgrade")
				host.end("rolling upgrade: it is stopped, and starts on another version", false, lossRandom)
			}
		})
	}
	return true
}

// vary draws another version. What leases rest on is left alone where they are used: members that do not keep it would break those of others, and no
// version is said to be compatible with that.
func (p *program) vary(s *stream) {
	c := &p.core
	c.MaxMessageBytes = pick[uint64](s, 100, 4<<10, 1<<20)
	c.MaxInflightMessages = pick(s, 1, 4, 256)
	c.MaxInflightBytes = max(c.MaxMessageBytes, pick[uint64](s, 4<<10, 16<<20))
	c.MaxCachedBytes = pick[uint64](s, 1, 4<<10, 8<<20)
	c.MaxUncommittedBytes = pick[uint64](s, 2<<10, 64<<20)
	c.DisablePreVote = s.chance(1, 4)
	c.QuiesceAfter = pick(s, 0, 0, 300*time.Millisecond)
	p.compactBytes, p.compactEntries, p.keepEntries = pick[uint64](s, 2<<10, 16<<10, 256<<10), pick[uint64](s, 0, 20), pick[uint64](s, 1, 10, 200)
	p.segment = pick[int64](s, 16<<10, 64<<10)
	if c.LeaseReads {
		return
	}
	c.DisableCheckQuorum = s.chance(1, 6)
	c.HeartbeatInterval = pick(s, 25*time.Millisecond, 50*time.Millisecond)
	c.ElectionTimeoutMin = pick(s, 150*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond)
	c.ElectionTimeoutMax = 2 * c.ElectionTimeoutMin
}

// newerSegment has a newer version of the program write the last segment of a log, and then this version start on it. It has to refuse, and to say why,
// and not to read it as something else. Then the operator goes back to the newer one, which reads it.
func newerSegment(w *World, s *strike) bool {
	h := s.victim(w, false)
	if h == nil {
		return false
	}
	segments := h.disk.segments()
	if len(segments) == 0 || h.disk.hurtNow() {
		return false
	}
	h.end("newer segment: it is stopped, and a newer version has used its log", false, lossRandom)
	h.disk.newer = h.disk.files[segments[s.IntN(len(segments))]]
	h.disk.newer.setVersion(2)
	return true
}

// setVersion changes the version in both copies of a segment's header (docs/formats/wal.md), and their checksums. A copy that has rotted stays as it is: it would be one of
// nonsense, in good order.
func (f *sectorFile) setVersion(version uint32) {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for _, at := range []int{0, sectorSize} {
		header := f.now[at : at+64]
		if sum := header[60:]; binary.LittleEndian.Uint32(sum) == crc32.Checksum(header[:60], castagnoli) {
			binary.LittleEndian.PutUint32(header[8:], version)
			binary.LittleEndian.PutUint32(sum, crc32.Checksum(header[:60], castagnoli))
		}
	}
}

// tooNew tells whether a start was refused because of a newer version's file, as it has to be, and takes that back.
func (d *disk) tooNew(why string) bool {
	if d.newer == nil || !strings.Contains(why, "version 2") {
		return false
	}
	d.newer.setVersion(1)
	d.newer = nil
	d.host.world.counts.effective("newer segment")
	d.host.note(noteFault, "newer segment: it is refused, and the newer version comes back")
	return true
}
