package transport

import (
	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/transport/wire"
)

// direct writes what is small from the goroutine that sends it, which is that of a turn or of the disk, while the connection is idle: waking the writer
// takes longer than such a write, and another processor. It never waits. What the operating system does not take at once is left to the writer.
//
// Invariant: whoever writes to the connection holds the peer's sending, and has written what was queued before. So messages leave in the order in which they were sent.
type direct struct {
	batch   wire.Batch
	attempt func() // makes one try to write bytes, and sets taken
	bytes   []byte
	taken   int
	// rest is what of so many messages was not taken. The writer writes it before anything else.
	rest     []byte
	messages int
}

const (
	// maxDirectMessages and maxDirectBytes bound what is small. Larger writes take so long that the turn goes on meanwhile, and a busy group's messages gather in the queue.
	maxDirectMessages = 8
	maxDirectBytes    = 8 << 10
)

// sendNow writes the envelopes if that can be done at once. If not, nothing has happened.
func (p *peer) sendNow(envelopes []engine.Envelope) bool {
	if len(envelopes) > maxDirectMessages || !p.sending.TryLock() {
		return false
	}
	defer p.sending.Unlock()
	d := p.direct
	if d == nil || len(d.rest) > 0 || p.hasQueued() {
		return false
	}
	weight := 0
	for i := range envelopes {
		weight += wire.Weight(envelopes[i].Message)
	}
	if weight > maxDirectBytes {
		return false
	}
	defer d.batch.Reset()
	for i := range envelopes {
		if d.batch.Add(envelopes[i].Group, envelopes[i].Message) != nil {
			return false // the writer complains
		}
	}
	d.bytes, d.taken = d.batch.Pieces()[0], 0
	d.attempt()
	if d.taken <= 0 {
		return false
	}
	p.bytesOut.Add(uint64(d.taken))
	if d.taken < len(d.bytes) {
		d.rest, d.messages = append(d.rest, d.bytes[d.taken:]...), len(envelopes)
		p.signal()
		return true
	}
	p.framesOut.Add(uint64(len(envelopes)))
	return true
}

// writeRest writes what a direct write has left; the writer holds sending.
func (w *writer) writeRest() error {
	d := w.p.direct
	if d == nil || len(d.rest) == 0 {
		return nil
	}
	if _, err := w.conn.Write(d.rest); err != nil {
		return err // the connection ends, and with it the rest
	}
	w.p.bytesOut.Add(uint64(len(d.rest)))
	w.p.framesOut.Add(uint64(d.messages))
	d.rest, d.messages = d.rest[:0], 0
	return nil
}

// setDirect lets senders write to a connection; nil ends that.
func (p *peer) setDirect(d *direct) {
	p.sending.Lock()
	defer p.sending.Unlock()
	if old := p.direct; old != nil {
		p.dropped.Add(uint64(old.messages))
	}
	p.direct = d
}
