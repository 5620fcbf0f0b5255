package raft

import "sort"

// window is the end of a log in memory. Its entries lie in pieces, one after the other, so that a window that moves along the log is never copied, and
// what is appended is written to memory that was touched just before. Pieces are shared with messages and outputs: an element is never overwritten.
type window struct {
	pieces [][]Entry // none of them empty
	count  int
}

// pieceEntries is how many entries a piece has room for, at most, unless more come at once.
const pieceEntries = 512

// find returns where the entry at i is, which has to be in the window: mostly in its last piece.
func (w *window) find(i Index) (piece, place int) {
	k := len(w.pieces) - 1
	if w.pieces[k][0].Index > i {
		k = sort.Search(k, func(k int) bool { return w.pieces[k][0].Index > i }) - 1
	}
	return k, int(i - w.pieces[k][0].Index)
}

func (w *window) at(i Index) *Entry {
	k, n := w.find(i)
	return &w.pieces[k][n]
}

// rest returns the entries from i to the end of the piece that has it.
func (w *window) rest(i Index) []Entry {
	k, n := w.find(i)
	return w.pieces[k][n:]
}

// slice returns the entries [from, to]: where they lie, if that is one piece, else a copy. What was appended together is in one piece.
func (w *window) slice(from, to Index) []Entry {
	k, n := w.find(from)
	want := int(to-from) + 1
	if have := w.pieces[k][n:]; want <= len(have) {
		return have[:want:want]
	}
	entries := make([]Entry, 0, want)
	for ; len(entries) < want; k, n = k+1, 0 {
		part := w.pieces[k][n:]
		entries = append(entries, part[:min(len(part), want-len(entries))]...)
	}
	return entries
}

// room returns the last piece, with room for n more entries, and counts them in: they have to be appended to it.
func (w *window) room(n int) *[]Entry {
	w.count += n
	last := len(w.pieces) - 1
	if last < 0 || cap(w.pieces[last])-len(w.pieces[last]) < n {
		size := 64
		if last >= 0 {
			size = min(2*cap(w.pieces[last]), pieceEntries)
		}
		w.pieces = append(w.pieces, make([]Entry, 0, max(size, 4*n)))
		last++
	}
	return &w.pieces[last]
}

// dropFront drops the first n entries.
func (w *window) dropFront(n int) {
	w.count -= n
	for n > 0 {
		k := min(n, len(w.pieces[0]))
		n -= k
		if w.pieces[0] = w.pieces[0][k:]; len(w.pieces[0]) == 0 {
			w.pieces[0] = nil
			w.pieces = w.pieces[1:]
		}
	}
}

// truncate removes the entries from i on. What follows does not take their place in memory: they may have been handed out.
func (w *window) truncate(i Index) {
	for k := len(w.pieces) - 1; k >= 0; k-- {
		p := w.pieces[k]
		if keep := int(i) - int(p[0].Index); keep > 0 {
			if keep < len(p) {
				w.count -= len(p) - keep
				w.pieces[k] = p[:keep:keep]
			}
			return
		}
		w.count -= len(p)
		w.pieces[k] = nil
		w.pieces = w.pieces[:k]
	}
}
