// Package serve is the lab's host in Go: it serves the page, and runs an engine for every WebSocket that the page opens.
//
// Whoever reaches it can make it compute, so that it is for this machine: it answers only requests whose Host names where it listens, a WebSocket only from
// its own pages, and it bounds how many engines there are and what one request may cost. It reads and writes no files.
package serve

import (
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/coder/websocket"

	"github.com/balsa-raft/balsa/lab"
	"github.com/balsa-raft/balsa/lab/page"
)

//go:embed engine.js
var engineJS []byte

// Options say what is served.
type Options struct {
	// Open is a run that pages begin with, if not nil.
	Open *lab.Run
	// Engines is how many engines may run at once: 16 by default.
	Engines int
	Logger  *slog.Logger
}

const (
	maxRequest = 4 << 20
	// idle is how long an engine lives that nobody asks anything.
	idle = time.Hour
)

// Handler answers the requests of pages.
type Handler struct {
	options Options
	files   http.Handler
	engines chan struct{}
}

// New makes a Handler.
func New(o Options) *Handler {
	if o.Engines <= 0 {
		o.Engines = 16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{options: o, files: Files(page.Files()), engines: make(chan struct{}, o.Engines)}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !Local(r) {
		http.Error(w, "this is served on the loopback interface, to pages from there", http.StatusForbidden)
		return
	}
	if r.URL.Path == "/engine" {
		h.engine(w, r)
		return
	}
	h.files.ServeHTTP(w, r)
}

// Local tells whether a request that came in on the loopback interface also asked for it by a name of it: a page from elsewhere, whose name was made to point
// here, did not. What came in otherwise was let in by whoever chose to listen there.
func Local(r *http.Request) bool {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	at, err := netip.ParseAddrPort(address.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return true
	}
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// Files serves the page, with the engine.js of this host.
func Files(files fs.FS) http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Cache-Control", "no-cache")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; frame-ancestors *")
		if r.URL.Path == "/engine.js" {
			head.Set("Content-Type", "text/javascript; charset=utf-8")
			_, _ = w.Write(engineJS) // Whoever went away needs no answer.
			return
		}
		server.ServeHTTP(w, r)
	})
}

// engine runs an engine for as long as the page is there.
func (h *Handler) engine(w http.ResponseWriter, r *http.Request) {
	select {
	case h.engines <- struct{}{}:
		defer func() { <-h.engines }()
	default:
		http.Error(w, "too many pages are open: close one", http.StatusServiceUnavailable)
		return
	}
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered.
	}
	defer socket.CloseNow()
	socket.SetReadLimit(maxRequest)
	e := lab.NewEngine(lab.Hello{Host: "native", Open: h.options.Open})
	if err := answer(r.Context(), socket, e); err != nil {
		h.options.Logger.Debug("a page is gone", "error", err)
	}
}

// answer answers one request after the other.
func answer(ctx context.Context, socket *websocket.Conn, e *lab.Engine) error {
	for {
		within, cancel := context.WithTimeout(ctx, idle)
		kind, request, err := socket.Read(within)
		cancel()
		switch {
		case err != nil:
			return err
		case kind != websocket.MessageText:
			return errors.Join(errors.New("not a text"), socket.Close(websocket.StatusUnsupportedData, "requests are JSON"))
		}
		within, cancel = context.WithTimeout(ctx, time.Minute)
		err = socket.Write(within, websocket.MessageText, e.Handle(request))
		cancel()
		if err != nil {
			return err
		}
	}
}
