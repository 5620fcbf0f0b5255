package wal

import "github.com/balsa-raft/balsa/raft"

// position says where an entry's frame is. The zero position is a hole: the log has such an entry, but not its bytes.
type position struct {
	segment uint32 // its number, from 1 on
	offset  uint32 // of the frame, in units of 8 bytes
	length  uint32 // of the data, in bytes
}

func (p position) hole() bool   { return p.segment == 0 }
func (p position) at() int64    { return int64(p.offset) * align }
func (p position) frame() int64 { return frameSize(int(p.length)) }

// chunkEntries keeps a group with few entries small (768 bytes), and the overhead of one with many at an eighth of a word an entry.
const chunkEntries = 64

type chunk [chunkEntries]position

// positions has the position of every entry in (base, last] of one group, in chunks that begin at multiples of chunkEntries. A missing
// chunk is all holes. Appending allocates once per chunk, and takes chunks that others gave back first.
type positions struct {
	base, last raft.Index
	origin     uint64 // number of chunks[0]
	chunks     []*chunk
	free       *chunkPool
}

// chunkPool keeps chunks for reuse, up to a bound.
type chunkPool struct{ chunks []*chunk }

const maxPooledChunks = 1024

func (f *chunkPool) get() *chunk {
	n := len(f.chunks)
	if n == 0 {
		return new(chunk)
	}
	c := f.chunks[n-1]
	f.chunks = f.chunks[:n-1]
	return c
}

func (f *chunkPool) put(c *chunk) {
	if c != nil && len(f.chunks) < maxPooledChunks {
		*c = chunk{}
		f.chunks = append(f.chunks, c)
	}
}

func (p *positions) slot(i raft.Index) (*chunk, int) {
	c := p.chunks[uint64(i)/chunkEntries-p.origin]
	return c, int(uint64(i) % chunkEntries)
}

// missing tells whether entry i is in a missing chunk, and the last entry of that.
func (p *positions) missing(i raft.Index) (last raft.Index, ok bool) {
	if c, _ := p.slot(i); c != nil {
		return 0, false
	}
	return min(i|(chunkEntries-1), p.last), true
}

// get returns the position of entry i; base < i <= last.
func (p *positions) get(i raft.Index) position {
	c, k := p.slot(i)
	if c == nil {
		return position{}
	}
	return c[k]
}

// set changes the position of entry i; base < i <= last.
func (p *positions) set(i raft.Index, at position) {
	c, k := p.slot(i)
	if c == nil {
		if at.hole() {
			return
		}
		c = p.free.get()
		p.chunks[uint64(i)/chunkEntries-p.origin] = c
	}
	c[k] = at
}

// extend makes i the last entry; those that are new are holes.
func (p *positions) extend(i raft.Index) {
	if len(p.chunks) == 0 {
		p.origin = uint64(p.last+1) / chunkEntries
	}
	for p.origin+uint64(len(p.chunks)) <= uint64(i)/chunkEntries {
		p.chunks = append(p.chunks, nil)
	}
	p.last = i
}

// truncate forgets the entries from i on; base < i <= last.
func (p *positions) truncate(i raft.Index) {
	if i == p.base+1 {
		p.reset(p.base)
		return
	}
	keep := int(uint64(i-1)/chunkEntries-p.origin) + 1
	for k := keep; k < len(p.chunks); k++ {
		p.free.put(p.chunks[k])
		p.chunks[k] = nil
	}
	p.chunks = p.chunks[:keep]
	// What is left of the last chunk becomes holes, for an extend that leaves a gap.
	if c := p.chunks[keep-1]; c != nil {
		clear(c[uint64(i-1)%chunkEntries+1:])
	}
	p.last = i - 1
}

// compact forgets the entries up to i; base < i <= last.
func (p *positions) compact(i raft.Index) {
	p.base = i
	if i == p.last {
		p.reset(i)
		return
	}
	drop := int(uint64(i+1)/chunkEntries - p.origin)
	for k := range drop {
		p.free.put(p.chunks[k])
		p.chunks[k] = nil
	}
	p.chunks = p.chunks[drop:]
	p.origin += uint64(drop)
}

// reset forgets all entries: the log is empty after base.
func (p *positions) reset(base raft.Index) {
	for k, c := range p.chunks {
		p.free.put(c)
		p.chunks[k] = nil
	}
	p.base, p.last, p.chunks = base, base, p.chunks[:0]
}
