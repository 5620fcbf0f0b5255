package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/balsa-raft/balsa/wal"
)

// Volume is stable storage like that of a host's disk, for machines that keep their state themselves: it forgets at a crash what was not synced, or some of
// it, sector by sector. It is not safe for concurrent use.
type Volume struct{ *sectors }

var _ wal.FS = Volume{}

// NewVolume makes an empty volume.
func NewVolume() Volume { return Volume{newSectors()} }

// Lock implements wal.FS. A process that crashed holds no locks, and there is only one at a time.
func (Volume) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Names lists all files, in order.
func (v Volume) Names() []string { return v.sorted(nil) }

// Image returns what would be left if the power went now. The volume itself goes on as it is.
func (v Volume) Image(rng *rand.Rand) Volume {
	image := Volume{v.copy()}
	image.crash(rng, lossRandom)
	return image
}

// Discard removes a file, if there is one, at once and for good: a loss of power does not bring it back. Of a file that is synced, what Image returns has
// all the same but for the file, whether it was discarded before or was not yet, so that it does not matter when another goroutine comes to it.
func (v Volume) Discard(name string) { delete(v.files, name) }

// CrashNow ends the process of the world whose event this is, in the middle of what its machine does. It does not return. Only the goroutine that the
// world called may call it.
func CrashNow(at string) { panic(crashing{fault: "crash in I/O", at: at}) }

// copy copies everything, what is not durable as such.
func (s *sectors) copy() *sectors {
	copies := map[*sectorFile]*sectorFile{}
	copyOf := func(f *sectorFile) *sectorFile {
		if f == nil || copies[f] != nil {
			return copies[f]
		}
		c := newSectorFile()
		c.now, c.size, c.oldSize, c.proven, c.first = slices.Clone(f.now), f.size, f.oldSize, f.proven, f.first
		for n, d := range f.dirty {
			c.dirty[n] = &dirtySector{was: d.was, write: d.write}
		}
		for n, b := range f.beneath {
			c.beneath[n] = b
		}
		copies[f] = c
		return c
	}
	c := newSectors()
	c.capacity, c.writes = s.capacity, s.writes
	for _, name := range s.sorted(nil) {
		c.files[name] = copyOf(s.files[name])
	}
	for _, r := range s.names {
		c.names = append(c.names, rename{name: r.name, old: copyOf(r.old), new: copyOf(r.new), with: r.with})
	}
	return c
}

// String tells how much is on a volume.
func (v Volume) String() string { return fmt.Sprintf("%d files, %d bytes", len(v.files), v.used()) }
