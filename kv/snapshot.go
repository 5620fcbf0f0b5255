package kv

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/balsa-raft/balsa/engine"
)

// A snapshot is a stream of blocks of keys and values, all of the database in its order; docs/formats/kv.md is the grammar. Every block has a checksum,
// and the last one the number of pairs, so a snapshot that was cut or damaged is found out before it is used.
const (
	snapshotMagic  = "balsakv\x01"
	snapshotBlock  = 64 << 10 // a block ends with the pair that fills it
	maxBlockBytes  = 1 << 30
	blockHeadSize  = 8
	trailerPayload = 8
)

// Snapshot implements engine.StateMachine. Capturing is cheap: it copies nothing, and the files that it keeps from being removed are let go by Close.
func (s *Store) Snapshot() (engine.SnapshotWriter, error) { return s.Backup(context.Background()) }

// Backup is Snapshot for any goroutine, at any time: a consistent copy of the state as of a command applied just now. Writing it ends
// when the context does.
func (s *Store) Backup(ctx context.Context) (engine.SnapshotWriter, error) {
	p, err := s.pin()
	if err != nil {
		return nil, err
	}
	return &snapshotWriter{store: s, ctx: ctx, pinned: p}, nil
}

type snapshotWriter struct {
	store  *Store
	ctx    context.Context
	pinned *pinned
}

// Close implements engine.SnapshotWriter.
func (w *snapshotWriter) Close() error { return w.pinned.close() }

// WriteTo implements engine.SnapshotWriter.
func (w *snapshotWriter) WriteTo(to io.Writer) (int64, error) {
	it, err := w.pinned.snapshot.NewIter(&pebble.IterOptions{UpperBound: stateKey})
	if err != nil {
		return 0, w.store.fail(storageError("read for a snapshot", err))
	}
	b := &blockWriter{to: to}
	b.write([]byte(snapshotMagic))
	for valid := it.First(); valid && b.err == nil; valid = it.Next() {
		if b.pairs%checkEvery == 0 && w.ctx.Err() != nil {
			return b.written, errors.Join(w.ctx.Err(), it.Close())
		}
		b.pair(it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		return b.written, w.store.fail(storageError("read for a snapshot", err))
	}
	// The state's key is the last there is. An empty store does not have it yet.
	b.pair(stateKey, w.pinned.state.append(nil))
	b.finish()
	return b.written, b.err
}

// blockWriter makes blocks of pairs.
type blockWriter struct {
	to      io.Writer
	block   []byte // with room for the head
	pairs   uint64
	written int64
	err     error
}

func (b *blockWriter) write(data []byte) {
	if b.err == nil {
		var n int
		n, b.err = b.to.Write(data)
		b.written += int64(n)
	}
}

func (b *blockWriter) pair(key, value []byte) {
	b.start()
	b.block = binary.AppendUvarint(b.block, uint64(len(key)))
	b.block = binary.AppendUvarint(b.block, uint64(len(value)))
	b.block = append(append(b.block, key...), value...)
	b.pairs++
	if len(b.block) >= snapshotBlock {
		b.flush()
	}
}

func (b *blockWriter) start() {
	if len(b.block) == 0 {
		b.block = append(b.block, make([]byte, blockHeadSize)...)
	}
}

func (b *blockWriter) flush() {
	payload := b.block[blockHeadSize:]
	binary.LittleEndian.PutUint32(b.block, uint32(len(payload)))
	binary.LittleEndian.PutUint32(b.block[4:], crc32.Checksum(payload, castagnoli))
	b.write(b.block)
	b.block = b.block[:0]
}

// finish writes what is left and the trailer: a block whose length is that of nothing, whose checksum is of the number of pairs, and that number.
func (b *blockWriter) finish() {
	if len(b.block) > 0 {
		b.flush()
	}
	var trailer [blockHeadSize + trailerPayload]byte
	binary.LittleEndian.PutUint64(trailer[blockHeadSize:], b.pairs)
	binary.LittleEndian.PutUint32(trailer[4:], crc32.Checksum(trailer[blockHeadSize:], castagnoli))
	b.write(trailer[:])
}

// blockReader reads what a blockWriter wrote.
type blockReader struct {
	from  *bufio.Reader
	block []byte
	rest  []byte
	pairs uint64
}

func newBlockReader(from io.Reader) (*blockReader, error) {
	b := &blockReader{from: bufio.NewReaderSize(from, snapshotBlock)}
	var magic [len(snapshotMagic)]byte
	if _, err := io.ReadFull(b.from, magic[:]); err != nil {
		return nil, snapshotError("its beginning", err)
	}
	if string(magic[:]) != snapshotMagic {
		return nil, fmt.Errorf("%w: a snapshot begins with %q instead of %q: it is none of a kv store, or of another version", ErrCorrupt, magic[:], snapshotMagic)
	}
	return b, nil
}

func snapshotError(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: a snapshot ends before %s is complete", ErrCorrupt, what)
	}
	return fmt.Errorf("kv: read a snapshot: %w", err)
}

// next returns the next pair, valid until the next call, or io.EOF after the last one if the snapshot is complete. What follows the snapshot is not read
// beyond a buffer: a backup may be padded.
func (b *blockReader) next() (key, value []byte, err error) {
	if len(b.rest) == 0 {
		if err := b.load(); err != nil {
			return nil, nil, err
		}
	}
	keySize, n := binary.Uvarint(b.rest)
	valueSize, m := uint64(0), 0
	if n > 0 {
		valueSize, m = binary.Uvarint(b.rest[n:])
	}
	if n <= 0 || m <= 0 || keySize == 0 || keySize > uint64(len(b.rest)-n-m) || valueSize > uint64(len(b.rest)-n-m)-keySize {
		return nil, nil, fmt.Errorf("%w: pair %d of a snapshot is malformed", ErrCorrupt, b.pairs)
	}
	pair := b.rest[n+m:]
	key, value, b.rest = pair[:keySize:keySize], pair[keySize:keySize+valueSize:keySize+valueSize], pair[keySize+valueSize:]
	b.pairs++
	return key, value, nil
}

// load reads the next block.
func (b *blockReader) load() error {
	var head [blockHeadSize]byte
	if _, err := io.ReadFull(b.from, head[:]); err != nil {
		return snapshotError("its trailer", err)
	}
	size, sum := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if size > maxBlockBytes {
		return fmt.Errorf("%w: a snapshot has a block of %d bytes after pair %d", ErrCorrupt, size, b.pairs)
	}
	isTrailer := size == 0
	if isTrailer {
		size = trailerPayload
	}
	if err := b.read(int(size)); err != nil {
		return err
	}
	if crc32.Checksum(b.block, castagnoli) != sum {
		return fmt.Errorf("%w: the block after pair %d of a snapshot does not match its checksum", ErrCorrupt, b.pairs)
	}
	if !isTrailer {
		b.rest = b.block
		return nil
	}
	if pairs := binary.LittleEndian.Uint64(b.block); pairs != b.pairs {
		return fmt.Errorf("%w: a snapshot has %d pairs instead of %d", ErrCorrupt, b.pairs, pairs)
	}
	return io.EOF
}

// read reads a block, in pieces, so that a length that lies costs no memory.
func (b *blockReader) read(size int) error {
	b.block = b.block[:0]
	for len(b.block) < size {
		start := len(b.block)
		piece := min(size-start, 1<<20)
		if cap(b.block)-start < piece {
			b.block = append(b.block, make([]byte, piece)...)
		}
		b.block = b.block[:start+piece]
		if _, err := io.ReadFull(b.from, b.block[start:]); err != nil {
			return snapshotError("a block", err)
		}
	}
	return nil
}

// checkSnapshotKey refuses keys that no store has.
func checkSnapshotKey(key []byte) error {
	switch key[0] {
	case prefixHistory:
		_, _, err := parseHistoryKey(nil, key)
		return err
	case prefixRevision:
		_, err := parseRevisionKey(key)
		return err
	case prefixLatest, prefixSetting:
		if len(key) > 1 {
			return nil
		}
	case prefixState:
		if len(key) == 1 {
			return nil
		}
	}
	return fmt.Errorf("%w: a snapshot has the unknown key %.40x", ErrCorrupt, key)
}
