package wal

import (
	"errors"
	"slices"
)

// prepareBytes is how much one Prepare writes or reads, so that it never keeps the disk from a Sync for long.
const prepareBytes = 1 << 20

// Slack is how many segments of dead bytes a log may have beyond as many dead as live ones: Prepare begins to move live entries out of
// old segments at the first bound, Append itself at the second.
const (
	prepareSlack = 2
	inlineSlack  = 4
)

// Prepare does a piece of the work that is not to hold up the writer: it makes the next segment ready, recycles or removes segments that no
// group needs, and copies the few live entries of an old segment forward, so that an idle group does not keep it for ever. It tells
// whether it did something; call it again then, and else when Pending says so. It may run concurrently with everything; where nobody calls
// it, Append does the same work when it needs it. ErrFull says that the disk has no room for a spare segment.
func (l *Log) Prepare() (did bool, err error) {
	l.house.Lock()
	defer l.house.Unlock()
	if err := l.failed(); err != nil {
		return false, err
	}
	l.pending.Store(false)
	defer func() {
		if did {
			l.pending.Store(true)
		}
	}()
	if did, err = l.recycle(); did || err != nil {
		return did, err
	}
	if did, err = l.shrink(); did || err != nil {
		return did, err
	}
	if did, err = l.fillSpare(); did || err != nil {
		return did, err
	}
	if err = l.ease(); err != nil {
		return false, err
	}
	return l.clean(prepareSlack, false)
}

// fillSpare makes spare files ready, a step at a time. house is held.
func (l *Log) fillSpare() (bool, error) {
	if l.filling == nil {
		s, err := l.spareToFill()
		if s == nil || err != nil {
			return false, err
		}
		l.filling = s
	}
	s := l.filling
	if s.filled < l.options.SegmentBytes {
		to := min(s.filled+prepareBytes, l.options.SegmentBytes)
		if err := fill(s.file, s.filled, to); err != nil {
			return false, l.fillFailed(s, err)
		}
		s.filled = to
		return true, nil
	}
	if err := s.file.Sync(); err != nil {
		return false, l.poison("fsync of "+s.name, err)
	}
	l.filling = nil
	l.addSpare(s)
	l.full.Store(false)
	return true, nil
}

// spareToFill returns a file that needs filling: a new one, if there are less than the two that keep a roll from waiting, one from the time
// when the active segment is half full; or one that has only the blocks of the reserve, if the disk has room for all of it.
func (l *Log) spareToFill() (*spare, error) {
	l.mu.Lock()
	want := 1
	if l.end()-l.current.data > l.options.SegmentBytes/2 {
		want = 2
	}
	have := len(l.spares)
	short := slices.IndexFunc(l.spares, func(s *spare) bool { return s.filled < l.options.SegmentBytes })
	free, err := uint64(0), error(nil)
	if short >= 0 {
		free, err = l.fs.Free(l.dir)
	}
	if short >= 0 && err == nil && free >= uint64(l.options.SegmentBytes+l.options.ReserveBytes) {
		s := l.spares[short]
		l.spares = slices.Delete(l.spares, short, short+1)
		l.mu.Unlock()
		return s, nil
	}
	l.mu.Unlock()
	if err != nil || have >= want {
		return nil, err
	}
	s, err := l.createSpare()
	if err != nil {
		return nil, l.noSpare("make a segment in "+l.dir, err)
	}
	return s, nil
}

// noSpare judges that a spare could not be made. The disk counts as full when there is none.
func (l *Log) noSpare(operation string, err error) error {
	l.mu.RLock()
	have := len(l.spares)
	l.mu.RUnlock()
	if have > 0 && errors.Is(err, ErrNoSpace) {
		return nil
	}
	return l.noRoom(operation, err)
}

// ease notes that a disk that was full has room again.
func (l *Log) ease() error {
	if !l.full.Load() {
		return nil
	}
	free, err := l.fs.Free(l.dir)
	if err != nil {
		return err
	}
	l.mu.RLock()
	have := len(l.spares)
	l.mu.RUnlock()
	if have > 0 && free >= uint64(l.options.ReserveBytes+growBytes) {
		l.full.Store(false)
	}
	return nil
}

// fillFailed keeps what was filled if it is enough for a reserve.
func (l *Log) fillFailed(s *spare, err error) error {
	l.filling = nil
	if s.filled >= l.options.ReserveBytes && errors.Is(err, ErrNoSpace) {
		l.addSpare(s)
		return nil
	}
	full := l.noSpare("fill "+s.name, err)
	if err := s.file.Close(); err != nil {
		return l.poison("close "+s.name, err)
	}
	if err := l.fs.Remove(s.name); err != nil {
		return l.poison("remove "+s.name, err)
	}
	return full
}

// tidy does what Prepare would have done by the time a segment is full, as far as the bound on the log's space asks for it. The writer is
// held; if Prepare is running, it does it.
func (l *Log) tidy() error {
	if !l.house.TryLock() {
		return nil
	}
	defer l.house.Unlock()
	for range 2 {
		if _, err := l.recycle(); err != nil {
			return err
		}
	}
	for did := true; did; {
		var err error
		if did, err = l.shrink(); err != nil {
			return err
		}
	}
	for {
		did, err := l.clean(inlineSlack, true)
		if !did || err != nil {
			return ignoreFull(err)
		}
	}
}
