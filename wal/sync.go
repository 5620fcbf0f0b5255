package wal

// Sync makes durable all that was appended before: one write, mostly, and one fdatasync. It blocks for as long as the disk does. An error
// has poisoned the log. One caller at a time with Append; readers are not held up.
func (l *Log) Sync() error {
	l.writer.Lock()
	defer l.writer.Unlock()
	return l.sync()
}

func (l *Log) sync() error {
	if err := l.failed(); err != nil {
		return err
	}
	if l.synced == l.end() {
		return nil
	}
	if s, ok := l.current.file.(Streamer); ok {
		s.SyncSoon()
	}
	if err := l.flush(); err != nil {
		return err
	}
	if err := l.current.file.Sync(); err != nil {
		return l.poison("fsync of "+segmentName(l.dir, l.current.number), err)
	}
	l.syncs.Add(1)
	l.mu.Lock()
	l.synced = l.flushed
	l.reclaim()
	l.mu.Unlock()
	return nil
}

// flush writes the buffer to the active segment. Readers find what is in it in the buffer or in the file at all times.
func (l *Log) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	if _, err := l.current.file.WriteAt(l.buf, l.flushed); err != nil {
		return l.poison("write to "+segmentName(l.dir, l.current.number), err)
	}
	l.mu.Lock()
	l.flushed += int64(len(l.buf))
	if l.buf = l.buf[:0]; cap(l.buf) > keepBytes {
		l.buf = nil
	}
	l.mu.Unlock()
	return nil
}

// flushLocked is flush for who holds mu; it lets readers in while it writes.
func (l *Log) flushLocked() error {
	l.mu.Unlock()
	defer l.mu.Lock()
	return l.flush()
}

// reclaim notes which segments no group needs. It is called when everything appended is durable, so also what made them dead is. mu is
// held.
func (l *Log) reclaim() {
	dead := 0
	for dead < len(l.segments)-1 && l.segments[dead].live == 0 {
		dead++
	}
	l.needed = l.segments[dead].number
	if dead > 0 || l.flushed-l.current.data > l.options.SegmentBytes/2 && len(l.spares) < 2 || len(l.spares) == 0 {
		l.pending.Store(true)
	}
}
