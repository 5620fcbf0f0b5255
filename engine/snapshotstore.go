package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/wal"
)

// snapshotStore keeps snapshots as files: the body as the machine wrote it, then a trailer that says what it is. A file gets its final name
// once it is complete and durable; until then it is a ".part". See docs/formats/snapshot.md. The Background stage and the Apply stage use it.
type snapshotStore struct {
	fs  wal.FS
	dir string
	// rest, if set, is called after each piece of a body that is written. The lengthy jobs alone call it.
	rest func()
}

const (
	snapshotMagic  = "BALSNAP1"
	snapshotSuffix = ".snap"
	partSuffix     = ".part"
	goneSuffix     = ".gone" // behind the other
	// maxTrailer bounds a trailer, whose configuration is the only part without a fixed size.
	maxTrailer = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errSnapshotDamaged says that a snapshot file is not what it was written as.
var errSnapshotDamaged = errors.New("snapshot file damaged")

// errSnapshotDisk says that the disk failed a write or an fsync of a snapshot. Then the host stops: what else the disk did not do, nobody knows.
var errSnapshotDisk = errors.New("the disk failed")

// onDisk marks what the disk said. That it has no room is no failure.
func onDisk(err error) error {
	if err == nil || errors.Is(err, wal.ErrNoSpace) {
		return err
	}
	return fmt.Errorf("%w: %w", errSnapshotDisk, err)
}

// snapshotFile is an open, complete snapshot. Its body is read around the page cache.
type snapshotFile struct {
	wal.File
	around wal.ReadCloserAt
	meta   raft.SnapshotMeta
	id     uint64
	size   int64
	sum    uint32

	// followed is how much of the body was sent from its beginning on, and followedSum the sum of that; the Background stage's own.
	followed    int64
	followedSum uint32
}

// Close implements io.Closer.
func (f *snapshotFile) Close() error { return errors.Join(f.around.Close(), f.File.Close()) }

func (f *snapshotFile) damaged(sum uint32) error {
	return fmt.Errorf("%w: the body's checksum is %08x, not %08x", errSnapshotDamaged, sum, f.sum)
}

// follow sums what is sent, and says so when all of it was and is not what had been written. Where the receiver had a part of the body from before, the sum
// over all is the receiver's to check: then it asks for all of it.
func (f *snapshotFile) follow(off int64, data []byte) error {
	end := off + int64(len(data))
	if off > f.followed || end <= f.followed {
		return nil
	}
	f.followedSum = updateSum(f.followedSum, data[f.followed-off:])
	if f.followed = end; end == f.size && f.followedSum != f.sum {
		return f.damaged(f.followedSum)
	}
	return nil
}

// bodyReader reads a body from its beginning to its end, and checks what it gives: the last piece comes only if the sum over all is right. So who needs the end
// never has all of a body that is damaged, and nothing is read twice, with time to rot in between.
type bodyReader struct {
	of    *snapshotFile
	piece []byte // what was read and not yet given
	space []byte
	at    int64
	sum   uint32
	err   error // what the disk said, or that the body is damaged
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	if len(r.piece) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

func (r *bodyReader) next() error {
	left := r.of.size - r.at
	switch {
	case r.err != nil:
		return r.err
	case left == 0 && r.sum == r.of.sum: // of a body without bytes, too
		return io.EOF
	case r.space == nil:
		r.space = make([]byte, min(left, bodyPiece))
	}
	piece := r.space[:min(left, bodyPiece)]
	n, err := r.of.around.ReadAt(piece, r.at)
	if n < len(piece) {
		r.err = fmt.Errorf("read the body at %d: %w", r.at, err)
		return r.err
	}
	r.at += int64(n)
	if r.sum = updateSum(r.sum, piece); r.at == r.of.size && r.sum != r.of.sum {
		r.err = r.of.damaged(r.sum)
		return r.err
	}
	r.piece = piece
	return nil
}

func bodySum(f io.ReaderAt, size int64) (uint32, error) {
	h := crc32.New(castagnoli)
	_, err := io.CopyBuffer(h, io.NewSectionReader(f, 0, size), make([]byte, max(1, min(size, bodyPiece))))
	return h.Sum32(), err
}

func openSnapshotStore(fsys wal.FS, dir string) (*snapshotStore, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("balsa: make the snapshot directory: %w", err)
	}
	return &snapshotStore{fs: fsys, dir: dir}, nil
}

func (s *snapshotStore) name(group raft.GroupID, index raft.Index, id uint64, suffix string) string {
	return path.Join(s.dir, fmt.Sprintf("%016x-%016x-%016x%s", uint64(group), uint64(index), id, suffix))
}

// list returns the names of a group's complete snapshots, the newest first, with their indexes.
func (s *snapshotStore) list(group raft.GroupID, suffix string) (names []string, indexes []raft.Index, err error) {
	all, err := s.fs.List(s.dir)
	if err != nil {
		return nil, nil, err
	}
	prefix := fmt.Sprintf("%016x-", uint64(group))
	for i := len(all) - 1; i >= 0; i-- {
		if !strings.HasPrefix(all[i], prefix) || !strings.HasSuffix(all[i], suffix) {
			continue
		}
		var g, index, id uint64
		if n, _ := fmt.Sscanf(all[i], "%016x-%016x-%016x", &g, &index, &id); n == 3 {
			names = append(names, path.Join(s.dir, all[i]))
			indexes = append(indexes, raft.Index(index))
		}
	}
	return names, indexes, nil
}

// find opens the acceptable snapshots, the newest first, until use wants no more. One that is damaged, as far as its trailer tells, is passed over. The files are
// use's to close.
func (s *snapshotStore) find(group raft.GroupID, accept func(raft.SnapshotMeta) bool, use func(*snapshotFile) (more bool, err error)) error {
	names, _, err := s.list(group, snapshotSuffix)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := s.open(name)
		if err != nil {
			if errors.Is(err, errSnapshotDamaged) || errors.Is(err, fs.ErrNotExist) {
				continue // or pruned just now: another one may do; if not, the caller says so
			}
			return err
		}
		if !accept(f.meta) {
			f.Close()
			continue
		}
		if more, err := use(f); err != nil || !more {
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return err
		}
	}
	return nil
}

// newest opens the newest acceptable snapshot; nil without error if there is none. Its body is not read yet.
func (s *snapshotStore) newest(group raft.GroupID, accept func(raft.SnapshotMeta) bool) (found *snapshotFile, err error) {
	err = s.find(group, accept, func(f *snapshotFile) (bool, error) {
		found = f
		return false, nil
	})
	return found, err
}

// refusal is a state machine's error about a body that is as it was written.
type refusal struct{ error }

// Unwrap gives the machine's error.
func (r refusal) Unwrap() error { return r.error }

// restore has a machine take over the newest acceptable snapshot that is intact, and tells which one that was; false without error if there is none.
// A machine may be given several: one turns out to be damaged when the machine is about to get its end. A machine that has to go on without any, if none is intact,
// is spared that: each is read twice.
func (s *snapshotStore) restore(
	group raft.GroupID, accept func(raft.SnapshotMeta) bool, spare bool, machine func(io.Reader) error,
) (meta raft.SnapshotMeta, found bool, err error) {
	err = s.find(group, accept, func(f *snapshotFile) (bool, error) {
		defer f.Close()
		body := &bodyReader{of: f}
		var err error
		if spare {
			if _, err = io.Copy(io.Discard, body); err == nil {
				body = &bodyReader{of: f}
			}
		}
		if err == nil {
			err = machine(body)
		}
		// What the machine had no use for is part of the body. So is what it did not get to see because it could not make sense of what it saw: if that was
		// not what had been written, it is the file that is to blame, and not the machine.
		_, rest := io.Copy(io.Discard, body)
		if err == nil {
			err = rest
		}
		switch {
		case errors.Is(body.err, errSnapshotDamaged):
			return true, nil
		case body.err != nil:
			return false, body.err // The disk did not even read it, which is not to say that it is damaged.
		case err != nil:
			return false, refusal{err}
		}
		meta, found = f.meta, true
		return false, nil
	})
	return meta, found, err
}

// open reads a file's trailer.
func (s *snapshotStore) open(name string) (*snapshotFile, error) {
	f, err := s.fs.Open(name)
	if err != nil {
		return nil, err
	}
	snap, err := readTrailer(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return snap, nil
}

// The trailer: size, sum, index, term, configuration index, the configuration, then the trailer's own length and
// checksum, and the magic at the very end.
func encodeTrailer(meta raft.SnapshotMeta, size int64, sum uint32) []byte {
	t := binary.LittleEndian.AppendUint64(nil, uint64(size))
	t = binary.LittleEndian.AppendUint32(t, sum)
	t = binary.LittleEndian.AppendUint64(t, uint64(meta.Index))
	t = binary.LittleEndian.AppendUint64(t, uint64(meta.Term))
	t = binary.LittleEndian.AppendUint64(t, uint64(meta.ConfigurationIndex))
	t = meta.Configuration.Encode(t)
	t = binary.LittleEndian.AppendUint32(t, uint32(len(t)))
	t = binary.LittleEndian.AppendUint32(t, crc32.Checksum(t, castagnoli))
	return append(t, snapshotMagic...)
}

const (
	trailerFixed = 8 + 4 + 8 + 8 + 8
	trailerEnd   = 4 + 4 + len(snapshotMagic)
)

func readTrailer(f wal.File) (*snapshotFile, error) {
	total, err := f.Size()
	if err != nil {
		return nil, err
	}
	end := make([]byte, trailerEnd)
	if total < int64(trailerEnd) {
		return nil, fmt.Errorf("%w: %d bytes are too few", errSnapshotDamaged, total)
	}
	if _, err := f.ReadAt(end, total-int64(trailerEnd)); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(end))
	if string(end[8:]) != snapshotMagic || n < trailerFixed || n > maxTrailer || n+int64(trailerEnd) > total {
		return nil, fmt.Errorf("%w: no trailer at its end", errSnapshotDamaged)
	}
	t := make([]byte, n+4)
	if _, err := f.ReadAt(t, total-int64(trailerEnd)-n); err != nil {
		return nil, err
	}
	if crc32.Checksum(t, castagnoli) != binary.LittleEndian.Uint32(end[4:]) {
		return nil, fmt.Errorf("%w: the trailer's checksum is wrong", errSnapshotDamaged)
	}
	cfg, err := raft.DecodeConfiguration(t[trailerFixed:n])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshotDamaged, err)
	}
	snap := &snapshotFile{
		File: f, around: wal.Around(f), size: int64(binary.LittleEndian.Uint64(t)), sum: binary.LittleEndian.Uint32(t[8:]),
		meta: raft.SnapshotMeta{
			Index: raft.Index(binary.LittleEndian.Uint64(t[12:])), Term: raft.Term(binary.LittleEndian.Uint64(t[20:])),
			ConfigurationIndex: raft.Index(binary.LittleEndian.Uint64(t[28:])), Configuration: cfg,
		},
	}
	if snap.size != total-int64(trailerEnd)-n {
		snap.around.Close()
		return nil, fmt.Errorf("%w: %d bytes of body instead of %d", errSnapshotDamaged, total-int64(trailerEnd)-n, snap.size)
	}
	snap.id = bodyID(snap.size, snap.sum)
	return snap, nil
}

// bodyID names a body by its content, so that a transfer can go on after either side was restarted.
func bodyID(size int64, sum uint32) uint64 { return uint64(sum)<<32 | uint64(uint32(size)) }

// write makes a complete snapshot of what the writer captured.
func (s *snapshotStore) write(group raft.GroupID, meta raft.SnapshotMeta, w SnapshotWriter) error {
	part := s.name(group, meta.Index, 0, partSuffix)
	if err := s.fs.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(part)
	if err != nil {
		return err
	}
	stream(f, 0)
	out := &bodyWriter{file: f, rest: s.rest}
	if _, err = w.WriteTo(out); err == nil {
		err = out.flush()
	}
	if out.failed != nil {
		err = out.failed // whatever the machine made of it
	}
	if err != nil {
		f.Close()
		return errors.Join(err, s.fs.Remove(part))
	}
	return s.complete(f, part, group, meta, out.offset, out.sum)
}

// complete makes a staged body a snapshot: trailer, its end, fsync, final name, fsync of the directory. If the disk fails, the staged body is removed: it may be in
// the page cache alone, and a later attempt would find it there and take it for durable.
func (s *snapshotStore) complete(f wal.File, part string, group raft.GroupID, meta raft.SnapshotMeta, size int64, sum uint32) error {
	trailer := encodeTrailer(meta, size, sum)
	_, err := f.WriteAt(trailer, size)
	if end := size + int64(len(trailer)); err == nil {
		var length int64
		if length, err = f.Size(); err == nil && length > end {
			err = f.Truncate(end)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(onDisk(err), s.fs.Remove(part))
	}
	err = s.fs.Rename(part, s.name(group, meta.Index, bodyID(size, sum), snapshotSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("a newer snapshot has come meanwhile: %w", err) // and what was staged is pruned: no fault of the disk
	}
	if err != nil {
		return onDisk(err)
	}
	return onDisk(s.fs.SyncDir(s.dir))
}

// prune removes the group's snapshots and staged pieces that are older than index; all of them, and index too, when keepNone. What an earlier one has left of a
// file goes too. It is a lengthy job.
func (s *snapshotStore) prune(group raft.GroupID, index raft.Index, keepNone bool) {
	gone, _, err := s.list(group, goneSuffix)
	if err != nil {
		return // nothing is lost by keeping them; the next prune tries again
	}
	for _, name := range gone {
		s.remove(name)
	}
	for _, suffix := range []string{snapshotSuffix, partSuffix} {
		names, indexes, err := s.list(group, suffix)
		if err != nil {
			return
		}
		for i, name := range names {
			if indexes[i] < index || keepNone && indexes[i] == index {
				s.remove(name)
			}
		}
	}
}

// shrinkPiece is how much of a file that nobody needs is freed at a time.
const shrinkPiece = 2 << 20

// remove removes a file, a large one a piece at a time: a file system may take a tenth of a second to free it in one, and no fsync of the log ends meanwhile. Its
// name says that it is no snapshot any more. A crash that forgets the new name leaves one without its end, which nobody takes for a snapshot: what is removed is not the
// newest, or is needed no more.
func (s *snapshotStore) remove(name string) {
	f, err := s.fs.Open(name)
	if err != nil {
		return
	}
	size, err := f.Size()
	if err == nil && size > shrinkPiece {
		gone := name
		if !strings.HasSuffix(name, goneSuffix) {
			gone += goneSuffix
			err = s.fs.Rename(name, gone)
		}
		for name = gone; err == nil && size > shrinkPiece; {
			size -= shrinkPiece
			if err = f.Truncate(size); s.rest != nil {
				s.rest()
			}
		}
	}
	if f.Close(); err == nil {
		_ = s.fs.Remove(name)
	}
}

// bodyPiece is how much of a body is written at a time: little, so that a write of the log never waits for long behind it, and a whole number of
// blocks, so that it can go around the page cache. A body that was left there would go to the disk all at once, with its fsync, and every fsync of the
// log would wait for it.
const bodyPiece = 256 << 10

// bodyReserve is how much room a body gets at a time, so that its pieces need not make the file longer.
const bodyReserve = 16 << 20

// stream tells the file that it is written from there to its end.
func stream(f wal.File, from int64) {
	if s, ok := f.(wal.Streamer); ok {
		s.Stream(from)
	}
}

// bodyWriter gathers small writes, and sums.
type bodyWriter struct {
	file   wal.File
	buffer []byte
	offset int64
	// reserved is how long the file may be already.
	reserved int64
	sum      uint32
	failed   error  // what the disk said
	rest     func() // called after each piece, if set
}

// Write implements io.Writer.
func (w *bodyWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), bodyPiece-len(w.buffer))
		w.buffer, rest = append(w.buffer, rest[:n]...), rest[n:]
		if len(w.buffer) == bodyPiece {
			if err := w.flush(); err != nil {
				return len(p) - len(rest), err
			}
			if w.rest != nil {
				w.rest()
			}
		}
	}
	return len(p), nil
}

func (w *bodyWriter) flush() error {
	if len(w.buffer) == 0 {
		return nil
	}
	if end := w.offset + int64(len(w.buffer)); len(w.buffer) == bodyPiece && end > w.reserved {
		w.reserved = end + bodyReserve
		if s, ok := w.file.(wal.Streamer); ok {
			s.Reserve(w.reserved)
		}
	}
	if _, err := w.file.WriteAt(w.buffer, w.offset); err != nil {
		w.failed = onDisk(err)
		return w.failed
	}
	w.sum = crc32.Update(w.sum, castagnoli, w.buffer)
	w.offset += int64(len(w.buffer))
	w.buffer = w.buffer[:0]
	return nil
}

// stage opens the file that a body comes into: a new one, or what an earlier attempt for the same body left.
func (s *snapshotStore) stage(group raft.GroupID, m *SnapshotChunk) (*receiving, error) {
	r := &receiving{id: m.ID, part: s.name(group, m.Meta.Index, m.ID, partSuffix)}
	f, err := s.fs.Open(r.part)
	if errors.Is(err, fs.ErrNotExist) {
		if r.file, err = s.fs.Create(r.part); err != nil {
			return nil, err
		}
		stream(r.file, 0)
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r.file = f
	if r.offset, err = f.Size(); err == nil {
		r.offset = min(r.offset, m.Size)
		around := wal.Around(f)
		r.sum, err = bodySum(around, r.offset)
		err = errors.Join(err, around.Close())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	stream(f, r.offset)
	return r, nil
}

func updateSum(sum uint32, data []byte) uint32 { return crc32.Update(sum, castagnoli, data) }
