package wal

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/balsa-raft/balsa/raft"
)

// Open opens the log in a directory, or begins one there, and recovers its state: it cuts a torn tail, and finds what is damaged. Damaged
// entries are no error, see GroupState.Faulty; damage that may have taken a vote, or where a log begins, is ErrCorrupt. Errors name the file,
// the offset, and what to do. It reads all of the log, and everything it found is durable when it returns.
func Open(o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{
		options: o, fs: o.FS, dir: o.Dir, logger: o.Logger, incarnation: o.Incarnation,
		groups: map[raft.GroupID]*group{}, fresh: map[raft.GroupID]*group{},
	}
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return nil, fmt.Errorf("wal: make the directory: %w: give a directory that can be written to", err)
	}
	if l.lock, err = l.fs.Lock(path.Join(l.dir, lockName)); err != nil {
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("%w: stop it, or give another directory", err)
		}
		return nil, fmt.Errorf("wal: lock the directory: %w: give a directory that can be written to", err)
	}
	if err = l.open(); err != nil {
		return nil, errors.Join(err, l.closeFiles())
	}
	return l, nil
}

func (l *Log) open() error {
	headers, err := l.openFiles()
	if err != nil {
		return err
	}
	if len(l.segments) == 0 {
		if err := l.create(); err != nil {
			return err
		}
		return l.beginOriginal()
	}
	if err := l.checkOriginal(); err != nil {
		return err
	}
	r := recovery{log: l}
	defer r.end()
	proven := func(k int) int64 {
		if k+1 < len(l.segments) {
			return headers[k+1].previousEnd
		}
		return -1 // to be found out: this is the last one
	}
	for k, seg := range l.segments {
		var next *segment
		if k+1 < len(l.segments) {
			next = l.segments[k+1]
		}
		if err := r.segment(seg, &headers[k], proven(k), next, proven(k+1)); err != nil {
			return fmt.Errorf("wal: recover %s: %w", segmentName(l.dir, seg.number), err)
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	// What was read may be in the page cache alone, if a process was killed and not the machine. What is past the proven sync point was written again
	// just now (see recovery.renew), so that this fsync covers it even if an earlier one failed.
	if err := l.current.file.Sync(); err != nil {
		return fmt.Errorf("wal: fsync of %s: %w", segmentName(l.dir, l.current.number), err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("wal: fsync of %s: %w", l.dir, err)
	}
	stream(l.current.file, l.flushed)
	l.reclaim()
	return nil
}

// create begins a new log.
func (l *Log) create() error {
	s := l.popSpare()
	if s == nil {
		var err error
		if s, err = l.createSpare(); err != nil {
			return fmt.Errorf("wal: create a log: %w: give a directory that can be written to, with room for the log", err)
		}
	}
	seg, err := l.beginSegment(s, 1, l.segmentHead(1, 0))
	if err != nil {
		return err
	}
	l.segments, l.current = []*segment{seg}, seg
	l.flushed, l.synced, l.needed = seg.data, seg.data, seg.number
	return nil
}

// openFiles opens the segments and spares of the directory and reads the segments' headers.
func (l *Log) openFiles() ([]segmentHeader, error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil, fmt.Errorf("wal: list the directory: %w", err)
	}
	var headers []segmentHeader
	for _, name := range names {
		switch {
		case name == lockName, name == originalName, name == originalName+newSuffix:
		case strings.HasSuffix(name, spareSuffix):
			err = l.openSpare(name)
		case strings.HasSuffix(name, segmentSuffix):
			var h segmentHeader
			h, err = l.openSegment(name)
			headers = append(headers, h)
		default:
			l.logger.Warn("a file in the log's directory is not the log's", "file", path.Join(l.dir, name))
		}
		if err != nil {
			return nil, fmt.Errorf("wal: %s: %w", path.Join(l.dir, name), err)
		}
	}
	if n := len(l.segments); n > 0 {
		l.current = l.segments[n-1]
		l.incarnation = headers[n-1].incarnation
	}
	for k := range headers {
		if headers[k].incarnation != l.incarnation {
			return nil, fmt.Errorf("%w: %s is of another log than %s: put back the files of one log",
				ErrCorrupt, segmentName(l.dir, l.segments[k].number), segmentName(l.dir, l.current.number))
		}
		if k > 0 && headers[k].number != headers[k-1].number+1 {
			return nil, fmt.Errorf("%w: %s is missing: put it back, or %s", ErrCorrupt, segmentName(l.dir, uint32(headers[k-1].number+1)), replaceMember)
		}
	}
	return headers, nil
}

// replaceMember is what is left to do when a member's votes cannot be known any more.
const replaceMember = "remove this member's whole data directory and add it to its groups as a new member"

func (l *Log) openSpare(name string) error {
	id, err := strconv.ParseUint(strings.TrimSuffix(name, spareSuffix), 16, 64)
	if err != nil {
		l.logger.Warn("a file in the log's directory is not the log's", "file", path.Join(l.dir, name))
		return nil
	}
	s := &spare{name: path.Join(l.dir, name)}
	if s.file, err = l.fs.Open(s.name); err != nil {
		return err
	}
	l.spareID = max(l.spareID, id)
	l.spares = append(l.spares, s) // closed with the others if anything fails
	if s.filled, err = s.file.Size(); err != nil {
		return err
	}
	s.filled = min(s.filled, l.options.SegmentBytes) &^ (align - 1)
	if s.filled < l.options.ReserveBytes || len(l.spares) > 2 {
		l.spares = l.spares[:len(l.spares)-1]
		return errors.Join(s.file.Close(), l.fs.Remove(s.name))
	}
	return nil
}

func (l *Log) openSegment(name string) (segmentHeader, error) {
	file, err := l.fs.Open(path.Join(l.dir, name))
	if err != nil {
		return segmentHeader{}, err
	}
	seg := &segment{file: file}
	l.segments = append(l.segments, seg) // closed with the others if anything fails
	if seg.filled, err = file.Size(); err != nil {
		return segmentHeader{}, err
	}
	b := make([]byte, min(segmentStart, seg.filled))
	if err := readFull(file, b, 0); err != nil {
		return segmentHeader{}, err
	}
	h, err := parseSegmentHeader(b, name)
	if err != nil {
		if errors.Is(err, errHeader) {
			err = fmt.Errorf("%w: %w: put back an intact copy of the file, or %s", ErrCorrupt, err, replaceMember)
		}
		return segmentHeader{}, err
	}
	if segmentName("", uint32(h.number)) != name {
		return segmentHeader{}, fmt.Errorf("%w: its header says that it is %s: if somebody renamed it, give it its name back; if not, the disk lost what was written to it: "+
			"put back an intact copy of the file, or %s", ErrCorrupt, segmentName("", uint32(h.number)), replaceMember)
	}
	seg.number = uint32(h.number)
	seg.salt = saltOf(h.incarnation, h.number)
	seg.data, seg.end = h.data(), h.data()
	return h, nil
}
