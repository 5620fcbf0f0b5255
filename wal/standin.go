// Package wal is the write-ahead log of a host. This file is a plain first version, to be deleted when the real one lands: it detects torn tails, but
// neither reclaims segments nor tells corruption from a torn tail.
package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/balsa-raft/balsa/raft"
)

type FS interface {
	MkdirAll(dir string) error
	List(dir string) ([]string, error)
	Create(name string) (File, error)
	Open(name string) (File, error)
	Remove(name string) error
	Rename(from, to string) error
	SyncDir(dir string) error
	Lock(name string) (io.Closer, error)
	Free(dir string) (uint64, error)
}
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}
type osfs struct{}
type osfile struct{ *os.File }

func (f osfile) Size() (int64, error) {
	s, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return s.Size(), nil
}
func (f osfile) Sync() error         { return syscall.Fdatasync(int(f.Fd())) }
func (osfs) MkdirAll(d string) error { return os.MkdirAll(d, 0o755) }
func (osfs) List(d string) (n []string, err error) {
	es, err := os.ReadDir(d)
	for _, e := range es {
		n = append(n, e.Name())
	}
	return n, err
}
func (osfs) Create(n string) (File, error) {
	f, err := os.OpenFile(n, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return osfile{f}, nil
}
func (osfs) Open(n string) (File, error) {
	f, err := os.OpenFile(n, os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	return osfile{f}, nil
}
func (osfs) Remove(n string) error    { return os.Remove(n) }
func (osfs) Rename(a, b string) error { return os.Rename(a, b) }
func (osfs) SyncDir(d string) error {
	f, err := os.Open(d)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
func (osfs) Lock(n string) (io.Closer, error) {
	f, err := os.OpenFile(n, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrLocked
	}
	return f, nil
}
func (osfs) Free(d string) (uint64, error) { return 1 << 40, nil }

// OSFS is the operating system's.
func OSFS() FS { return osfs{} }

var (
	ErrPoisoned  = errors.New("wal: poisoned")
	ErrCompacted = errors.New("wal: compacted")
	ErrFaulty    = errors.New("wal: faulty")
	ErrNotFound  = errors.New("wal: not found")
	ErrFull      = errors.New("wal: full")
	ErrLocked    = errors.New("wal: the directory is locked by another process")
)

type Options struct {
	FS           FS
	Dir          string
	SegmentBytes int64
	Incarnation  uint64
	ReserveBytes int64
	Logger       *slog.Logger
}
type GroupState struct {
	HardState      raft.HardState
	Snapshot       raft.SnapshotMeta
	LastIndex      raft.Index
	Terms          []raft.TermRun
	Configurations []raft.ConfigurationAt
	Faulty         []raft.IndexRange
}
type Batch struct {
	Group     raft.GroupID
	HardState *raft.HardState
	Entries   []raft.Entry
	Snapshot  *raft.SnapshotMeta
	Compact   *raft.SnapshotMeta
	Remove    bool
}
type pos struct {
	seg  *seg
	off  int64
	size uint32
	term raft.Term
	kind raft.EntryKind
	sum  uint32
	mem  []byte
}
type seg struct {
	n    uint64
	f    File
	size int64
}
type group struct {
	st      GroupState
	entries []pos // from st.Snapshot.Index+1
	bytes   uint64
}
type Log struct {
	o      Options
	mu     sync.RWMutex
	groups map[raft.GroupID]*group
	inc    uint64
	segs   []*seg
	cur    *seg
	off    int64
	buf    []byte
	pend   []*pos
	lock   io.Closer
	bad    error
	syncs  atomic.Uint64
}

var cast = crc32.MakeTable(crc32.Castagnoli)

const hdr = 40

func (l *Log) frame(typ, kind byte, g raft.GroupID, term, index uint64, sum uint32, data []byte) int64 {
	at := l.off + int64(len(l.buf))
	var h [hdr]byte
	binary.LittleEndian.PutUint32(h[4:], uint32(len(data)))
	binary.LittleEndian.PutUint32(h[8:], sum)
	h[12], h[13] = typ, kind
	binary.LittleEndian.PutUint64(h[16:], uint64(g))
	binary.LittleEndian.PutUint64(h[24:], term)
	binary.LittleEndian.PutUint64(h[32:], index)
	binary.LittleEndian.PutUint32(h[0:], crc32.Checksum(h[4:], cast)^uint32(l.inc))
	l.buf = append(l.buf, h[:]...)
	l.buf = append(l.buf, data...)
	for len(l.buf)%8 != 0 {
		l.buf = append(l.buf, 0)
	}
	return at
}

func encMeta(m *raft.SnapshotMeta) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(m.ConfigurationIndex))
	return m.Configuration.Encode(b)
}

func (l *Log) segName(n uint64) string { return filepath.Join(l.o.Dir, fmt.Sprintf("%016x.wal", n)) }

func Open(o Options) (*Log, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, "LOCK"))
	if err != nil {
		return nil, err
	}
	l := &Log{o: o, groups: map[raft.GroupID]*group{}, lock: lock, inc: o.Incarnation}
	idn := filepath.Join(o.Dir, "ID")
	if f, err := o.FS.Open(idn); err == nil {
		var b [8]byte
		f.ReadAt(b[:], 0)
		l.inc = binary.LittleEndian.Uint64(b[:])
		f.Close()
	} else if errors.Is(err, fs.ErrNotExist) {
		f, err := o.FS.Create(idn)
		if err != nil {
			return nil, err
		}
		f.WriteAt(binary.LittleEndian.AppendUint64(nil, l.inc), 0)
		f.Sync()
		f.Close()
	} else {
		return nil, err
	}
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	for _, name := range names {
		var n uint64
		if k, _ := fmt.Sscanf(name, "%016x.wal", &n); k != 1 {
			continue
		}
		f, err := o.FS.Open(filepath.Join(o.Dir, name))
		if err != nil {
			return nil, err
		}
		s := &seg{n: n, f: f}
		l.segs = append(l.segs, s)
		l.scan(s)
	}
	if len(l.segs) == 0 {
		if err := l.roll(); err != nil {
			return nil, err
		}
	} else {
		l.cur = l.segs[len(l.segs)-1]
		l.off = l.cur.size
	}
	return l, nil
}

func (l *Log) roll() error {
	n := uint64(1)
	if l.cur != nil {
		n = l.cur.n + 1
	}
	f, err := l.o.FS.Create(l.segName(n))
	if err != nil {
		return err
	}
	zero := make([]byte, 1<<20)
	for off := int64(0); off < l.o.SegmentBytes; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero, off); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return err
	}
	l.cur = &seg{n: n, f: f}
	l.off = 0
	l.segs = append(l.segs, l.cur)
	return nil
}

func (l *Log) scan(s *seg) {
	size, _ := s.f.Size()
	data := make([]byte, size)
	s.f.ReadAt(data, 0)
	off := int64(0)
	for off+hdr <= size {
		h := data[off:]
		if binary.LittleEndian.Uint32(h) != crc32.Checksum(h[4:hdr], cast)^uint32(l.inc) {
			break
		}
		n := int64(binary.LittleEndian.Uint32(h[4:]))
		sum := binary.LittleEndian.Uint32(h[8:])
		if off+hdr+n > size || crc32.Checksum(h[hdr:hdr+n], cast) != sum {
			break
		}
		g := raft.GroupID(binary.LittleEndian.Uint64(h[16:]))
		term, index := binary.LittleEndian.Uint64(h[24:]), binary.LittleEndian.Uint64(h[32:])
		payload := h[hdr : hdr+n]
		switch h[12] {
		case 1:
			l.group(g).st.HardState = raft.HardState{Term: raft.Term(term), Vote: raft.MemberID(index)}
		case 2:
			e := raft.Entry{Term: raft.Term(term), Index: raft.Index(index), Kind: raft.EntryKind(h[13]), Sum: sum, Data: payload}
			l.group(g).put(&e, &pos{seg: s, off: off, size: uint32(n), term: e.Term, kind: e.Kind, sum: sum})
		case 3, 4:
			m := raft.SnapshotMeta{Index: raft.Index(index), Term: raft.Term(term), ConfigurationIndex: raft.Index(binary.LittleEndian.Uint64(payload))}
			m.Configuration, _ = raft.DecodeConfiguration(payload[8:])
			l.group(g).base(&m, h[12] == 3)
		case 5:
			delete(l.groups, g)
		}
		off += (hdr + n + 7) / 8 * 8
	}
	s.size = off
}

func (l *Log) group(g raft.GroupID) *group {
	x := l.groups[g]
	if x == nil {
		x = &group{}
		l.groups[g] = x
	}
	return x
}

func (x *group) put(e *raft.Entry, p *pos) {
	st := &x.st
	if e.Index <= st.Snapshot.Index {
		return
	}
	keep := int(e.Index - st.Snapshot.Index - 1)
	if keep > len(x.entries) {
		return
	}
	for _, q := range x.entries[keep:] {
		x.bytes -= uint64(q.size) + 32
	}
	x.entries = append(x.entries[:keep], *p)
	x.bytes += uint64(p.size) + 32
	st.LastIndex = e.Index
	for len(st.Terms) > 0 && st.Terms[len(st.Terms)-1].First >= e.Index {
		st.Terms = st.Terms[:len(st.Terms)-1]
	}
	if len(st.Terms) == 0 || st.Terms[len(st.Terms)-1].Term != e.Term {
		st.Terms = append(st.Terms, raft.TermRun{First: e.Index, Term: e.Term})
	}
	for len(st.Configurations) > 0 && st.Configurations[len(st.Configurations)-1].Index >= e.Index {
		st.Configurations = st.Configurations[:len(st.Configurations)-1]
	}
	if e.Kind == raft.EntryConfiguration {
		c, _ := raft.DecodeConfiguration(e.Data)
		st.Configurations = append(st.Configurations, raft.ConfigurationAt{Index: e.Index, Configuration: c})
	}
}

func (x *group) base(m *raft.SnapshotMeta, replace bool) {
	st := &x.st
	if replace || m.Index >= st.LastIndex {
		x.entries, x.bytes, st.Terms, st.Configurations, st.LastIndex = nil, 0, nil, nil, m.Index
	} else if m.Index > st.Snapshot.Index {
		n := int(m.Index - st.Snapshot.Index)
		for _, q := range x.entries[:n] {
			x.bytes -= uint64(q.size) + 32
		}
		x.entries = append([]pos(nil), x.entries[n:]...)
		var ts []raft.TermRun
		for i, t := range st.Terms {
			if i+1 < len(st.Terms) && st.Terms[i+1].First <= m.Index+1 {
				continue
			}
			t.First = max(t.First, m.Index+1)
			ts = append(ts, t)
		}
		st.Terms = ts
		var cs []raft.ConfigurationAt
		for _, c := range st.Configurations {
			if c.Index > m.Index {
				cs = append(cs, c)
			}
		}
		st.Configurations = cs
	} else {
		return
	}
	st.Snapshot = *m
}

func (l *Log) Groups() []raft.GroupID { return nil }
func (l *Log) State(g raft.GroupID) (GroupState, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	x := l.groups[g]
	if x == nil {
		return GroupState{}, false
	}
	st := x.st
	st.Terms = append([]raft.TermRun(nil), st.Terms...)
	st.Configurations = append([]raft.ConfigurationAt(nil), st.Configurations...)
	return st, true
}
func (l *Log) Incarnation() uint64 { return l.inc }
func (l *Log) Append(bs []Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range bs {
		b := &bs[i]
		x := l.group(b.Group)
		if b.Snapshot != nil {
			d := encMeta(b.Snapshot)
			l.frame(3, 0, b.Group, uint64(b.Snapshot.Term), uint64(b.Snapshot.Index), raft.Sum(d), d)
			x.base(b.Snapshot, true)
		}
		if b.HardState != nil {
			l.frame(1, 0, b.Group, uint64(b.HardState.Term), uint64(b.HardState.Vote), 0, nil)
			x.st.HardState = *b.HardState
		}
		for j := range b.Entries {
			e := &b.Entries[j]
			off := l.frame(2, byte(e.Kind), b.Group, uint64(e.Term), uint64(e.Index), e.Sum, e.Data)
			x.put(e, &pos{seg: l.cur, off: off, size: uint32(len(e.Data)), term: e.Term, kind: e.Kind, sum: e.Sum, mem: e.Data})
		}
		if b.Compact != nil {
			d := encMeta(b.Compact)
			l.frame(4, 0, b.Group, uint64(b.Compact.Term), uint64(b.Compact.Index), raft.Sum(d), d)
			x.base(b.Compact, false)
		}
		if b.Remove {
			l.frame(5, 0, b.Group, 0, 0, 0, nil)
			delete(l.groups, b.Group)
		}
	}
	return nil
}
func (l *Log) Sync() error {
	if len(l.buf) == 0 {
		return nil
	}
	if _, err := l.cur.f.WriteAt(l.buf, l.off); err != nil {
		return err
	}
	if err := l.cur.f.Sync(); err != nil {
		return err
	}
	l.syncs.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off += int64(len(l.buf))
	l.cur.size = l.off
	l.buf = l.buf[:0]
	if l.off > l.o.SegmentBytes-(4<<20) && l.off > l.o.SegmentBytes/2 {
		return l.roll()
	}
	return nil
}
func (l *Log) Syncs() uint64          { return l.syncs.Load() }
func (l *Log) Prepare() (bool, error) { return false, nil }
func (l *Log) Full() bool             { return false }
func (l *Log) Bytes(g raft.GroupID) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if x := l.groups[g]; x != nil {
		return x.bytes
	}
	return 0
}
func (l *Log) Close() error {
	for _, s := range l.segs {
		s.f.Close()
	}
	return l.lock.Close()
}
func (l *Log) Entries(g raft.GroupID, from, to raft.Index, maxBytes uint64) ([]raft.Entry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	x := l.groups[g]
	if x == nil {
		return nil, ErrNotFound
	}
	if from <= x.st.Snapshot.Index {
		return nil, ErrCompacted
	}
	var out []raft.Entry
	var n uint64
	for i := from; i <= to && i <= x.st.LastIndex; i++ {
		p := &x.entries[i-x.st.Snapshot.Index-1]
		n += uint64(p.size) + 32
		if len(out) > 0 && n > maxBytes {
			break
		}
		e := raft.Entry{Term: p.term, Index: i, Kind: p.kind, Sum: p.sum, Data: p.mem}
		if p.mem == nil && p.size > 0 {
			e.Data = make([]byte, p.size)
			if _, err := p.seg.f.ReadAt(e.Data, p.off+hdr); err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, ErrNotFound
	}
	return out, nil
}
