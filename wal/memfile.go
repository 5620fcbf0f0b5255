package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

const (
	memSector = 512
	memPage   = 4096
)

// memFile is the content of a file as it is read back, and what a crash would make of it. MemFS.mu guards it.
type memFile struct {
	fs        *MemFS
	id        int64            // what tells it from every other file
	pages     []*[memPage]byte // nil is a hole; zeroPage takes room, but no memory
	size      int64
	allocated int64

	// Since the last Sync: per sector that was written, what it was and what it became; and the sizes.
	dirty map[int64]*memVersions
	sizes []int64 // the first is the durable one
	// forgotten are sectors that a failed Sync dropped: they are read back, but nothing makes them durable but being written again.
	forgotten map[int64]*memVersions
}

// memVersions are the contents of a sector: what is durable, then what was written.
type memVersions [][]byte

var zeroPage [memPage]byte

// sector returns the content of a sector; it is not to be written to.
func (f *memFile) sector(n int64) []byte {
	page, at := n*memSector/memPage, n*memSector%memPage
	if page >= int64(len(f.pages)) || f.pages[page] == nil {
		return zeroPage[at : at+memSector]
	}
	return f.pages[page][at : at+memSector]
}

// put changes a sector, without a record of it.
func (f *memFile) put(n int64, b []byte) {
	page, at := n*memSector/memPage, n*memSector%memPage
	for page >= int64(len(f.pages)) {
		f.pages = append(f.pages, nil)
	}
	if p := f.pages[page]; p == nil || p == &zeroPage {
		if allZero(b) {
			return
		}
		f.pages[page] = new([memPage]byte)
		if p == nil {
			f.allocated += memPage
			f.fs.used += memPage
		}
	}
	copy(f.pages[page][at:], b)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// reserve allocates the pages of [from, to) as far as there is room, and returns up to where there was.
func (f *memFile) reserve(from, to int64) int64 {
	for page := from / memPage; page*memPage < to; page++ {
		for page >= int64(len(f.pages)) {
			f.pages = append(f.pages, nil)
		}
		if f.pages[page] != nil {
			continue
		}
		if m := f.fs; m.capacity > 0 && m.used+memPage > m.capacity {
			return max(from, page*memPage)
		}
		f.pages[page] = &zeroPage
		f.allocated += memPage
		f.fs.used += memPage
	}
	return to
}

// write stores b at off and remembers what a crash may bring back.
func (f *memFile) write(b []byte, off int64) {
	for len(b) > 0 {
		n := off / memSector
		at := int(off % memSector)
		k := min(memSector-at, len(b))
		old := f.sector(n)
		if string(old[at:at+k]) != string(b[:k]) || f.forgotten[n] != nil {
			sector := slices.Clone(old)
			copy(sector[at:], b)
			f.remember(n, old, sector)
			f.put(n, sector)
		}
		b, off = b[k:], off+int64(k)
	}
	if off > f.size {
		f.resize(off)
	}
}

func (f *memFile) remember(n int64, old, now []byte) {
	if f.dirty == nil {
		f.dirty = map[int64]*memVersions{}
	}
	v := f.dirty[n]
	if v == nil {
		if v = f.forgotten[n]; v == nil {
			v = &memVersions{slices.Clone(old)}
		}
		delete(f.forgotten, n)
		f.dirty[n] = v
	}
	*v = append(*v, now)
}

func (f *memFile) resize(size int64) {
	if len(f.sizes) == 0 {
		f.sizes = append(f.sizes, f.size)
	}
	f.size = size
	f.sizes = append(f.sizes, size)
}

// truncate changes the size; what is cut off reads as zeroes if the file grows again.
func (f *memFile) truncate(size int64) {
	for off := size; off < f.size; {
		k := min(memSector-off%memSector, f.size-off)
		f.write(zeroPage[:k], off)
		off += k
	}
	for page := (size + memPage - 1) / memPage; page < int64(len(f.pages)); page++ {
		if f.pages[page] != nil {
			f.allocated -= memPage
			f.fs.used -= memPage
			f.pages[page] = nil
		}
	}
	if size != f.size {
		f.resize(size)
	}
}

func (f *memFile) sync() {
	f.dirty, f.sizes = nil, nil
}

// syncFailed drops what was to be written.
func (f *memFile) syncFailed() {
	if f.forgotten == nil {
		f.forgotten = map[int64]*memVersions{}
	}
	maps.Copy(f.forgotten, f.dirty)
	f.dirty = nil
}

// crash makes of the content what the disk has of it. With no rng, it has nothing that was not synced.
func (f *memFile) crash(rng *rand.Rand) {
	choose := func(n int) int {
		if rng == nil {
			return 0
		}
		return rng.IntN(n)
	}
	for _, set := range []map[int64]*memVersions{f.forgotten, f.dirty} {
		for _, n := range slices.Sorted(maps.Keys(set)) {
			v := *set[n]
			f.put(n, v[choose(len(v))])
		}
	}
	if len(f.sizes) > 0 {
		f.size = f.sizes[choose(len(f.sizes))]
		for n := (f.size + memSector - 1) / memSector; n*memSector < int64(len(f.pages))*memPage; n++ {
			f.put(n, zeroPage[:memSector])
		}
	}
	f.dirty, f.forgotten, f.sizes = nil, nil, nil
}

// Crash is the machine losing its power: what was not durable is lost, or not, as rng says; with a nil rng, all of it is. Open files and
// locks are dead from then on.
func (m *MemFS) Crash(rng *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot++
	for _, name := range slices.Sorted(maps.Keys(m.dirs)) {
		d := m.dirs[name]
		if rng != nil {
			m.commit(d, rng.IntN(len(d.changes)+1))
		}
		d.changes = nil
		d.names = maps.Clone(d.durable)
		for _, file := range slices.Sorted(maps.Keys(d.names)) {
			d.names[file].crash(rng)
		}
	}
	m.recount()
}

// Kill is the process dying: nothing is lost, but open files and locks are dead.
func (m *MemFS) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot++
}

// Clone returns a copy of the file system as it is, without its fault. Open files and locks stay with the old one.
func (m *MemFS) Clone() *MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemFS()
	c.capacity, c.born = m.capacity, m.born
	files := map[*memFile]*memFile{nil: nil}
	clone := func(f *memFile) *memFile {
		if g, ok := files[f]; ok {
			return g
		}
		g := &memFile{fs: c, id: f.id, size: f.size, allocated: f.allocated, sizes: slices.Clone(f.sizes), dirty: cloneVersions(f.dirty), forgotten: cloneVersions(f.forgotten)}
		for _, p := range f.pages {
			if p != nil && p != &zeroPage {
				page := *p
				p = &page
			}
			g.pages = append(g.pages, p)
		}
		files[f] = g
		return g
	}
	for name, d := range m.dirs {
		e := &memDir{names: map[string]*memFile{}, durable: map[string]*memFile{}}
		for k, f := range d.names {
			e.names[k] = clone(f)
		}
		for k, f := range d.durable {
			e.durable[k] = clone(f)
		}
		for _, ch := range d.changes {
			ch.file = clone(ch.file)
			e.changes = append(e.changes, ch)
		}
		c.dirs[name] = e
	}
	c.recount()
	return c
}

func cloneVersions(v map[int64]*memVersions) map[int64]*memVersions {
	c := make(map[int64]*memVersions, len(v))
	for n, versions := range v {
		w := slices.Clone(*versions)
		c[n] = &w
	}
	return c
}

// Rot changes the durable content of a file, as if the medium had: each byte of mask is xored to the one at off.
func (m *MemFS) Rot(name string, off int64, mask ...byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.dir("rot", name)
	if err != nil {
		return err
	}
	f := d.names[base]
	if f == nil || off < 0 || off+int64(len(mask)) > f.size {
		return &fs.PathError{Op: "rot", Path: name, Err: fs.ErrNotExist}
	}
	for i, x := range mask {
		n, at := (off+int64(i))/memSector, (off+int64(i))%memSector
		b := slices.Clone(f.sector(n))
		b[at] ^= x
		f.put(n, b)
		for _, set := range []map[int64]*memVersions{f.dirty, f.forgotten} {
			if v := set[n]; v != nil {
				for k := range *v {
					(*v)[k] = slices.Clone((*v)[k])
					(*v)[k][at] ^= x
				}
			}
		}
	}
	return nil
}

// memHandle is an open file.
type memHandle struct {
	file *memFile
	name string
	boot int
	done bool
}

var errDead = errors.New("the file was open when the machine crashed")

// enter locks the file system for an operation on the file.
func (h *memHandle) enter(op string) error {
	h.file.fs.mu.Lock()
	switch {
	case h.done:
		return &fs.PathError{Op: op, Path: h.name, Err: fs.ErrClosed}
	case h.boot != h.file.fs.boot:
		return &fs.PathError{Op: op, Path: h.name, Err: errDead}
	}
	return nil
}

func (h *memHandle) leave() { h.file.fs.mu.Unlock() }

// ReadAt implements io.ReaderAt.
func (h *memHandle) ReadAt(b []byte, off int64) (int, error) {
	defer h.leave()
	if err := h.enter("read"); err != nil {
		return 0, err
	}
	f := h.file
	if fault := f.fs.begin(Op{Kind: OpRead, Name: h.name, Offset: off, Len: len(b)}); fault.Err != nil {
		return 0, fault.Err
	}
	n := int(max(min(int64(len(b)), f.size-off), 0))
	for done := 0; done < n; {
		at := off + int64(done)
		done += copy(b[done:n], f.sector(at / memSector)[at%memSector:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (h *memHandle) WriteAt(b []byte, off int64) (int, error) {
	defer h.leave()
	if err := h.enter("write"); err != nil {
		return 0, err
	}
	f := h.file
	fault := f.fs.begin(Op{Kind: OpWrite, Name: h.name, Offset: off, Len: len(b)})
	if fault.Lost {
		return len(b), nil
	}
	off += fault.Divert
	want := len(b)
	if fault.Err != nil {
		want = min(fault.Short, len(b))
	}
	n := max(int(f.reserve(off, off+int64(want))-off), 0)
	f.write(b[:n], off)
	switch {
	case fault.Err != nil:
		return n, fault.Err
	case n < len(b):
		return n, fmt.Errorf("write %s: %w", h.name, ErrNoSpace)
	}
	return n, nil
}

// Size implements File.
func (h *memHandle) Size() (int64, error) {
	defer h.leave()
	if err := h.enter("size"); err != nil {
		return 0, err
	}
	return h.file.size, nil
}

// Truncate implements File.
func (h *memHandle) Truncate(size int64) error {
	defer h.leave()
	if err := h.enter("truncate"); err != nil {
		return err
	}
	if err := h.file.fs.begin(Op{Kind: OpTruncate, Name: h.name, Offset: size}).Err; err != nil {
		return err
	}
	h.file.truncate(size)
	return nil
}

// Sync implements File.
func (h *memHandle) Sync() error {
	defer h.leave()
	if err := h.enter("sync"); err != nil {
		return err
	}
	if err := h.file.fs.begin(Op{Kind: OpSync, Name: h.name}).Err; err != nil {
		h.file.syncFailed()
		return err
	}
	h.file.sync()
	return nil
}

// Close implements io.Closer.
func (h *memHandle) Close() error {
	h.file.fs.mu.Lock()
	defer h.leave()
	h.done = true
	return nil
}
