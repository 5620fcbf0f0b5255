package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/balsa-raft/balsa/transport/wire"
)

// run is the peer's goroutine: it dials when there is something to send, keeps sending while that works, and starts again when it
// does not. It ends when the transport closes, or when the peer is forgotten.
func (p *peer) run() {
	pause := p.t.opt.RedialMin
	for p.awaitWork() {
		conn, hello, err := p.dial()
		if errors.Is(err, errShownUp) {
			continue
		}
		if err == nil {
			p.setConnected(hello.Host)
			p.t.log(slog.LevelInfo, "up "+p.address, "connected to a peer", "peer", p.address, "host", hello.Host)
			up := time.Now()
			err = p.stream(conn, hello)
			if time.Since(up) > p.t.opt.RedialMax {
				pause = p.t.opt.RedialMin
			}
		}
		if p.t.ctx.Err() != nil {
			return
		}
		p.failed(err)
		pause = p.awaitRedial(pause)
	}
}

// failed drops what was queued for a peer that cannot be reached, and tells everybody.
func (p *peer) failed(err error) {
	p.setFailed(err)
	dropped := p.drop()
	p.complain("reach", "a peer cannot be reached", err, "dropped", dropped)
	p.t.opt.Sink.Disconnected(p.address)
}

// awaitWork waits until something is queued. It returns false when there is nothing to wait for any more.
func (p *peer) awaitWork() bool {
	for {
		if p.hasQueued() {
			return p.t.ctx.Err() == nil
		}
		idle := time.NewTimer(p.t.opt.ForgetAfter)
		select {
		case <-p.wake:
		case <-p.t.ctx.Done():
			idle.Stop()
			return false
		case <-idle.C:
			if p.forget() {
				return false
			}
		}
		idle.Stop()
	}
}

// awaitRedial waits for the pause and returns the next one. A peer that shows up meanwhile ends it.
func (p *peer) awaitRedial(pause time.Duration) (next time.Duration) {
	timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return min(2*pause, p.t.opt.RedialMax)
	case <-p.nudge:
		return p.t.opt.RedialMin
	case <-p.t.ctx.Done():
		return pause
	}
}

// errShownUp says that the peer dialled us while we were still trying to connect to it.
var errShownUp = errors.New("the peer has shown up meanwhile")

// dial connects to the peer, and both sides introduce themselves.
func (p *peer) dial() (net.Conn, *wire.Hello, error) {
	conn, err := p.connect()
	if err != nil {
		return nil, nil, err
	}
	conn, hello, err := p.t.greet(conn, p.address)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, hello, nil
}

// connect makes the connection to the peer. The attempts of TCP to reach a host that was down lie seconds apart; when the peer shows up meanwhile
// there is no point in waiting for the next one, and the result is errShownUp.
func (p *peer) connect() (net.Conn, error) {
	select {
	case <-p.nudge: // from before
	default:
	}
	ctx, cancel := context.WithTimeout(p.t.ctx, p.t.opt.HelloTimeout)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-p.nudge:
			giveUp(errShownUp)
		case <-ctx.Done():
		}
	}()
	conn, err := p.t.opt.Dial(ctx, "tcp", p.address)
	giveUp(nil)
	<-watched
	if err != nil && errors.Is(context.Cause(ctx), errShownUp) {
		err = errShownUp
	}
	return conn, err
}

// greet introduces this host to the peer it dialled. The connection it returns is never nil: it is the given one, or that inside TLS.
func (t *Transport) greet(conn net.Conn, address string) (net.Conn, *wire.Hello, error) {
	defer context.AfterFunc(t.ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(t.opt.HelloTimeout))
	if t.opt.TLS != nil {
		secured := tls.Client(conn, t.clientTLS(address))
		if err := secured.Handshake(); err != nil {
			if errors.Is(err, io.EOF) || isReset(err) {
				return conn, nil, fmt.Errorf("TLS: the peer hung up during the handshake, as one that does not speak TLS would: %w", err)
			}
			return conn, nil, fmt.Errorf("TLS: %w", err)
		}
		conn = secured
	}
	first, err := introduction(t.hello(address), nil)
	if err != nil {
		return conn, nil, err
	}
	if _, err := conn.Write(first); err != nil {
		return conn, nil, fmt.Errorf("sending the introduction: %w", err)
	}
	hello, err := readIntroduction(conn)
	if err != nil {
		return conn, nil, err
	}
	if refusal := t.check(hello, address, hello.Address); refusal != nil {
		// The peer has agreed already; it hears of our reason on the same stream.
		conn.Write(wire.AppendRefusal(nil, refusal))
		return conn, nil, refusedByUs{refusal}
	}
	conn.SetDeadline(time.Time{})
	return conn, hello, nil
}

// isReset tells whether the error is that of a connection which the other side closed with some of our bytes unread.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// clientTLS is the configuration for dialling that address.
func (t *Transport) clientTLS(address string) *tls.Config {
	if t.opt.TLS.ServerName != "" {
		return t.opt.TLS
	}
	config := t.opt.TLS.Clone()
	if host, _, err := net.SplitHostPort(address); err == nil {
		config.ServerName = host
	}
	return config
}

var errClosing = errors.New("this host is closing")

// partingTime is how long Close lets a connection write what is queued.
const partingTime = 250 * time.Millisecond

// stream sends what is queued over an introduced connection until that ends, and says why it did. It closes the connection.
func (p *peer) stream(conn net.Conn, hello *wire.Hello) error {
	parting := context.AfterFunc(p.t.ctx, func() { conn.SetWriteDeadline(time.Now().Add(partingTime)) })
	defer parting()
	answers := make(chan error, 1)
	go func() { answers <- p.readAnswers(conn) }()
	w := newWriter(p, conn, int(hello.MaxFrameBytes))
	p.setDirect(newDirect(conn, w.batch.Limit))
	err := p.write(w, answers)
	p.setDirect(nil)
	hangUp(conn)
	if reason := <-answers; !errors.Is(reason, net.ErrClosed) {
		// The reader did not end because we hung up, so it knows the cause: the peer's refusal or silence, or the end of the stream.
		return reason
	}
	return err
}

// hangUp closes a connection at once, where closing a TLS connection first waits for the peer to take a farewell.
func hangUp(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	conn.Close()
}

// write sends whatever is queued, and pings, until that fails or the reader of the answers has ended.
func (p *peer) write(w *writer, answers chan error) error {
	ticker := time.NewTicker(p.t.opt.PingInterval)
	defer ticker.Stop()
	w.batch.AddPing(p.t.now())
	for {
		if err := w.writeQueued(); err != nil {
			return err
		}
		select {
		case <-p.wake:
		case <-ticker.C:
			w.batch.AddPing(p.t.now())
		case err := <-answers:
			answers <- err // for stream
			return err
		case <-p.t.ctx.Done():
			if err := w.writeQueued(); err != nil {
				return err
			}
			return errClosing
		}
	}
}

// readAnswers reads what the peer says on the connection that we dialled: answers to pings, or why it wants no more. The reader's silence is how
// a dead peer is noticed. The error is never nil; the connection is closed when it returns, so that a blocked write ends too.
func (p *peer) readAnswers(conn net.Conn) error {
	defer hangUp(conn)
	r := &patientReader{conn: conn, patience: p.t.opt.PeerTimeout}
	frame := make([]byte, wire.MaxIntroductionBytes)
	for {
		h, meta, err := readSmallFrame(r, frame)
		if err != nil {
			return p.t.explain(err)
		}
		p.bytesIn.Add(uint64(h.FrameSize()))
		switch h.Kind {
		case wire.KindPong:
			number, err := wire.DecodeBeat(h, meta)
			if err != nil {
				return err
			}
			if now := p.t.now(); number != 0 && number <= now {
				p.rtt.Store(int64(now - number))
			}
		case wire.KindRefusal:
			refusal, err := wire.DecodeRefusal(h, meta)
			if err != nil {
				return err
			}
			return refusal
		default:
			return fmt.Errorf("%w: a frame of kind %d on a connection that only answers", wire.ErrCorrupt, h.Kind)
		}
	}
}
