package front

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"
)

// windows is a connection without a network, whose client says what it takes.
type windows struct {
	*conn
	t    *testing.T
	last uint32 // stream
}

func newWindows(t *testing.T) *windows {
	return &windows{conn: newConn(nil, nil, nil), t: t}
}

// answered is a request with an answer of so many bytes.
func (w *windows) answered(size int) *call {
	w.last += 2
	one := &call{conn: w.conn, id: w.last, sendWindow: w.streamWindow, received: true, message: &buffer{bytes: make([]byte, size)}}
	w.calls[one.id] = one
	w.answer(one, nil)
	return one
}

func (w *windows) update(stream uint32, n int) {
	w.t.Helper()
	if err := w.takeWindowUpdate(header{id: stream, length: 4}, appendUint32(nil, uint32(n))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *windows) settle(initial uint32) {
	w.t.Helper()
	if err := w.takeSettings(header{length: 6}, appendUint32([]byte{0, byte(http2.SettingInitialWindowSize)}, initial)); err != nil {
		w.t.Fatal(err)
	}
}

// TestAnAnswerGoesOnWithWhatItLacks: whatever the order in which a client takes more and less, of its streams and of all together, nothing waits that could go.
func TestAnAnswerGoesOnWithWhatItLacks(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWindows(t)
		some := func() *call { return w.calls[uint32(2*random.IntN(int(w.last/2)+1))] }
		for range 300 {
			switch random.IntN(6) {
			case 0, 1:
				w.answered(1 + random.IntN(1<<random.IntN(18)))
			case 2:
				w.update(0, 1+random.IntN(1<<random.IntN(18)))
			case 3:
				if one := some(); one != nil {
					w.update(one.id, 1+random.IntN(1<<random.IntN(18)))
				}
			case 4:
				w.settle(uint32(random.IntN(1 << random.IntN(18))))
			case 5:
				if one := some(); one != nil && random.IntN(3) == 0 {
					w.forget(one) // as a reset does
				}
			}
			in := map[*call]int{}
			for _, one := range w.blocked {
				in[one]++
			}
			for _, one := range w.calls {
				if in[one] > 1 || one.sendWindow > 0 && (w.sendWindow > 0 || in[one] == 0) {
					t.Fatalf("seed %d: stream %d has %d bytes and may send %d, all together %d; %d times among those that wait for that",
						seed, one.id, len(one.unsent), one.sendWindow, w.sendWindow, in[one])
				}
			}
			w.out = w.out[:0]
		}
		w.update(0, maxWindow/2)
		w.settle(maxWindow / 2)
		if len(w.calls) > 0 || len(w.blocked) > 0 {
			t.Errorf("seed %d: %d answers wait, %d for the connection", seed, len(w.calls), len(w.blocked))
		}
	}
}

// TestAClientThatTakesLittleIsLittleWork: one connection's thousands of answers are not looked at for each byte that it takes, while others wait for the lock.
func TestAClientThatTakesLittleIsLittleWork(t *testing.T) {
	const many = 1000
	w := newWindows(t)
	w.settle(0)
	for range many {
		w.answered(10)
	}
	if len(w.blocked) != 0 {
		t.Errorf("%d that lack their stream's window wait for the connection's", len(w.blocked))
	}
	w.sendWindow = 0
	w.settle(10)
	first, second := w.blocked[0], w.blocked[1]
	w.update(0, 1)
	if len(w.blocked) != many || len(first.unsent) != 9 || len(second.unsent) != 10 {
		t.Errorf("%d wait; of the first %d bytes, of the second %d", len(w.blocked), len(first.unsent), len(second.unsent))
	}
	for _, one := range w.blocked {
		w.forget(one)
	}
	w.answered(10)
	if len(w.blocked) != 1 {
		t.Errorf("%d wait, all but one of which were reset", len(w.blocked))
	}
}
