package sim

import (
	"maps"
	"slices"
)

// fate says what a loss of power leaves of what was not synced: how many of the changes of names, and which of the changed sectors and sizes. Unlike a
// seed it can be counted through.
type fate struct {
	// names is how many changes of names stay, as an index into prefixes; bits tells what is lost of the rest, a bit for each choice.
	names int
	bits  []bool
	// process says that the process ended alone: the page cache stays as it is, and is not durable for that.
	process bool
}

// prefixes are how many changes of names may stay: any number but those that would tear a renaming in two.
func (s *sectors) prefixes() []int {
	var list []int
	for keep := range len(s.names) + 1 {
		if keep == 0 || keep == len(s.names) || !s.names[keep-1].with {
			list = append(list, keep)
		}
	}
	return list
}

// choices tells, for each prefix, how many choices there are beyond it: sizes and sectors that are on the platter or not. That a sector has the same
// content either way is no choice.
func (s *sectors) choices() []int {
	var list []int
	for _, keep := range s.prefixes() {
		then := sectors{files: maps.Clone(s.files)}
		for i := len(s.names) - 1; i >= keep; i-- {
			then.put(s.names[i].name, s.names[i].old)
		}
		n := 0
		for _, f := range then.files {
			f.eachChoice(func(bool, int64) { n++ })
		}
		list = append(list, n)
	}
	return list
}

// eachChoice calls do for the size and each sector that the platter has otherwise.
func (f *sectorFile) eachChoice(do func(size bool, sector int64)) {
	if f.oldSize >= 0 && f.oldSize != f.size {
		do(true, 0)
	}
	for _, n := range numbers(f.dirty) {
		from := n * sectorSize
		if from >= f.size {
			continue
		}
		here := min(sectorSize, f.size-from)
		if string(f.sector(n)[:here]) != string(f.dirty[n].was[:here]) {
			do(false, n)
		}
	}
}

// crashAs is crash with a fate.
func (s *sectors) crashAs(f fate) loss {
	if f.process {
		return loss{}
	}
	before := len(s.names)
	l := loss{any: s.keepNames(f.names) < before}
	bits := slices.Clone(f.bits)
	s.lose(func() bool {
		if len(bits) == 0 {
			return true
		}
		lost := bits[0]
		bits = bits[1:]
		l.any = l.any || lost
		return lost
	})
	return l
}

// keepNames takes back the changes of names beyond a prefix, and returns how many stayed.
func (s *sectors) keepNames(prefix int) int {
	prefixes := s.prefixes()
	keep := prefixes[min(prefix, len(prefixes)-1)]
	for i := len(s.names) - 1; i >= keep; i-- {
		s.put(s.names[i].name, s.names[i].old)
	}
	s.names = nil
	return keep
}

// lose asks for each choice whether the size or the sector is lost.
func (s *sectors) lose(lost func() bool) {
	for _, name := range s.sorted(nil) {
		f := s.files[name]
		size := f.size
		f.eachChoice(func(isSize bool, n int64) {
			switch {
			case !lost():
			case isSize:
				size = f.oldSize
			default:
				f.put(n*sectorSize, f.dirty[n].was)
			}
		})
		f.resize(size)
		f.settle()
		f.proven, f.first = 0, -1 // What the next process writes proves it anew.
		f.drop()
	}
}
