package transport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	"github.com/balsa-raft/balsa/transport/wire/wiretest"
)

// cable is the dialler's end of a connection in a network that a test tears apart.
type cable struct {
	net.Conn
	damage *damage
}

// damage does to a network's connections what the random source says.
type damage struct {
	mu     sync.Mutex
	random *rand.Rand
	cables []net.Conn
	over   bool
}

// Write damages, cuts or ends the stream now and then.
func (c cable) Write(b []byte) (int, error) {
	c.damage.mu.Lock()
	fault, place := c.damage.random.IntN(300), c.damage.random.IntN(len(b))
	over := c.damage.over
	c.damage.mu.Unlock()
	if over {
		return c.Conn.Write(b)
	}
	switch fault {
	case 0: // a bit flips
		b = append([]byte(nil), b...)
		b[place] ^= 1
	case 1: // the connection breaks in the middle
		n, _ := c.Conn.Write(b[:place])
		c.Close()
		return n, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// cut ends one of the connections.
func (d *damage) cut() {
	d.mu.Lock()
	c := d.cables[d.random.IntN(len(d.cables))]
	d.mu.Unlock()
	c.Close()
}

// TestTornNetworkLosesButNeverAlters: three hosts talk over a network that flips bits, breaks connections in the middle of a frame and between; hosts
// restart. What arrives is what was sent, in order and at most once, whatever is missing; and when the network heals, everything gets through.
func TestTornNetworkLosesButNeverAlters(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tornNetwork(t, seed) })
		})
	}
}

func tornNetwork(t *testing.T, seed uint64) {
	random := wiretest.Random(seed)
	network := newMemory()
	tear := &damage{random: random}
	network.wrap = func(c net.Conn) net.Conn {
		tear.mu.Lock()
		defer tear.mu.Unlock()
		tear.cables = append(tear.cables, c)
		return cable{c, tear}
	}
	names := []string{"a", "bb", "ccc"}
	hosts, sinks := make([]*Transport, len(names)), make([]*inbox, len(names))
	for i, name := range names {
		sinks[i] = new(inbox)
		hosts[i] = open(t, network.host(name, sinks[i]))
	}
	// Message n from host i carries data that tell both, so that an altered one would show.
	say := func(i, n int) {
		data := []byte(strings.Repeat(fmt.Sprintf("%s %d;", names[i], n), 1+n%50))
		for k, to := range names {
			if k != i {
				hosts[i].Send([]engine.Envelope{{Group: raft.GroupID(n), To: to, Message: &engine.ForwardRequest{ID: uint64(n), Data: data, Sum: raft.Sum(data)}}})
			}
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	const messages = 1500
	for n := range messages {
		for i := range hosts {
			say(i, n)
		}
		if n%20 == 7 {
			tear.cut()
		}
		if n%500 == 499 {
			i := n / 500 % len(hosts)
			hosts[i].Close()
			hosts[i] = open(t, network.host(names[i], sinks[i]))
		}
		<-tick.C
	}
	tear.mu.Lock()
	tear.over = true
	tear.mu.Unlock()
	healed := func() bool {
		for i, sink := range sinks {
			for k := range names {
				if k != i && lastFrom(sink, names[k]) < messages {
					return false
				}
			}
		}
		return true
	}
	for n := messages; !healed(); n++ {
		if n > messages+2000 {
			t.Fatal("the network is whole again and messages still do not get through")
		}
		for i := range hosts {
			say(i, n)
		}
		<-tick.C
	}
	arrived := 0
	for i, sink := range sinks {
		arrived += checkStory(t, names[i], sink)
	}
	if all := messages * len(names) * (len(names) - 1); arrived < all/4 || arrived == all {
		t.Errorf("%d messages of %d arrived, which proves little", arrived, all)
	}
	for _, host := range hosts {
		host.Close()
	}
}

func lastFrom(sink *inbox, from string) (last int) {
	sink.mu.Lock()
	defer sink.mu.Unlock()
	for _, envelopes := range sink.deliveries {
		for _, e := range envelopes {
			if e.From == from {
				last = int(e.Group)
			}
		}
	}
	return last
}

// checkStory checks what one host got, and counts it.
func checkStory(t *testing.T, name string, sink *inbox) int {
	t.Helper()
	last := map[string]int{}
	all := sink.all()
	for _, e := range all {
		m := e.Message.(*engine.ForwardRequest)
		n := int(m.ID)
		if want := strings.Repeat(fmt.Sprintf("%s %d;", e.From, n), 1+n%50); string(m.Data) != want || e.Group != raft.GroupID(n) || e.To != name {
			t.Fatalf("%s got %+v %q, want %q", name, e, m.Data, want)
		}
		if before, ok := last[e.From]; ok && n <= before {
			t.Fatalf("%s got message %d of %s after %d", name, n, e.From, before)
		}
		last[e.From] = n
	}
	return len(all)
}
