package sim

import "math/rand/v2"

// lossKind is how a loss of power treats what was not synced.
type lossKind uint8

const (
	// lossRandom loses any subset of it.
	lossRandom lossKind = iota
	// lossPartial loses about half of it.
	lossPartial
	// lossTorn keeps all writes but the last, of which some sectors made it.
	lossTorn
	// lossReordered keeps later writes and loses earlier ones.
	lossReordered
)

// loss is what a loss of power did to the unsynced writes.
type loss struct {
	any, some, torn, reordered bool
}

// crash is what is left when the power goes: what was not synced is gone, or some of it.
func (s *sectors) crash(rng *rand.Rand, kind lossKind) loss {
	var l loss
	if kind == lossRandom {
		s.loseNames(rng, &l)
	} else {
		s.names = nil // These are about content.
	}
	chance := pick(rng, 0, 1, 2, 4)
	// Up to where writes count as the earlier ones.
	pivot := s.writes
	if n := s.dirtyWrites(); len(n) > 1 {
		pivot = n[rng.IntN(len(n)-1)]
	}
	kept, lost := map[uint64]bool{}, map[uint64]bool{}
	for _, name := range s.sorted(nil) {
		f := s.files[name]
		keepSize := true
		if f.oldSize >= 0 && kind == lossRandom && rng.IntN(4) < chance {
			keepSize = false
			f.resize(f.oldSize)
			l.any = true
		}
		for _, n := range numbers(f.dirty) {
			d := f.dirty[n]
			lose := false
			switch kind {
			case lossRandom:
				lose = !keepSize && n*sectorSize >= f.size || rng.IntN(4) < chance
			case lossPartial:
				lose = rng.IntN(2) == 0
			case lossTorn:
				lose = d.write == s.writes && rng.IntN(2) == 0
			case lossReordered:
				lose = d.write <= pivot
			}
			if lose {
				f.put(n*sectorSize, d.was)
				lost[d.write] = true
			} else {
				kept[d.write] = true
			}
		}
		f.settle()
		f.proven, f.first = 0, -1 // What the next process writes proves it anew.
		f.drop()
	}
	l.judge(kept, lost)
	return l
}

// loseNames takes back some of the changes of names that are not durable, the latest ones.
func (s *sectors) loseNames(rng *rand.Rand, l *loss) {
	keep := 0
	if len(s.names) > 0 {
		keep = rng.IntN(len(s.names) + 1)
	}
	for keep > 0 && keep < len(s.names) && s.names[keep-1].with {
		keep++
	}
	for i := len(s.names) - 1; i >= keep; i-- {
		s.put(s.names[i].name, s.names[i].old)
		l.any = true
	}
	s.names = nil
}

// dirtyWrites lists the writes of which some sector is not synced, in order.
func (s *sectors) dirtyWrites() []uint64 {
	seen := map[int64]bool{}
	for _, f := range s.files {
		for _, d := range f.dirty {
			seen[int64(d.write)] = true
		}
	}
	var list []uint64
	for _, n := range numbers(seen) {
		list = append(list, uint64(n))
	}
	return list
}

// judge finds out what kinds of loss there were. A write is torn if a part of it is there; writes are reordered if a later one is there and an
// earlier one is not.
func (l *loss) judge(kept, lost map[uint64]bool) {
	var newest uint64
	for w := range kept {
		l.torn = l.torn || lost[w]
		newest = max(newest, w)
	}
	l.some = len(kept) > 0 && len(lost) > 0
	for w := range lost {
		l.any = true
		l.reordered = l.reordered || w < newest
	}
}
