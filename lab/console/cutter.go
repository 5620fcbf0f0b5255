package console

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/balsa-raft/balsa/lab/serve"
)

// CutPath is where a member takes orders to cut links: POST ?to=HOST:PORT, and &mend=true to end it. Only members of a demonstration do.
const CutPath = "/console/cut"

// Header has to come with an order, so that no page from elsewhere can give one.
const Header = "X-Balsa-Console"

// Cutter dials peers, unless the link to them is cut: then there is no connection, and what was there is closed. It is one direction: peers reach this
// host over connections of their own.
type Cutter struct {
	mu    sync.Mutex
	cut   map[string]bool
	conns map[string][]net.Conn
}

// NewCutter makes a Cutter with some links cut from the beginning.
func NewCutter(cut []string) *Cutter {
	c := &Cutter{cut: map[string]bool{}, conns: map[string][]net.Conn{}}
	for _, address := range cut {
		c.cut[address] = true
	}
	return c
}

// Dial is for balsa.Options.Dial.
func (c *Cutter) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.isCut(address) {
		return nil, fmt.Errorf("dial %s: the link is cut", address)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut[address] {
		conn.Close()
		return nil, fmt.Errorf("dial %s: the link is cut", address)
	}
	link := &cuttable{Conn: conn, cutter: c, address: address}
	c.conns[address] = append(c.conns[address], link)
	return link, nil
}

func (c *Cutter) isCut(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[address]
}

// Set cuts the link to an address, or mends it.
func (c *Cutter) Set(address string, cut bool) {
	c.mu.Lock()
	var conns []net.Conn
	if cut {
		c.cut[address] = true
		conns = c.conns[address]
		delete(c.conns, address)
	} else {
		delete(c.cut, address)
	}
	c.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
}

// ServeHTTP implements http.Handler.
func (c *Cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := r.FormValue("to")
	switch {
	case r.Method != http.MethodPost:
		http.Error(w, "POST is all there is", http.StatusMethodNotAllowed)
	case !serve.Local(r) || r.Header.Get(Header) == "":
		http.Error(w, "only the demonstration that started this member may cut its links", http.StatusForbidden)
	case to == "":
		http.Error(w, "to= has to name a peer's address", http.StatusBadRequest)
	default:
		c.Set(to, r.FormValue("mend") != "true")
		w.WriteHeader(http.StatusNoContent)
	}
}

// cuttable is a connection that its Cutter knows while it is open.
type cuttable struct {
	net.Conn
	cutter  *Cutter
	address string
}

// Close implements net.Conn.
func (l *cuttable) Close() error {
	c := l.cutter
	c.mu.Lock()
	if i := slices.Index(c.conns[l.address], net.Conn(l)); i >= 0 {
		c.conns[l.address] = slices.Delete(c.conns[l.address], i, i+1)
	}
	c.mu.Unlock()
	return l.Conn.Close()
}
