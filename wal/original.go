package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
)

// A copy of a log is as dangerous as a lost vote. Started next to the original, it votes a second time; started instead of it, after a backup, say, it has
// forgotten what the member has promised since. Both are the same incarnation to the group, which cannot tell them apart. So a log knows the file it was
// written to: the ORIGINAL file names itself as its file system does, and a copy of it has another name there.

const (
	originalName  = "ORIGINAL"
	originalMagic = "BALSAORG"
	newSuffix     = ".new"
)

// ErrCopy says that the log is a copy of another one.
var ErrCopy = errors.New("wal: this log is a copy")

// Identifier is implemented by an FS that can tell a file from every copy of it, however exact: by what it is called inside of the file system. Names and
// renames have nothing to do with it. "" says that it cannot tell. Where an FS does not implement it, copies are not noticed.
type Identifier interface {
	Identity(name string) (string, error)
}

// The file is two copies, a disk sector each, of
//
//	original = "BALSAORG" incarnation(u64) size(u32) identity sum(u32)
//
// in which sum is CRC-32C of what is before it.
func encodeOriginal(incarnation uint64, identity string) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(originalMagic), incarnation)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(identity)))
	b = append(b, identity...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	both := make([]byte, 2*headerCopy)
	copy(both, b)
	copy(both[headerCopy:], b)
	return both
}

// decodeOriginal reads whichever copy is good.
func decodeOriginal(both []byte) (incarnation uint64, identity string, ok bool) {
	const head = 8 + 8 + 4
	for len(both) >= headerCopy {
		b := both[:headerCopy]
		both = both[headerCopy:]
		n := binary.LittleEndian.Uint32(b[16:])
		if string(b[:8]) != originalMagic || n > maxIdentity || crc32.Checksum(b[:head+n], castagnoli) != binary.LittleEndian.Uint32(b[head+n:]) {
			continue
		}
		return binary.LittleEndian.Uint64(b[8:]), string(b[head : head+n]), true
	}
	return 0, "", false
}

// maxIdentity bounds what a file system calls a file.
const maxIdentity = headerCopy - 8 - 8 - 4 - 4

// checkOriginal tells whether this log may be used. A log without the file is one that was begun before there was such a file, or whose owner took it away
// because the directory was moved: it gets one.
func (l *Log) checkOriginal() error {
	namer, ok := l.fs.(Identifier)
	if !ok {
		return nil
	}
	name := path.Join(l.dir, originalName)
	f, err := l.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return l.writeOriginal(namer)
	}
	if err != nil {
		return fmt.Errorf("wal: open %s: %w", name, err)
	}
	defer f.Close()
	b := make([]byte, 2*headerCopy)
	if err := readFull(f, b, 0); err != nil {
		return fmt.Errorf("wal: read %s: %w", name, err)
	}
	identity, err := namer.Identity(name)
	if err != nil {
		return fmt.Errorf("wal: %s: %w", name, err)
	}
	switch incarnation, was, good := decodeOriginal(b); {
	case !good:
		return fmt.Errorf("%w: %s is damaged, so that nobody can tell whether the log is a copy: if it is not, remove that file; if it is, %s", ErrCorrupt, name, replaceMember)
	case incarnation != l.incarnation:
		return fmt.Errorf("%w: %s belongs to another log: put back the files of one log, or %s", ErrCorrupt, name, replaceMember)
	case identity != "" && was != "" && identity != was:
		return fmt.Errorf("%w, as %s shows: the original, which may be running or have run since, has promised things that a copy does not know of; %s. Only if the directory was moved, "+
			"and nothing has run on the original since, remove that file instead", ErrCopy, name, replaceMember)
	}
	return nil
}

// beginOriginal makes the file for a new log.
func (l *Log) beginOriginal() error {
	if namer, ok := l.fs.(Identifier); ok {
		return l.writeOriginal(namer)
	}
	return nil
}

// writeOriginal makes the file, in the place of any other. It is made under another name, since what a crash leaves of it would keep the log from being
// opened. Where the disk has no room for it, the next start tries again.
func (l *Log) writeOriginal(namer Identifier) error {
	name := path.Join(l.dir, originalName)
	part := name + newSuffix
	if err := l.fs.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("wal: remove %s: %w", part, err)
	}
	f, err := l.fs.Create(part)
	if err != nil {
		return fmt.Errorf("wal: create %s: %w", part, err)
	}
	identity, err := namer.Identity(part)
	if len(identity) > maxIdentity {
		identity = "" // It cannot be kept, and a part of it might be the same for others.
	}
	if err == nil {
		_, err = f.WriteAt(encodeOriginal(l.incarnation, identity), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = l.fs.Rename(part, name)
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if errors.Is(err, ErrNoSpace) {
		l.logger.Warn("no room to note that this log is the original; until there is, a copy of it would not be noticed", "file", name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("wal: write %s: %w", name, err)
	}
	return nil
}
