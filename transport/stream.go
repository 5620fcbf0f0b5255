package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/balsa-raft/balsa/transport/wire"
)

// patientReader reads from a connection and gives up when nothing came for about as long as patience: at least three quarters of it.
type patientReader struct {
	conn     net.Conn
	patience time.Duration
	// renewed is when the deadline was last set. Setting it for every read would cost as much as a short read itself.
	renewed time.Time
	// after, when not nil, is called after every read that brought something.
	after func(now time.Time) error
}

func (r *patientReader) Read(b []byte) (int, error) {
	now := time.Now()
	if now.Sub(r.renewed) > r.patience/4 {
		if err := r.conn.SetReadDeadline(now.Add(r.patience)); err != nil {
			return 0, err
		}
		r.renewed = now
	}
	n, err := r.conn.Read(b)
	if n > 0 && err == nil && r.after != nil {
		err = r.after(time.Now())
	}
	return n, err
}

// explain words the errors that the end of a stream gives for those who read them in a log.
func (t *Transport) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the peer was silent for %v: %w", t.opt.PeerTimeout, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the peer closed the connection in the middle of a frame: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the peer closed the connection: %w", err)
	}
	return err
}

// readSmallFrame reads one frame without payload into the buffer, whose size is the limit. The meta part returned is in the buffer.
func readSmallFrame(r io.Reader, buffer []byte) (wire.Header, []byte, error) {
	if _, err := io.ReadFull(r, buffer[:wire.HeaderSize]); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(buffer, len(buffer))
	if err != nil {
		return h, nil, err
	}
	if h.Payload > 0 {
		return h, nil, fmt.Errorf("%w: kind %d has no payload", wire.ErrCorrupt, h.Kind)
	}
	_, err = io.ReadFull(r, buffer[:h.Meta])
	return h, buffer[:h.Meta], err
}

// writer encodes a peer's queue and writes it to the peer's connection.
type writer struct {
	p     *peer
	conn  net.Conn
	batch wire.Batch
	// pieces has the form that net.Buffers wants; it is here so that it need not be allocated.
	pieces net.Buffers
}

const (
	// copyBelow is the length of data, in bytes, from which on handing it to the operating system where it lies is cheaper than a copy.
	copyBelow = 4 << 10
	// writeAbout is how many bytes are gathered before they are written: many frames share a system call, and a long queue neither waits for
	// its end to be encoded nor needs a buffer of its length.
	writeAbout = 512 << 10
)

func newWriter(p *peer, conn net.Conn, peerLimit int) *writer {
	w := &writer{p: p, conn: conn}
	w.batch.Limit = min(p.t.opt.MaxFrameBytes, peerLimit)
	if _, ok := conn.(*net.TCPConn); ok {
		w.batch.CopyBelow = copyBelow
	}
	return w
}

// writeQueued takes the peer's queue and writes it, after what is in the batch already.
func (w *writer) writeQueued() error {
	w.p.sending.Lock()
	defer w.p.sending.Unlock()
	if err := w.writeRest(); err != nil {
		return fmt.Errorf("writing to the peer: %w", err)
	}
	items, weight := w.p.take()
	defer w.p.release(items, weight)
	written, gathered := 0, 0 // of the items
	for i := range items {
		if err := w.batch.Add(items[i].group, items[i].message); err != nil {
			w.p.dropped.Add(1)
			w.p.setError(err)
			w.p.complain("size", "a message is too large for the peer: raise MaxFrameBytes on both hosts, or lower the size of requests", err)
			continue
		}
		gathered++
		if w.batch.Len() < writeAbout {
			continue
		}
		if err := w.flush(gathered); err != nil {
			w.p.dropped.Add(uint64(len(items) - written))
			return err
		}
		written, gathered = i+1, 0
	}
	if err := w.flush(gathered); err != nil {
		w.p.dropped.Add(uint64(len(items) - written))
		return err
	}
	return nil
}

// flush writes the batch, which holds so many messages.
func (w *writer) flush(messages int) error {
	if w.batch.Len() == 0 {
		return nil
	}
	defer w.batch.Reset()
	size := w.batch.Len()
	w.pieces = w.batch.Pieces()
	var err error
	if len(w.pieces) == 1 {
		_, err = w.conn.Write(w.pieces[0])
	} else {
		_, err = w.pieces.WriteTo(w.conn)
	}
	if err != nil {
		return fmt.Errorf("writing to the peer: %w", err)
	}
	w.p.framesOut.Add(uint64(messages))
	w.p.bytesOut.Add(uint64(size))
	return nil
}
