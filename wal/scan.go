package wal

import "github.com/balsa-raft/balsa/raft"

// Scan reads a long run of entries from front to back, a part at a time. While its user is busy with one, the disk is with those that follow. It is one
// goroutine's.
type Scan struct {
	log      *Log
	group    raft.GroupID
	next, to raft.Index // what is not in a part yet
	maxBytes uint64
	ahead    []*part
}

// part is a run of entries that was found, and may be being read.
type part struct {
	*reading // nil if none was found, for a reason that is err
	entries  []raft.Entry
	err      error
	wait     func() // nil if it is to be read by who wants it
}

// partsAhead is how many parts are read while one is used. With two the disk need not wait for who checks what it has read.
const partsAhead = 2

// Scan begins to read the entries from index from up to and including to, in parts of at most maxBytes, of which up to three are in memory. Close has to follow.
func (l *Log) Scan(id raft.GroupID, from, to raft.Index, maxBytes uint64) *Scan {
	return &Scan{log: l, group: id, next: from, to: to, maxBytes: maxBytes}
}

// Next returns what Entries would, and none at the end. After an error it may be called again, and begins with what was not read.
func (s *Scan) Next() ([]raft.Entry, error) {
	if len(s.ahead) == 0 {
		if s.next > s.to {
			return nil, nil
		}
		s.find()
	}
	p := s.ahead[0]
	s.ahead = s.ahead[1:]
	if p.reading == nil {
		return nil, p.err
	}
	for len(s.ahead) < partsAhead && s.next <= s.to && s.found() {
		s.find().start()
	}
	if p.read(); len(p.entries) < p.count {
		s.Close() // what follows is not what comes next
		s.next = p.from + raft.Index(len(p.entries))
	}
	return p.entries, p.err
}

// Close ends the scan: the disk is done with it when Close returns.
func (s *Scan) Close() {
	for _, p := range s.ahead {
		switch {
		case p.wait != nil:
			p.wait()
		case p.reading != nil:
			unpin(p.spans)
		}
	}
	s.ahead = nil
}

// found tells whether nothing hinders what follows the parts that are there.
func (s *Scan) found() bool { return len(s.ahead) == 0 || s.ahead[len(s.ahead)-1].reading != nil }

// find finds the next part.
func (s *Scan) find() *part {
	p := &part{}
	p.reading, p.err = s.log.reading(s.group, s.next, s.to, s.maxBytes)
	if p.err == nil {
		s.next += raft.Index(p.count)
	}
	s.ahead = append(s.ahead, p)
	return p
}

// start has a part read beside its user where that can be.
func (p *part) start() {
	if p.reading == nil {
		return
	}
	if file, ok := p.spans[0].seg.file.(Bypass); ok {
		p.wait = file.Meanwhile(func() { p.entries, p.err = p.reading.entries() })
	}
}

// read reads the part, or waits until it is read.
func (p *part) read() {
	if p.wait != nil {
		p.wait()
	} else {
		p.entries, p.err = p.reading.entries()
	}
}
